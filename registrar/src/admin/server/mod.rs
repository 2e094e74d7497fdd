//! The admin API's server: routes, who may use them, and the listeners.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use self::access::Access;
use super::actor::Role;
use super::service::Service;

pub mod access;
mod extract;
pub mod identity;
mod openapi;
mod routes;
pub mod socket;
pub mod tls;

/// The longest body, in octets: an import of a hundred thousand devices.
const BODY_OCTETS: usize = 16 * 1024 * 1024;

/// All routes, for requests that carry an [`Actor`](super::actor::Actor) as their extension.
///
/// `health`: what is served beside the API: `/healthz`, `/readyz`, `/metrics`.
pub fn router(service: Arc<Service>, health: Router) -> Router {
    let document = openapi::document();
    let mut router =
        Router::new().route("/openapi.json", get(async move || document)).merge(health);
    for role in Role::ALL {
        let access = Access { role, service: Arc::clone(&service) };
        let routes = routes::of(role).layer(from_fn_with_state(access, access::require));
        router = router.merge(routes.with_state(Arc::clone(&service)));
    }
    router
        .fallback(extract::unknown_path)
        .method_not_allowed_fallback(extract::unknown_method)
        .layer(DefaultBodyLimit::max(BODY_OCTETS))
}
