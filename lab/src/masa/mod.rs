//! A simulated MASA: it checks registrars' requests as RFC 8995 §5.5 says and signs vouchers. On demand it misbehaves.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::Encoding;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::{media_type, path};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use self::log::Log;
use crate::pki::{Credential, Manufacturer};
use crate::service::{self, Service};

pub(crate) mod body;
mod log;
mod login;
mod mood;
mod options;
mod voucher;

pub use self::mood::Mood;
pub use self::options::{LogNumbers, LogStyle, Login, MasaOptions, Misbehaviour, Pinning, Scheme};

/// Why there is no MASA.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MasaError {
    /// It cannot listen.
    #[error("the MASA cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// Its TLS certificate cannot be used.
    #[error("the MASA's TLS certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The CA of its clients cannot be used.
    #[error("the CA of the MASA's clients cannot be used: {0}")]
    Clients(String),
    /// Its voucher signer cannot be used.
    #[error("the MASA's voucher signer cannot be used: {0}")]
    Signer(String),
}

struct Shared {
    options: MasaOptions,
    signer: PrivateKey,
    signer_chain: Vec<Certificate>,
    devices: Anchors,
    authority: Certificate,
    /// Where it is, as URLs say it.
    authority_part: String,
    owners: Mutex<Vec<CertificateDer<'static>>>,
    misbehaviour: Mutex<Misbehaviour>,
    /// The voucher requests that came, since a request for a log repeats one of them.
    seen: Mutex<HashSet<Bytes>>,
    log: Log,
    requests: AtomicU32,
    log_requests: AtomicU32,
    issued: AtomicU32,
}

impl Shared {
    fn misbehaviour(&self) -> Misbehaviour {
        *self.misbehaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The domains whose registrars may ask without a nonce.
    fn owners(&self) -> Anchors {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        Anchors::new(&owners).unwrap_or_default()
    }
}

/// A running MASA; it ends when this is dropped.
pub struct Masa {
    shared: Arc<Shared>,
    address: SocketAddr,
    service: Service,
}

impl Masa {
    /// Starts the MASA of a manufacturer on this address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`MasaError`].
    pub async fn start(
        address: SocketAddr,
        manufacturer: &Manufacturer,
    ) -> Result<Self, MasaError> {
        Self::start_with(address, manufacturer, MasaOptions::default()).await
    }

    /// Starts the MASA of a manufacturer that is like this.
    ///
    /// # Errors
    /// [`MasaError`].
    pub async fn start_with(
        address: SocketAddr,
        manufacturer: &Manufacturer,
        options: MasaOptions,
    ) -> Result<Self, MasaError> {
        let authority = manufacturer.authority.certificate();
        let (signer, tls) = (&manufacturer.voucher_signer, &manufacturer.masa_tls);
        Self::of(address, authority, signer, tls, options).await
    }

    /// Starts the MASA of a CA, with this voucher signer and this TLS certificate.
    ///
    /// # Errors
    /// [`MasaError`].
    pub async fn of(
        address: SocketAddr,
        authority: &CertificateDer<'static>,
        voucher_signer: &Credential,
        masa_tls: &Credential,
        options: MasaOptions,
    ) -> Result<Self, MasaError> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let signer = |error: &dyn std::fmt::Display| MasaError::Signer(error.to_string());
        let read = |der: &[u8]| Certificate::from_der(der).map_err(|error| signer(&error));
        let tls = tls(masa_tls, options.clients.as_ref())?;
        let shared = Arc::new(Shared {
            options,
            signer: PrivateKey::from_pkcs8_der(voucher_signer.key.secret_pkcs8_der())
                .map_err(|error| signer(&error))?,
            signer_chain: vec![read(&voucher_signer.certificate)?, read(authority)?],
            devices: Anchors::new(std::slice::from_ref(authority))
                .map_err(|error| signer(&error))?,
            authority: read(authority)?,
            authority_part: format!("{}:{}", host(address), address.port()),
            owners: Mutex::default(),
            misbehaviour: Mutex::default(),
            seen: Mutex::default(),
            log: Log::default(),
            requests: AtomicU32::new(0),
            log_requests: AtomicU32::new(0),
            issued: AtomicU32::new(0),
        });
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let service = Service::start(serve(listener, acceptor, router(Arc::clone(&shared))));
        Ok(Self { shared, address, service })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL as IDevIDs carry it: an authority.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.authority_part.clone()
    }

