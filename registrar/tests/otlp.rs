//! Spans to a collector, with the feature `otlp`: 'cargo test --package brski-registrar --features otlp --test otlp'.

#![cfg(feature = "otlp")]
// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

/// A registrar whose spans go to a collector.
struct Registrar {
    folder: TempDir,
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Registrar {
    async fn start(collector: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("registrar");
        let program = env!("CARGO_BIN_EXE_registrar");
        let made = Command::new(program)
            .args(["init", "--domain", "iot.example.org", "--listen", "127.0.0.1:0", "--dir"])
            .arg(&dir)
            .output();
        assert!(made.await.unwrap().status.success());
        let config = dir.join("registrar.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let endpoint = format!("otlp_endpoint = \"http://{collector}/\"");
        let text = text.replace("# otlp_endpoint = \"http://127.0.0.1:4318\"", &endpoint);
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&config)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=lab")
            // The time after which a batch goes on its way.
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).await.unwrap();
        let address = line.trim().strip_prefix("registrar: listening on https://").unwrap();
        let address = address.parse().unwrap();
        Self { folder, child, log, address }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("registrar").join(name)
    }

    /// Asks for the CA certificates, which everybody may.
    async fn ca_certificates(&self) -> u16 {
        let mut anchors = RootCertStore::empty();
        anchors.add(certificate(&self.file("domain-ca.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(anchors)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(configuration));
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("/.well-known/est/cacerts").header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        answer.into_body().collect().await.unwrap();
        connection.abort();
        status
    }

    /// Asks it to end, and gives what it logged.
    async fn end(mut self) -> String {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let mut text = String::new();
        self.log.read_to_string(&mut text).await.unwrap();
        assert!(self.child.wait().await.unwrap().success(), "{text}");
        text
    }
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

/// A collector: what it is sent, batch by batch.
async fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<Request<Bytes>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, batches) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = hyper::service::service_fn(move |request: Request<_>| {
                let sender = sender.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body: hyper::body::Incoming = body;
                    let body = body.collect().await?.to_bytes();
                    let _ = sender.send(Request::from_parts(parts, body));
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::new())))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (address, batches)
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn spans_of_requests_and_phases_reach_the_collector() {
    let (address, mut batches) = collector().await;
    let registrar = Registrar::start(address).await;
    assert_eq!(registrar.ca_certificates().await, 200);
    // While it runs, and not at its end alone.
    let first = batches.recv().await.unwrap();
    let text = registrar.end().await;
    let mut all = vec![first];
    while let Ok(batch) = batches.try_recv() {
        all.push(batch);
    }
    for batch in &all {
        assert_eq!(batch.uri().path(), "/v1/traces");
        assert_eq!(batch.headers()["content-type"], "application/x-protobuf");
        assert_eq!(batch.headers()["x-tenant"], "lab");
        assert!(contains(batch.body(), "brski-registrar"), "the service has its name");
    }
    let bodies: Vec<u8> = all.iter().flat_map(|batch| batch.body().to_vec()).collect();
    for word in ["request", "judge", "endpoint", "cacerts", "correlation", "no client certificate"]
    {
        assert!(contains(&bodies, word), "{word}");
    }
    assert!(!text.contains("request{"), "the log at level info shows no spans: {text}");
    assert!(!text.contains("spans are not"), "{text}");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    // Nobody listens there any more.
    let address = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let mut registrar = Registrar::start(address).await;
    assert_eq!(registrar.ca_certificates().await, 200);
    let mut line = String::new();
    registrar.log.read_line(&mut line).await.unwrap();
    assert!(line.contains("spans are not sent to log.otlp_endpoint"), "{line}");
    for _ in 0..3 {
        assert_eq!(registrar.ca_certificates().await, 200);
    }
    let text = registrar.end().await;
    assert!(!text.contains("spans are not sent to"), "it is said once: {text}");
}
