//! The HTTPS client for MASAs: one request, one answer, both bounded in size and time (RFC 8995 §5.4).
//!
//! The registrar shows its own certificate, one that the manufacturer gave it, or none; a name and a password are sent
//! only when the MASA asks for them, inside TLS. SNI is sent and the name checked. Redirects are not followed: of an
//! audit log alone a MASA may say where it is, and that must be at the same host.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brski_est::authentication::{Challenge, Credentials};
use brski_voucher::idevid::MasaUrl;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tracing::{Instrument as _, debug_span};

use super::Masa;
use super::address::{HostRule, host_rule, is_public};
use super::error::Remedy;
use super::line::{Line, Lines, Place};
use super::tls::Configurations;
use crate::entropy::random_bytes;
use crate::flow::fault::Fault;
use crate::identity::live::LiveIdentity;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Outcome, Phase};
use crate::secret::{SecretFile, credentials_folder};
use crate::store::model::Manufacturer;

pub use super::error::MasaError;

/// The longest answer that is read, in octets.
pub(super) const ANSWER_OCTETS: usize = 64 * 1024;
/// The longest Location that is read, in octets.
const LOCATION_OCTETS: usize = 2048;

/// What a MASA is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A voucher.
    RequestVoucher,
    /// The audit log of a device: the same request again (RFC 8995 §5.8).
    RequestAuditLog,
}

impl Operation {
    /// The last segment of its path.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestVoucher => "requestvoucher",
            Self::RequestAuditLog => "requestauditlog",
        }
    }
}

/// One request to a MASA.
#[derive(Clone, Debug)]
pub struct MasaRequest<'a> {
    /// Where the MASA lives.
    pub url: &'a MasaUrl,
    /// Its manufacturer: the hosts that it may have, its anchors, and how it is spoken to.
    pub manufacturer: &'a Manufacturer,
    /// What it is asked for.
    pub operation: Operation,
    /// The media type of the request.
    pub media_type: &'static str,
    /// The media type of the answer.
    pub accept: &'static str,
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

/// The client.
pub struct MasaClient {
    pub(super) configurations: Configurations,
    pub(super) timeout: Duration,
    lines: Lines,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for MasaClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MasaClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl MasaClient {
    /// Builds a client.
    ///
    /// `system_anchors` serve manufacturers without anchors of their own; `timeout` bounds a whole call.
    #[must_use]
    pub fn new(
        provider: Arc<CryptoProvider>,
        identity: Arc<LiveIdentity>,
        system_anchors: Arc<RootCertStore>,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let configurations = Configurations::new(provider, identity, system_anchors);
        Self { configurations, timeout, lines: Lines::default(), metrics }
    }

    async fn exchange(&self, request: MasaRequest<'_>) -> Result<MasaAnswer, MasaError> {
        let credentials = credentials(request.manufacturer)?;
        let mut visit = Visit { client: self, request: &request, credentials, line: None };
        let path = request.url.path(request.operation.as_str());
        let (mut answer, headers) = visit.send(&Method::POST, &path).await?;
        if answer.status == 201 && request.operation == Operation::RequestAuditLog {
            let path = place(&headers, request.url)?;
            (answer, _) = visit.send(&Method::GET, &path).await?;
        }
        if let Some(line) = visit.line.take() {
            self.lines.keep(self.place(&request)?, line);
        }
        Ok(answer)
    }

    /// Where a request goes, if it may.
    fn place(&self, request: &MasaRequest<'_>) -> Result<Place, MasaError> {
        let (host, port) = (request.url.host(), request.url.port());
        Ok(Place {
            host: host.to_owned(),
            port,
            rule: require_host(host, port, &request.manufacturer.masa_hosts)?,
            configuration: self.configurations.of(request.manufacturer)?,
            own: self.configurations.own(),
        })
    }

    /// Opens a connection to the MASA.
    async fn open(&self, request: &MasaRequest<'_>) -> Result<Line, MasaError> {
        let (host, port) = (request.url.host(), request.url.port());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| MasaError::Host { host: host.to_owned() })?;
        let addresses = resolve(host, port, &request.manufacturer.masa_hosts).await?;
        let configuration = self.configurations.of(request.manufacturer)?;
        let stream = TcpStream::connect(addresses.as_slice())
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| MasaError::Connect { host: host.to_owned(), port, source })?;
        let stream = TlsConnector::from(configuration)
            .connect(name, stream)
            .await
            .map_err(|source| MasaError::Tls { host: host.to_owned(), source })?;
        Line::begin(stream, self.timeout).await
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
            operation = request.operation.as_str(),
        );
        let exchange = tokio::time::timeout(self.timeout, self.exchange(request));
        let answer =
            exchange.instrument(span).await.unwrap_or(Err(MasaError::Timeout(self.timeout)));
        self.metrics.phase(Phase::Masa, outcome(&answer), since.elapsed());
        answer
    }
}

