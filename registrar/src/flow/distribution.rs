//! What every client may ask for: the CA certificates, and what to put into a CSR (RFC 7030 §4.1, §4.5, RFC 9908).

use brski_est::certs_only;
use brski_est::csr::KeyKind;
use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};
use brski_voucher::certificate::Certificate;
use rustls_pki_types::CertificateDer;

use crate::config::Profile;
use crate::store::model::Millis;

/// The body of `/cacerts`: each certificate once, in the given order.
///
/// The domain's root comes first: a client that keeps one anchor only then still knows this registrar
/// (RFC 7030 §4.1.3; draft-ietf-acme-integrations §7.2 adds the rest of the issuer's chain).
#[must_use]
pub fn ca_certificates<'a>(
    domain_root: &'a CertificateDer<'static>,
    configured: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    seen: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> Vec<u8> {
    let mut certificates: Vec<&CertificateDer<'static>> = Vec::new();
    for certificate in std::iter::once(domain_root).chain(configured).chain(seen) {
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    certs_only::encode(&certificates)
}

/// Whether a CA certificate that was seen once is of use still: one that has ended leads nobody anywhere.
#[must_use]
pub fn is_current(certificate: &CertificateDer<'_>, now: Millis) -> bool {
    Certificate::from_der(certificate).is_ok_and(|read| read.not_after() > now.seconds())
}

/// The body of `/csrattrs`: what a CSR under this profile must look like.
///
/// `name`: the device's assigned name; none before it is admitted, when a CSR would be refused anyway.
#[must_use]
pub fn csr_attributes(profile: &Profile, name: Option<&str>) -> Vec<u8> {
    let key = profile.key_types.first().and_then(|kind| match kind {
        KeyKind::EcP256 => Some(KeyTemplate::EcP256),
        KeyKind::EcP384 => Some(KeyTemplate::EcP384),
        KeyKind::EcP521 => Some(KeyTemplate::EcP521),
        KeyKind::Ed25519 => Some(KeyTemplate::Ed25519),
        KeyKind::Rsa => Some(KeyTemplate::Rsa2048),
        // A kind that this program does not know is asked for by nobody.
        _ => None,
    });
    CsrAttributes { dns_name: name.map(str::to_owned), key, linking: profile.linking }.to_der()
}
