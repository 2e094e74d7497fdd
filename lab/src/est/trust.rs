//! Whom a client trusts, and what it shows of itself: its TLS.
//!
//! RFC 7030 §3.6.1: against anchors that were given for this server, its certificate must either carry the name in the
//! URL or be that of a registration authority (id-kp-cmcRA); against the anchors of the system, the name alone counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use brski_voucher::certificate::{CMC_RA, Certificate};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use thiserror::Error;

use crate::pki::Credential;
use crate::pledge::tls::TlsVersions;

/// Why there is no TLS with what was given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file of certificates or a key.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system's anchors.
    #[error("the anchors of this system cannot be read; name the server's CA")]
    System,
    /// The library refuses something of it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] Error),
    /// The library finds no anchor it can use.
    #[error("none of the anchors can be used: {0}")]
    Anchors(String),
}

/// What a client shows of itself.
#[derive(Debug)]
pub struct Identity {
    /// Its certificate, and those above it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// Reads a certificate, with those above it behind it, and its key, each from a PEM file; the key in PKCS#8.
    ///
    /// # Errors
    /// [`TrustError::File`].
    pub fn of_files(certificate: &Path, key: &Path) -> Result<Self, TrustError> {
        Ok(Self { chain: certificates(certificate)?, key: private_key(key)? })
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }
}

impl From<&Credential> for Identity {
    fn from(credential: &Credential) -> Self {
        Self { chain: vec![credential.certificate.clone()], key: credential.key.clone_key() }
    }
}

/// Whom a client trusts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trust {
    /// Those whom this system trusts.
    System,
    /// These CAs, which were given for this server.
    Explicit(Vec<CertificateDer<'static>>),
    /// Anybody: to fetch CA certificates whose fingerprints a person compares (RFC 7030 §4.1.1).
    DangerAnybody,
}

impl Trust {
    /// Trusts the certificates in a PEM file, or the system's where none is named.
    ///
    /// # Errors
    /// [`TrustError::File`].
    pub fn of_file(path: Option<&Path>) -> Result<Self, TrustError> {
        path.map_or(Ok(Self::System), |path| certificates(path).map(Self::Explicit))
    }

    /// TLS with this trust. `identity`: what the client shows of itself.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn configuration(
        &self,
        identity: Option<&Identity>,
        versions: TlsVersions,
    ) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier { judge: self.judge(&provider)?, provider });
        let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
            .with_protocol_versions(&versions.supported())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => Ok(builder.with_client_auth_cert(
                identity.chain.clone(),
                PrivateKeyDer::Pkcs8(identity.key.clone_key()),
            )?),
        }
    }

    fn judge(&self, provider: &Arc<CryptoProvider>) -> Result<Judge, TrustError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::DangerAnybody => return Ok(Judge::Nobody),
            Self::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TrustError::System);
                }
            }
            Self::Explicit(anchors) => {
                for anchor in anchors {
                    roots.add(anchor.clone())?;
                }
            }
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
                .build()
                .map_err(|error| TrustError::Anchors(error.to_string()))?;
        Ok(match self {
            Self::Explicit(_) => Judge::NameOrAuthority(verifier),
            _ => Judge::Name(verifier),
        })
    }
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// [`TrustError::File`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let failed = |reason: String| TrustError::File { path: path.to_owned(), reason };
    let all = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.to_string()))?;
    if all.is_empty() {
        return Err(failed("there is no certificate (PEM) in it".to_owned()));
    }
    Ok(all)
}

/// A private key from a PEM file.
///
/// # Errors
/// [`TrustError::File`].
pub fn private_key(path: &Path) -> Result<PrivatePkcs8KeyDer<'static>, TrustError> {
    let failed = |reason: String| TrustError::File { path: path.to_owned(), reason };
    match PrivateKeyDer::from_pem_file(path).map_err(|error| failed(error.to_string()))? {
        PrivateKeyDer::Pkcs8(key) => Ok(key),
        _ => Err(failed(
            "the key is not in PKCS#8; 'openssl pkcs8 -topk8 -nodes' makes it so".to_owned(),
        )),
    }
}

#[derive(Debug)]
enum Judge {
    Nobody,
    Name(Arc<WebPkiServerVerifier>),
    NameOrAuthority(Arc<WebPkiServerVerifier>),
}

#[derive(Debug)]
struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |verifier: &WebPkiServerVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        match &self.judge {
            Judge::Nobody => Ok(ServerCertVerified::assertion()),
            Judge::Name(verifier) => verify(verifier),
            Judge::NameOrAuthority(verifier) => match verify(verifier) {
                // The library looks at the name last, when all else is well.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) if is_registration_authority(end_entity) => Ok(ServerCertVerified::assertion()),
                other => other,
            },
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

fn is_registration_authority(der: &CertificateDer<'_>) -> bool {
    Certificate::from_der(der).is_ok_and(|read| read.has_extended_key_usage(CMC_RA))
}
