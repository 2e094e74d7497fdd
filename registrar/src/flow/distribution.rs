//! What every client may ask for: the CA certificates, and what to put into a CSR (RFC 7030 §4.1, §4.5, RFC 9908).

use std::collections::BTreeSet;

use brski_est::certs_only;
use rustls_pki_types::CertificateDer;

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
    let mut known = BTreeSet::new();
    let certificates: Vec<&CertificateDer<'static>> = std::iter::once(domain_root)
        .chain(configured)
        .chain(seen)
        .filter(|certificate| known.insert(certificate.as_ref()))
        .collect();
    certs_only::encode(&certificates)
}
