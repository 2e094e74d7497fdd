//! No input makes a reader hold more than 16 times its size plus 64 KiB at once.

// What clippy.toml allows in tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper fails as a test does")]

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use brski_voucher::ARTEFACT_OCTETS;
use brski_voucher::artefact::{
    Assertion, Nonce, PledgeRequest, PledgeRequestFields, RegistrarRequest, Voucher,
};
use brski_voucher::audit::AuditLog;
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use brski_voucher::telemetry::Status;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::Unverified;
use peak_alloc::PeakAlloc;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::UnixTime;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
/// The allocator counts for all threads, so that one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What `work` holds at its highest, beyond what was there before.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let value = work();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    drop(value);
    peak
}

fn jws(payload: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let payload = URL_SAFE_NO_PAD.encode(payload);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    format!(
        r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"AA"}}]}}"#
    )
    .into_bytes()
}

fn fill(head: &[u8], unit: &[u8], tail: &[u8]) -> Vec<u8> {
    let count = (ARTEFACT_OCTETS - head.len() - tail.len()) / unit.len();
    [head, &unit.repeat(count), tail].concat()
}

fn cut(mut octets: Vec<u8>, length: usize) -> Vec<u8> {
    octets.truncate(length);
    octets
}

/// Inputs of full size that are dear to hold for a reader that keeps what it meets.
fn hostile() -> Vec<Vec<u8>> {
    let members: String = (0..5000).map(|number| format!("\"{number}\":1,")).collect();
    let root = br#"{"ietf-voucher:voucher":{"#;
    let object = [&root[..], members.as_bytes(), br#""serial-number":"x"}}"#].concat();
    vec![
        // CBOR: wide arrays, deep arrays, maps of small numbers, tags.
        [
            &[0xd2, 0x84, 0x40, 0xa0, 0x59, 0xf0, 0x00][..],
            &cut(fill(&[0x99, 0xef, 0xf0], &[0], &[]), 61440),
        ]
        .concat(),
        fill(&[0xd2, 0x84, 0x40, 0xa0], &[0x81], &[]),
        fill(&[0xd2, 0x9f], &[0], &[0xff]),
        fill(&[], &[0xc1], &[]),
        fill(&[0xd2, 0x84, 0x40, 0xbf], &[0, 0], &[0xff]),
        // JSON: many members, deep nesting, long lists of nothing.
        jws(&object),
        jws(&cut(fill(b"", b"[", b""), 48000)),
        jws(&cut(fill(b"{\"x\":[", b"0,", b"0]}"), 48000)),
        fill(
            b"{\"payload\":\"\",\"signatures\":[",
            br#"{"protected":"","signature":""},"#,
            b"{}]}",
        ),
        fill(
            b"{\"version\":1,\"events\":[",
            br#"{"date":"2026-01-01T00:00:00Z","domainID":"","assertion":""},"#,
            b"",
        ),
        cut(
            fill(b"{\"version\":1,\"status\":true,\"reason-context\":{\"x\":[", b"0,", b"0]}}"),
            16384,
        ),
        // DER: a SEQUENCE of nothings, nested SEQUENCEs, BER in pieces, certificates without number.
        fill(&[0x30, 0x83, 0, 0xff, 0xfb], &[0x05, 0x00], &[]),
        fill(&[], &[0x30, 0x80], &[]),
        fill(&[0x30, 0x80, 0x24, 0x80], &[0x04, 0x00], &[0, 0, 0, 0]),
        fill(&[0x30, 0x83, 0, 0xff, 0xfb], &[0x30, 0x03, 0x02, 0x01, 0x01], &[]),
    ]
}

/// One value of DER, with a length of three octets.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let [.., upper, middle, lower] = contents.len().to_be_bytes();
    [&[tag, 0x83, upper, middle, lower], &contents[..]].concat()
}

/// A certificate that is little more than extensions, each as small as can be.
fn certificate_of_extensions(count: usize) -> Vec<u8> {
    let name = der(0x30, &[]);
    let dates = der(0x30, &[&der(0x17, &[b"260101000000Z"]), &der(0x17, &[b"360101000000Z"])]);
    let extensions = [0x30, 5, 0x06, 1, 0x2a, 0x04, 0].repeat(count);
    let extensions = der(0xa3, &[&der(0x30, &[&extensions])]);
    let version = der(0xa0, &[&[2, 1, 2]]);
    let body = der(0x30, &[&version, &[2, 1, 1], &name, &name, &dates, &name, &name, &extensions]);
    der(0x30, &[&body, &name, &der(0x03, &[&[0]])])
}

fn signed_data(certificates: &[u8]) -> Vec<u8> {
    const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    let content = der(0x30, &[DATA, &der(0xa0, &[&der(0x04, &[b"{}"])])]);
    let (digests, certificates) = (der(0x31, &[]), der(0xa0, &[certificates]));
    let inside = der(0x30, &[&[2, 1, 1], &digests, &content, &certificates, &digests]);
    der(0x30, &[SIGNED_DATA, &der(0xa0, &[&inside])])
}

