//! The answer to tls-alpn-01: a certificate made for one handshake, from the digest in the answer store.
//!
//! The key in it proves nothing and is thrown away; what the CA reads is the digest. So any node answers for any other.
//!
//! RFC 8737 §3.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, ResolvesServerCertUsingSni};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;

use crate::answer::{AnswerKind, AnswerStore};
use crate::store::OrderStoreError;

/// The protocol's name in ALPN (RFC 8737 §6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";
/// The length of a digest, in octets.
const DIGEST_OCTETS: usize = 32;

/// Why a handshake is not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsAlpnError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] OrderStoreError),
    /// The certificate cannot be made.
    #[error("cannot make the certificate of a challenge: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS cannot use it.
    #[error("cannot use the certificate of a challenge: {0}")]
    Tls(#[from] rustls::Error),
}

/// Answers tls-alpn-01 on a listener that has other business.
pub struct TlsAlpn {
    provider: Arc<CryptoProvider>,
    store: Arc<dyn AnswerStore>,
}

impl TlsAlpn {
    /// Answers from this store.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>, store: Arc<dyn AnswerStore>) -> Self {
        Self { provider, store }
    }

    /// Whether a client is a CA that validates: it offers this protocol and no other (RFC 8737 §3).
    #[must_use]
    pub fn is_asked(hello: &ClientHello<'_>) -> bool {
        let mut offered = hello.alpn().into_iter().flatten();
        offered.next() == Some(PROTOCOL) && offered.next().is_none()
    }

    /// The TLS server for a handshake to this name: without a client certificate, and without a certificate of its own
    /// where no order waits for the name, so that the handshake ends in an alert.
    ///
    /// # Errors
    /// [`TlsAlpnError`].
    pub async fn server(&self, name: Option<&str>) -> Result<ServerConfig, TlsAlpnError> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let digest = match &name {
            Some(name) => self.store.values(AnswerKind::TlsAlpn, name).await?,
            None => Vec::new(),
        };
        let digest = digest.iter().find_map(|text| {
            URL_SAFE_NO_PAD.decode(text).ok().filter(|octets| octets.len() == DIGEST_OCTETS)
        });
        let resolver: Arc<dyn ResolvesServerCert> = match name.zip(digest) {
            Some((name, digest)) => Arc::new(Only(Arc::new(self.certify(name, &digest)?))),
            None => Arc::new(ResolvesServerCertUsingSni::new()),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A session that is resumed would skip the certificate, which is the whole answer.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn certify(&self, name: String, digest: &[u8]) -> Result<CertifiedKey, TlsAlpnError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec![name])?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = parameters.self_signed(&key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let key = self.provider.key_provider.load_private_key(key.into())?;
        // The constructor that reads the certificate stumbles over the critical extension, which is the point of it.
        Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
    }
}

/// One certificate, whatever the client says.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
