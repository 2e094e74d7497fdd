//! Certificates, CSRs and certs-only messages, for people.

use brski_est::certs_only;
use brski_est::csr::Csr;
use brski_voucher::certificate::Certificate;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::clean;
use crate::store::model::hex;

/// Describes DER of one of these.
pub(crate) fn describe(der: &[u8]) -> Option<String> {
    if let Ok(certificate) = Certificate::from_der(der) {
        return Some(format!("certificate\n{}", self::certificate(&certificate)));
    }
    if let Ok(csr) = Csr::parse(der) {
        return Some(self::csr(csr));
    }
    let certificates = certs_only::decode(der).ok()?;
    let mut text = format!("certs-only message with {} certificates\n", certificates.len());
    for der in certificates {
        let certificate = Certificate::from_der(&der).ok()?;
        text.push_str(&self::certificate(&certificate));
    }
    Some(text)
}

/// A point in time for people; the number where no calendar reaches.
fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// A certificate in a few lines.
pub(crate) fn certificate(certificate: &Certificate) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<16} {}\n", clean(value)));
    };
    line("SHA-256", &hex(&certificate.fingerprint()));
    line("serial", &hex(certificate.serial()));
    line(
        "valid",
        &format!("{} to {}", date(certificate.not_before()), date(certificate.not_after())),
    );
    if let Some(serial) = certificate.subject_serial_number() {
        line("device serial", serial);
    }
    if let Some(url) = certificate.masa_url_extension() {
        line("MASA", url);
    }
    for name in certificate.dns_names() {
        line("DNS name", name);
    }
    line("CA", if certificate.is_ca() { "yes" } else { "no" });
    text
}

fn csr(csr: Csr) -> String {
    let names: Vec<String> = csr
        .subject_alt_names()
        .map(|names| names.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let key = csr.key_algorithm();
    let extensions: Vec<String> =
        csr.extensions().iter().map(|extension| extension.oid().to_owned()).collect();
    let proof = match csr.prove() {
        Ok(_) => "holds".to_owned(),
        Err(error) => error.to_string(),
    };
    format!(
        "CSR\n  key              {key}\n  names            {}\n  extensions       {}\n  signature        {proof}\n",
        clean(&names.join(", ")),
        extensions.join(", "),
    )
}
