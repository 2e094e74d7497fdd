//! A simulated MASA: it checks registrars' requests as RFC 8995 §5.5 says and signs vouchers. On demand it misbehaves.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use brski_voucher::artefact::{Assertion, Binding, Nonce, RegistrarRequest};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::{Unverified, Verified};
use brski_voucher::{masa, media_type, path};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::pki::{Credential, Manufacturer};

/// What a MASA does wrong, on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Nothing.
    #[default]
    None,
    /// Answers 503.
    Unavailable,
    /// Refuses with 403.
    Refuses,
    /// Signs vouchers with another nonce.
    WrongNonce,
    /// Signs vouchers for another device.
    WrongSerial,
    /// Pins its own CA instead of the domain's.
    WrongPin,
    /// Answers with something that is no voucher.
    Garbage,
}

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
    /// Its voucher signer cannot be used.
    #[error("the MASA's voucher signer cannot be used: {0}")]
    Signer(String),
}

/// How long a voucher without a nonce lasts (RFC 8995 §5.6).
const LIFETIME: Duration = Duration::from_secs(20 * 60);

struct Shared {
    signer: PrivateKey,
    signer_chain: Vec<Certificate>,
    devices: Anchors,
    authority: Certificate,
    misbehaviour: Mutex<Misbehaviour>,
    requests: AtomicU32,
    issued: AtomicU32,
}

/// A running MASA; it ends when this is dropped.
pub struct Masa {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
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
        let authority = manufacturer.authority.certificate();
        Self::of(address, authority, &manufacturer.voucher_signer, &manufacturer.masa_tls).await
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
    ) -> Result<Self, MasaError> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let signer = |error: &dyn std::fmt::Display| MasaError::Signer(error.to_string());
        let read = |der: &[u8]| Certificate::from_der(der).map_err(|error| signer(&error));
        let shared = Arc::new(Shared {
            signer: PrivateKey::from_pkcs8_der(voucher_signer.key.secret_pkcs8_der())
                .map_err(|error| signer(&error))?,
            signer_chain: vec![read(&voucher_signer.certificate)?, read(authority)?],
            devices: Anchors::new(std::slice::from_ref(authority))
                .map_err(|error| signer(&error))?,
            authority: read(authority)?,
            misbehaviour: Mutex::default(),
            requests: AtomicU32::new(0),
            issued: AtomicU32::new(0),
        });
        let configuration =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(
                    vec![masa_tls.certificate.clone()],
                    PrivateKeyDer::Pkcs8(masa_tls.key.clone_key()),
                )?;
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let task = tokio::spawn(serve(listener, acceptor, router(Arc::clone(&shared))));
        Ok(Self { shared, address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL as IDevIDs carry it: an authority.
    #[must_use]
    pub fn url(&self) -> String {
        format!("localhost:{}", self.address.port())
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

    /// How many vouchers it signed.
    #[must_use]
    pub fn issued(&self) -> u32 {
        self.shared.issued.load(Ordering::Relaxed)
    }
}

impl Drop for Masa {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(path::REQUEST_VOUCHER, post(request_voucher))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(shared)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
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
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let misbehaviour = *shared.misbehaviour.lock().unwrap_or_else(PoisonError::into_inner);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type != Some(media_type::VOUCHER_CMS) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "voucher requests in CMS only");
    }
    match misbehaviour {
        Misbehaviour::Unavailable => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "closed for today");
        }
        Misbehaviour::Refuses => {
            return refuse(StatusCode::FORBIDDEN, "this device was sold to somebody else");
        }
        Misbehaviour::Garbage => return answer(b"no voucher".to_vec()),
        _ => {}
    }
    match voucher(&shared, &body, misbehaviour) {
        Ok(voucher) => {
            shared.issued.fetch_add(1, Ordering::Relaxed);
            answer(voucher)
        }
        Err(reason) => refuse(StatusCode::FORBIDDEN, &reason),
    }
}

fn voucher(shared: &Shared, body: &[u8], misbehaviour: Misbehaviour) -> Result<Vec<u8>, String> {
    let at = now();
    let time = ValidityTime::At(at);
    let request = Unverified::<RegistrarRequest>::parse(body)
        .map_err(|error| error.to_string())?
        .verify_presented(time)
        .map_err(|error| error.to_string())?;
    masa::check_registrar_request(&request, &shared.devices, time)
        .map_err(|error| error.to_string())?;
    let pinned = match misbehaviour {
        Misbehaviour::WrongPin => shared.authority.clone(),
        _ => top(&request),
    };
    let mut voucher = masa::voucher_fields(&request, Assertion::Proximity, &pinned, LIFETIME, at);
    match misbehaviour {
        Misbehaviour::WrongNonce => voucher.binding = Binding::Nonce(Nonce::from_random([7; 16])),
        Misbehaviour::WrongSerial => {
            voucher.serial_number =
                SerialNumber::parse("another device").map_err(|error| error.to_string())?;
        }
        _ => {}
    }
    voucher.sign(&shared.signer, &shared.signer_chain, at).map_err(|error| error.to_string())
}

/// What the registrar shows of its chain is what it wants pinned: the top of it.
fn top(request: &Verified<RegistrarRequest>) -> Certificate {
    request.signer_chain().last().unwrap_or_else(|| request.signer()).clone()
}

fn answer(voucher: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(voucher));
    let value = HeaderValue::from_static(media_type::VOUCHER_CMS);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
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
