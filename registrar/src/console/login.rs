//! Logging in: by the certificate of the connection, by a token, or by a link that an operator made on the machine;
//! `openid` has the way by another server.
//!
//! Each way ends in a session with a cookie, so that a form of another site is sent without it: a certificate alone
//! would go with such a form too.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::form::Form;
use super::guard::{COOKIE_NAME, cookie, is_ours};
use super::layout::{Trouble, message, plain};
use super::openid;
use super::session::Proof;
use crate::admin::actor::{Actor, Role};
use crate::admin::problem::{Kind, Problem};
use crate::admin::server::access::record;
use crate::store::model::{Millis, Sha256};
use crate::tls::peer::Peer;

/// `GET /console`.
pub(super) async fn front() -> Redirect {
    Redirect::to("/console/now")
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    /// Where to go then.
    next: Option<String>,
    /// The secret of a link.
    link: Option<String>,
}

/// `GET /console/login`.
pub(super) async fn page(
    State(console): State<Arc<Console>>,
    Extension(peer): Extension<Arc<Peer>>,
    Query(query): Query<PageQuery>,
) -> Response {
    let next = inside(query.next.as_deref());
    if let Some(link) = query.link {
        return plain("Log in", &by_link(&link, next)).into_response();
    }
    plain("Log in", &ways(&console, &peer, next, None)).into_response()
}

/// A link is not followed at once: programs that look at links for people would use it up.
fn by_link(link: &str, next: &str) -> Markup {
    html! {
        p { "This link is good for one log-in, within ten minutes of its making." }
        form method="post" action="/console/login" {
            input type="hidden" name="next" value=(next);
            input type="hidden" name="link" value=(link);
            button { "Log in" }
        }
    }
}

