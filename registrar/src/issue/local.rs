//! The local issuer: a private device CA inside the registrar, for labs and air gaps.
//!
//! Its root is not the domain CA: a certificate under what vouchers pin could pose as a registrar.
//! Invariant: it never issues cmcRA, anyExtendedKeyUsage, CA:TRUE or keyCertSign; what goes into a certificate
//! is written here, and nothing of the CSR but its key and the assigned name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brski_est::renewal_info::Window;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{ApprovedCsr, IssueError, IssuedChain, Issuer, Submission};
use crate::entropy::random_bytes;
use crate::flow::fault::Fault;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Outcome, Phase};
use crate::store::model::{Id, IssuedCertificate, Millis};

/// How far certificates are backdated, for devices whose clock is slow.
const BACKDATE_SECS: i64 = 3600;
/// The longest common name (RFC 5280, ub-common-name).
const COMMON_NAME_OCTETS: usize = 64;
const DAY_SECS: i64 = 24 * 3600;

/// The local issuer.
pub struct LocalIssuer {
    name: String,
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: Vec<CertificateDer<'static>>,
    spki: Vec<u8>,
    validity_days: u32,
    metrics: Arc<Metrics>,
}

/// Why the device CA cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LocalIssuerError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{path} holds no certificate in PEM")]
    Certificate {
        /// The file.
        path: String,
    },
    /// The certificate and the key do not make a CA.
    #[error("the device CA's certificate and key cannot be used")]
    Unusable(#[from] rcgen::Error),
}

impl LocalIssuer {
    /// Loads the device CA from its two files, both PEM.
    ///
    /// # Errors
    /// [`LocalIssuerError`], naming the file.
    pub fn load(
        name: &str,
        certificate: &Path,
        key: &Path,
        validity_days: u32,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LocalIssuerError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| LocalIssuerError::Read {
                path: path.display().to_string(),
                source,
            })
        };
        let pem = read(certificate)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            LocalIssuerError::Certificate { path: certificate.display().to_string() }
        })?;
        let key = KeyPair::from_pem(&read(key)?)?;
        let spki = key.subject_public_key_info();
        let issuer = rcgen::Issuer::from_ca_cert_der(&der, key)?;
        let (name, certificate) = (name.to_owned(), vec![der]);
        Ok(Self { name, issuer, certificate, spki, validity_days, metrics })
    }

    fn sign(
        &self,
        csr: &ApprovedCsr,
        now: Millis,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let key = SubjectPublicKeyInfo::from_der(csr.csr().spki_der())?;
        let certificate = parameters(csr.name(), self.validity_days, now)?;
        Ok(certificate.signed_by(&key, &self.issuer)?.der().clone())
    }
}

fn parameters(
    name: &str,
    validity_days: u32,
    now: Millis,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    if name.len() <= COMMON_NAME_OCTETS {
        parameters.distinguished_name.push(DnType::CommonName, name);
    }
    parameters.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = date(now.seconds() - BACKDATE_SECS);
    parameters.not_after = date(now.seconds() + i64::from(validity_days) * DAY_SECS);
    // 20 octets at most, and positive: the first bit is cleared, the one after it set.
    let mut serial: [u8; 16] = random_bytes();
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(parameters)
}

fn date(unix_seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[async_trait]
impl Issuer for LocalIssuer {
    async fn submit(
        &self,
        _enrollment: &Id,
        csr: &ApprovedCsr,
        now: Millis,
    ) -> Result<Submission, IssueError> {
        let since = Instant::now();
        let signed = self.sign(csr, now);
        let outcome = match &signed {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Error(Fault::Local),
        };
        self.metrics.phase(Phase::LocalIssue, outcome, since.elapsed());
        let leaf = signed.map_err(|error| IssueError::Issuer {
            issuer: self.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Submission::Issued(IssuedChain { leaf, above: self.certificate.clone() }))
    }

    async fn wait(&self, _enrollment: &Id, _limit: Duration) {}

    fn holds_key(&self, spki: &[u8]) -> bool {
        self.spki == spki
    }

    async fn renewal_window(&self, _certificate: &IssuedCertificate) -> Option<Window> {
        None
    }

    fn anchors(&self) -> &[CertificateDer<'static>] {
        &self.certificate
    }
}
