//! What a CSR may ask for: each fault by its name.

use std::net::IpAddr;

use brski_est::csr::check::{self, CsrFault};
use brski_est::csr::{Csr, GeneralName, KeyAlgorithm, KeyKind};
use brski_est::csr_builder::CsrRequest;

use crate::support::{NAME, key, private, rsa};

const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const ANY_USAGE: &str = "2.5.29.37.0";
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];

fn csr(request: &CsrRequest) -> Csr {
    Csr::parse(&request.sign(&key()).unwrap()).unwrap()
}

fn named(name: GeneralName) -> Csr {
    csr(&CsrRequest::new(&[]).with_alternative_name(&name).unwrap())
}

#[test]
fn the_assigned_name_passes_whatever_its_case() {
    for request in [
        CsrRequest::new(&[NAME]),
        CsrRequest::new(&[&NAME.to_uppercase()]),
        CsrRequest::new(&[NAME]).with_common_name(NAME),
    ] {
        check::names(&csr(&request), NAME).unwrap();
    }
}

#[test]
fn names_that_are_not_the_assigned_one_are_refused_by_their_kind() {
    let assigned = || NAME.to_owned();
    let names = |request: &CsrRequest| check::names(&csr(request), NAME);
    assert_eq!(names(&CsrRequest::new(&[])), Err(CsrFault::NoName { assigned: assigned() }));
    assert_eq!(
        names(&CsrRequest::new(&[]).with_common_name(NAME)),
        Err(CsrFault::NoName { assigned: assigned() })
    );
    for found in ["dev-2.iot.example.org", "iot.example.org", "xdev-1.iot.example.org", ""] {
        let found = found.to_owned();
        assert_eq!(
            names(&CsrRequest::new(&[&found])),
            Err(CsrFault::ForeignName { found, assigned: assigned() })
        );
    }
    assert_eq!(
        names(&CsrRequest::new(&["*.iot.example.org"])),
        Err(CsrFault::Wildcard { found: "*.iot.example.org".to_owned(), assigned: assigned() })
    );
    assert_eq!(
        names(&CsrRequest::new(&[NAME, NAME])),
        Err(CsrFault::NameTwice { assigned: assigned() })
    );
    assert!(matches!(
        names(&CsrRequest::new(&[NAME, "other.example.org"])),
        Err(CsrFault::ForeignName { .. })
    ));
    assert_eq!(
        names(&CsrRequest::new(&[NAME]).with_common_name("Thermostat 4")),
        Err(CsrFault::CommonName { found: "Thermostat 4".to_owned(), assigned: assigned() })
    );
    for found in [
        GeneralName::Ip(IpAddr::from([192, 0, 2, 1])),
        GeneralName::Email("a@example.org".into()),
        GeneralName::Uri("urn:dev:1".into()),
        GeneralName::Directory(vec![0x30, 0]),
        GeneralName::OtherName { kind: "1.2.3".into(), value: vec![5, 0] },
        GeneralName::RegisteredId("1.2.3".into()),
    ] {
        assert_eq!(
            check::names(&named(found.clone()), NAME),
            Err(CsrFault::NameKind { found, assigned: assigned() })
        );
    }
    let unreadable = CsrRequest::new(&[]).with_extension(&[0x55, 0x1d, 17], &[5, 0]);
    assert!(matches!(names(&unreadable), Err(CsrFault::Unreadable(_))));
}

#[test]
fn keys_are_held_to_their_kinds() {
    let p256 = csr(&CsrRequest::new(&[NAME]));
    check::key(&p256, &[KeyKind::EcP384, KeyKind::EcP256]).unwrap();
    let fault = check::key(&p256, &[KeyKind::Rsa, KeyKind::Ed25519]).unwrap_err();
    assert_eq!(fault.to_string(), "the key is ec-p256; allowed are: rsa, ed25519");
    let csr = CsrRequest::new(&[NAME]).sign(&private(&rsa())).unwrap();
    let rsa = Csr::parse(&csr).unwrap();
    check::key(&rsa, &[KeyKind::Rsa]).unwrap();
    let fault = check::key(&rsa, &[]).unwrap_err();
    assert_eq!(fault, CsrFault::KeyKind { found: KeyAlgorithm::Rsa(2048), allowed: Vec::new() });
}