/// Inputs that are dear for a reader that copies parts, and parts of these.
fn copied() -> Vec<Vec<u8>> {
    let dense = certificate_of_extensions(2300);
    assert!(Certificate::from_der(&dense).is_ok());
    let in_cbor = [&[0x59][..], &u16::try_from(dense.len()).unwrap().to_be_bytes(), &dense];
    let in_cbor = in_cbor.concat().repeat(3);
    let cose = [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26, 0xa1, 0x18, 0x21, 0x83];
    // A large string inside of many values. The indefinite length around it makes a reader look at all of it.
    let nested = (0..28).fold(vec![0; 60_000], |inside, _| der(0x30, &[&inside]));
    let rewritten = (0..28).fold(vec![0x04, 0], |inside, _| {
        [&[0x30, 0x80], &inside[..], &der(0x04, &[&[0; 2000]]), &[0, 0]].concat()
    });
    vec![
        dense.clone(),
        signed_data(&dense.repeat(3)),
        [&cose[..], &in_cbor, &[0x40, 0x40]].concat(),
        [&[0x30, 0x80][..], &nested, &[0, 0]].concat(),
        rewritten,
        fill(&[0x30, 0x80], &[0x05, 0x00], &[0, 0]),
        cut(fill(&[0x30, 0x80], &[0x05, 0x00], &[0, 0]), 8194),
        // Names in JSON that must be told apart.
        jws(&names(5500)),
        jws(&cut(b"{\"a\":".repeat(9000), 48000)),
        fill(br#"{"version":1,"events":[]"#, br#","\u0061":1"#, b"}"),
    ]
}

/// An object of short names, all different.
fn names(count: usize) -> Vec<u8> {
    let members: Vec<String> = (0..count).map(|number| format!("\"{number:x}\":0")).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

#[test]
fn no_reader_holds_much_more_than_it_was_given() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, octets) in [hostile(), copied()].concat().iter().enumerate() {
        let limit = 16 * octets.len() + 64 * 1024;
        let within = |name: &str, peak: usize| {
            assert!(peak <= limit, "{name} held {peak} for {} (input {number})", octets.len());
        };
        for encoding in [Encoding::Cms, Encoding::Jws, Encoding::Cose] {
            let lenient = Strictness::Lenient;
            within(
                "pledge request",
                peak(|| Unverified::<PledgeRequest>::parse_as(octets, encoding, lenient)),
            );
            within(
                "registrar request",
                peak(|| Unverified::<RegistrarRequest>::parse_as(octets, encoding, lenient)),
            );
            within("voucher", peak(|| Unverified::<Voucher>::parse_as(octets, encoding, lenient)));
        }
        within("certificate", peak(|| Certificate::from_der(octets)));
        within("audit log", peak(|| AuditLog::parse(octets)));
        within("status", peak(|| Status::parse(octets)));
    }
}

/// A chain of as many certificates as are read, each as long as fits; the signer's key and chain.
fn long_chain() -> (PrivateKey, Vec<Certificate>) {
    let params = |number: usize| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, number.to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let padding = CustomExtension::from_oid_content(&[1, 2, 3], vec![0; 2000]);
        params.custom_extensions.push(padding);
        params
    };
    let mut key = KeyPair::generate().unwrap();
    let mut chain =
        vec![Certificate::from_der(params(0).self_signed(&key).unwrap().der()).unwrap()];
    for number in 1..16 {
        let own = KeyPair::generate().unwrap();
        let issuer = Issuer::new(params(number - 1), key);
        let certificate = params(number).signed_by(&own, &issuer).unwrap();
        chain.insert(0, Certificate::from_der(certificate.der()).unwrap());
        key = own;
    }
    (PrivateKey::from_pkcs8_der(key.serialized_der()).unwrap(), chain)
}

#[test]
fn no_verification_holds_much_more_than_it_was_given() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (signer, chain) = long_chain();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_780_272_000));
    let fields = PledgeRequestFields {
        assertion: Assertion::Proximity,
        serial_number: SerialNumber::parse("x").unwrap(),
        nonce: Nonce::from_random([7; 16]),
        created_on: None,
        proximity_registrar_cert: chain[0].der().clone(),
    };
    let anchors = Anchors::new(&[chain[15].der().clone()]).unwrap();
    for encoding in [Encoding::Cms, Encoding::Jws, Encoding::Cose] {
        // A JWS is larger by two times base64.
        let carried = if encoding == Encoding::Jws { &chain[..12] } else { &chain[..] };
        let octets = fields.sign_as(encoding, &signer, carried, now).unwrap();
        assert!(octets.len() > 30_000, "{}", octets.len());
        let limit = 16 * octets.len() + 64 * 1024;
        let parse =
            || Unverified::<PledgeRequest>::parse_as(&octets, encoding, Strictness::Lenient);
        let time = ValidityTime::At(now);
        let presented = peak(|| parse().unwrap().verify_presented(time));
        let by_anchors = peak(|| parse().unwrap().verify_by_anchors(&anchors, time));
        assert!(presented <= limit && by_anchors <= limit, "{presented}, {by_anchors} > {limit}");
    }
}