    /// Its host: `localhost` on this machine, its address on another.
    #[must_use]
    pub fn host(&self) -> String {
        host(self.address)
    }

    /// Makes it behave like this from now on.
    pub fn behave(&self, misbehaviour: Misbehaviour) {
        *self.shared.misbehaviour.lock().unwrap_or_else(PoisonError::into_inner) = misbehaviour;
    }

    /// How many voucher requests came.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Notes that devices were sold to the domain of this CA, whose registrars may then ask without a nonce.
    pub fn sell_to(&self, domain: CertificateDer<'static>) {
        self.shared.owners.lock().unwrap_or_else(PoisonError::into_inner).push(domain);
    }

    /// How many requests for audit logs came.
    #[must_use]
    pub fn log_requests(&self) -> u32 {
        self.shared.log_requests.load(Ordering::Relaxed)
    }

    /// How many vouchers it signed.
    #[must_use]
    pub fn issued(&self) -> u32 {
        self.shared.issued.load(Ordering::Relaxed)
    }

    /// Waits until it ends by itself; gives why.
    pub async fn ended(&self) -> String {
        self.service.ended().await
    }
}

/// A host, as URLs say it.
pub(crate) fn host(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(path::REQUEST_VOUCHER, post(request_voucher))
        .route(path::REQUEST_AUDIT_LOG, post(request_audit_log))
        .route("/log/{serial}", get(log))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(shared)
}

/// Its TLS, with client certificates of this CA if there is one.
fn tls(
    server: &Credential,
    clients: Option<&CertificateDer<'static>>,
) -> Result<ServerConfig, MasaError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(anchor) => {
            let mut roots = RootCertStore::empty();
            roots.add(anchor.clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier =
                verifier.build().map_err(|error| MasaError::Clients(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(server.key.clone_key());
    Ok(builder.with_single_cert(vec![server.certificate.clone()], key)?)
}

/// Serves whoever comes; ends with the listener, and says why.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
) -> io::Error {
    loop {
        let stream = match service::accept(&listener).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let handshake = async {
                stream.set_nodelay(true)?;
                acceptor.accept(stream).await
            };
            let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(10), handshake).await
            else {
                return;
            };
            let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                router.clone().oneshot(request.map(Body::new))
            });
            // A registrar that goes away early is its own business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn request_voucher(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let mood = shared.options.mood;
    tokio::time::sleep(mood.latency).await;
    if mood.fails(number) {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "out of order, ask again");
    }
    if let Err(response) = enter(&shared, &Method::POST, path::REQUEST_VOUCHER, &headers) {
        return response;
    }
    let Some((encoding, media_type)) = encoding(&headers) else {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no voucher request");
    };
    let misbehaviour = shared.misbehaviour();
    match misbehaviour {
        Misbehaviour::Refuses => {
            return refuse(StatusCode::FORBIDDEN, "this device was sold to somebody else");
        }
        Misbehaviour::Waits => {
            let mut response = refuse(StatusCode::ACCEPTED, "still looking");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        Misbehaviour::Redirects => {
            let mut response = refuse(StatusCode::TEMPORARY_REDIRECT, "over there");
            let elsewhere = HeaderValue::from_static("https://localhost/elsewhere");
            response.headers_mut().insert(header::LOCATION, elsewhere);
            return response;
        }
        Misbehaviour::Slow => return answer(body::slow(), media_type),
        Misbehaviour::Huge => return answer(body::huge(), media_type),
        Misbehaviour::Garbage => return answer(Body::from("no voucher"), media_type),
        _ => {}
    }
    match voucher::issue(&shared, &body, encoding, misbehaviour) {
        Ok(voucher) => {
            shared.issued.fetch_add(1, Ordering::Relaxed);
            shared.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(body);
            let media_type = match misbehaviour {
                Misbehaviour::WrongType => "text/html",
                _ => media_type,
            };
            answer(Body::from(voucher), media_type)
        }
        Err(reason) => refuse(StatusCode::FORBIDDEN, &reason),
    }
}

