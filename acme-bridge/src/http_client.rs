//! The HTTP client under everything that speaks ACME: HTTPS only, with TCP_NODELAY, bounded in size and time,
//! and never off the origin of the directory.
//!
//! Without TCP_NODELAY each POST waits 40 ms for the CA's acknowledgement.
//! It keeps the nonces too: the ACME library hears of none and asks for one before each request,
//! which is answered from the pool, so that no request is spent on what an earlier answer brought.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, HeaderMap, LINK, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::client::AcmeError;
use crate::persist::IssuerNames;
use crate::problem::{Course, Problem};
use crate::signed::nonces::{Nonces, is_nonce};

/// The longest answer that is read, in octets.
pub(crate) const ANSWER_OCTETS: usize = 1024 * 1024;
/// The longest that a CA can have us wait, in seconds.
const LONGEST_WAIT_SECS: i64 = 7 * 24 * 3600;
/// How much of a hostile URL is repeated, in characters.
const URL_CHARACTERS: usize = 200;
/// How many waits are remembered.
const WAITS: usize = 1024;
const REPLAY_NONCE: &str = "replay-nonce";
const OUR_NAME: &str = concat!("acme-bridge/", env!("CARGO_PKG_VERSION"));

/// The HTTP client under the ACME library, for whoever measures the bridge against the library alone.
///
/// # Errors
/// [`AcmeError::NotAcme`] if `directory` is no URL that begins with `https://`.
pub fn library_client(
    provider: Arc<CryptoProvider>,
    anchors: Arc<RootCertStore>,
    directory: &str,
    timeout: Duration,
) -> Result<Box<dyn HttpClient>, AcmeError> {
    Ok(Box::new(AcmeHttp::new(provider, anchors, directory, timeout)?))
}

/// An HTTPS client with the anchors of one ACME directory.
#[derive(Clone)]
pub(crate) struct AcmeHttp {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    /// Scheme, host and port of the directory.
    origin: Origin,
    nonces: Nonces,
    requests: AtomicU64,
    /// How long the CA wants us to wait before a URL is read again, in seconds.
    waits: Mutex<HashMap<String, u32>>,
    issuer_names: IssuerNames,
}

#[derive(PartialEq, Eq)]
struct Origin {
    host: String,
    port: u16,
}

