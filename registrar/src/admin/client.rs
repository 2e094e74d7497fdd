//! The command line's side: a running daemon if there is one, else the same routes in this process.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;
use tower::ServiceExt as _;

use super::actor::{Actor, Role};
use super::problem::Problem;
use super::server;
use super::service::{NoDaemon, Service};
use crate::clock::SystemClock;
use crate::config::{Config, Database};
use crate::daemon::accounts;
use crate::identity::{IdentityError, RegistrarIdentity};
use crate::store::{self, OpenError};

/// The longest answer that is read, in octets: a page of a thousand things is far below it.
const ANSWER_OCTETS: usize = 64 * 1024 * 1024;

/// Why a command reached neither a daemon nor the store, or was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It was refused.
    #[error("{}", words(.0))]
    Refused(Box<Problem>),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The registrar's key cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no database, and a command makes none.
    #[error(
        "there is no database {}: look at [store] in the configuration, or restore a backup; \
         'registrar serve' makes an empty one", .0.display()
    )]
    NoDatabase(PathBuf),
    /// An account at an ACME CA cannot be prepared.
    #[error("{0}")]
    Account(String),
    /// The daemon does not answer as it should.
    #[error("the daemon at {} does not answer: {reason}", .socket.display())]
    Broken {
        /// Its socket.
        socket: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// A problem as lines for a terminal: what is wrong, each part of it, what to do.
fn words(problem: &Problem) -> String {
    let mut lines = vec![problem.detail.clone()];
    lines.extend(problem.errors.iter().map(|each| format!("{}: {}", each.field, each.reason)));
    lines.extend(problem.hint.clone());
    lines.join("\n")
}

/// The way to what is known.
pub struct Client {
    way: Way,
}

/// What a command will ask for.
#[derive(Clone, Copy)]
enum Asks {
    /// What the store has.
    TheStore,
    /// What the CAs say of their accounts.
    TheCas,
}

enum Way {
    /// Over the admin socket of a running daemon.
    Daemon(PathBuf),
    /// The routes in this process, on the store itself, which its lock keeps others from.
    Here(Router),
}

impl Client {
    /// Finds a daemon, or opens the store.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(config: Config) -> Result<Self, ClientError> {
        Self::open_for(config, Asks::TheStore).await
    }

    /// Finds a daemon, or opens the store and the accounts at ACME CAs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_with_accounts(config: Config) -> Result<Self, ClientError> {
        Self::open_for(config, Asks::TheCas).await
    }

    async fn open_for(config: Config, asks: Asks) -> Result<Self, ClientError> {
        let socket = config.admin_socket();
        if UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self { way: Way::Daemon(socket) });
        }
        if let Database::File(path) = &config.store.database
            && !path.exists()
        {
            return Err(ClientError::NoDatabase(path.clone()));
        }
        // A chain of its own: the daemon's is the daemon's alone.
        let node = format!("{}-cli", config.store.node);
        let store = store::open(&config.store, &node).await?;
        let key = RegistrarIdentity::load(&config.identity)?.certificate().spki_der().to_vec();
        let accounts = match asks {
            Asks::TheStore => BTreeMap::new(),
            Asks::TheCas => accounts::idle(&config, &store)
                .map_err(|error| ClientError::Account(format!("{error:#}")))?,
        };
        let service = Service::new(
            store,
            Arc::new(SystemClock),
            Arc::new(NoDaemon),
            Arc::new(ArcSwap::from_pointee(config)),
            accounts,
            key,
        );
        let router = server::router(Arc::new(service), Router::new());
        Ok(Self { way: Way::Here(router.layer(axum::Extension(this_user()))) })
    }

    /// Asks for something. `query`: what stands behind the path's question mark.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let query = serde_urlencoded::to_string(query).map_err(|error| self.broken(error))?;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.call(Method::GET, &target, Vec::new()).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        self.call(Method::POST, path, body).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(http::header::HOST, "registrar")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(error))?;
        let response = match &self.way {
            Way::Daemon(socket) => self.send(socket, request).await?,
            Way::Here(router) => {
                let Ok(response) = router.clone().oneshot(request.map(Body::new)).await;
                response
            }
        };
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_OCTETS)
            .collect()
            .await
            .map_err(|error| self.broken(error))?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.broken(error));
        }
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(self.broken(format!(
                "it says {status}; are the daemon and this command of one version?"
            ))),
        }
    }

    async fn send(
        &self,
        socket: &Path,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(|error| self.broken(error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        // It ends with the answer's body, which outlives this function.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok(response.map(Body::new))
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        let socket = match &self.way {
            Way::Daemon(socket) => socket.clone(),
            Way::Here(_) => PathBuf::from("this process"),
        };
        ClientError::Broken { socket, reason: reason.to_string() }
    }
}

/// Whoever may open the store is an operator.
fn this_user() -> Actor {
    let name = match std::fs::metadata("/proc/self") {
        Ok(metadata) => format!("uid {}", metadata.uid()),
        Err(_) => "uid unknown".to_owned(),
    };
    Actor { name, role: Role::Operator }
}

/// One segment of a path: everything is percent-encoded that is not unreserved (RFC 3986 §2.3).
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|each| match each {
            each if each.is_ascii_alphanumeric() || b"-._~".contains(&each) => {
                char::from(each).to_string()
            }
            each => format!("%{each:02X}"),
        })
        .collect()
}
