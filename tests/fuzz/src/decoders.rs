//! What each fuzz target does with its input: decode it every way, and hold what was read to its promises.
//!
//! Used by the fuzz targets, and by the test that replays their corpora on stable Rust.

// Each target uses one of these.
#![allow(dead_code)]

use std::fmt::Debug;
use std::time::Duration;

use brski_est::authentication::Credentials;
use brski_est::client::{EstServer, KeyDelivery, Reply};
use brski_est::csr::{Csr, GeneralName, check};
use brski_est::csr_attributes::{ClientFacts, CsrAttributes, CsrPlan};
use brski_est::renewal_info::{CertificateId, RenewalInfo, Window};
use brski_est::server_keygen::{
    Boundary, DecryptionKey, KeyAnswer, KeyAnswerBody, KeyProtection, decrypt_key,
};
use brski_est::transfer::TransferError;
use brski_est::{certs_only, path, transfer};
use brski_voucher::artefact::{Artefact, PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::audit::{AuditLog, AuditPolicy, NoncelessRule, TruncationRule, evaluate};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid;
use brski_voucher::telemetry::Status;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use rustls_pki_types::{CertificateDer, UnixTime};

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

/// A PKCS#10 request in any transfer encoding, and what a server asks about it.
pub fn csr(octets: &[u8]) {
    let der = transfer::decode_csr(octets).unwrap_or_else(|_| octets.to_vec());
    let Ok(csr) = Csr::parse(&der) else {
        return;
    };
    assert_eq!(csr.der(), der);
    let _ = (csr.key_algorithm(), csr.key_usage(), csr.extended_key_usage());
    let _ = (csr.basic_constraints(), csr.common_names(), csr.subject_attributes());
    if check::names(&csr, "lab.example").is_ok() {
        let names = csr.subject_alt_names().expect("they were looked at");
        assert_eq!(names.len(), 1);
    }
    if check::extensions(&csr, &[], &[]).is_ok() {
        assert!(csr.basic_constraints().is_ok_and(|each| each.is_none_or(|each| !each.is_ca())));
    }
    if let Ok(KeyProtection::Encrypted(request)) = KeyProtection::of(&csr) {
        assert!(request.recipient(&[]).is_err());
    }
    if let Ok(proven) = csr.prove() {
        assert!(proven.key_algorithm().kind().is_some());
    }
}

/// A certs-only message, in DER and in BER.
pub fn certs_only(octets: &[u8]) {
    if let Ok(certificates) = certs_only::decode(octets) {
        let again = certs_only::encode(&certificates.iter().collect::<Vec<_>>());
        assert_eq!(certs_only::decode(&again), Ok(certificates));
    }
}

/// CSR attributes, and the request that a client makes after them.
pub fn csr_attributes(octets: &[u8]) {
    let Ok(plan) = CsrPlan::from_der(octets) else {
        return;
    };
    let read = CsrAttributes::from_der(octets).expect("they were read as a plan");
    assert_eq!(CsrAttributes::from_der(&read.to_der()).as_ref(), Ok(&read));
    assert_eq!(CsrAttributes::from_der(&read.to_list_der()).as_ref(), Ok(&read));
    let facts = ClientFacts::new()
        .with_subject("2.5.4.3", "lab.example")
        .with_name(GeneralName::Dns("lab.example".to_owned()))
        .with_challenge_password("x");
    let _ = plan.request(&facts);
}

/// Base64 around a body.
pub fn transfer(octets: &[u8]) {
    let _ = transfer::decode_csr(octets);
    if let Ok(der) = transfer::decode(octets) {
        for folding in [transfer::Folding::Never, transfer::Folding::WhenLong] {
            let again = transfer::encode(&der, folding);
            match transfer::decode(again.as_bytes()) {
                Ok(read) => assert_eq!(read, der),
                Err(TransferError::Empty) => assert!(der.is_empty()),
                // A body just below the limit is above it in base64.
                Err(TransferError::TooLong { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A path of EST.
pub fn est_path(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(request) = path::Request::parse(text) {
        let mut written = path::of(request.label(), request.operation());
        if let Some(id) = request.certificate_id() {
            written = format!("{written}/{id}");
        }
        assert_eq!(path::Request::parse(&written), Ok(request));
    }
}

/// The answer of `/serverkeygen`, and an encrypted key as it stands in one.
pub fn server_keygen(octets: &[u8]) {
    if let Ok(answer) = KeyAnswer::parse("multipart/mixed; boundary=b", octets)
        && let [certificate, ..] = answer.certificates()
    {
        let boundary = Boundary::from_random([7; 16]);
        let folding = transfer::Folding::WhenLong;
        let again = KeyAnswerBody::new(answer.key(), certificate, &boundary, folding);
        let read = KeyAnswer::parse(again.content_type(), again.body());
        // A part that is empty, or not DER at all, does not come back.
        if let Ok(read) = read {
            assert_eq!(read.key(), answer.key());
        }
    }
    let key = DecryptionKey::from_pkcs8_der(&fixed_key()).expect("it is a key");
    if let Ok(opened) = decrypt_key(octets, &key) {
        assert!(opened.key().pkcs8_der().starts_with(&[0x30]));
    }
}

/// PKCS#8 of a P-256 key that is no secret: its number is the octet 7 over and over. Seeds are encrypted for it.
pub fn fixed_key() -> Vec<u8> {
    let head = [0x30, 0x41, 2, 1, 0];
    let algorithm = [0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let curve = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let key = [4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20];
    [&head[..], &algorithm, &curve, &key, &[7; 32]].concat()
}

/// When to renew.
pub fn renewal_info(octets: &[u8]) {
    if let Ok(info) = RenewalInfo::from_json(octets) {
        assert!(info.window().end() > info.window().start());
        assert_eq!(RenewalInfo::from_json(&info.to_json()).ok(), Some(info));
    }
    if let Ok(text) = std::str::from_utf8(octets)
        && let Ok(id) = CertificateId::parse(text)
    {
        assert_eq!(id.to_string(), text);
    }
    let certificate = CertificateDer::from(octets);
    if let Ok(id) = CertificateId::of(&certificate) {
        assert_eq!(CertificateId::parse(&id.to_string()), Ok(id));
    }
    let _ = Window::of_certificate(&certificate);
}

/// The statuses that mean different things to a client of EST.
pub const STATUSES: [u16; 8] = [200, 202, 204, 302, 401, 403, 404, 503];

/// Anything that an EST server may answer: the first octet chooses the status, a line of headers follows, then the body.
pub fn est_answer(octets: &[u8]) {
    let Some((status, rest)) = octets.split_first() else {
        return;
    };
    let (header, body) = match rest.iter().position(|octet| *octet == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (rest, &[][..]),
    };
    let mut response = http::Response::new(body);
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    *response.status_mut() = http::StatusCode::from_u16(status).expect("it is one");
    if let Ok(value) = http::HeaderValue::from_bytes(header) {
        for name in [CONTENT_TYPE, RETRY_AFTER, LOCATION, WWW_AUTHENTICATE] {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let server = EstServer::from_url("https://est.example.org").expect("it is a URL");
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_780_272_000));
    if let Ok(Reply::Refused(refused)) = server.read_ca_certs(&response, now) {
        assert!(refused.reason().chars().count() <= 1000);
        assert!(!refused.reason().contains(char::is_control));
    }
    let _ = server.read_csr_attrs(&response, now);
    let _ = server.read_enrolled(&response, &[], now);
    let _ = server.read_generated(&response, KeyDelivery::Plain, now);
    if let Ok(Reply::Done(renewal)) = server.read_renewal_info(&response, now) {
        assert!((60..=86_400).contains(&renewal.ask_again().secs()));
    }
    if let Ok(text) = std::str::from_utf8(header) {
        let _ = Credentials::from_basic(text);
    }
}
