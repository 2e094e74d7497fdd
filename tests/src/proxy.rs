//! A TLS proxy between registrar and ACME CA, which writes down what passes and can be told to hold, drop, cut, delay
//! or answer any chosen request in the CA's place.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::pki::Authority;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The CA never hears it, and nobody answers, ever.
    HoldRequest,
    /// The CA answers, and the answer never arrives.
    HoldAnswer,
    /// The connection ends before the CA hears it.
    Drop,
    /// The CA answers, and the connection ends before that arrives.
    Cut,
    /// The CA hears it later.
    Delay(Duration),
    /// The proxy answers in the CA's place.
    Answer {
        /// The status.
        status: u16,
        /// The body, a problem document or something else.
        body: String,
        /// The header Retry-After, in seconds.
        retry_after: Option<u32>,
    },
}

impl Fault {
    /// An ACME problem of this type.
    #[must_use]
    pub fn problem(status: u16, kind: &str, retry_after: Option<u32>) -> Self {
        let body =
            format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"by the proxy"}}"#);
        Self::Answer { status, body, retry_after }
    }
}

/// A request that passed, by what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `HEAD`, `GET` or `POST`.
    pub method: String,
    /// Its path.
    pub path: String,
    /// What it is about: `directory`, `new-order` and so on.
    pub about: &'static str,
}

struct Rule {
    about: Option<&'static str>,
    /// How many requests that fit are let through before.
    after: usize,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    rules: Vec<Rule>,
}

struct Shared {
    target: SocketAddr,
    connector: TlsConnector,
    state: Mutex<State>,
    reached: Notify,
}

/// A running proxy; it ends when this is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    anchor: String,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `target`, whose TLS anchor is in a PEM file.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(target: SocketAddr, target_anchor: &Path) -> anyhow::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authority = Authority::new("proxy CA, LAB ONLY")?;
        let own = authority.server("proxy, LAB ONLY")?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.certificate], PrivateKeyDer::Pkcs8(own.key))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(target_anchor)?)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            connector: TlsConnector::from(Arc::new(client)),
            state: Mutex::default(),
            reached: Notify::new(),
        });
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Ok(Self { shared, address, anchor: authority.pem(), task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The anchor of its TLS certificate, PEM.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// Has a fault happen to `times` requests about something, or about anything, after so many of them passed.
    pub fn fault(&self, about: Option<&'static str>, after: usize, times: usize, fault: Fault) {
        self.shared.state().rules.push(Rule { about, after, times, fault });
    }

    /// Forgets all faults that did not happen yet.
    pub fn heal(&self) {
        self.shared.state().rules.clear();
    }

    /// What passed.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// How many requests about something passed.
    #[must_use]
    pub fn count(&self, about: &str) -> usize {
        self.shared.state().seen.iter().filter(|seen| seen.about == about).count()
    }

    /// Waits until a request or an answer is held; it is held for ever.
    pub async fn reached(&self) {
        self.shared.reached.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a request is about, by the paths of Pebble and step-ca.
fn about(method: &str, path: &str) -> &'static str {
    const PATHS: [(&str, &str); 15] = [
        ("/nonce-plz", "new-nonce"),
        ("/new-nonce", "new-nonce"),
        ("/sign-me-up", "new-account"),
        ("/new-account", "new-account"),
        ("/order-plz", "new-order"),
        ("/new-order", "new-order"),
        ("/authZ", "authorization"),
        ("/authz/", "authorization"),
        ("/chalZ", "challenge"),
        ("/challenge/", "challenge"),
        ("/finalize", "finalize"),
        ("/my-order", "order"),
        ("/order/", "order"),
        ("/certZ", "certificate"),
        ("/certificate/", "certificate"),
    ];
    if method == "GET" {
        return "directory";
    }
    PATHS.iter().find(|(part, _)| path.contains(part)).map_or("other", |(_, about)| about)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| forward(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let fault = shared.note(method, path);
    match &fault {
        Some(Fault::HoldRequest) => shared.hold().await,
        Some(Fault::Drop) => anyhow::bail!("dropped"),
        Some(Fault::Delay(pause)) => tokio::time::sleep(*pause).await,
        Some(Fault::Answer { status, body, retry_after }) => {
            let mut response = Response::builder()
                .status(*status)
                .header("content-type", "application/problem+json");
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds.to_string());
            }
            return Ok(response.body(Full::new(Bytes::from(body.clone())))?);
        }
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let body = Full::new(body.collect().await?.to_bytes());
    let stream = TcpStream::connect(shared.target).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").context("localhost is a name")?;
    let stream = shared.connector.connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    // The Host header stays the proxy's, so that the CA's URLs lead through the proxy too.
    let response = sender.send_request(Request::from_parts(parts, body)).await?;
    let (parts, body) = response.into_parts();
    let body = Full::new(body.collect().await?.to_bytes());
    match fault {
        Some(Fault::HoldAnswer) => shared.hold().await,
        Some(Fault::Cut) => anyhow::bail!("cut"),
        _ => {}
    }
    Ok(Response::from_parts(parts, body))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a request down, and says what happens to it.
    fn note(&self, method: String, path: String) -> Option<Fault> {
        let about = about(&method, &path);
        let mut state = self.state();
        state.seen.push(Seen { method, path, about });
        let mut fault = None;
        for rule in &mut state.rules {
            if rule.about.is_some_and(|wanted| wanted != about) || rule.times == 0 {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
            } else if fault.is_none() {
                rule.times -= 1;
                fault = Some(rule.fault.clone());
            }
        }
        fault
    }

    async fn hold(&self) {
        self.reached.notify_one();
        std::future::pending::<()>().await;
    }
}
