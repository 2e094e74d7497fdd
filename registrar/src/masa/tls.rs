//! TLS towards MASAs: whom we trust, and whom we say we are (RFC 8995 §5.4).
//!
//! One configuration is kept for each set of anchors and certificates, so that sessions are resumed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

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

    /// The configuration for the MASA of a manufacturer.
    pub(super) fn of(&self, manufacturer: &Manufacturer) -> Result<Arc<ClientConfig>, MasaError> {
        let shown = match &manufacturer.masa.client {
            MasaClientCertificate::Registrar => Shown::Registrar,
            MasaClientCertificate::None => Shown::Nothing,
            MasaClientCertificate::Files { certificate, .. } => {
                let chain = read_certificates(Path::new(certificate))?;
                Shown::Files { chain: chain.iter().map(|each| each.der().clone()).collect() }
            }
        };
        let key = (manufacturer.masa_anchors.clone(), shown);
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

    fn build(&self, manufacturer: &Manufacturer, shown: &Shown) -> Result<ClientConfig, MasaError> {
        let roots = if manufacturer.masa_anchors.is_empty() {
            Arc::clone(&self.system_anchors)
        } else {
            let mut roots = RootCertStore::empty();
            for anchor in &manufacturer.masa_anchors {
                roots.add(anchor.clone()).map_err(MasaError::Setup)?;
            }
            Arc::new(roots)
        };
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
