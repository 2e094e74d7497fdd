//! A pledge's TLS: first with a registrar that it does not know yet, then with one that a voucher vouches for.
//!
//! RFC 8995 §5.1: the server's certificate is not judged, but it must hold its key, and its chain is kept.
//! RFC 8995 §5.6.2: from then on the pinned certificate judges, whatever the name.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use brski_voucher::certificate::Certificate;
use brski_voucher::pledge::check_registrar_chain;
use brski_voucher::trust::ValidityTime;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::provider;
use crate::http::{Connection, HttpError, Route};
use crate::pki::Credential;

/// The chain that a server showed, its own certificate first.
#[derive(Clone, Debug, Default)]
pub struct RetainedChain(Vec<CertificateDer<'static>>);

impl RetainedChain {
    /// All of it.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// The server's own certificate.
    #[must_use]
    pub fn own(&self) -> Option<&CertificateDer<'static>> {
        self.0.first()
    }
}

/// The versions of TLS that a pledge speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.3, and 1.2 where the server knows no better.
    #[default]
    Any,
    /// 1.2 only, as devices do that were built before 2018.
    Tls12,
    /// 1.3 only.
    Tls13,
}

impl TlsVersions {
    pub(crate) fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Any => vec![&TLS13, &TLS12],
            Self::Tls12 => vec![&TLS12],
            Self::Tls13 => vec![&TLS13],
        }
    }
}

/// How a server's chain is judged.
#[derive(Debug)]
enum Judgement {
    /// Not at all, but it is kept.
    Provisional(Mutex<Vec<CertificateDer<'static>>>),
    /// It must lead to this.
    Pinned(Certificate),
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    judgement: Judgement,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.judgement {
            Judgement::Provisional(kept) => {
                let chain = [end_entity].into_iter().chain(intermediates);
                *kept.lock().unwrap_or_else(PoisonError::into_inner) =
                    chain.map(|certificate| certificate.clone().into_owned()).collect();
                Ok(ServerCertVerified::assertion())
            }
            Judgement::Pinned(pinned) => {
                let shown = std::iter::once(end_entity).chain(intermediates);
                let chain: Vec<Certificate> =
                    shown.filter_map(|der| Certificate::from_der(der).ok()).collect();
                // The key is what is pinned: another certificate of it will do (RFC 8995 §5.6.2).
                check_registrar_chain(pinned, &chain, ValidityTime::At(now))
                    .map(|()| ServerCertVerified::assertion())
                    .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn configuration(
    verifier: Arc<Verifier>,
    credential: Option<&Credential>,
    versions: TlsVersions,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions.supported())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match credential {
        None => Ok(builder.with_no_client_auth()),
        Some(credential) => builder.with_client_auth_cert(
            vec![credential.certificate.clone()],
            PrivateKeyDer::Pkcs8(credential.key.clone_key()),
        ),
    }
}

async fn open(
    route: Route,
    verifier: Arc<Verifier>,
    credential: Option<&Credential>,
    versions: TlsVersions,
) -> Result<Connection, HttpError> {
    let address = route.address();
    let configuration = configuration(verifier, credential, versions)
        .map_err(|error| HttpError::Tls { address, source: std::io::Error::other(error) })?;
    // A pledge knows an address only, so it sends no SNI.
    let name = ServerName::IpAddress(address.ip().into());
    Connection::open(route, name, Arc::new(configuration)).await
}

/// Opens a connection to any server and keeps its chain.
///
/// # Errors
/// [`HttpError`].
pub async fn provisional(
    route: impl Into<Route>,
    credential: Option<&Credential>,
    versions: TlsVersions,
) -> Result<(Connection, RetainedChain), HttpError> {
    let judgement = Judgement::Provisional(Mutex::default());
    let verifier = Arc::new(Verifier { provider: provider(), judgement });
    let connection = open(route.into(), Arc::clone(&verifier), credential, versions).await?;
    let chain = match &verifier.judgement {
        Judgement::Provisional(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        Judgement::Pinned(_) => Vec::new(),
    };
    Ok((connection, RetainedChain(chain)))
}

/// Opens a connection to any server, for what is no HTTP.
pub(crate) async fn raw(
    address: SocketAddr,
    credential: Option<&Credential>,
) -> Result<TlsStream<TcpStream>, HttpError> {
    let judgement = Judgement::Provisional(Mutex::default());
    let verifier = Arc::new(Verifier { provider: provider(), judgement });
    let failed = |source| HttpError::Tls { address, source };
    let configuration = configuration(verifier, credential, TlsVersions::Any)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|source| HttpError::Connect { address, source })?;
    let name = ServerName::IpAddress(address.ip().into());
    TlsConnector::from(Arc::new(configuration)).connect(name, stream).await.map_err(failed)
}

/// Opens a connection to a server whose chain leads to `pinned`.
///
/// # Errors
/// [`HttpError`].
pub async fn pinned(
    route: impl Into<Route>,
    pinned: &CertificateDer<'static>,
    credential: &Credential,
    versions: TlsVersions,
) -> Result<Connection, HttpError> {
    let route = route.into();
    let pinned = Certificate::from_der(pinned).map_err(|error| HttpError::Tls {
        address: route.address(),
        source: std::io::Error::other(error.to_string()),
    })?;
    let verifier =
        Arc::new(Verifier { provider: provider(), judgement: Judgement::Pinned(pinned) });
    open(route, verifier, Some(credential), versions).await
}
