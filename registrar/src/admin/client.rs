//! The command line's side: a running daemon if there is one, else the store itself under a lock.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use super::api::{
    Counters, DeviceStory, DeviceView, EventView, Failure, FailureKind, ManufacturerView,
    NewManufacturer,
};
use super::lock::{FolderLock, LockError};
use super::service::{NoDaemon, Service};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::store::{self, OpenError};

/// The longest answer that is read, in octets.
const ANSWER_OCTETS: usize = 256 * 1024 * 1024;

/// Why a command reached neither a daemon nor the store, or was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It was refused.
    #[error("{}\n{}", .0.error, .0.hint)]
    Refused(Failure),
    /// No daemon runs, and this asks for one.
    #[error("no daemon answers at {}; start one with 'registrar serve --config FILE'", .0.display())]
    NoDaemon(PathBuf),
    /// The lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The daemon does not answer as it should.
    #[error("the daemon at {} does not answer: {reason}", .socket.display())]
    Broken {
        /// Its socket.
        socket: PathBuf,
        /// What happened.
        reason: String,
    },
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// The way to what is known.
pub enum Client {
    /// Over the admin socket of a running daemon.
    Daemon(PathBuf),
    /// On the store, while no daemon runs.
    Store {
        /// The operations.
        service: Service,
        /// Keeps others away.
        _lock: FolderLock,
    },
}

impl Client {
    /// Finds a daemon, or opens the store.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(config: &Config) -> Result<Self, ClientError> {
        let socket = config.admin_socket();
        match UnixStream::connect(&socket).await {
            Ok(_) => Ok(Self::Daemon(socket)),
            Err(_) => {
                let lock = FolderLock::take(&config.folder)?;
                // A chain of its own: the daemon's is the daemon's alone.
                let node = format!("{}-cli", config.store.node);
                let store = store::open(&config.store, &node).await?;
                let service = Service::new(store, Arc::new(SystemClock), Arc::new(NoDaemon));
                Ok(Self::Store { service, _lock: lock })
            }
        }
    }

    /// As [`Service::add_manufacturer`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_manufacturer(
        &self,
        new: NewManufacturer,
    ) -> Result<ManufacturerView, ClientError> {
        match self {
            Self::Daemon(socket) => {
                call(socket, Method::POST, "/v1/manufacturers", Some(&new)).await
            }
            Self::Store { service, .. } => Ok(service.add_manufacturer(new).await?),
        }
    }

    /// As [`Service::manufacturers`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn manufacturers(&self) -> Result<Vec<ManufacturerView>, ClientError> {
        match self {
            Self::Daemon(socket) => read(socket, "/v1/manufacturers").await,
            Self::Store { service, .. } => Ok(service.manufacturers().await?),
        }
    }

    /// As [`Service::devices`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn devices(&self) -> Result<Vec<DeviceView>, ClientError> {
        match self {
            Self::Daemon(socket) => read(socket, "/v1/devices").await,
            Self::Store { service, .. } => Ok(service.devices().await?),
        }
    }

    /// As [`Service::device`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn device(&self, text: &str) -> Result<DeviceStory, ClientError> {
        match self {
            Self::Daemon(socket) => read(socket, &format!("/v1/devices/{}", escape(text))).await,
            Self::Store { service, .. } => Ok(service.device(text).await?),
        }
    }

    /// As [`Service::events`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(
        &self,
        device: Option<&str>,
        limit: u32,
    ) -> Result<Vec<EventView>, ClientError> {
        match self {
            Self::Daemon(socket) => {
                let device =
                    device.map_or_else(String::new, |text| format!("&device={}", escape(text)));
                read(socket, &format!("/v1/events?limit={limit}{device}")).await
            }
            Self::Store { service, .. } => Ok(service.events(device, limit).await?),
        }
    }

    /// How the daemon does.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`] if none runs.
    pub async fn counters(&self, config: &Config) -> Result<Counters, ClientError> {
        match self {
            Self::Daemon(socket) => read(socket, "/v1/status").await,
            Self::Store { .. } => Err(ClientError::NoDaemon(config.admin_socket())),
        }
    }
}

async fn read<T: DeserializeOwned>(socket: &PathBuf, path: &str) -> Result<T, ClientError> {
    call(socket, Method::GET, path, None::<&()>).await
}

async fn call<T: DeserializeOwned>(
    socket: &PathBuf,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, ClientError> {
    let broken = |reason: String| ClientError::Broken { socket: socket.clone(), reason };
    let io = |error: io::Error| broken(error.to_string());
    let stream = UnixStream::connect(socket).await.map_err(io)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(|error| broken(error.to_string()))?,
        None => Vec::new(),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "registrar")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_OCTETS)
        .collect()
        .await
        .map_err(|error| broken(error.to_string()))?
        .to_bytes();
    connection.abort();
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| broken(error.to_string()));
    }
    let failure = serde_json::from_slice(&body).unwrap_or_else(|_| Failure {
        kind: FailureKind::Unavailable,
        error: format!("the daemon answered {status}"),
        hint: "are the daemon and this command of one version?".to_owned(),
    });
    Err(ClientError::Refused(failure))
}

/// Percent-encodes everything that is not unreserved (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    text.bytes()
        .map(|each| match each {
            each if each.is_ascii_alphanumeric() || b"-._~".contains(&each) => {
                char::from(each).to_string()
            }
            each => format!("%{each:02X}"),
        })
        .collect()
}
