//! The CA's answers: directory, nonces, accounts, orders, certificates; each as it should be, or as its lie is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::signed::{Refusal, Signed};
use super::{Account, CaLie, CaStyle, Order, Shared};
use crate::masa::body;

const REPLAY_NONCE: &str = "replay-nonce";
/// Where lies lead: a name that is never assigned (RFC 6761 §6.4).
const ELSEWHERE: &str = "https://elsewhere.invalid";
/// What moves a terminal's cursor, turns text around, and looks like another line of a log.
const HOSTILE: &str = "\u{1b}[2J\u{202e}\r\n2026-01-01 INFO certificate issued\u{0}";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// What goes back, before the nonce.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

impl Reply {
    fn json(status: StatusCode, value: &Value) -> Self {
        Self::text(status, "application/json", value.to_string())
    }

    fn text(status: StatusCode, media_type: &'static str, text: String) -> Self {
        let mut reply = Self { status, headers: HeaderMap::new(), body: Body::from(text) };
        reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        reply
    }

    fn problem(status: StatusCode, kind: &str, detail: &str) -> Self {
        let value = json!({"type": format!("{PROBLEM}{kind}"), "detail": detail});
        Self::text(status, "application/problem+json", value.to_string())
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}

impl From<Refusal> for Reply {
    fn from((kind, detail): Refusal) -> Self {
        Self::problem(StatusCode::BAD_REQUEST, kind, &detail)
    }
}

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri.path();
    let Reply { status, headers, body } = match (method, path) {
        (Method::POST, _) => match shared.signed(path, &body) {
            Ok(signed) => shared.reply(path, &signed).unwrap_or_else(Reply::from),
            Err(refusal) => refusal.into(),
        },
        (Method::GET, "/dir") => Reply::json(StatusCode::OK, &shared.directory()),
        (_, "/nonce") => Reply::json(StatusCode::OK, &Value::Null),
        _ => Reply::problem(StatusCode::NOT_FOUND, "malformed", "there is nothing here"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Ok(nonce) = HeaderValue::from_str(&shared.nonce()) {
        response.headers_mut().insert(REPLAY_NONCE, nonce);
    }
    response
}

/// The contacts that a request names, if any: mail addresses alone are taken, each without header fields
/// (RFC 8555 §7.3).
fn contacts(payload: &Value) -> Result<Option<Vec<String>>, Refusal> {
    let Some(named) = payload.get("contact").and_then(Value::as_array) else {
        return Ok(None);
    };
    let taken = named.iter().map(|contact| {
        let contact = contact.as_str().unwrap_or_default();
        let Some(address) = contact.strip_prefix("mailto:") else {
            return Err(("unsupportedContact", format!("{contact:?} is no mail address")));
        };
        match address.matches('@').count() == 1 && !address.contains(['?', ',']) {
            true => Ok(contact.to_owned()),
            false => Err(("invalidContact", format!("{contact:?} is not one address"))),
        }
    });
    taken.collect::<Result<_, _>>().map(Some)
}

impl Shared {
    fn nonce(&self) -> String {
        if self.tells(CaLie::BadNonce) {
            return "no nonce!".to_owned();
        }
        let mut state = self.state();
        state.made += 1;
        let nonce = format!("nonce-{}", state.made);
        state.nonces.insert(nonce.clone());
        nonce
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn directory(&self) -> Value {
        let is_for_domains = self.style == CaStyle::Domains;
        json!({
            "newNonce": self.url("/nonce"),
            "newAccount": self.url("/new-account"),
            "newOrder": self.url("/new-order"),
            "newAuthz": is_for_domains.then(|| self.url("/new-authz")),
            "revokeCert": self.url("/revoke"),
            "meta": {"subdomainAuthAllowed": is_for_domains},
        })
    }

    fn reply(&self, path: &str, signed: &Signed) -> Result<Reply, Refusal> {
        let mut words = path.trim_start_matches('/').split('/');
        let (resource, number) = (words.next().unwrap_or_default(), words.next());
        let number: u64 = number.and_then(|number| number.parse().ok()).unwrap_or_default();
        match resource {
            "new-account" => self.new_account(signed),
            "account" => self.shown_account(number, &signed.payload),
            "new-authz" => Ok(self.domain(StatusCode::CREATED)),
            "new-order" => Ok(self.new_order(&signed.payload)),
            "revoke" => Ok(Reply::json(StatusCode::OK, &Value::Null)),
            "domain" => Ok(self.domain(StatusCode::OK)),
            "domain-challenge" => {
                self.state().is_authorized = true;
                Ok(Reply::json(StatusCode::OK, &self.challenge("/domain-challenge", "processing")))
            }
            "authz" => self.authorization(number),
            "challenge" => {
                self.change(number, |order| order.is_authorized = true)?;
                let challenge = self.challenge(&format!("/challenge/{number}"), "processing");
                Ok(Reply::json(StatusCode::OK, &challenge))
            }
            "order" => Ok(Reply::json(StatusCode::OK, &self.order(number)?)),
            "finalize" => self.finalize(number, &signed.payload),
            "cert" => self.certificate(number, 0),
            "cert-2" => self.certificate(number, 1),
            other => Err(("malformed", format!("there is no {other}"))),
        }
    }

    fn new_account(&self, Signed { key, payload }: &Signed) -> Result<Reply, Refusal> {
        let key = key.clone().unwrap_or_default();
        let mut state = self.state();
        let known =
            state.accounts.iter().find(|(_, its)| its.key == key).map(|(number, _)| *number);
        let is_question = payload.get("onlyReturnExisting").is_some_and(|it| *it == json!(true));
        let (status, number) = match known {
            Some(number) => (StatusCode::OK, number),
            None if is_question => {
                return Err(("accountDoesNotExist", "there is none".to_owned()));
            }
            None => {
                let contact = contacts(payload)?.unwrap_or_default();
                state.made += 1;
                let number = state.made;
                state.accounts.insert(number, Account { key, contact });
                (StatusCode::CREATED, number)
            }
        };
        let contact = state.accounts.get(&number).map(|account| account.contact.clone());
        let shown = json!({"status": "valid", "contact": contact});
        let account = self.url(&format!("/account/{number}"));
        Ok(Reply::json(status, &shown).with(LOCATION, &account))
    }

    /// Shows an account, or changes how its owner is reached (RFC 8555 §7.3.2).
    fn shown_account(&self, number: u64, payload: &Value) -> Result<Reply, Refusal> {
        let wanted = contacts(payload)?;
        let mut state = self.state();
        let account = state.accounts.get_mut(&number);
        let account = account.ok_or_else(|| ("malformed", "there is none".to_owned()))?;
        account.contact = wanted.unwrap_or_else(|| std::mem::take(&mut account.contact));
        let shown = json!({"status": "valid", "contact": account.contact});
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    fn new_order(&self, payload: &Value) -> Reply {
        if let Some(lie) = self.lie_to_order() {
            return lie;
        }
        let identifiers = payload.get("identifiers").and_then(Value::as_array);
        let name = |each: &Value| each.get("value")?.as_str().map(str::to_owned);
        let names = identifiers.into_iter().flatten().filter_map(name).collect();
        let number = {
            let mut state = self.state();
            state.made += 1;
            let (number, is_authorized) = (state.made, state.is_authorized);
            state.orders.insert(number, Order { names, is_authorized, chains: None });
            number
        };
        let reply = match self.order(number) {
            Ok(order) => Reply::json(StatusCode::CREATED, &order),
            Err(refusal) => return refusal.into(),
        };
        let path = format!("/order/{number}");
        if self.tells(CaLie::NoLocation) {
            return reply;
        }
        if self.tells(CaLie::ForeignOrder) {
            return reply.with(LOCATION, &format!("{ELSEWHERE}{path}"));
        }
        if self.tells(CaLie::BadLocation) {
            return reply.with(LOCATION, "::: no URL :::");
        }
        reply.with(LOCATION, &self.url(&path))
    }

    /// What is answered in place of an order.
    fn lie_to_order(&self) -> Option<Reply> {
        let problem = |status: StatusCode, kind: &str| Reply::problem(status, kind, "as it is");
        if self.tells(CaLie::Html) {
            let page = "<html><body>Log in to the network</body></html>".to_owned();
            return Some(Reply::text(StatusCode::OK, "text/html", page));
        }
        if self.tells(CaLie::Redirect) {
            let reply = Reply::json(StatusCode::TEMPORARY_REDIRECT, &Value::Null);
            return Some(reply.with(LOCATION, &format!("{ELSEWHERE}/new-order")));
        }
        if self.tells(CaLie::Rejects) {
            return Some(problem(StatusCode::FORBIDDEN, "rejectedIdentifier"));
        }
        if self.tells(CaLie::Limits) {
            let reply = problem(StatusCode::TOO_MANY_REQUESTS, "rateLimited");
            return Some(reply.with(RETRY_AFTER, "1"));
        }
        if self.tells(CaLie::Terms) {
            return Some(problem(StatusCode::FORBIDDEN, "userActionRequired"));
        }
        if self.tells(CaLie::Fails) {
            return Some(problem(StatusCode::INTERNAL_SERVER_ERROR, "serverInternal"));
        }
        None
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Order)) -> Result<(), Refusal> {
        let mut state = self.state();
        let order = state.orders.get_mut(&number);
        order.map(change).ok_or_else(|| ("malformed", "there is no such order".to_owned()))
    }

    fn order(&self, number: u64) -> Result<Value, Refusal> {
        let (mut is_authorized, mut is_issued, mut names) = (false, false, Vec::new());
        self.change(number, |order| {
            (is_authorized, is_issued) = (order.is_authorized, order.chains.is_some());
            names.clone_from(&order.names);
        })?;
        let status = match (is_authorized, is_issued) {
            (true, _) if self.tells(CaLie::Invalid) => "invalid",
            (true, _) if self.tells(CaLie::Processing) => "processing",
            (_, true) => "valid",
            (true, false) => "ready",
            (false, false) => "pending",
        };
        let place = |lie, resource: &str| match self.tells(lie) {
            true => format!("{ELSEWHERE}/{resource}/{number}"),
            false => self.url(&format!("/{resource}/{number}")),
        };
        let identifiers: Vec<Value> =
            names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let certificate = (status == "valid").then(|| place(CaLie::ForeignCertificate, "cert"));
        Ok(json!({
            "status": status,
            "identifiers": identifiers,
            "authorizations": [place(CaLie::ForeignAuthorization, "authz")],
            "finalize": place(CaLie::ForeignFinalize, "finalize"),
            "certificate": certificate,
        }))
    }

    fn challenge(&self, path: &str, status: &str) -> Value {
        let kind = if self.tells(CaLie::NoChallenge) { "smoke-signal-01" } else { "dns-01" };
        let token = if self.tells(CaLie::BadToken) { "../../etc passwd" } else { TOKEN };
        json!({"type": kind, "url": self.url(path), "token": token, "status": status})
    }

    fn authorization(&self, number: u64) -> Result<Reply, Refusal> {
        let (mut is_authorized, mut name) = (false, String::new());
        self.change(number, |order| {
            is_authorized = order.is_authorized;
            name = order.names.first().cloned().unwrap_or_default();
        })?;
        if self.tells(CaLie::OtherAuthorization) {
            "somebody-else.example".clone_into(&mut name);
        }
        let status = if is_authorized { "valid" } else { "pending" };
        let authorization = json!({
            "status": status,
            "identifier": {"type": "dns", "value": name},
            "challenges": [self.challenge(&format!("/challenge/{number}"), status)],
        });
        Ok(Reply::json(StatusCode::OK, &authorization))
    }

    /// The authorization of the whole domain; the one that the last request for one named.
    fn domain(&self, status: StatusCode) -> Reply {
        let state = self.state();
        let mut asked = state.asked.iter().rev().filter(|(path, _)| path == "/new-authz");
        let name = asked.next().and_then(|(_, it)| it.get("identifier")?.get("value")).cloned();
        let word = if state.is_authorized { "valid" } else { "pending" };
        drop(state);
        let authorization = json!({
            "status": word,
            "identifier": {"type": "dns", "value": name},
            "subdomainAuthAllowed": true,
            "challenges": [self.challenge("/domain-challenge", word)],
        });
        Reply::json(status, &authorization).with(LOCATION, &self.url("/domain"))
    }

    fn finalize(&self, number: u64, payload: &Value) -> Result<Reply, Refusal> {
        if self.tells(CaLie::HostileProblem) {
            return Ok(Reply::problem(StatusCode::BAD_REQUEST, "badCSR", &HOSTILE.repeat(200)));
        }
        let bad = |error: &dyn std::fmt::Display| ("badCSR", error.to_string());
        let csr = payload.get("csr").and_then(Value::as_str).unwrap_or_default();
        let csr = URL_SAFE_NO_PAD.decode(csr).map_err(|error| bad(&error))?;
        let chains = match self.style {
            CaStyle::Plain => {
                let lie = self.state().lie;
                let chain = self.roots.chain(&csr, lie).map_err(|error| bad(&error))?;
                [chain.clone(), chain]
            }
            CaStyle::Domains => {
                let chains = self.roots.two_chains(&csr).map_err(|error| bad(&error))?;
                [chains.first, chains.second]
            }
        };
        self.change(number, |order| order.chains = Some(chains))?;
        Ok(Reply::json(StatusCode::OK, &self.order(number)?))
    }

    fn certificate(&self, number: u64, which: usize) -> Result<Reply, Refusal> {
        let mut chain = None;
        self.change(number, |order| {
            chain = order.chains.as_ref().and_then(|chains| chains.get(which).cloned());
        })?;
        let chain = chain.ok_or_else(|| ("malformed", "nothing is issued".to_owned()))?;
        let mut reply = Reply::text(StatusCode::OK, "application/pem-certificate-chain", chain);
        if self.tells(CaLie::HugeChain) {
            reply.body = body::huge();
        } else if self.tells(CaLie::SlowChain) {
            reply.body = body::slow();
        } else {
            // Whatever else it lies about stands in the chain.
            let lie = self.state().lie;
            let _ = lie != CaLie::None && self.tells(lie);
        }
        if self.style == CaStyle::Domains {
            let link =
                |path: &str, relation: &str| format!("<{}>;rel=\"{relation}\"", self.url(path));
            let other = link(&format!("/cert-2/{number}"), "alternate");
            reply = reply.with(LINK, &link("/dir", "index")).with(LINK, &other);
        }
        Ok(reply)
    }
}
