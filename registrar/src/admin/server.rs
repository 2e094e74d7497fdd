//! The admin socket: mode 0600, in the folder of the configuration, so that its owner alone may use it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, body::Body};
use http::StatusCode;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tower::ServiceExt as _;
use tracing::debug;

use super::api::{Failure, FailureKind, NewManufacturer};
use super::service::Service;

/// The longest body, in octets.
const BODY_OCTETS: usize = 1024 * 1024;
/// How many events are listed where nobody says how many.
const EVENTS: u32 = 100;

/// Why the socket cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another daemon answers at {}", .0.display())]
    InUse(PathBuf),
    /// The system says no.
    #[error("cannot open the admin socket {}: {source}", .path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Opens the socket; one that a dead process left is replaced.
///
/// # Errors
/// [`SocketError`].
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Bind { path: path.to_owned(), source };
    if path.exists() {
        if StdUnixStream::connect(path).is_ok() {
            return Err(SocketError::InUse(path.to_owned()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Answers until `shutdown` turns true.
pub async fn run(
    listener: UnixListener,
    service: Arc<Service>,
    mut shutdown: watch::Receiver<bool>,
) {
    let router = router(service);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            continue;
        };
        let router = router.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                router.clone().oneshot(request.map(Body::new))
            });
            if let Err(error) =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
            {
                debug!(%error, "admin connection ended early");
            }
        });
    }
}

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/manufacturers", get(manufacturers).post(add_manufacturer))
        .route("/v1/devices", get(devices))
        .route("/v1/devices/{device}", get(device))
        .route("/v1/events", get(events))
        .route("/v1/status", get(status))
        .layer(DefaultBodyLimit::max(BODY_OCTETS))
        .with_state(service)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.kind {
            FailureKind::Invalid => StatusCode::BAD_REQUEST,
            FailureKind::Ambiguous | FailureKind::Conflict => StatusCode::CONFLICT,
            FailureKind::NotFound => StatusCode::NOT_FOUND,
            FailureKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(self)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;

async fn add_manufacturer(
    State(service): State<Arc<Service>>,
    Json(new): Json<NewManufacturer>,
) -> Answer<super::api::ManufacturerView> {
    service.add_manufacturer(new).await.map(Json)
}

async fn manufacturers(
    State(service): State<Arc<Service>>,
) -> Answer<Vec<super::api::ManufacturerView>> {
    service.manufacturers().await.map(Json)
}

async fn devices(State(service): State<Arc<Service>>) -> Answer<Vec<super::api::DeviceView>> {
    service.devices().await.map(Json)
}

async fn device(
    State(service): State<Arc<Service>>,
    UrlPath(device): UrlPath<String>,
) -> Answer<super::api::DeviceStory> {
    service.device(&device).await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    device: Option<String>,
    limit: Option<u32>,
}

async fn events(
    State(service): State<Arc<Service>>,
    Query(query): Query<EventQuery>,
) -> Answer<Vec<super::api::EventView>> {
    service.events(query.device.as_deref(), query.limit.unwrap_or(EVENTS)).await.map(Json)
}

async fn status(State(service): State<Arc<Service>>) -> Json<super::api::Counters> {
    Json(service.counters())
}
