//! What every client may ask for: the CA certificates, and what to put into a CSR (RFC 7030 §4.1, §4.5, RFC 9908).

use brski_est::certs_only;
use brski_est::csr::KeyKind;
use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};
use brski_voucher::certificate::Certificate;
use rustls_pki_types::CertificateDer;

use crate::config::Profile;
use crate::store::model::{ChainCertificate, Millis, Sha256};

/// The body of `/cacerts`: each certificate once, in the given order.
///
/// The domain's root comes first: a client that keeps one anchor only then still knows this registrar
/// (RFC 7030 §4.1.3, which also wants what leads from one root to the next; draft-ietf-acme-integrations §7.2 adds the
/// rest of the issuer's chain).
#[must_use]
pub fn ca_certificates<'a>(
    domain: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    configured: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    seen: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> Vec<u8> {
    let mut certificates: Vec<&CertificateDer<'static>> = Vec::new();
    for certificate in domain.into_iter().chain(configured).chain(seen) {
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    certs_only::encode(&certificates)
}

/// The CA certificates that a certificate in use still needs: those directly above one, and all above these.
///
/// `seen`: all that were ever seen; `issuing`: SHA-256 of those directly above certificates that are neither expired
/// nor revoked. Intermediates rotate, and an answer that only ever grew would get too long for clients.
#[must_use]
pub fn needed<'a>(
    seen: &'a [ChainCertificate],
    issuing: &[Sha256],
) -> Vec<&'a CertificateDer<'static>> {
    let read: Vec<(&ChainCertificate, Certificate)> = seen
        .iter()
        .filter_map(|row| Some((row, Certificate::from_der(&row.certificate).ok()?)))
        .collect();
    let mut is_needed: Vec<bool> =
        read.iter().map(|(row, _)| issuing.contains(&row.fingerprint)).collect();
    loop {
        // A cross-signed CA has more than one certificate above it, and any of them may lead to a client's anchor.
        let above: Vec<bool> = read
            .iter()
            .map(|(_, upper)| {
                read.iter()
                    .zip(&is_needed)
                    .any(|((_, lower), is)| *is && lower.issuer_der() == upper.subject_der())
            })
            .collect();
        let grown: Vec<bool> = is_needed.iter().zip(above).map(|(is, also)| *is || also).collect();
        if grown == is_needed {
            let rows = read.into_iter().zip(is_needed).filter(|(_, is)| *is);
            return rows.map(|((row, _), _)| &row.certificate).collect();
        }
        is_needed = grown;
    }
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    type Ca = CertifiedIssuer<'static, KeyPair>;

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    }

    fn root(name: &str) -> Ca {
        CertifiedIssuer::self_signed(parameters(name), KeyPair::generate().unwrap()).unwrap()
    }

    fn below(name: &str, issuer: &Ca) -> Ca {
        CertifiedIssuer::signed_by(parameters(name), KeyPair::generate().unwrap(), issuer).unwrap()
    }

    fn row(ca: &Ca) -> ChainCertificate {
        let certificate = ca.der().clone();
        let fingerprint = Sha256::of(&certificate);
        ChainCertificate { issuer: "acme".into(), certificate, fingerprint }
    }

    #[test]
    fn an_intermediate_stays_with_all_above_it_as_long_as_a_certificate_needs_it() {
        let root = root("root");
        let middle = below("middle", &root);
        let (old, new) = (below("old", &middle), below("new", &root));
        let seen = [row(&old), row(&new), row(&middle), row(&root)];
        let served = |issuing: &[&Ca]| -> Vec<usize> {
            let issuing: Vec<Sha256> = issuing.iter().map(|ca| row(ca).fingerprint).collect();
            let needed = needed(&seen, &issuing);
            (0..seen.len()).filter(|place| needed.contains(&&seen[*place].certificate)).collect()
        };
        assert_eq!(served(&[&old, &new]), [0, 1, 2, 3]);
        assert_eq!(served(&[&old]), [0, 2, 3]);
        assert_eq!(served(&[&new]), [1, 3], "the CA goes on with another intermediate");
        assert_eq!(served(&[]), [0; 0]);
    }

    #[test]
    fn every_certificate_of_a_cross_signed_ca_is_kept() {
        let (first, second) = (root("first"), root("second"));
        let issuing = below("issuing", &first);
        let key = KeyPair::generate().unwrap();
        // Another certificate with the name of the first root, by the second one.
        let cross = CertifiedIssuer::signed_by(parameters("first"), key, &second).unwrap();
        let seen = [row(&issuing), row(&first), row(&cross), row(&second)];
        assert_eq!(needed(&seen, &[seen[0].fingerprint]).len(), 4);
    }
}
