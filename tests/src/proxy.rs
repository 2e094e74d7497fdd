//! A TLS proxy between registrar and ACME CA, which can hold a request at a chosen point so that a test may kill
//! the registrar there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The registrar tells the CA to validate, and the CA never hears it.
    BeforeValidation,
    /// The CA has got the CSR, and the registrar never hears so.
    AfterFinalize,
}

struct Shared {
    target: SocketAddr,
    connector: TlsConnector,
    point: Point,
    armed: AtomicBool,
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
    pub async fn start(
        target: SocketAddr,
        target_anchor: &std::path::Path,
        point: Point,
    ) -> anyhow::Result<Self> {
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
            point,
            armed: AtomicBool::new(true),
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

    /// Waits until a request is held; it is held for ever, and it is the only one.
    pub async fn reached(&self) {
        self.shared.reached.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
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
    let path = request.uri().path().to_owned();
    if path.starts_with("/chalZ") {
        shared.hold(Point::BeforeValidation).await;
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
    if path.starts_with("/finalize-order") {
        shared.hold(Point::AfterFinalize).await;
    }
    Ok(Response::from_parts(parts, body))
}

impl Shared {
    async fn hold(&self, point: Point) {
        if self.point == point && self.armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
