//! EST's messages against published bytes, against themselves, and against hostile ones.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use brski_est::client::Outcome;
use brski_est::csr::{Csr, CsrError, GeneralName, KeyAlgorithm};
use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};
use brski_est::csr_builder::{CsrRequest, EcdsaKey};
use brski_est::path::{Label, Operation, Request};
use brski_est::transfer::{Folding, TransferError, decode, encode};
use brski_est::{certs_only, media_type};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;

/// A published example, or nothing where the examples are not at hand.
#[expect(clippy::disallowed_methods, reason = "where vectors lie is a matter of the machine")]
fn vector(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("VECTORS_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    match std::fs::read(folder.join(name)) {
        Ok(octets) => Some(octets),
        Err(error) => {
            let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!is_ci, "skipped: no vectors ({name}: {error})");
            println!("skipped: no vectors");
            None
        }
    }
}

fn key() -> EcdsaKey {
    EcdsaKey::from_pkcs8_der(KeyPair::generate().unwrap().serialized_der()).unwrap()
}

fn csr() -> Vec<u8> {
    CsrRequest::new(&["dev-1.iot.example.org"]).with_common_name("dev-1").sign(&key()).unwrap()
}

fn certificate() -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.self_signed(&key).unwrap().der().clone()
}

#[test]
fn reads_the_published_certs_only_messages() {
    for (name, count) in [
        ("rfc7030/a1_cacerts_response.b64", 4),
        ("rfc7030/a3_simpleenroll_response.b64", 1),
        ("rfc7030/a4_serverkeygen_response_cert.b64", 1),
    ] {
        let Some(body) = vector(name) else { return };
        assert_eq!(certs_only::decode(&decode(&body).unwrap()).unwrap().len(), count, "{name}");
    }
}

#[test]
fn reads_the_published_csr_and_refuses_its_sha1() {
    let Some(body) = vector("rfc7030/a3_simpleenroll_request.b64") else { return };
    let csr = Csr::parse(&decode(&body).unwrap()).unwrap();
    assert_eq!(csr.challenge_password(), Some("+rrCir/7+EYu50T4"));
    assert_eq!(csr.key_algorithm(), KeyAlgorithm::Rsa(2048));
    assert_eq!(csr.prove(), Err(CsrError::Algorithm));
}

#[test]
fn writes_csr_attributes_like_the_constructed_example() {
    let Some(expected) = vector("bridge/constructed_csrattrs_legacy_plus_template.der") else {
        return;
    };
    let attributes = CsrAttributes {
        dns_name: Some("dev-0042.iot.example.com".to_owned()),
        key: Some(KeyTemplate::EcP256),
    };
    assert_eq!(attributes.to_der(), expected);
    assert_eq!(CsrAttributes::from_der(&expected), Ok(attributes.clone()));
    let Some(legacy) = vector("bridge/constructed_csrattrs_legacy_only.der") else { return };
    assert_eq!(CsrAttributes::from_der(&legacy), Ok(attributes));
    let Some(empty) = vector("bridge/constructed_csrattrs_empty.der") else { return };
    assert_eq!(CsrAttributes::from_der(&empty), Ok(CsrAttributes::default()));
}

