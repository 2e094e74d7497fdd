//! The three steps of a log-in at a provider.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use maud::html;
use serde::Deserialize;

use super::attempt::{Attempt, COOKIE_NAME};
use super::provider::{OpenidError, Person, Provider};
use crate::admin::actor::Actor;
use crate::admin::problem::{Kind, Problem};
use crate::console::Console;
use crate::console::guard::{cookie, is_ours};
use crate::console::layout::{message, plain};
use crate::console::login::{barred, inside, open, refuse, with_cookie};
use crate::console::session::Proof;
use crate::tls::peer::Peer;

/// The most values of somebody's that a refusal tells.
const TOLD_MOST: usize = 10;

#[derive(Debug, Default, Deserialize)]
pub(super) struct StartQuery {
    next: Option<String>,
}

/// `GET /console/login/openid`: to the provider.
pub(super) async fn start(
    State(console): State<Arc<Console>>,
    Query(query): Query<StartQuery>,
) -> Response {
    let Some(provider) = &console.openid else {
        return unknown();
    };
    let attempt = Attempt::begin(inside(query.next.as_deref()));
    let (state, nonce, verifier) = (attempt.state(), attempt.nonce(), attempt.verifier());
    match provider.address(state, nonce, verifier, console.service.now()).await {
        Ok(url) => with_cookie(&attempt.cookie(), &url),
        Err(error) => {
            tracing::warn!(%error, "nobody can log in with OpenID Connect");
            let hint = "try again, or log in in another way; \
                        [admin.openid] of the configuration names the provider";
            message(&Problem::new(Kind::Unavailable, error.to_string(), hint)).into_response()
        }
    }
}

/// What a provider sends with the browser: the first two, or the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    code: Option<String>,
    state: String,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /console/login/openid/return`: the provider sent the browser back.
pub(super) async fn back(Query(answer): Query<Answer>) -> Response {
    let fields = [
        ("code", answer.code),
        ("state", Some(answer.state)),
        ("error", answer.error),
        ("error_description", answer.error_description),
    ];
    let content = html! {
        form method="post" action="/console/login/openid/finish" data-send="" {
            @for (name, value) in &fields {
                @if let Some(value) = value { input type="hidden" name=(name) value=(value); }
            }
            p { "You come back from where you logged in." }
            button { "Go on" }
        }
    };
    plain("Log in", &content).into_response()
}

/// `POST /console/login/openid/finish`: asks the provider whom it sent.
pub(super) async fn finish(
    State(console): State<Arc<Console>>,
    Extension(peer): Extension<Arc<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(provider) = &console.openid else {
        return unknown();
    };
    let now = console.service.now();
    if !is_ours(&headers) {
        let detail = "the form was sent by another site";
        let problem = Problem::new(Kind::Forbidden, detail, "open /console/login");
        return message(&problem).into_response();
    }
    if console.attempts.is_barred(&peer.address.ip(), now) {
        return barred(&peer);
    }
    let answer = serde_urlencoded::from_bytes::<Answer>(&body).unwrap_or_default();
    let attempt = cookie(&headers, COOKIE_NAME).and_then(Attempt::parse);
    let Some(attempt) = attempt.filter(|attempt| attempt.is_of(&answer.state)) else {
        let reason = OpenidError::Foreign.to_string();
        return without_cookie(refuse(&console, &peer, &reason, inside(None)).await);
    };
    let next = attempt.next().to_owned();
    let person = match identify(provider, &attempt, answer, &console).await {
        Ok(person) => person,
        Err(error) => {
            return without_cookie(refuse(&console, &peer, &error.to_string(), &next).await);
        }
    };
    let Some(role) = console.registry.load().by_claim(&person.values) else {
        let reason = stranger(provider, &person);
        return without_cookie(refuse(&console, &peer, &reason, &next).await);
    };
    let actor = Actor { name: person.name.clone(), role };
    let proof = Proof::Openid { name: person.name, values: person.values.into() };
    without_cookie(open(&console, &peer, &actor, proof, &next))
}

async fn identify(
    provider: &Provider,
    attempt: &Attempt,
    answer: Answer,
    console: &Console,
) -> Result<Person, OpenidError> {
    match (answer.code, answer.error) {
        (Some(code), None) => {
            let (nonce, verifier) = (attempt.nonce(), attempt.verifier());
            provider.identify(code, nonce, verifier, console.service.now()).await
        }
        (_, error) => Err(OpenidError::refused(
            error.as_deref().unwrap_or("neither a code nor an error"),
            answer.error_description.as_deref(),
        )),
    }
}

/// Why somebody whom the provider knows does not get in.
fn stranger(provider: &Provider, person: &Person) -> String {
    let told: Vec<&str> = person.values.iter().take(TOLD_MOST).map(String::as_str).collect();
    let has = match (told.is_empty(), person.values.len() > TOLD_MOST) {
        (true, _) => "none".to_owned(),
        (false, false) => told.join(", "),
        (false, true) => format!("{} and others", told.join(", ")),
    };
    format!(
        "{} is known at {}, but has no role here; [admin.openid.roles] of the configuration gives roles \
         by the claim {:?}, whose values are: {has}",
        person.name,
        provider.host(),
        provider.claim(),
    )
}

fn unknown() -> Response {
    let detail = "this registrar has no log-in with OpenID Connect";
    message(&Problem::new(Kind::NotFound, detail, "log in in another way")).into_response()
}

/// The attempt is over, whatever came of it.
fn without_cookie(mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&Attempt::no_cookie()) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
