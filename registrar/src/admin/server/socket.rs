//! The admin socket: mode 0600, in the folder of the configuration, so that its owner alone may use it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tower::ServiceExt as _;
use tracing::debug;

use crate::admin::actor::{Actor, Role};

/// How long a request's header may take to arrive.
const HEADER_LIMIT: Duration = Duration::from_secs(30);

/// Why the socket cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another daemon answers at {}; stop it first", .0.display())]
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

/// Whoever may open the socket is an operator.
fn actor(stream: &UnixStream) -> Actor {
    let name = match stream.peer_cred() {
        Ok(credentials) => format!("uid {}", credentials.uid()),
        Err(_) => "uid unknown".to_owned(),
    };
    Actor { name, role: Role::Operator }
}

/// Answers until `shutdown` turns true.
pub async fn run(listener: UnixListener, router: Router, mut shutdown: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            continue;
        };
        let (router, actor) = (router.clone(), actor(&stream));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(actor.clone());
                router.clone().oneshot(request.map(Body::new))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%error, "admin connection ended early");
            }
        });
    }
}
