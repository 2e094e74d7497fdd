//! What lives where on the pledge-facing side (RFC 8995 §5, RFC 7030 §3.2.2); the peer comes as a request extension.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, post};
use brski_voucher::path;

use super::app::App;
use super::measure::measure;
use super::{brski, est};

/// The requests of pledges and EST clients. Each must carry its [`Peer`](crate::tls::peer::Peer) as an extension.
pub fn router(app: Arc<App>) -> Router {
    let metrics = Arc::clone(&app.metrics);
    Router::new()
        .route(path::REQUEST_VOUCHER, post(brski::request_voucher).fallback(brski::only_post))
        .route(path::VOUCHER_STATUS, post(brski::voucher_status).fallback(brski::only_post))
        .route(path::ENROLL_STATUS, post(brski::enroll_status).fallback(brski::only_post))
        .route("/.well-known/est/{*rest}", any(est::dispatch))
        .fallback(brski::unknown_path)
        .layer(from_fn_with_state(metrics, measure))
        .with_state(app)
}