/// An answer of the CA that is no problem.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl AcmeHttp {
    /// A client for the directory at `directory`. `timeout`: for one request and its answer.
    pub(crate) fn new(
        provider: Arc<CryptoProvider>,
        anchors: Arc<RootCertStore>,
        directory: &str,
        timeout: Duration,
    ) -> Result<Self, AcmeError> {
        let not_acme = |reason: String| AcmeError::NotAcme { url: directory.to_owned(), reason };
        let configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| AcmeError::Local(error.to_string()))?
            .with_root_certificates(anchors)
            .with_no_client_auth();
        let origin = origin(directory)
            .ok_or_else(|| not_acme("it is no URL that begins with https://".to_owned()))?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(configuration)
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        let shared = Shared {
            origin,
            nonces: Nonces::default(),
            requests: AtomicU64::new(0),
            waits: Mutex::default(),
            issuer_names: IssuerNames::default(),
        };
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            timeout,
            shared: Arc::new(shared),
        })
    }

    /// How many requests were sent.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How long the CA wanted us to wait when the ACME library read this URL last.
    pub(crate) fn take_wait(&self, url: &str) -> Option<u32> {
        self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(url)
    }

    fn keep_wait(&self, url: String, seconds: u32) {
        let mut waits = self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.len() >= WAITS {
            waits.clear();
        }
        waits.insert(url, seconds);
    }

    /// The names by which the CA knows itself in a dns-persist-01 challenge of an authorization that was just read.
    pub(crate) fn take_issuer_names(&self, authorization: &str) -> Vec<String> {
        self.shared.issuer_names.take(authorization)
    }

    /// Checks that a URL that the CA named stays on the directory's origin.
    pub(crate) fn check_origin(&self, url: &str) -> Result<(), AcmeError> {
        if origin(url).is_some_and(|origin| origin == self.shared.origin) {
            return Ok(());
        }
        Err(AcmeError::ForeignOrigin { url: cut(url) })
    }

    /// Reads without a signature: the directory, renewal information.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, AcmeError> {
        self.send(request(Method::GET, url, Bytes::new())?).await?.judged()
    }

    /// Posts a JWS.
    pub(crate) async fn post(&self, url: &str, jws: Vec<u8>) -> Result<Answer, AcmeError> {
        let mut request = request(Method::POST, url, jws.into())?;
        let media_type = HeaderValue::from_static("application/jose+json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, media_type);
        self.send(request).await?.judged()
    }

    /// A nonce that nobody used: of an earlier answer, or a new one from the resource at `new_nonce`.
    pub(crate) async fn nonce(&self, new_nonce: &str) -> Result<String, AcmeError> {
        if let Some(nonce) = self.shared.nonces.take() {
            return Ok(nonce);
        }
        let request = request(Method::HEAD, new_nonce, Bytes::new())?;
        let answer = self.exchange(request).await?.judged()?;
        let nonce = header(&answer.headers, REPLAY_NONCE).unwrap_or_default();
        if !is_nonce(nonce) {
            let reason = format!("{:?} is no nonce", cut(nonce));
            return Err(AcmeError::Malformed { what: "Replay-Nonce", reason });
        }
        Ok(nonce.to_owned())
    }

    /// Sends a request, and keeps the nonce that its answer brings.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, AcmeError> {
        let answer = self.exchange(request).await?;
        if let Some(nonce) = header(&answer.headers, REPLAY_NONCE) {
            self.shared.nonces.keep(nonce);
        }
        Ok(answer)
    }

    /// Sends a request and reads the whole answer, whatever its status; a redirect is an error.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, AcmeError> {
        let url = request.uri().to_string();
        self.check_origin(&url)?;
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.client.request(request);
        let read = async {
            let (parts, body) = answer.await.map_err(|error| unreachable(&error))?.into_parts();
            let body = Limited::new(body, ANSWER_OCTETS).collect().await.map_err(|error| {
                match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => AcmeError::TooLong { limit: ANSWER_OCTETS },
                    None => unreachable(&*error),
                }
            })?;
            Ok((parts, body.to_bytes()))
        };
        let (parts, body) =
            tokio::time::timeout(self.timeout, read).await.unwrap_or_else(|_| {
                let reason = format!("no whole answer from {url} in {:?}", self.timeout);
                Err(AcmeError::Unreachable(reason))
            })?;
        if parts.status.is_redirection() {
            let location = cut(header(&parts.headers, LOCATION.as_str()).unwrap_or_default());
            return Err(AcmeError::Redirect { status: parts.status.as_u16(), location });
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// The ACME library's request, and an answer that it understands.
    async fn for_library(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, AcmeError> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::HEAD {
            let nonce = self.nonce(&parts.uri.to_string()).await?;
            let mut response = Response::new(Full::new(Bytes::new()));
            let nonce = HeaderValue::from_str(&nonce).map_err(|_| AcmeError::Malformed {
                what: "Replay-Nonce",
                reason: "it is no header".to_owned(),
            })?;
            response.headers_mut().insert(REPLAY_NONCE, nonce);
            return Ok(response.into());
        }
        let url = parts.uri.to_string();
        let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
        let answer = self.send(Request::from_parts(parts, Full::new(body))).await?;
        let answer = match answer.judged() {
            // The library signs again with another nonce; it hears of nothing else that fails.
            Err(AcmeError::Problem(problem))
                if problem.word() == "badNonce" && problem.course() == Course::Again =>
            {
                let body = br#"{"type":"urn:ietf:params:acme:error:badNonce"}"#;
                let mut response = Response::new(Full::new(Bytes::from_static(body)));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return Ok(response.into());
            }
            other => other?,
        };
        if answer.status == StatusCode::CREATED {
            self.check_origin(answer.location()?)?;
        }
        self.shared.issuer_names.note(&url, &answer.body);
        if let Some(seconds) = answer.retry_after_secs() {
            self.keep_wait(url, seconds);
        }
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response.headers_mut().remove(REPLAY_NONCE);
        Ok(response.into())
    }
}