#[test]
fn reads_every_published_csr_attributes_body() {
    for name in [
        "rfc7030/a2_csrattrs_response.der",
        "rfc7030/s4_5_2_csrattrs.der",
        "rfc9908/realistic-acp.csrattr.der",
        "rfc9908/rfc7030-example01.csrattr.der",
        "rfc9908/potato-example.csrattr.der",
        "rfc9908/harkins01.csrattr.der",
        "rfc9908/harkins02.csrattr.der",
        "rfc9908/harkins03.csrattr.der",
        "rfc9908/constructed_s3_4_csrattrs.der",
    ] {
        let Some(body) = vector(name) else { return };
        CsrAttributes::from_der(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn csr_attributes_come_back_as_they_were() {
    for key in
        [None, Some(KeyTemplate::EcP256), Some(KeyTemplate::EcP384), Some(KeyTemplate::EcP521)]
    {
        for dns_name in [None, Some("a.example.org".to_owned())] {
            let attributes = CsrAttributes { dns_name, key };
            assert_eq!(CsrAttributes::from_der(&attributes.to_der()), Ok(attributes));
        }
    }
}

#[test]
fn a_csr_says_what_it_was_built_with() {
    let csr = Csr::parse(&csr()).unwrap();
    assert_eq!(csr.common_names(), ["dev-1"]);
    assert_eq!(
        csr.subject_alt_names().unwrap(),
        [GeneralName::Dns("dev-1.iot.example.org".into())]
    );
    assert_eq!(csr.key_algorithm(), KeyAlgorithm::EcP256);
    assert!(csr.challenge_password().is_none());
    csr.prove().unwrap();
}

#[test]
fn a_csr_of_another_library_is_read_alike() {
    for algorithm in
        [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P521_SHA512]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let parameters = CertificateParams::new(vec!["b.example.org".to_owned()]).unwrap();
        let csr = parameters.serialize_request(&key).unwrap();
        let csr = Csr::parse(csr.der()).unwrap().prove().unwrap();
        assert_eq!(csr.subject_alt_names().unwrap().len(), 1);
        assert_ne!(csr.key_algorithm(), KeyAlgorithm::Unknown);
    }
}

#[test]
fn a_changed_octet_never_proves() {
    let csr = csr();
    for position in 0..csr.len() {
        let mut changed = csr.clone();
        changed[position] ^= 1;
        if let Ok(read) = Csr::parse(&changed) {
            // The parameters of the public key's algorithm are not signed over twice, but the whole key is once.
            assert!(read.prove().is_err(), "octet {position}");
        }
    }
}

#[test]
fn the_same_wish_has_the_same_digest_whatever_its_signature() {
    let key = key();
    let digest = |request: &CsrRequest| {
        Csr::parse(&request.sign(&key).unwrap()).unwrap().prove().unwrap().enrollment_digest()
    };
    let plain = CsrRequest::new(&["a.example.org"]);
    assert_eq!(digest(&plain), digest(&plain));
    assert_eq!(digest(&plain), digest(&plain.clone().with_challenge_password("x")));
    assert_ne!(digest(&plain), digest(&CsrRequest::new(&["b.example.org"])));
    assert_ne!(digest(&plain), digest(&plain.clone().with_common_name("a.example.org")));
}

#[test]
fn refuses_an_extension_that_is_there_twice() {
    let names: (&[u8], &[u8]) = (&[0x55, 0x1d, 17], &[0x30, 3, 0x82, 1, b'x']);
    let csr = CsrRequest::new(&["a.example.org"]).with_extension(names.0, names.1);
    let refused = Csr::parse(&csr.sign(&key()).unwrap());
    assert!(matches!(refused, Err(CsrError::Twice(_))), "{refused:?}");
}

#[test]
fn reads_every_form_of_a_body() {
    let csr = csr();
    let one_line = encode(&csr, Folding::Never);
    let folded: String = one_line
        .trim()
        .as_bytes()
        .chunks(64)
        .map(|line| format!("{}\r\n", String::from_utf8_lossy(line)))
        .collect();
    let armoured =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{folded}-----END CERTIFICATE REQUEST-----\n");
    let spaced = one_line.replace('A', "A \t");
    for body in
        [one_line.as_bytes(), folded.as_bytes(), armoured.as_bytes(), spaced.as_bytes(), &csr]
    {
        assert_eq!(decode(body).unwrap(), csr);
    }
    assert_eq!(decode(b""), Err(TransferError::Empty));
    assert_eq!(decode(b" \r\n"), Err(TransferError::Empty));
    assert_eq!(decode(b"no base64!"), Err(TransferError::NotBase64));
    assert_eq!(decode(&vec![b'A'; 65 * 1024]), Err(TransferError::TooLong { octets: 65 * 1024 }));
}

#[test]
fn an_answer_is_one_line_but_for_clients_that_fold() {
    let long = vec![7; 2000];
    let one = encode(&long, Folding::for_client(b"AAAA", "anything"));
    assert_eq!(one.matches('\n').count(), 1);
    assert!(one.ends_with('\n'));
    for folding in
        [Folding::for_client(b"AAAA\nAAAA\n", ""), Folding::for_client(b"", "libest 3.2.0p")]
    {
        let folded = encode(&long, folding);
        assert!(folded.lines().all(|line| line.len() <= 64), "{folded}");
        assert_eq!(decode(folded.as_bytes()).unwrap(), long);
        assert_eq!(
            encode(&[7; 100], folding).matches('\n').count(),
            1,
            "short answers suit everybody"
        );
    }
}

#[test]
fn certificates_come_back_in_the_order_given() {
    let (a, b) = (certificate(), certificate());
    for order in [[&a, &b], [&b, &a]] {
        let read = certs_only::decode(&certs_only::encode(&order)).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), order);
    }
    assert!(certs_only::decode(&certs_only::encode(&[])).unwrap().is_empty());
    certs_only::decode(&a).unwrap_err();
}