#[test]
fn extensions_that_do_no_harm_pass() {
    let request = CsrRequest::new(&[NAME])
        .with_extension(BASIC_CONSTRAINTS, &[0x30, 0])
        .with_extension(&[0x55, 0x1d, 14], &[4, 1, 7])
        .with_critical_extension(KEY_USAGE, &[3, 2, 5, 0xa0])
        .with_extended_key_usages(&[SERVER_AUTH, CLIENT_AUTH])
        .unwrap();
    let csr = csr(&request);
    check::extensions(&csr, &[SERVER_AUTH, CLIENT_AUTH], &[]).unwrap();
    assert!(csr.extensions()[2].is_critical() && !csr.extensions()[0].is_critical());
}

#[test]
fn extensions_outside_the_profile_are_refused_by_name() {
    let check = |request: &CsrRequest| check::extensions(&csr(request), &[SERVER_AUTH], &[]);
    assert_eq!(check(&CsrRequest::new(&[NAME]).with_ca_true()), Err(CsrFault::CaTrue));
    // keyCertSign, and cRLSign.
    for usage in [[3, 2, 2, 4], [3, 2, 1, 2]] {
        let request = CsrRequest::new(&[NAME]).with_extension(KEY_USAGE, &usage);
        assert_eq!(check(&request), Err(CsrFault::CaUsage));
    }
    for usage in [CLIENT_AUTH, ANY_USAGE, "1.3.6.1.5.5.7.3.28"] {
        let request = CsrRequest::new(&[NAME]).with_extended_key_usages(&[SERVER_AUTH, usage]);
        let allowed = vec![SERVER_AUTH.to_owned()];
        let fault = CsrFault::ExtendedKeyUsage { found: usage.to_owned(), allowed };
        assert_eq!(check(&request.unwrap()), Err(fault));
    }
    let foreign = CsrRequest::new(&[NAME]).with_extension(&[0x2a, 3], &[5, 0]);
    assert_eq!(check(&foreign), Err(CsrFault::Extension { found: "1.2.3".to_owned() }));
    check::extensions(&csr(&foreign), &[], &["1.2.3"]).unwrap();
    for kind in [BASIC_CONSTRAINTS, KEY_USAGE, &[0x55, 0x1d, 37]] {
        let request = CsrRequest::new(&[NAME]).with_extension(kind, &[5, 0]);
        assert!(matches!(check(&request), Err(CsrFault::Unreadable(_))), "{kind:?}");
    }
}

/// A CA that reads identifiers loosely must not see an extension that was checked as another.
#[test]
fn an_identifier_in_a_second_spelling_is_another_one() {
    let padded = CsrRequest::new(&[]).with_extension(&[0x55, 0x1d, 0x80, 17], &[0x30, 0]);
    let csr = csr(&padded);
    assert!(csr.subject_alt_names().unwrap().is_empty());
    assert!(matches!(check::extensions(&csr, &[], &[]), Err(CsrFault::Extension { .. })));
}

#[test]
fn zones_are_compared_by_whole_labels() {
    for (name, zone) in [
        ("dev.iot.example.org", "iot.example.org"),
        ("a.dev.IOT.example.org", "iot.EXAMPLE.org"),
        ("dev.iot.example.org.", "iot.example.org"),
        ("dev.iot.example.org", "iot.example.org."),
    ] {
        assert!(check::is_under(name, zone), "{name} {zone}");
    }
    for (name, zone) in [
        ("eviliot.example.org", "iot.example.org"),
        ("iot.example.org", "iot.example.org"),
        (".iot.example.org", "iot.example.org"),
        ("a..iot.example.org", "iot.example.org"),
        ("dev.iot.example.org.evil", "iot.example.org"),
        ("dev.example.org", ""),
        ("", ""),
    ] {
        assert!(!check::is_under(name, zone), "{name} {zone}");
    }
}
