//! Issued certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::moment;
use crate::store::model::IssuedCertificate;

/// A certificate as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// SHA-256, hexadecimal.
    pub fingerprint: String,
    /// The identifier of the device that it was issued to.
    pub device: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// Start of its validity.
    pub not_before: String,
    /// End of its validity.
    pub not_after: String,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

impl From<&IssuedCertificate> for CertificateView {
    fn from(row: &IssuedCertificate) -> Self {
        Self {
            fingerprint: row.fingerprint.to_string(),
            device: row.device.to_string(),
            serial: row.serial.clone(),
            issuer: row.issuer.clone(),
            not_before: moment(row.not_before),
            not_after: moment(row.not_after),
            revoked_at: row.revoked_at.map(moment),
        }
    }
}

/// A certificate with its bytes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateDetail {
    /// The certificate.
    #[serde(flatten)]
    pub view: CertificateView,
    /// PEM.
    pub pem: String,
}

impl From<&IssuedCertificate> for CertificateDetail {
    fn from(row: &IssuedCertificate) -> Self {
        Self { view: row.into(), pem: pem(&row.certificate) }
    }
}

/// Which certificates are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CertificateQuery {
    /// How many, at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// Which end within this many seconds, and have not ended yet.
    #[param(minimum = 0, maximum = 4294967295u32)]
    pub expires_within_secs: Option<u32>,
}

/// A certificate in PEM.
#[must_use]
pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