fn ways(console: &Console, peer: &Peer, next: &str, problem: Option<&str>) -> Markup {
    let known = certificate(console, peer, console.service.now());
    html! {
        @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
        @if let Some((provider, path)) = openid::way(console, next) {
            p { a.button href=(path) { "Log in at " (provider) } }
            p { "or with a token:" }
        }
        @if let Some(actor) = known {
            form method="post" action="/console/login" {
                input type="hidden" name="next" value=(next);
                input type="hidden" name="certificate" value="yes";
                button { "Log in as " (actor.name) }
            }
            p { "or with a token:" }
        }
        form method="post" action="/console/login" {
            input type="hidden" name="next" value=(next);
            label for="token" { "Token" }
            input #token name="token" type="password" autocomplete="current-password" required
                aria-describedby="token-help";
            p #token-help.help {
                "A token that [admin.token] of the configuration names. "
                "On the machine itself, 'registrar console link' makes a link without one."
            }
            button { "Log in" }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Wish {
    next: Option<String>,
    token: Option<String>,
    link: Option<String>,
    certificate: Option<String>,
}

/// `POST /console/login`.
pub(super) async fn post(
    State(console): State<Arc<Console>>,
    Extension(peer): Extension<Arc<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(wish) = serde_urlencoded::from_bytes::<Wish>(&body) else {
        let problem = Problem::invalid("the form cannot be read", "open /console/login again");
        return message(&problem).into_response();
    };
    if !is_ours(&headers) {
        let problem = Problem::new(
            Kind::Forbidden,
            "the form was sent by another site",
            "open /console/login",
        );
        return message(&problem).into_response();
    }
    let (now, address) = (console.service.now(), peer.address.ip());
    let next = inside(wish.next.as_deref()).to_owned();
    match proof(&console, &peer, &wish, now) {
        Some((actor, proof)) => open(&console, &peer, &actor, proof, &next),
        None if console.attempts.is_barred(&address, now) => barred(&peer),
        None => refuse(&console, &peer, refusal(&wish), &next).await,
    }
}

/// Opens a session for somebody who proved who they are.
pub(super) fn open(
    console: &Console,
    peer: &Peer,
    actor: &Actor,
    proof: Proof,
    next: &str,
) -> Response {
    let address = peer.address.ip();
    tracing::info!(actor = %actor.name.escape_debug(), %address, "logged in to the console");
    let secret = console.sessions.open(proof, console.service.now());
    let cookie = format!("{COOKIE_NAME}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict");
    with_cookie(&cookie, next)
}

/// What an address is told that failed too often.
pub(super) fn barred(peer: &Peer) -> Response {
    let detail = format!("too many failed attempts from {}", peer.address.ip());
    message(&Problem::new(Kind::TooMany, detail, "wait a minute")).into_response()
}

/// Shows the log-in again, with the reason why nobody is logged in; the trail has it too.
pub(super) async fn refuse(console: &Console, peer: &Peer, reason: &str, next: &str) -> Response {
    console.attempts.failed(peer.address.ip(), console.service.now());
    let whence = peer.address.to_string();
    record(&console.service, "admin-unauthenticated", &whence, reason.to_owned()).await;
    let page = plain("Log in", &ways(console, peer, next, Some(reason)));
    (StatusCode::FORBIDDEN, page).into_response()
}

fn refusal(wish: &Wish) -> &'static str {
    match (&wish.link, &wish.token) {
        (Some(_), _) => "the link was used already, or is older than ten minutes; make another one",
        (None, Some(_)) => "the token is nobody's",
        (None, None) => "the certificate is nobody's",
    }
}

fn proof(console: &Console, peer: &Peer, wish: &Wish, now: Millis) -> Option<(Actor, Proof)> {
    if let Some(link) = &wish.link {
        let actor = console.sessions.accept(link, now)?;
        return Some((actor.clone(), Proof::Link(actor)));
    }
    if let Some(token) = &wish.token {
        let digest = Sha256::of(token.trim().as_bytes());
        let actor = console.registry.load().by_token_digest(&digest)?;
        return Some((actor, Proof::Token(digest)));
    }
    wish.certificate.as_ref()?;
    let actor = certificate(console, peer, now)?;
    Some((actor, Proof::Certificate(peer.certificates.clone().into())))
}

fn certificate(console: &Console, peer: &Peer, now: Millis) -> Option<Actor> {
    if peer.certificates.is_empty() {
        return None;
    }
    console.registry.load().by_certificate(&peer.certificates, now).ok()
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `POST /console/logout`.
pub(super) async fn logout(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    form: Form<Nothing>,
) -> Result<Response, Trouble> {
    form.allow(Role::Viewer)?;
    if let Some(secret) = cookie(&headers, COOKIE_NAME) {
        console.sessions.close(secret);
    }
    let Form { fields: Nothing {}, .. } = form;
    let cookie = format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok(with_cookie(&cookie, "/console/login"))
}

/// Leads on, and gives the browser a cookie.
pub(super) fn with_cookie(cookie: &str, next: &str) -> Response {
    let mut response = Redirect::to(next).into_response();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// Only pages of the console: a link from elsewhere must not lead to elsewhere after the log-in.
pub(super) fn inside(next: Option<&str>) -> &str {
    match next {
        Some(path)
            if path.starts_with("/console/")
                && !path.starts_with("/console/log")
                && path.bytes().all(|octet| octet.is_ascii_graphic()) =>
        {
            path
        }
        _ => "/console/now",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_log_in_nobody_is_led_elsewhere() {
        for (next, expected) in [
            (None, "/console/now"),
            (Some("/console/devices?text=a"), "/console/devices?text=a"),
            (Some("https://elsewhere.example"), "/console/now"),
            (Some("//elsewhere.example"), "/console/now"),
            (Some("/console/../v1/devices\r\nX: y"), "/console/now"),
            (Some("/console/logout"), "/console/now"),
        ] {
            assert_eq!(inside(next), expected, "{next:?}");
        }
    }
}