/// One call: a few messages over one connection, if the MASA keeps it open.
pub(super) struct Visit<'a> {
    pub(super) client: &'a MasaClient,
    pub(super) request: &'a MasaRequest<'a>,
    pub(super) credentials: Option<Credentials>,
    /// The connection after an answer that was read whole.
    pub(super) line: Option<Line>,
}

impl Visit<'_> {
    /// Sends a message, and again with name and password where the MASA asks for them.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        path: &str,
    ) -> Result<(MasaAnswer, HeaderMap), MasaError> {
        let message = self.message(method, path)?;
        let (answer, headers) = self.exchange(message).await?;
        let (401, Some(credentials)) = (answer.status, &self.credentials) else {
            return Ok((answer, headers));
        };
        let mut message = self.message(method, path)?;
        match authorize(credentials, &headers, &mut message)? {
            true => self.exchange(message).await,
            false => Ok((answer, headers)),
        }
    }

    async fn exchange(
        &mut self,
        message: Request<Full<Bytes>>,
    ) -> Result<(MasaAnswer, HeaderMap), MasaError> {
        let (response, line) = self.post(message).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_OCTETS).collect().await;
        let body = body
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => MasaError::AnswerTooLong,
                false => MasaError::AnswerBroken,
            })?
            .to_bytes();
        self.line = Some(line);
        let text = |name| {
            let value: Option<&http::HeaderValue> = parts.headers.get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let answer = MasaAnswer {
            status: parts.status.as_u16(),
            content_type: text(CONTENT_TYPE).to_owned(),
            retry_after_secs: text(RETRY_AFTER).trim().parse().ok(),
            body,
        };
        Ok((answer, parts.headers))
    }

    /// Sends a message over a connection that is there, or a new one.
    ///
    /// A MASA may close the one that is there at this very moment: then it is sent again over a new one, which does no
    /// harm, since the same request is the same wish.
    async fn post(
        &mut self,
        message: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Line), MasaError> {
        let kept = match self.line.take() {
            Some(line) => Some(line),
            None => self.client.lines.take(&self.client.place(self.request)?),
        };
        if let Some(mut line) = kept
            && line.sender.ready().await.is_ok()
            && let Ok(response) = line.sender.send_request(message.clone()).await
        {
            return Ok((response, line));
        }
        let mut line = self.client.open(self.request).await?;
        let response = line.sender.send_request(message).await.map_err(MasaError::Http)?;
        Ok((response, line))
    }

    fn message(&self, method: &Method, path: &str) -> Result<Request<Full<Bytes>>, MasaError> {
        let url = self.request.url;
        let authority = match url.port() {
            443 => url.host().to_owned(),
            port => format!("{}:{port}", url.host()),
        };
        let message = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority)
            .header(ACCEPT, self.request.accept);
        let message = match *method {
            Method::GET => message.body(Full::default()),
            _ => message
                .header(CONTENT_TYPE, self.request.media_type)
                .body(Full::new(self.request.body.clone())),
        };
        message.map_err(MasaError::Request)
    }
}

/// The name and the password for a manufacturer's MASA, read anew each time: an operator may replace them.
pub(super) fn credentials(manufacturer: &Manufacturer) -> Result<Option<Credentials>, MasaError> {
    let Some(place) = &manufacturer.masa.credential else {
        return Ok(None);
    };
    let text = SecretFile::parse(place)?.read(credentials_folder().as_deref())?;
    let (user, password) = text.split_once(':').unwrap_or((&text, ""));
    Ok(Some(Credentials::new(user, password)?))
}

/// Answers the challenge of a 401, by Digest where the MASA knows it; whether there was one to answer.
fn authorize(
    credentials: &Credentials,
    headers: &HeaderMap,
    message: &mut Request<Full<Bytes>>,
) -> Result<bool, MasaError> {
    let challenges = Challenge::all(headers);
    let digest = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Digest(digest) => Some(digest),
        _ => None,
    });
    let has_basic = challenges.iter().any(|each| matches!(each, Challenge::Basic { .. }));
    match (digest, has_basic) {
        (Some(digest), _) => {
            credentials.authorize_digest(digest, message, random_bytes(), 1)?;
            Ok(true)
        }
        (None, true) => {
            credentials.authorize_basic(message);
            Ok(true)
        }
        (None, false) => Ok(false),
    }
}

