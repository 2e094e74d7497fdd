//! The registrar's own certificates and key: for TLS with pledges and MASAs, and for its voucher requests.
//!
//! One key does all of it, since the MASA looks for the key that the pledge saw (RFC 8995 §5.5.5). The certificate of
//! that key changes over the years, and so does the root above it: [`live`] is what is in use now.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brski_voucher::certificate::{CMC_RA, Certificate};
use brski_voucher::signature::Signer;
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use crate::config::{IdentityFiles, Pin, credentials};
use crate::keys::Key;

pub mod custodian;
pub mod domain;
pub mod issue;
pub mod live;
pub mod roots;
pub mod template;

/// Why the identity cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key in a token.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Token(#[from] crate::keys::token::TokenError),
    /// A key in a token, which this program cannot reach.
    #[error(
        "this program was built without PKCS#11: name a file, or build it with '--features pkcs11'"
    )]
    NoTokens,
}

/// One certificate of the registrar, with its key and with what stands above it.
pub struct RegistrarIdentity {
    certificates: Vec<Certificate>,
    domain_ca: Certificate,
    chain: Vec<Certificate>,
    signing_chain: Vec<Certificate>,
    certified: Arc<CertifiedKey>,
    key: Arc<Key>,
}

impl RegistrarIdentity {
    /// Loads certificate, key and domain CA as the configuration names them, and checks that they belong together.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn load(files: &IdentityFiles) -> Result<Self, IdentityError> {
        let key = Arc::new(Key::open(&files.key)?);
        Self::with_key(files, key)
    }

    /// As [`RegistrarIdentity::load`], with the key at hand already.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn with_key(files: &IdentityFiles, key: Arc<Key>) -> Result<Self, IdentityError> {
        let content =
            |path: &Path, reason: String| IdentityError::Content { path: path.to_owned(), reason };
        let certificates = read_certificates(&files.certificate)?;
        let domain_ca = read_certificates(&files.domain_ca)?.into_iter().next();
        let domain_ca = domain_ca
            .ok_or_else(|| content(&files.domain_ca, "holds no certificate".to_owned()))?;
        if certificates.first().is_some_and(|own| own.spki_der() != key.spki_der()) {
            let reason = format!("is of another key than {}", files.key);
            return Err(content(&files.certificate, reason));
        }
        Self::new(certificates, domain_ca, Vec::new(), key, files.pin)
            .map_err(|reason| content(&files.certificate, reason))
    }

    /// Puts an identity together. `certificates`: its own first; `above`: what TLS sends behind them.
    ///
    /// # Errors
    /// What the certificate lacks.
    pub fn new(
        certificates: Vec<Certificate>,
        domain_ca: Certificate,
        above: Vec<Certificate>,
        key: Arc<Key>,
        pin: Pin,
    ) -> Result<Self, String> {
        let own = certificates.first().ok_or("holds no certificate")?;
        if own.spki_der() != key.spki_der() {
            return Err("is of another key than the registrar's".to_owned());
        }
        // RFC 8995 §5.5.4 asks for no more, and its own example has no more; the rest is a warning of `check`.
        if !own.has_extended_key_usage(CMC_RA) {
            return Err("lacks the extended key usage cmcRA".to_owned());
        }
        let mut shown = certificates.clone();
        if !shown.iter().any(|each| each.der() == domain_ca.der()) {
            shown.push(domain_ca.clone());
        }
        let signing_chain = match pin {
            Pin::EndEntity => shown.iter().take(1).cloned().collect(),
            Pin::IssuingCa => shown.iter().take(2).cloned().collect(),
            Pin::Root => shown.clone(),
        };
        let sent = certificates.iter().chain(&above).map(|each| each.der().clone()).collect();
        let certified = Arc::new(CertifiedKey::new(sent, key.tls()));
        let chain = shown.into_iter().chain(above).collect();
        Ok(Self { certificates, domain_ca, chain, signing_chain, certified, key })
    }

    /// Checks that the certificate chains to the domain CA at this time.
    ///
    /// # Errors
    /// What the path check says.
    pub fn verify(&self, time: ValidityTime) -> Result<(), String> {
        let anchors =
            Anchors::new(&[self.domain_ca.der().clone()]).map_err(|error| error.to_string())?;
        let (own, above) = self.chain.split_first().ok_or("there is no certificate")?;
        verify_chain(own, above, &anchors, time).map_err(|error| error.to_string())
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        // Unwrap safety: `new` refuses an empty list.
        #[allow(clippy::expect_used)]
        self.certificates.first().expect("there is a certificate")
    }

    /// Its certificate and any intermediates.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The root that its certificate chains to.
    #[must_use]
    pub fn domain_ca(&self) -> &Certificate {
        &self.domain_ca
    }

    /// Its certificate, any intermediates, the domain CA, and what leads from there to earlier roots.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// What its voucher requests carry: the chain up to what it wants pinned.
    #[must_use]
    pub fn signing_chain(&self) -> &[Certificate] {
        &self.signing_chain
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Its key, to sign with.
    #[must_use]
    pub fn signer(&self) -> &dyn Signer {
        self.key.signer()
    }

    /// What TLS sends: its certificate, any intermediates, and what leads to earlier roots; the root stays at home.
    #[must_use]
    pub fn tls_chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// Certificate and key, for TLS.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for RegistrarIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegistrarIdentity").finish_non_exhaustive()
    }
}
/// Reads all certificates of a PEM file.
///
/// # Errors
/// [`IdentityError`], also if there is none.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, IdentityError> {
    let content = |reason: String| IdentityError::Content { path: path.to_owned(), reason };
    let pem = std::fs::read(path)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .map(|der| {
            let der = der.map_err(|error| content(format!("is not PEM: {error}")))?;
            Certificate::from_der(&der).map_err(|error| content(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(content("holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

/// Reads the private key of a PEM file that only its owner may read.
///
/// # Errors
/// [`IdentityError`].
pub fn read_key(path: &Path) -> Result<PrivatePkcs8KeyDer<'static>, IdentityError> {
    check_mode(path)?;
    let pem = std::fs::read(path)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| IdentityError::Content {
        path: path.to_owned(),
        reason: "holds no private key in PKCS#8 PEM".to_owned(),
    })
}

/// Checks that only its owner may read a file that holds a secret.
///
/// # Errors
/// [`IdentityError`].
pub fn check_mode(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = std::fs::metadata(path)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    // The service manager guards the folder, and an access list of its own looks like a group's right.
    let guarded = if path.starts_with(credentials()) { 0o007 } else { 0o077 };
    match metadata.permissions().mode() & 0o777 {
        mode if mode & guarded != 0 => Err(IdentityError::Content {
            path: path.to_owned(),
            reason: format!("may be read by others (mode {mode:03o}); run 'chmod 600' on it"),
        }),
        _ => Ok(()),
    }
}