/// Whether this registrar is served now.
#[allow(clippy::result_large_err, reason = "an answer is as large as it is, once a request")]
fn enter(
    shared: &Shared,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<(), Response> {
    match shared.misbehaviour() {
        Misbehaviour::Unavailable => {
            Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "closed for today"))
        }
        Misbehaviour::Unauthorized => Err(refuse(StatusCode::UNAUTHORIZED, "we do not know you")),
        _ => login::check(shared.options.login.as_ref(), method, path, headers),
    }
}

/// How a request is encoded, and what its media type is called.
fn encoding(headers: &HeaderMap) -> Option<(Encoding, &'static str)> {
    let sent = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let encoding = Encoding::of_media_type(sent)?;
    let name = match sent == media_type::VOUCHER_COSE_OLD {
        true => media_type::VOUCHER_COSE_OLD,
        false => encoding.media_type(),
    };
    Some((encoding, name))
}

async fn request_audit_log(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    shared.log_requests.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(shared.options.mood.latency).await;
    if let Err(response) = enter(&shared, &Method::POST, path::REQUEST_AUDIT_LOG, &headers) {
        return response;
    }
    let Some((encoding, _)) = encoding(&headers) else {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no voucher request");
    };
    if !shared.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&body) {
        return refuse(StatusCode::BAD_REQUEST, "this is not a request that a voucher answered");
    }
    let serial = match voucher::read(&body, encoding, ValidityTime::At(now())) {
        Ok(request) => request.serial_number().to_string(),
        Err(reason) => return refuse(StatusCode::FORBIDDEN, &reason),
    };
    match (shared.misbehaviour(), shared.options.log) {
        (Misbehaviour::NoLog, _) => refuse(StatusCode::NOT_FOUND, "no log is kept"),
        (Misbehaviour::LogUnavailable, _) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the log is being rotated")
        }
        (Misbehaviour::GarbageLog, _) => answer(Body::from("no log"), media_type::JSON),
        (Misbehaviour::HugeLog, _) => answer(body::huge(), media_type::JSON),
        (Misbehaviour::LogElsewhere, _) => created("https://127.0.0.1:1/log"),
        (_, LogStyle::Path) => created(&format!("/log/{serial}")),
        (_, LogStyle::Url) => {
            let authority = shared.authority_part.to_ascii_uppercase();
            created(&format!("https://{authority}/log/{serial}"))
        }
        (_, LogStyle::Body) => log_of(&shared, &serial),
    }
}

async fn log(
    State(shared): State<Arc<Shared>>,
    Path(serial): Path<String>,
    headers: HeaderMap,
) -> Response {
    match enter(&shared, &Method::GET, &format!("/log/{serial}"), &headers) {
        Ok(()) => log_of(&shared, &serial),
        Err(response) => response,
    }
}

fn log_of(shared: &Shared, serial: &str) -> Response {
    match shared.log.of(serial, shared.options.numbers) {
        Some(log) => answer(Body::from(log.to_string()), media_type::JSON),
        None => refuse(StatusCode::NOT_FOUND, "this device never had an owner"),
    }
}

fn created(location: &str) -> Response {
    let mut response = refuse(StatusCode::CREATED, "");
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn answer(body: Body, media_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    let mut response = Response::new(Body::from(reason.to_owned()));
    *response.status_mut() = status;
    let value = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// The lab's clock.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::since_unix_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