/// The path that a Location names, which must be at the MASA's own host (RFC 8995 §5.8).
fn place(headers: &HeaderMap, url: &MasaUrl) -> Result<String, MasaError> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refused = || MasaError::Location { location: location.chars().take(200).collect() };
    let place: Uri = match location.len() {
        1..=LOCATION_OCTETS => location.parse().map_err(|_| refused())?,
        _ => return Err(refused()),
    };
    let is_own = match (place.scheme_str(), place.host()) {
        (Some("https"), Some(host)) => {
            host.eq_ignore_ascii_case(url.host()) && place.port_u16().unwrap_or(443) == url.port()
        }
        // A path; two slashes would begin another host.
        (None, None) => !location.starts_with("//"),
        _ => false,
    };
    match place.path_and_query() {
        Some(path) if is_own && path.as_str().starts_with('/') => Ok(path.as_str().to_owned()),
        _ => Err(refused()),
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
        // The MASA's address comes from the IDevID.
        Err(MasaError::Host { .. }) => Outcome::Error(Fault::Pledge),
        Err(error) => Outcome::Error(match error.remedy() {
            Remedy::Operator => Fault::Policy,
            Remedy::Administrator => Fault::Local,
            Remedy::Time | Remedy::Masa => Fault::Masa,
        }),
    }
}

/// The rule for a host that may be called.
fn require_host(host: &str, port: u16, allowed: &[String]) -> Result<HostRule, MasaError> {
    match host_rule(host, port, allowed) {
        HostRule::Refused => Err(MasaError::HostRefused {
            host: format!("{host}:{port}"),
            allowed: allowed.join(", "),
        }),
        rule => Ok(rule),
    }
}

/// Resolves the host and judges what it resolves to, so that a name cannot point inwards.
pub(super) async fn resolve(
    host: &str,
    port: u16,
    allowed: &[String],
) -> Result<Vec<SocketAddr>, MasaError> {
    let rule = require_host(host, port, allowed)?;
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn at(location: &str, url: &str) -> Result<String, MasaError> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::try_from(location).unwrap());
        place(&headers, &MasaUrl::parse(url).unwrap())
    }

    #[test]
    fn an_audit_log_is_fetched_from_the_same_host_alone() {
        let url = "masa.example.com:9443";
        for (location, path) in [
            ("/log/7", "/log/7"),
            ("/log?device=7", "/log?device=7"),
            ("https://masa.example.com:9443/log/7", "/log/7"),
            ("https://MASA.example.com:9443/log/7?a=b", "/log/7?a=b"),
        ] {
            assert_eq!(at(location, url).unwrap(), path);
        }
        assert_eq!(at("https://masa.example.com/log", "masa.example.com").unwrap(), "/log");
        let long = format!("/{}", "x".repeat(LOCATION_OCTETS));
        for location in [
            "",
            "log/7",
            "//evil.example.com/log",
            "http://masa.example.com:9443/log",
            "https://masa.example.com/log",
            "https://evil.example.com:9443/log",
            "https://masa.example.com.evil.example:9443/log",
            "https://masa.example.com:9443@evil.example/log",
            "file:///etc/passwd",
            "mailto:somebody",
            &long,
        ] {
            let error = at(location, url).unwrap_err();
            assert!(matches!(error, MasaError::Location { .. }), "{location}: {error}");
        }
        assert!(place(&HeaderMap::new(), &MasaUrl::parse(url).unwrap()).is_err(), "there is none");
    }

    #[test]
    fn digest_is_answered_before_basic_and_an_unknown_scheme_is_not() {
        let credentials = Credentials::new("registrar", "secret").unwrap();
        let answer = |challenge: &str| {
            let mut headers = HeaderMap::new();
            let name = http::header::WWW_AUTHENTICATE;
            headers.insert(name, HeaderValue::try_from(challenge).unwrap());
            let mut message = Request::post("/x").body(Full::default()).unwrap();
            let is_answered = authorize(&credentials, &headers, &mut message);
            let sent = message.headers().get(http::header::AUTHORIZATION);
            is_answered.map(|_| sent.map(|value| value.to_str().unwrap().to_owned()))
        };
        let both =
            "Basic realm=\"a\", Digest realm=\"a\", nonce=\"b\", qop=\"auth\", algorithm=SHA-256";
        assert!(answer(both).unwrap().unwrap().starts_with("Digest username=\"registrar\""));
        assert!(answer("Basic realm=\"a\"").unwrap().unwrap().starts_with("Basic "));
        assert_eq!(answer("Bearer realm=\"a\"").unwrap(), None);
        let unknown = "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-512-256";
        assert!(matches!(answer(unknown), Err(MasaError::Credentials(_))));
    }
}
