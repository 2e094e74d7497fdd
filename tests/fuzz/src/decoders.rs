//! What each fuzz target does with its input: decode it every way, and hold what was read to its promises.
//!
//! Used by the fuzz targets, and by the test that replays their corpora on stable Rust.

// Each target uses one of these.
#![allow(dead_code)]

use brski_est::csr::Csr;
use brski_est::csr_attributes::CsrAttributes;
use brski_est::{certs_only, transfer};
use brski_voucher::artefact::{Artefact, PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::audit::{AuditLog, AuditPolicy, evaluate};
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
    for strictness in [Strictness::Standard, Strictness::Lenient] {
        artefact::<PledgeRequest>(octets, encoding, strictness);
        artefact::<RegistrarRequest>(octets, encoding, strictness);
        artefact::<Voucher>(octets, encoding, strictness);
    }
    if let Ok(voucher) = Unverified::<Voucher>::parse_as(octets, encoding, Strictness::Standard) {
        let forwarded = voucher.for_pledge();
        let again = Unverified::<Voucher>::parse_as(&forwarded, encoding, Strictness::Standard);
        assert_eq!(again.expect("a forwarded voucher is one").content(), voucher.content());
    }
}

fn artefact<T: Artefact + Clone>(octets: &[u8], encoding: Encoding, strictness: Strictness) {
    let Ok(artefact) = Unverified::<T>::parse_as(octets, encoding, strictness) else {
        return;
    };
    if let Some(first) = artefact.certificates().first().cloned() {
        let _ = artefact.clone().verify_by_key(&first);
    }
    if let Ok(verified) = artefact.clone().verify_presented(ValidityTime::IgnoringExpiry) {
        assert_eq!(verified.payload(), artefact.payload());
        assert!(!verified.signer_chain().is_empty());
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
    }
    let _ = (certificate.hardware_serial_number(), certificate.subject_text());
    let _ = (certificate.dns_names(), certificate.is_ca(), certificate.subject_key_identifier());
}

/// A MASA's audit log.
pub fn audit_log(octets: &[u8]) {
    if let Ok(log) = AuditLog::parse(octets) {
        let violations = evaluate(&log, &AuditPolicy::default());
        assert!(violations.len() <= log.events().len() + 1);
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
