//! Who asks for a page, and what every answer of the console carries.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, REFERRER_POLICY};
use http::header::{HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Console;
use super::layout::message;
use super::session::{Proof, Session};
use crate::admin::actor::Actor;
use crate::admin::problem::{Kind, Problem};

/// The cookie: for this host alone, over TLS alone.
pub(super) const COOKIE_NAME: &str = "__Host-registrar";

/// Nothing from elsewhere, no script and no style but the files of this program, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Somebody who is logged in, and the session that they are logged in by.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// Who, and what they may do now.
    pub(super) actor: Actor,
    /// Their session.
    pub(super) session: Session,
}

/// Lets a request through whose cookie belongs to a session; others are shown the way to log in.
pub(super) async fn recognise(
    State(console): State<Arc<Console>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(visitor) = visitor(&console, request.headers()) else {
        return stranger(&request);
    };
    if request.method() == Method::POST && !is_ours(request.headers()) {
        let problem = Problem::new(
            Kind::Forbidden,
            "the form was sent by another site",
            "open the console itself and repeat it there",
        );
        return message(&problem).into_response();
    }
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

fn visitor(console: &Console, headers: &HeaderMap) -> Option<Visitor> {
    let now = console.service.now();
    let session = console.sessions.find(cookie(headers, COOKIE_NAME)?, now)?;
    let registry = console.registry.load();
    let actor = match &session.proof {
        Proof::Token(digest) => registry.by_token_digest(digest),
        Proof::Certificate(chain) => registry.by_certificate(chain, now).ok(),
        Proof::Link(actor) => Some(actor.clone()),
        Proof::Openid { name, values } => {
            registry.by_claim(values).map(|role| Actor { name: name.clone(), role })
        }
    }?;
    Some(Visitor { actor, session })
}

/// What the cookie of this name holds.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}

/// Whether a form comes from our own pages, as far as the browser tells.
pub(super) fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_same_site = match text(HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin" || site == "none",
        None => true,
    };
    let is_same_origin = match text(ORIGIN) {
        Some(origin) => origin.strip_prefix("https://") == text(HOST),
        None => true,
    };
    is_same_site && is_same_origin
}

fn stranger(request: &Request) -> Response {
    let is_script = request.headers().contains_key("hx-request");
    match *request.method() {
        // A script cannot follow a redirect to another page.
        Method::GET if is_script => {
            [(HeaderName::from_static("hx-redirect"), "/console/login")].into_response()
        }
        Method::GET | Method::HEAD => {
            let path = request.uri().path_and_query().map_or("", |path| path.as_str());
            let query = serde_urlencoded::to_string([("next", path)]).unwrap_or_default();
            Redirect::to(&format!("/console/login?{query}")).into_response()
        }
        _ => {
            let problem = Problem::new(
                Kind::Unauthenticated,
                "you are not logged in any more, and nothing was changed",
                "log in and repeat it; sessions end after half an hour without use, and when the registrar restarts",
            );
            message(&problem).into_response()
        }
    }
}

/// What every answer carries.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_form_of_another_site_is_known_by_what_the_browser_says() {
        for (pairs, expected) in [
            (&[("host", "a:1")][..], true),
            (&[("host", "a:1"), ("origin", "https://a:1")], true),
            (&[("host", "a:1"), ("origin", "https://a:2")], false),
            (&[("host", "a:1"), ("origin", "http://a:1")], false),
            (&[("host", "a:1"), ("origin", "null")], false),
            (&[("host", "a:1"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "a:1"), ("sec-fetch-site", "same-site")], false),
            (
                &[("host", "a:1"), ("sec-fetch-site", "cross-site"), ("origin", "https://a:1")],
                false,
            ),
        ] {
            assert_eq!(is_ours(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = headers(&[("cookie", "a=b; __Host-registrar=12"), ("cookie", "c=d")]);
        assert_eq!(cookie(&found, COOKIE_NAME), Some("12"));
        let other = headers(&[("cookie", "x__Host-registrar=12; __Host-registrar-openid=7")]);
        assert_eq!(cookie(&other, COOKIE_NAME), None);
    }
}
