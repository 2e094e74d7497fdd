//! `registrar inspect`: what a file is.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_registrar::identity::read_certificates;
use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequestFields, RegistrarRequestFields, VoucherFields,
};
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, UnixTime};

use super::{Made, registrar, registrar_with_stdin, stderr, stdout};

#[test]
fn inspect_says_what_a_file_is() {
    let made = Made::new(&[]);
    let output = registrar(&["inspect", &made.file("registrar.pem").to_string_lossy()]);
    assert!(stdout(&output).contains("localhost"), "{}", stdout(&output));
    let output = registrar(&["inspect", &made.config()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is not a voucher, a voucher request"), "{}", stderr(&output));
    let output = registrar(&["inspect", &made.file("nothing").to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
}

/// Runs `inspect --json` on octets in a file; gives the exit code and the object.
fn inspected(octets: &[u8], name: &str, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, octets).unwrap();
    let file = file.to_string_lossy();
    let all: Vec<&str> = ["inspect", &file, "--json"].iter().chain(arguments).copied().collect();
    let output = registrar(&all);
    let object = serde_json::from_slice(&output.stdout);
    (output.status.code(), object.unwrap_or_else(|_| panic!("{}", stderr(&output))))
}

#[test]
fn inspect_decodes_and_verifies_artefacts_in_each_encoding() {
    let made = Made::new(&[]);
    let anchor = made.file("domain-ca.pem").to_string_lossy().into_owned();
    let foreign = made.file("device-ca.pem").to_string_lossy().into_owned();
    let own = read_certificates(&made.file("registrar.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(made.file("registrar.key")).unwrap();
    let (signer, now) = (PrivateKey::from_der(&key).unwrap(), UnixTime::now());
    let voucher = VoucherFields {
        assertion: Assertion::Logged,
        serial_number: SerialNumber::parse("X-1").unwrap(),
        binding: Binding::ExpiresOn(now),
        created_on: now,
        idevid_issuer: None,
        pinned_domain_cert: own[0].der().clone(),
        domain_cert_revocation_checks: None,
    };
    for (encoding, word) in
        [(Encoding::Cms, "cms"), (Encoding::Jws, "jws"), (Encoding::Cose, "cose")]
    {
        let octets = voucher.sign_as(encoding, &signer, &own, now).unwrap();
        let (code, seen) = inspected(&octets, "file", &[]);
        assert_eq!((code, &seen["verified"]), (Some(0), &serde_json::Value::Null));
        assert_eq!(
            (seen["kind"].as_str(), seen["encoding"].as_str()),
            (Some("voucher"), Some(word))
        );
        assert_eq!(seen["fields"]["serial-number"], "X-1");
        assert_eq!(seen["forgiven"], serde_json::json!([]));
        let (code, seen) = inspected(&octets, "file", &["--trust", &anchor]);
        assert_eq!((code, &seen["verified"]), (Some(0), &true.into()), "{word}");
        let (code, seen) = inspected(&octets, "file", &["--trust", &foreign]);
        assert_eq!((code, &seen["verified"]), (Some(1), &false.into()), "{word}");
        let later = ["--trust", &anchor, "--at", "2099-01-01T00:00:00Z"];
        assert_eq!(inspected(&octets, "file", &later).0, Some(1));
    }
    let octets = voucher.sign(&signer, &own, now).unwrap();
    let folded = format!("{}\n", STANDARD.encode(&octets));
    let (code, seen) = inspected(folded.as_bytes(), "file", &["--trust", &anchor]);
    assert_eq!((code, &seen["forgiven"]), (Some(0), &serde_json::json!(["base64-body"])));
}

#[test]
fn inspect_tells_the_kinds_apart() {
    let made = Made::new(&[]);
    let own = read_certificates(&made.file("registrar.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(made.file("registrar.key")).unwrap();
    let (signer, now) = (PrivateKey::from_der(&key).unwrap(), UnixTime::now());
    let serial = SerialNumber::parse("X-1").unwrap();
    let nonce = Nonce::from_random([1; 16]);
    let pledge = PledgeRequestFields {
        assertion: Assertion::Proximity,
        serial_number: serial.clone(),
        nonce: nonce.clone(),
        created_on: None,
        proximity_registrar_cert: own[0].der().clone(),
    };
    let pledge = pledge.sign(&signer, &own, now).unwrap();
    let registrar = RegistrarRequestFields {
        assertion: None,
        serial_number: serial,
        nonce: None,
        created_on: now,
        idevid_issuer: vec![4, 0],
        prior_signed_voucher_request: None,
    };
    let registrar = registrar.sign_as(Encoding::Cose, &signer, &own, now).unwrap();
    let log = br#"{"version":"1","events":[],"truncation":{"arbitrary":"2"}}"#;
    let status = br#"{"version":1,"status":false,"reason":"no"}"#;
    for (octets, name, kind, encoding) in [
        (&pledge[..], "file", "pledge-request", "cms"),
        (&registrar, "file", "registrar-request", "cose"),
        (log, "file", "audit-log", "json"),
        (status, "file", "voucher-status", "json"),
        (status, "enrollstatus.json", "enroll-status", "json"),
    ] {
        let (code, seen) = inspected(octets, name, &[]);
        assert_eq!(code, Some(0));
        assert_eq!(
            (seen["kind"].as_str(), seen["encoding"].as_str()),
            (Some(kind), Some(encoding))
        );
        for key in ["fields", "signers", "verified", "forgiven"] {
            assert!(seen.get(key).is_some(), "{key}");
        }
    }
    let unusable = registrar_with_stdin(&["inspect", "-"], b"hello");
    assert_eq!(unusable.status.code(), Some(2));
    let there = registrar_with_stdin(&["inspect", "-"], status);
    assert!(stdout(&there).starts_with("voucher-status in json"), "{}", stdout(&there));
}
