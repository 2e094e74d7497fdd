//! What each fuzz target does with its input: decode it every way, and hold what was read to its promises.
//!
//! Used by the fuzz targets, and by the test that replays their corpora on stable Rust.

// Each target uses one of these.
#![allow(dead_code)]

use std::fmt::Debug;

use brski_est::csr::Csr;
use brski_est::csr_attributes::CsrAttributes;
use brski_est::{certs_only, transfer};
use brski_voucher::artefact::{Artefact, PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::audit::{AuditLog, AuditPolicy, NoncelessRule, TruncationRule, evaluate};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid;
use brski_voucher::telemetry::Status;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;

/// JSON in CMS.
pub fn cms(octets: &[u8]) {
    artefacts(octets, Encoding::Cms);
}

/// JSON in JWS.
pub fn jws(octets: &[u8]) {
    artefacts(octets, Encoding::Jws);
}

/// CBOR in COSE.
pub fn cose(octets: &[u8]) {
    artefacts(octets, Encoding::Cose);
}

fn artefacts(octets: &[u8], encoding: Encoding) {
    artefact::<PledgeRequest>(octets, encoding);
    artefact::<RegistrarRequest>(octets, encoding);
    artefact::<Voucher>(octets, encoding);
    if let Ok(voucher) = Unverified::<Voucher>::parse_as(octets, encoding, Strictness::Standard) {
        let forwarded = voucher.for_pledge();
        let again = Unverified::<Voucher>::parse_as(&forwarded, encoding, Strictness::Standard);
        let again = again.expect("a forwarded voucher is one");
        assert_eq!(again.content(), voucher.content());
        assert_eq!(again.payload(), voucher.payload());
    }
}

fn artefact<T: Artefact + Clone + PartialEq + Debug>(octets: &[u8], encoding: Encoding) {
    let read = |strictness| Unverified::<T>::parse_as(octets, encoding, strictness);
    let read = match (read(Strictness::Standard), read(Strictness::Lenient)) {
        (Ok(standard), lenient) => {
            let lenient = lenient.expect("the lenient read what the standard is");
            assert_eq!(standard.content(), lenient.content());
            assert_eq!(standard.forgiven(), lenient.forgiven());
            standard
        }
        (Err(_), Ok(lenient)) => {
            assert!(!lenient.forgiven().is_empty(), "what is not standard is forgiven");
            lenient
        }
        (Err(_), Err(_)) => return,
    };
    judge(&read);
}

/// Holds what was read to its promises.
fn judge<T: Artefact + Clone>(artefact: &Unverified<T>) {
    if let Some(first) = artefact.certificates().first().cloned() {
        let _ = artefact.clone().verify_by_key(&first);
    }
    let presented = artefact.presented();
    if let Ok(verified) = artefact.clone().verify_presented(ValidityTime::IgnoringExpiry) {
        assert_eq!(verified.payload(), artefact.payload());
        assert_eq!(verified.signer_chain().first(), Some(verified.signer()));
        assert_eq!(presented.signers.first(), Some(verified.signer()));
        assert_eq!(presented.forgiven, verified.forgiven());
    }
}

/// An IDevID, and all that is read from one.
pub fn certificate(octets: &[u8]) {
    let Ok(certificate) = Certificate::from_der(octets) else {
        return;
    };
    assert_eq!(certificate.der().as_ref(), octets);
    let _ = idevid::serial_number(&certificate);
    let issuer = idevid::issuer(&certificate);
    assert!(idevid::issuer_form(&issuer, &certificate).is_some());
    if let Some(url) = certificate.masa_url_extension()
        && let Ok(url) = idevid::MasaUrl::parse(url)
    {
        assert_eq!(idevid::MasaUrl::parse(&url.to_string()).as_ref(), Ok(&url));
        assert!(url.endpoint("requestvoucher").starts_with("https://"));
    }
    let _ = (certificate.hardware_serial_number(), certificate.subject_text());
    let _ = (certificate.dns_names(), certificate.is_ca(), certificate.subject_key_identifier());
    let _ =
        (certificate.extended_key_usages(), certificate.issuer_text(), format!("{certificate:?}"));
}

/// A MASA's audit log.
pub fn audit_log(octets: &[u8]) {
    if let Ok(log) = AuditLog::parse(octets) {
        let violations = evaluate(&log, &AuditPolicy::default());
        assert!(violations.len() <= log.events().len() + 1);
        let anything = AuditPolicy {
            accepted: log.events().iter().map(|event| event.domain().clone()).collect(),
            nonceless: NoncelessRule::AcceptedDomains,
            truncation: TruncationRule::Accepted,
            ..AuditPolicy::default()
        };
        assert_eq!(evaluate(&log, &anything), []);
    }
}

/// A pledge's status report.
pub fn telemetry(octets: &[u8]) {
    if let Ok(status) = Status::parse(octets) {
        assert_eq!(Status::parse(&status.to_json()).ok(), Some(status));
    }
}

/// A PKCS #10 request in any transfer encoding.
pub fn csr(octets: &[u8]) {
    let der = transfer::decode(octets).unwrap_or_else(|_| octets.to_vec());
    if let Ok(csr) = Csr::parse(&der) {
        let _ = (csr.subject_alt_names(), csr.extensions(), csr.key_algorithm());
        let _ = csr.prove();
    }
}

/// A certs-only message.
pub fn certs_only(octets: &[u8]) {
    let _ = certs_only::decode(octets);
}

/// CSR attributes.
pub fn csr_attributes(octets: &[u8]) {
    let _ = CsrAttributes::from_der(octets);
}
