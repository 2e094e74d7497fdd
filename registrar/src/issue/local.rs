//! The local issuer: a private device CA inside the registrar, for labs and air gaps.
//!
//! Its root is not the domain CA: a certificate under what vouchers pin could pose as a registrar.
//! Invariant: it never issues cmcRA, anyExtendedKeyUsage, CA:TRUE or keyCertSign; what goes into a certificate
//! is written here, and nothing of the CSR but its key and those of the usages it asks for that the profile allows.
//! How the name was proven is none of its business.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brski_est::csr::KeyAlgorithm;
use brski_est::renewal_info::Window;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{ApprovedCsr, IssueError, IssuedChain, Issuer, Submission};
use crate::config::LocalConfig;
use crate::config::usage::{CLIENT_AUTH, SERVER_AUTH};
use crate::entropy::random_bytes;
use crate::flow::fault::Fault;
use crate::identity::IdentityError;
use crate::keys::Key;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Outcome, Phase};
use crate::store::model::{Id, IssuedCertificate, Millis};

/// How far certificates are backdated, for devices whose clock is slow.
const BACKDATE_SECS: i64 = 3600;
/// The longest common name (RFC 5280, ub-common-name).
const COMMON_NAME_OCTETS: usize = 64;
const DAY_SECS: i64 = 24 * 3600;
/// How long a revocation list is good for, in days.
const CRL_DAYS: i64 = 7;
/// What makes a registrar of its holder, and what makes anything: never given.
const CMC_RA: &str = "1.3.6.1.5.5.7.3.28";
const ANY_USAGE: &str = "2.5.29.37.0";

/// The local issuer.
pub struct LocalIssuer {
    name: String,
    issuer: rcgen::Issuer<'static, Key>,
    certificate: Vec<CertificateDer<'static>>,
    spki: Vec<u8>,
    validity_days: u32,
    metrics: Arc<Metrics>,
    crl_url: Option<String>,
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
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] IdentityError),
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
        config: &LocalConfig,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LocalIssuerError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| LocalIssuerError::Read {
                path: path.display().to_string(),
                source,
            })
        };
        let pem = read(&config.certificate)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            LocalIssuerError::Certificate { path: config.certificate.display().to_string() }
        })?;
        let key = Key::open(&config.key)?;
        let spki = key.spki_der().to_vec();
        let issuer = rcgen::Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self {
            name: name.to_owned(),
            issuer,
            certificate: vec![der],
            spki,
            metrics,
            validity_days: config.validity_days,
            crl_url: config.crl_url.clone(),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn issue(&self, csr: &ApprovedCsr, now: Millis) -> Result<IssuedChain, IssueError> {
        let failed = |reason: String| IssueError::Issuer { issuer: self.name.clone(), reason };
        let given = usages(csr);
        if let Some(lacking) = csr.grant().require_eku.iter().find(|usage| !given.contains(usage)) {
            let reason = format!(
                "the profile requires the extended key usage {lacking} and does not give it to this CSR"
            );
            return Err(failed(reason));
        }
        let since = Instant::now();
        let signed = self.sign(csr, now);
        let outcome = match &signed {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Error(Fault::Local),
        };
        self.metrics.phase(Phase::LocalIssue, outcome, since.elapsed());
        let leaf = signed.map_err(|error| failed(error.to_string()))?;
        Ok(IssuedChain { leaf, above: self.certificate.clone() })
    }

    fn sign(
        &self,
        csr: &ApprovedCsr,
        now: Millis,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let key = SubjectPublicKeyInfo::from_der(csr.csr().spki_der())?;
        let mut certificate = parameters(csr.name(), now)?;
        let days = csr.grant().validity_days.unwrap_or(self.validity_days);
        certificate.not_after = date(now.seconds() + i64::from(days) * DAY_SECS);
        certificate.key_usages = key_usages(csr.csr().key_algorithm());
        certificate.extended_key_usages = usages(csr).iter().map(|usage| purpose(usage)).collect();
        if let Some(url) = &self.crl_url {
            certificate.crl_distribution_points =
                vec![CrlDistributionPoint { uris: vec![url.clone()] }];
        }
        Ok(certificate.signed_by(&key, &self.issuer)?.der().clone())
    }

    /// Signs the list of revoked certificates (RFC 5280 §5): DER.
    ///
    /// `revoked`: certificates of this issuer that were revoked and have not ended.
    ///
    /// # Errors
    /// What the signing says; the device CA may lack the key usage cRLSign.
    pub fn revocation_list(
        &self,
        revoked: &[IssuedCertificate],
        now: Millis,
    ) -> Result<Vec<u8>, rcgen::Error> {
        let entry = |row: &IssuedCertificate| {
            Some(RevokedCertParams {
                serial_number: SerialNumber::from(octets(&row.serial)?),
                revocation_time: date(row.revoked_at?.seconds()),
                reason_code: None,
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update: date(now.seconds() - BACKDATE_SECS),
            next_update: date(now.seconds() + CRL_DAYS * DAY_SECS),
            // Nodes that sign at the same time sign the same list.
            crl_number: SerialNumber::from(u64::try_from(now.0).unwrap_or(0)),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().filter_map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.der().to_vec())
    }
}

fn parameters(name: &str, now: Millis) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    if name.len() <= COMMON_NAME_OCTETS {
        parameters.distinguished_name.push(DnType::CommonName, name);
    }
    parameters.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = date(now.seconds() - BACKDATE_SECS);
    // 20 octets at most, and positive: the first bit is cleared, the one after it set.
    let mut serial: [u8; 16] = random_bytes();
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(parameters)
}

/// What a device's key may do: sign, and with RSA receive keys of TLS 1.2. Never more, whatever the CSR asks.
fn key_usages(key: KeyAlgorithm) -> Vec<KeyUsagePurpose> {
    match key {
        KeyAlgorithm::Rsa(_) => {
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]
        }
        _ => vec![KeyUsagePurpose::DigitalSignature],
    }
}

/// What the certificate may be used for: what the CSR asks of what the profile allows; all of that, if it asks nothing.
fn usages(csr: &ApprovedCsr) -> Vec<String> {
    let allowed = &csr.grant().allow_eku;
    let asked = csr.csr().extended_key_usage().unwrap_or_default();
    let given: Vec<String> = match asked.is_empty() {
        true => allowed.clone(),
        false => asked.into_iter().filter(|usage| allowed.contains(usage)).collect(),
    };
    // The configuration refuses them; this is the last line.
    given.into_iter().filter(|usage| usage != CMC_RA && usage != ANY_USAGE).collect()
}

fn purpose(usage: &str) -> ExtendedKeyUsagePurpose {
    match usage {
        SERVER_AUTH => ExtendedKeyUsagePurpose::ServerAuth,
        CLIENT_AUTH => ExtendedKeyUsagePurpose::ClientAuth,
        other => ExtendedKeyUsagePurpose::Other(
            other.split('.').filter_map(|arc| arc.parse().ok()).collect(),
        ),
    }
}

fn octets(hexadecimal: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    hexadecimal
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
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
        self.issue(csr, now).map(Submission::Issued)
    }

    fn sign_at_once(
        &self,
        csr: &ApprovedCsr,
        now: Millis,
    ) -> Option<Result<IssuedChain, IssueError>> {
        Some(self.issue(csr, now))
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
