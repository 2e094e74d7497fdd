//! `/healthz`, `/readyz` and `/metrics`: on every admin listener, and on a listener of their own where one is
//! configured.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use tracing::info;

use super::health::Health;
use super::log::with_sources;
use super::metrics::{MEDIA_TYPE, Metrics};

const TEXT: &str = "text/plain; charset=utf-8";

/// What the routes show.
struct Shown {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// The three paths; each takes GET and HEAD.
pub fn routes(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(lives))
        .route("/readyz", get(ready))
        .route("/metrics", get(exposition))
        .with_state(Arc::new(Shown { health, metrics }))
}

fn headers(media_type: &'static str) -> [(HeaderName, HeaderValue); 2] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

async fn lives() -> Response {
    (headers(TEXT), "the registrar lives\n").into_response()
}

async fn ready(State(shown): State<Arc<Shown>>) -> Response {
    match shown.health.ready().await {
        Ok(()) => (headers(TEXT), "the registrar is ready\n").into_response(),
        Err(reason) => {
            info!(reason = with_sources(&reason), "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, headers(TEXT), format!("not ready: {reason}\n"))
                .into_response()
        }
    }
}

async fn exposition(State(shown): State<Arc<Shown>>) -> Response {
    (headers(MEDIA_TYPE), shown.metrics.text()).into_response()
}
