//! The responder of http-01: it gives the files that a CA asks for, from the answer store, and nothing else.
//!
//! A file is given under the very name that it proves and to nobody who does not know its token, so nothing that a
//! client sends comes back to it. Any node gives any node's files, several times at once: a CA looks from many places.
//!
//! RFC 8555 §8.3.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::answer::{AnswerKind, AnswerStore};
use crate::challenge::KeyAuthorization;

/// Where the files are (RFC 8555 §8.3).
const FOLDER: &str = "/.well-known/acme-challenge/";
/// The longest token that is looked up, in octets.
const TOKEN_OCTETS: usize = 256;
/// How many connections are served at once; more wait in the system's queue.
const CONNECTIONS: usize = 256;
/// How long a request's header may take, and a connection altogether.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);
const CONNECTION_PATIENCE: Duration = Duration::from_secs(15);
const HEADER_OCTETS: usize = 8 * 1024;
/// How long to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The responder cannot start.
#[derive(Debug, Error)]
#[error("cannot listen for http-01 on {address}: {source}")]
pub struct HttpError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A running responder; it stops when it is dropped.
pub struct HttpResponder {
    tasks: JoinSet<()>,
    address: SocketAddr,
}

/// What the responder answers for, and from.
struct Files {
    zones: Vec<String>,
    store: Arc<dyn AnswerStore>,
}

impl HttpResponder {
    /// Listens on `address`, and answers for names in `zones`, lower case, from then on. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn start(
        address: SocketAddr,
        zones: Vec<String>,
        store: Arc<dyn AnswerStore>,
    ) -> Result<Self, HttpError> {
        let failed = |source| HttpError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::new(Files { zones, store })));
        Ok(Self { tasks, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and stops.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(listener: TcpListener, files: Arc<Files>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed, so there is always a permit in the end.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let files = Arc::clone(&files);
        connections.spawn(async move {
            let _permit = permit;
            if timeout(CONNECTION_PATIENCE, converse(stream, files)).await.is_err() {
                debug!("an HTTP connection took too long");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, files: Arc<Files>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let files = Arc::clone(&files);
        async move { Ok::<_, Infallible>(files.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_header_size(HEADER_OCTETS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "an HTTP connection ended early");
    }
}

impl Files {
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let token = request.uri().path().strip_prefix(FOLDER).filter(|token| is_token(token));
        let Some((token, host)) = token.zip(host(request).filter(|host| self.is_ours(host))) else {
            return plain(StatusCode::NOT_FOUND, "there is nothing here\n");
        };
        let values = match self.store.values(AnswerKind::Http, &host).await {
            Ok(values) => values,
            Err(error) => {
                warn!(%error, "cannot look up challenge answers");
                return plain(StatusCode::SERVICE_UNAVAILABLE, "come back later\n");
            }
        };
        let mut found = values.into_iter().filter_map(KeyAuthorization::new);
        match found.find(|authorization| authorization.token() == token) {
            Some(authorization) => {
                let mut response = Response::new(Full::from(authorization.as_str().to_owned()));
                let kind = HeaderValue::from_static("application/octet-stream");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            None => plain(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        self.zones.iter().any(|zone| {
            let head = host.strip_suffix(zone.as_str());
            head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
        })
    }
}

fn is_token(text: &str) -> bool {
    (1..=TOKEN_OCTETS).contains(&text.len())
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || b"-_".contains(&each))
}

/// The host that is asked for, lower case, without port and final dot.
fn host<B>(request: &Request<B>) -> Option<String> {
    let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority =
        request.uri().authority().map(|authority| authority.as_str()).or_else(header)?;
    let host = authority.split(':').next().unwrap_or_default().trim_end_matches('.');
    let is_name = host.bytes().all(|each| each.is_ascii_alphanumeric() || b"-._".contains(&each));
    (is_name && (1..=253).contains(&host.len())).then(|| host.to_ascii_lowercase())
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
