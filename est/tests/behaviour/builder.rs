//! CSRs that clients make.

use brski_est::csr::{Csr, GeneralName};
use brski_est::csr_builder::{BuildError, CsrRequest, Signer as _};

use crate::support::{key, vector};

#[test]
fn a_server_that_makes_the_key_asks_for_the_same() {
    let client = CsrRequest::new(&["a.example.org"])
        .with_common_name("a.example.org")
        .with_subject_attribute("2.5.4.5", "SN-1")
        .unwrap()
        .with_critical_extension(&[0x55, 0x1d, 15], &[3, 2, 5, 0xa0])
        .with_challenge_password("x")
        .sign(&key())
        .unwrap();
    let client = Csr::parse(&client).unwrap();
    let made = key();
    let csr = CsrRequest::like(&client).sign(&made).unwrap();
    let csr = Csr::parse(&csr).unwrap().prove().unwrap();
    assert_eq!(csr.spki_der(), made.spki_der());
    assert_eq!(csr.subject_der(), client.subject_der());
    assert_eq!(csr.extensions(), client.extensions());
    assert_eq!(csr.challenge_password(), None);
}

#[test]
fn the_published_request_can_be_asked_for_again() {
    let Some(body) = vector("rfc7030/a4_serverkeygen_request.der") else { return };
    let published = Csr::parse(&body).unwrap();
    let csr = Csr::parse(&CsrRequest::like(&published).sign(&key()).unwrap()).unwrap();
    assert_eq!(csr.subject_der(), published.subject_der());
    assert_eq!(csr.subject_attributes()[1].text(), "PID:Widget SN:10");
}

#[test]
fn subjects_have_the_string_types_of_their_attributes() {
    let csr = CsrRequest::new(&[])
        .with_subject_attribute("2.5.4.6", "DE")
        .unwrap()
        .with_subject_attribute("2.5.4.10", "Example")
        .unwrap()
        .with_subject_attribute("1.2.840.113549.1.9.1", "a@example.org")
        .unwrap()
        .sign(&key())
        .unwrap();
    let csr = Csr::parse(&csr).unwrap();
    let contains = |octets: &[u8]| csr.subject_der().windows(octets.len()).any(|all| all == octets);
    assert!(contains(b"\x13\x02DE") && contains(b"\x0c\x07Example"));
    assert!(contains(b"\x16\x0da@example.org"));
}

#[test]
fn refuses_identifiers_that_are_none() {
    let request = || CsrRequest::new(&[]);
    for oid in ["", "x", "3.1", "2.5.29."] {
        for refused in [
            request().with_subject_attribute(oid, "x").unwrap_err(),
            request().with_attribute(oid, &[]).unwrap_err(),
            request().with_extended_key_usages(&[oid]).unwrap_err(),
        ] {
            assert!(matches!(refused, BuildError::Oid { .. }), "{refused}");
        }
    }
    let name = GeneralName::RegisteredId("nothing".into());
    assert!(matches!(request().with_alternative_name(&name), Err(BuildError::Name { .. })));
}
