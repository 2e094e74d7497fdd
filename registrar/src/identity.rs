//! The registrar's own certificate and key: for TLS with pledges and MASAs, and for its voucher requests.
//!
//! One key does all of it, since the MASA looks for the key that the pledge saw (RFC 8995 §5.5.5).

use std::fmt;
use std::path::{Path, PathBuf};

use brski_voucher::certificate::{CMC_RA, Certificate};
use brski_voucher::signature::{PrivateKey, Signer};
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use crate::config::{IdentityFiles, Pin};
use crate::vault::{Vault, VaultError};

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
}

/// The registrar's identity.
pub struct RegistrarIdentity {
    certificates: Vec<Certificate>,
    domain_ca: Certificate,
    chain: Vec<Certificate>,
    signing_chain: Vec<Certificate>,
    key: PrivatePkcs8KeyDer<'static>,
    signer: PrivateKey,
}

impl RegistrarIdentity {
    /// Loads certificate, key and domain CA, and checks that they belong together.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn load(files: &IdentityFiles) -> Result<Self, IdentityError> {
        let certificates = read_certificates(&files.certificate)?;
        let domain_ca = read_certificates(&files.domain_ca)?;
        let key = read_key(&files.key)?;
        let wrong = |path: &Path, reason: String| {
            Err(IdentityError::Content { path: path.to_owned(), reason })
        };
        let signer = match PrivateKey::from_pkcs8_der(key.secret_pkcs8_der()) {
            Ok(signer) => signer,
            Err(error) => return wrong(&files.key, error.to_string()),
        };
        let (Some(own), Some(domain_ca)) = (certificates.first(), domain_ca.into_iter().next())
        else {
            return wrong(&files.certificate, "holds no certificate".to_owned());
        };
        if own.spki_der() != signer.spki_der() {
            let reason = format!("is of another key than {}", files.key.display());
            return wrong(&files.certificate, reason);
        }
        // RFC 8995 §5.5.4 asks for no more, and its own example has no more; the rest is a warning of `check`.
        if !own.has_extended_key_usage(CMC_RA) {
            return wrong(&files.certificate, "lacks the extended key usage cmcRA".to_owned());
        }
        let mut chain = certificates.clone();
        if !chain.iter().any(|each| each.der() == domain_ca.der()) {
            chain.push(domain_ca.clone());
        }
        let signing_chain = match files.pin {
            Pin::EndEntity => chain.iter().take(1).cloned().collect(),
            Pin::IssuingCa => chain.iter().take(2).cloned().collect(),
            Pin::Root => chain.clone(),
        };
        Ok(Self { certificates, domain_ca, chain, signing_chain, key, signer })
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
        // Unwrap safety: `load` refuses an empty file.
        #[allow(clippy::expect_used)]
        self.certificates.first().expect("there is a certificate")
    }

    /// The domain CA's certificate.
    #[must_use]
    pub fn domain_ca(&self) -> &Certificate {
        &self.domain_ca
    }

    /// Its certificate, any intermediates, the domain CA.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// What its voucher requests carry: the chain up to what it wants pinned.
    #[must_use]
    pub fn signing_chain(&self) -> &[Certificate] {
        &self.signing_chain
    }

    /// Its key, to sign with.
    #[must_use]
    pub fn signer(&self) -> &dyn Signer {
        &self.signer
    }

    /// What TLS sends: its certificate and any intermediates; the root stays at home.
    #[must_use]
    pub fn tls_chain(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.iter().map(|each| each.der().clone()).collect()
    }

    /// What seals under its key.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn vault(&self) -> Result<Vault, VaultError> {
        Vault::of_private_key(self.key.secret_pkcs8_der())
    }

    /// Its key, for TLS.
    #[must_use]
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
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
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(IdentityError::Content {
            path: path.to_owned(),
            reason: format!("may be read by others (mode {mode:03o}); run 'chmod 600' on it"),
        }),
        _ => Ok(()),
    }
}