#[test]
fn paths_name_an_operation_and_perhaps_a_label() {
    let request = Request::parse("/.well-known/est/simpleenroll").unwrap();
    assert_eq!((request.label(), request.operation()), (None, Operation::SimpleEnroll));
    let request = Request::parse("/.well-known/est/plant-7/cacerts").unwrap();
    assert_eq!(request.label().map(Label::as_str), Some("plant-7"));
    for path in [
        "/.well-known/est",
        "/.well-known/est/",
        "/.well-known/est/nothing",
        "/est/cacerts",
        "/.well-known/est/a/b/cacerts",
        "/.well-known/est//cacerts",
        "/.well-known/est/cacerts/",
        "/.well-known/est/simpleenroll/cacerts",
        "/.well-known/est/a%2fb/cacerts",
    ] {
        Request::parse(path).expect_err(path);
    }
}

#[test]
fn a_client_understands_every_answer() {
    let body = encode(&certs_only::encode(&[&certificate()]), Folding::Never);
    assert!(
        matches!(Outcome::of(200, "", body.as_bytes()), Outcome::Issued(all) if all.len() == 1)
    );
    assert_eq!(Outcome::of(202, "17", b""), Outcome::Pending { retry_after_secs: 17 });
    assert_eq!(
        Outcome::of(202, "Fri, 31 Dec 1999", b""),
        Outcome::Pending { retry_after_secs: 60 }
    );
    for (status, body) in [(403, "no"), (200, "garbage!"), (200, ""), (201, "x")] {
        let outcome = Outcome::of(status, "", body.as_bytes());
        assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    }
}

#[test]
fn media_types_are_spelled_as_clients_compare_them() {
    assert_eq!(media_type::CA_CERTS, "application/pkcs7-mime");
    assert_eq!(media_type::CERTS_ONLY, "application/pkcs7-mime; smime-type=certs-only");
}

#[test]
fn no_changed_input_panics() {
    let attributes =
        CsrAttributes { dns_name: Some("a.example.org".into()), key: Some(KeyTemplate::EcP256) };
    let seeds = [csr(), attributes.to_der(), certs_only::encode(&[&certificate()])];
    // A small generator that repeats itself: what fails once fails always.
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(state >> 8).unwrap()
    };
    for seed in seeds {
        for _ in 0..3000 {
            let mut octets = seed.clone();
            for _ in 0..=next() % 3 {
                let position = next() % octets.len();
                octets[position] = u8::try_from(next() % 256).unwrap();
            }
            octets.truncate(next() % (octets.len() + 1));
            if let Ok(csr) = Csr::parse(&octets) {
                let _ = (csr.common_names(), csr.subject_alt_names(), csr.key_usage());
                let _ = (csr.extended_key_usage(), csr.basic_constraints(), csr.prove());
            }
            let _ = CsrAttributes::from_der(&octets);
            let _ = certs_only::decode(&octets);
            let _ = decode(&octets);
        }
    }
}
