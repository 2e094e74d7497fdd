//! The HTTPS client for MASAs: one request, one answer, both bounded in size and time.
//!
//! The registrar authenticates with its own certificate (RFC 8995 §5.4.1), sends SNI and checks the name.
//! Redirects are not followed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tracing::{Instrument as _, debug_span};

use brski_voucher::idevid::MasaUrl;

use super::Masa;
use super::address::{HostRule, host_rule, is_public};
use crate::flow::fault::Fault;
use crate::identity::RegistrarIdentity;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Outcome, Phase};

/// The longest answer that is read, in octets.
const ANSWER_OCTETS: usize = 64 * 1024;

/// One request to a MASA.
#[derive(Clone, Debug)]
pub struct MasaRequest<'a> {
    /// Where the MASA lives.
    pub url: &'a MasaUrl,
    /// The hosts that the manufacturer's MASA may have; empty: any public address.
    pub hosts: &'a [String],
    /// The anchors of its TLS certificate; empty: the operating system's.
    pub anchors: &'a [CertificateDer<'static>],
    /// The operation, such as `requestvoucher`.
    pub operation: &'static str,
    /// The media type of the request, which is also the one that is accepted.
    pub media_type: &'static str,
    /// The request.
    pub body: Bytes,
}

/// What a MASA answered.
#[derive(Clone, Debug)]
pub struct MasaAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The content type, as it was sent; empty if there was none.
    pub content_type: String,
    /// The Retry-After header in seconds, where it is there and a number.
    pub retry_after_secs: Option<u32>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MasaError {
    /// The host is not on the manufacturer's list.
    #[error(
        "host {host} is not among the hosts allowed for this manufacturer ({allowed}); allow it with 'registrar manufacturer add --masa-host'"
    )]
    HostRefused {
        /// The host in the URL.
        host: String,
        /// The list.
        allowed: String,
    },
    /// The host's addresses are not public and the operator has not allowed the host.
    #[error(
        "host {host} has the address {address}, which is not public; allow it with 'registrar manufacturer add --masa-host'"
    )]
    AddressRefused {
        /// The host in the URL.
        host: String,
        /// Its address.
        address: SocketAddr,
    },
    /// The host is not a name or an address.
    #[error("host {host:?} is neither a DNS name nor an IP address")]
    Host {
        /// The host in the URL.
        host: String,
    },
    /// The name does not resolve, or nobody listens there.
    #[error("cannot reach {host}:{port}")]
    Connect {
        /// The host in the URL.
        host: String,
        /// The port in the URL.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// TLS failed, most likely on the MASA's certificate.
    #[error("TLS with {host} failed: {source}")]
    Tls {
        /// The host in the URL.
        host: String,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up on our side.
    #[error("no TLS client can be made: {0}")]
    Setup(#[source] rustls::Error),
    /// HTTP failed.
    #[error("HTTP failed: {0}")]
    Http(#[source] hyper::Error),
    /// The request cannot be expressed in HTTP.
    #[error("the request is not HTTP: {0}")]
    Request(#[source] http::Error),
    /// The answer is too long or broke off.
    #[error("the answer is longer than {ANSWER_OCTETS} octets or broke off")]
    Answer,
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl MasaError {
    /// Whether only an operator can change the outcome, so that trying again is of no use.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::HostRefused { .. }
                | Self::AddressRefused { .. }
                | Self::Host { .. }
                | Self::Setup(_)
                | Self::Request(_)
        )
    }
}

/// The client; it keeps one TLS configuration for each set of anchors, so that sessions are resumed.
#[derive(Debug)]
pub struct MasaClient {
    provider: Arc<CryptoProvider>,
    identity: Arc<RegistrarIdentity>,
    system_anchors: Arc<RootCertStore>,
    timeout: Duration,
    metrics: Arc<Metrics>,
    configurations: Mutex<HashMap<Vec<CertificateDer<'static>>, Arc<ClientConfig>>>,
}

impl MasaClient {
    /// Builds a client.
    ///
    /// `system_anchors` serve manufacturers without anchors of their own; `timeout` bounds a whole call.
    #[must_use]
    pub fn new(
        provider: Arc<CryptoProvider>,
        identity: Arc<RegistrarIdentity>,
        system_anchors: Arc<RootCertStore>,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let configurations = Mutex::default();
        Self { provider, identity, system_anchors, timeout, metrics, configurations }
    }

    async fn exchange(&self, request: MasaRequest<'_>) -> Result<MasaAnswer, MasaError> {
        let host = request.url.host();
        let port = request.url.port();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| MasaError::Host { host: host.to_owned() })?;
        let addresses = resolve(host, port, request.hosts).await?;
        let configuration = self.configuration(request.anchors)?;
        let stream = TcpStream::connect(addresses.as_slice())
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| MasaError::Connect { host: host.to_owned(), port, source })?;
        let stream = TlsConnector::from(configuration)
            .connect(name, stream)
            .await
            .map_err(|source| MasaError::Tls { host: host.to_owned(), source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(MasaError::Http)?;
        let connection = tokio::spawn(connection);
        let message = message(&request)?;
        let response = sender.send_request(message).await.map_err(MasaError::Http)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_OCTETS)
            .collect()
            .await
            .map_err(|_| MasaError::Answer)?
            .to_bytes();
        connection.abort();
        let text = |name| {
            let value: Option<&http::HeaderValue> = parts.headers.get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        Ok(MasaAnswer {
            status: parts.status.as_u16(),
            content_type: text(CONTENT_TYPE).to_owned(),
            retry_after_secs: text(RETRY_AFTER).trim().parse().ok(),
            body,
        })
    }

    fn configuration(
        &self,
        anchors: &[CertificateDer<'static>],
    ) -> Result<Arc<ClientConfig>, MasaError> {
        let mut configurations = self.configurations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(configuration) = configurations.get(anchors) {
            return Ok(Arc::clone(configuration));
        }
        let roots = if anchors.is_empty() {
            Arc::clone(&self.system_anchors)
        } else {
            let mut roots = RootCertStore::empty();
            for anchor in anchors {
                roots.add(anchor.clone()).map_err(MasaError::Setup)?;
            }
            Arc::new(roots)
        };
        let configuration = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(MasaError::Setup)?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.identity.tls_chain(), self.identity.private_key())
            .map_err(MasaError::Setup)?;
        let configuration = Arc::new(configuration);
        configurations.insert(anchors.to_vec(), Arc::clone(&configuration));
        Ok(configuration)
    }
}

#[async_trait]
impl Masa for MasaClient {
    async fn call(&self, request: MasaRequest<'_>) -> Result<MasaAnswer, MasaError> {
        let since = Instant::now();
        let span = debug_span!(
            "masa",
            otel.kind = "client",
            host = request.url.host(),
            operation = request.operation,
        );
        let exchange = tokio::time::timeout(self.timeout, self.exchange(request));
        let answer =
            exchange.instrument(span).await.unwrap_or(Err(MasaError::Timeout(self.timeout)));
        self.metrics.phase(Phase::Masa, outcome(&answer), since.elapsed());
        answer
    }
}

/// What an answer is to whoever counts.
fn outcome(answer: &Result<MasaAnswer, MasaError>) -> Outcome {
    match answer {
        Ok(answer) => match answer.status {
            202 => Outcome::Waiting,
            200..300 => Outcome::Done,
            _ => Outcome::Error(Fault::Masa),
        },
        Err(MasaError::HostRefused { .. } | MasaError::AddressRefused { .. }) => {
            Outcome::Error(Fault::Policy)
        }
        Err(MasaError::Setup(_) | MasaError::Request(_)) => Outcome::Error(Fault::Local),
        // The MASA's address comes from the IDevID.
        Err(MasaError::Host { .. }) => Outcome::Error(Fault::Pledge),
        Err(_) => Outcome::Error(Fault::Masa),
    }
}

/// Resolves the host and judges what it resolves to, so that a name cannot point inwards.
async fn resolve(host: &str, port: u16, allowed: &[String]) -> Result<Vec<SocketAddr>, MasaError> {
    let rule = host_rule(host, port, allowed);
    if rule == HostRule::Refused {
        return Err(MasaError::HostRefused {
            host: format!("{host}:{port}"),
            allowed: allowed.join(", "),
        });
    }
    let unreachable = |source| MasaError::Connect { host: host.to_owned(), port, source };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((bare, port)).await.map_err(unreachable)?.collect();
    if rule == HostRule::PublicOnly
        && let Some(address) = addresses.iter().find(|address| !is_public(address.ip()))
    {
        return Err(MasaError::AddressRefused { host: host.to_owned(), address: *address });
    }
    // IPv4 first: a MASA that listens on one family only is most often there.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if addresses.is_empty() {
        return Err(unreachable(std::io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

fn message(request: &MasaRequest<'_>) -> Result<Request<Full<Bytes>>, MasaError> {
    let authority = match request.url.port() {
        443 => request.url.host().to_owned(),
        port => format!("{}:{port}", request.url.host()),
    };
    Request::builder()
        .method(Method::POST)
        .uri(request.url.path(request.operation))
        .header(HOST, authority)
        .header(CONTENT_TYPE, request.media_type)
        .header(ACCEPT, request.media_type)
        .body(Full::new(request.body.clone()))
        .map_err(MasaError::Request)
}
