//! TLS towards MASAs: whom we trust, and whom we say we are (RFC 8995 §5.4).
//!
//! One configuration is kept for each set of anchors and certificates, so that sessions are resumed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::error::MasaError;
use crate::identity::live::LiveIdentity;
use crate::identity::{read_certificates, read_key};
use crate::secret::{SecretFile, credentials_folder};
use crate::store::model::{Manufacturer, MasaClientCertificate};

/// The most configurations that are kept; manufacturers are few, and their options change rarely.
const CONFIGURATIONS_MOST: usize = 256;

type Key = (Vec<CertificateDer<'static>>, Shown);

/// The certificate that a MASA is shown, with the octets of its files: who replaces them gets a new configuration.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Shown {
    Registrar,
    Nothing,
    Files { chain: Vec<CertificateDer<'static>> },
}

/// The TLS configurations of all MASAs.
pub(super) struct Configurations {
    provider: Arc<CryptoProvider>,
    identity: Arc<LiveIdentity>,
    system_anchors: Arc<RootCertStore>,
    known: Mutex<HashMap<Key, Arc<ClientConfig>>>,
}

impl Configurations {
    /// `system_anchors` serve manufacturers without anchors of their own.
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        identity: Arc<LiveIdentity>,
        system_anchors: Arc<RootCertStore>,
    ) -> Self {
        Self { provider, identity, system_anchors, known: Mutex::default() }
    }

    /// The registrar's own certificate at this moment.
    pub(super) fn own(&self) -> Arc<CertifiedKey> {
        self.identity.certified()
    }

    /// The configuration for the MASA of a manufacturer.
    pub(super) fn of(&self, manufacturer: &Manufacturer) -> Result<Arc<ClientConfig>, MasaError> {
        let key = (manufacturer.masa_anchors.clone(), shown(manufacturer)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(configuration) = known.get(&key) {
            return Ok(Arc::clone(configuration));
        }
        let configuration = Arc::new(self.build(manufacturer, &key.1)?);
        if known.len() >= CONFIGURATIONS_MOST {
            known.clear();
        }
        known.insert(key, Arc::clone(&configuration));
        Ok(configuration)
    }

    /// The same for one connection, with what keeps the certificates that the MASA shows.
    pub(super) fn watched(
        &self,
        manufacturer: &Manufacturer,
    ) -> Result<(ClientConfig, Arc<Watcher>), MasaError> {
        let mut configuration = self.build(manufacturer, &shown(manufacturer)?)?;
        let provider = Arc::clone(&self.provider);
        let roots = self.roots(manufacturer)?;
        let judge = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let judge = judge.map_err(|error| MasaError::Setup(Error::General(error.to_string())))?;
        let watcher = Arc::new(Watcher { judge, seen: Mutex::default() });
        let shown = Arc::<Watcher>::clone(&watcher);
        configuration.dangerous().set_certificate_verifier(shown);
        Ok((configuration, watcher))
    }

    fn roots(&self, manufacturer: &Manufacturer) -> Result<Arc<RootCertStore>, MasaError> {
        Ok(if manufacturer.masa_anchors.is_empty() {
            Arc::clone(&self.system_anchors)
        } else {
            let mut roots = RootCertStore::empty();
            for anchor in &manufacturer.masa_anchors {
                roots.add(anchor.clone()).map_err(MasaError::Setup)?;
            }
            Arc::new(roots)
        })
    }

    fn build(&self, manufacturer: &Manufacturer, shown: &Shown) -> Result<ClientConfig, MasaError> {
        let roots = self.roots(manufacturer)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(MasaError::Setup)?
            .with_root_certificates(roots);
        match (shown, &manufacturer.masa.client) {
            (Shown::Files { chain }, MasaClientCertificate::Files { key, .. }) => {
                let key = SecretFile::parse(key)?.path(credentials_folder().as_deref())?;
                let key = PrivateKeyDer::Pkcs8(read_key(&key)?);
                builder.with_client_auth_cert(chain.clone(), key).map_err(MasaError::Setup)
            }
            (Shown::Nothing, _) => Ok(builder.with_no_client_auth()),
            _ => {
                let own = Arc::<LiveIdentity>::clone(&self.identity);
                Ok(builder.with_client_cert_resolver(own))
            }
        }
    }
}

/// What a manufacturer's MASA is shown.
fn shown(manufacturer: &Manufacturer) -> Result<Shown, MasaError> {
    Ok(match &manufacturer.masa.client {
        MasaClientCertificate::Registrar => Shown::Registrar,
        MasaClientCertificate::None => Shown::Nothing,
        MasaClientCertificate::Files { certificate, .. } => {
            let chain = read_certificates(Path::new(certificate))?;
            Shown::Files { chain: chain.iter().map(|each| each.der().clone()).collect() }
        }
    })
}

/// Judges a MASA's certificate as any other connection does, and keeps what it showed.
#[derive(Debug)]
pub(super) struct Watcher {
    judge: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl Watcher {
    /// The certificates that the MASA showed, its own first; empty if it did not come to that.
    pub(super) fn seen(&self) -> Vec<CertificateDer<'static>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Watcher {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(own).chain(above);
        let all = all.map(|each| each.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = all;
        self.judge.verify_server_cert(own, above, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