impl Answer {
    /// The answer, if it is no problem.
    fn judged(self) -> Result<Self, AcmeError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let wait = self.retry_after_secs();
        Err(AcmeError::Problem(Problem::from_answer(self.status.as_u16(), &self.body, wait)))
    }

    /// Where the new resource is.
    pub(crate) fn location(&self) -> Result<&str, AcmeError> {
        header(&self.headers, LOCATION.as_str()).ok_or_else(|| AcmeError::Malformed {
            what: "Location",
            reason: "it is missing, or no text".to_owned(),
        })
    }

    /// How long to wait, in seconds: at least one, at most a week (RFC 9110 §10.2.3).
    ///
    /// A date is read against the answer's own date, so that a wrong clock here or there does not matter.
    pub(crate) fn retry_after_secs(&self) -> Option<u32> {
        let text = header(&self.headers, RETRY_AFTER.as_str())?.trim();
        let seconds = match text.parse::<i64>() {
            Ok(seconds) => seconds,
            Err(_) => {
                let date = |text: &str| OffsetDateTime::parse(text, &Rfc2822).ok();
                let sent = date(header(&self.headers, DATE.as_str())?)?;
                (date(text)? - sent).whole_seconds()
            }
        };
        u32::try_from(seconds.clamp(1, LONGEST_WAIT_SECS)).ok()
    }

    /// The targets of links with a relation (RFC 8288 §3), at most eight.
    pub(crate) fn links(&self, relation: &str) -> Vec<String> {
        self.headers
            .get_all(LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|link| {
                let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
                let is_wanted = parameters.split(';').any(|parameter| {
                    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    name.trim().eq_ignore_ascii_case("rel")
                        && value.trim().trim_matches('"').eq_ignore_ascii_case(relation)
                });
                is_wanted.then(|| target.to_owned())
            })
            .take(8)
            .collect()
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            // Comes out of the library as it went in: see `instant::error`.
            http.for_library(request).await.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

fn request(method: Method, url: &str, body: Bytes) -> Result<Request<Full<Bytes>>, AcmeError> {
    Request::builder()
        .method(method)
        .uri(url)
        .header(USER_AGENT, OUR_NAME)
        .body(Full::new(body))
        .map_err(|_| AcmeError::ForeignOrigin { url: cut(url) })
}

fn origin(url: &str) -> Option<Origin> {
    let uri: Uri = url.parse().ok()?;
    if uri.scheme_str() != Some("https") {
        return None;
    }
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    Some(Origin { host, port: authority.port_u16().unwrap_or(443) })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn cut(text: &str) -> String {
    text.chars().take(URL_CHARACTERS).collect()
}

/// With its sources: "client error (Connect)" alone helps nobody.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> AcmeError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    AcmeError::Unreachable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Answer { status: StatusCode::OK, headers: map, body: Bytes::new() }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let wait = |value: &str| answer(&[("retry-after", value)]).retry_after_secs();
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("0"), Some(1));
        assert_eq!(wait("-5"), Some(1));
        assert_eq!(wait("99999999999"), Some(604_800));
        assert_eq!(wait("soon"), None);
        // Without a date of its own, a date says nothing.
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        let dated = answer(&[
            ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"),
            ("date", "Fri, 31 Dec 1999 23:59:29 GMT"),
        ]);
        assert_eq!(dated.retry_after_secs(), Some(30));
    }

    #[test]
    fn links_are_found_by_their_relation() {
        let answer = answer(&[
            (
                "link",
                r#"<https://ca.example/dir>;rel="index", <https://ca.example/1>;rel="alternate""#,
            ),
            ("link", "<https://ca.example/2>; title=x; REL=alternate"),
            ("link", "https://ca.example/3;rel=alternate"),
        ]);
        assert_eq!(answer.links("alternate"), ["https://ca.example/1", "https://ca.example/2"]);
        assert_eq!(answer.links("up"), [""; 0]);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| origin(a).is_some() && origin(a) == origin(b);
        assert!(same("https://CA.example/dir", "https://ca.example:443/order/1"));
        for foreign in [
            "https://ca.example.evil.example/",
            "https://ca.example:8443/",
            "http://ca.example/",
            "https://evil@ca.example/",
            "//ca.example/",
            "ca.example",
            "",
        ] {
            assert!(!same("https://ca.example/dir", foreign), "{foreign}");
        }
    }
}
