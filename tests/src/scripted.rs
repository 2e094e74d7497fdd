//! A server over TLS that answers as a test says, for what no registrar of ours does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use brski_lab::pki::{Authority, Credential};
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The how manieth connection it came by, from 0.
    pub connection: usize,
    /// The path.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Seen {
    /// The value of a header; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

type Script = dyn Fn(usize, &Seen) -> Response<Vec<u8>> + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    is_stalled: watch::Sender<bool>,
}

/// The server; it ends when this is dropped.
pub struct ScriptedServer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    /// Starts a server whose certificate, for localhost and 127.0.0.1, is of this CA.
    ///
    /// `script`: gets how many requests came before, and the request.
    ///
    /// # Errors
    /// If it cannot listen, or the certificate cannot be made.
    pub async fn start(
        listen: SocketAddr,
        authority: &Authority,
        script: impl Fn(usize, &Seen) -> Response<Vec<u8>> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(tls(authority.server("EST, LAB ONLY")?)?));
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            is_stalled: watch::Sender::new(false),
        });
        let ours = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, acceptor.clone(), connection, Arc::clone(&ours)));
            }
        });
        Ok(Self { address, shared, task })
    }

    /// Answers nobody until [`ScriptedServer::go_on`].
    pub fn stall(&self) {
        self.shared.is_stalled.send_replace(true);
    }

    /// Answers all who wait, and whoever comes.
    pub fn go_on(&self) {
        self.shared.is_stalled.send_replace(false);
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn tls(credential: Credential) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let key = PrivateKeyDer::Pkcs8(credential.key);
    Ok(builder.with_no_client_auth().with_single_cert(vec![credential.certificate], key)?)
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, connection: usize, shared: Arc<Shared>) {
    // A client that breaks off is its own concern; the test looks at what it says.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| answer(request, connection, Arc::clone(&shared)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = parts.uri.path().to_owned();
    let seen = Seen { connection, path, headers: parts.headers, body };
    let before = {
        let mut all = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seen.clone());
        all.len().saturating_sub(1)
    };
    // The sender lives as long as the server, so that it only ends by going on.
    let _ = shared.is_stalled.subscribe().wait_for(|is_stalled| !is_stalled).await;
    Ok((shared.script)(before, &seen).map(|body| Full::new(body.into())))
}
