//! Logging in with OpenID Connect: authorization code with PKCE, in a program built with the feature `openid`.
//!
//! `start` sends the browser to the provider, which sends it back to `back`; a form of our own then goes on to
//! `finish`, since a browser that comes from another site does not show the cookie, which is SameSite=Strict.
//!
//! OpenID Connect Core 1.0 §3.1; RFC 7636; RFC 9700 §2.1.

use std::sync::Arc;

use axum::Router;

use super::Console;

#[cfg(feature = "openid")]
mod attempt;
#[cfg(feature = "openid")]
mod handlers;
#[cfg(feature = "openid")]
pub mod provider;

/// The pages of this way to log in.
#[cfg(feature = "openid")]
pub(super) fn routes() -> Router<Arc<Console>> {
    use axum::routing::{get, post};

    Router::new()
        .route("/console/login/openid", get(handlers::start))
        .route("/console/login/openid/return", get(handlers::back))
        .route("/console/login/openid/finish", post(handlers::finish))
}

/// There are none.
#[cfg(not(feature = "openid"))]
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
}

/// The provider's host, and the path that begins to log in there; `None` where the configuration names no provider.
#[cfg(feature = "openid")]
pub(super) fn way<'a>(console: &'a Console, next: &str) -> Option<(&'a str, String)> {
    let provider = console.openid.as_ref()?;
    let query = serde_urlencoded::to_string([("next", next)]).unwrap_or_default();
    Some((provider.host(), format!("/console/login/openid?{query}")))
}

/// There is none.
#[cfg(not(feature = "openid"))]
pub(super) fn way<'a>(_: &'a Console, _: &str) -> Option<(&'a str, String)> {
    None
}
