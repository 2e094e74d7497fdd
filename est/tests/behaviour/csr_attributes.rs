//! CSR attributes as a server writes them.

use brski_est::csr_attributes::{
    CsrAttributes, CsrAttributesError, CsrPlan, KeyTemplate, KeyWish, Linking, Source,
};
use brski_est::csr_builder::Hash;

use crate::support::vector;

const KEYS: [KeyTemplate; 7] = [
    KeyTemplate::EcP256,
    KeyTemplate::EcP384,
    KeyTemplate::EcP521,
    KeyTemplate::Ed25519,
    KeyTemplate::Rsa2048,
    KeyTemplate::Rsa3072,
    KeyTemplate::Rsa4096,
];

fn all() -> impl Iterator<Item = CsrAttributes> {
    let keys = KEYS.map(Some).into_iter().chain([None]);
    keys.flat_map(|key| {
        [None, Some("a.example.org".to_owned())].into_iter().flat_map(move |dns_name| {
            [Linking::NotAsked, Linking::Required].map(|linking| CsrAttributes {
                dns_name: dns_name.clone(),
                key,
                linking,
            })
        })
    })
}

#[test]
fn writes_the_constructed_examples_to_the_octet() {
    let attributes = CsrAttributes {
        dns_name: Some("dev-0042.iot.example.com".to_owned()),
        key: Some(KeyTemplate::EcP256),
        ..CsrAttributes::default()
    };
    let Some(both) = vector("bridge/constructed_csrattrs_legacy_plus_template.der") else { return };
    assert_eq!(attributes.to_der(), both);
    assert_eq!(CsrAttributes::from_der(&both), Ok(attributes.clone()));
    let Some(legacy) = vector("bridge/constructed_csrattrs_legacy_only.der") else { return };
    assert_eq!(attributes.to_list_der(), legacy);
    assert_eq!(CsrAttributes::from_der(&legacy), Ok(attributes));
    let Some(empty) = vector("bridge/constructed_csrattrs_empty.der") else { return };
    assert_eq!(CsrAttributes::default().to_der(), empty);
    assert_eq!(CsrAttributes::from_der(&empty), Ok(CsrAttributes::default()));
}

/// RFC 9908 §5.4: RSA of 4096 bits, SHA-256, linked.
#[test]
fn writes_a_published_example_to_the_octet() {
    let Some(published) = vector("rfc9908/harkins01.csrattr.der") else { return };
    let attributes = CsrAttributes {
        key: Some(KeyTemplate::Rsa4096),
        linking: Linking::Required,
        ..CsrAttributes::default()
    };
    assert_eq!(attributes.to_list_der(), published);
    assert_eq!(CsrAttributes::from_der(&published), Ok(attributes));
}

#[test]
fn attributes_come_back_as_they_were_from_both_forms() {
    for attributes in all() {
        assert_eq!(CsrAttributes::from_der(&attributes.to_der()), Ok(attributes.clone()));
        assert_eq!(CsrAttributes::from_der(&attributes.to_list_der()), Ok(attributes.clone()));
        let source = CsrPlan::from_der(&attributes.to_der()).unwrap().source();
        let is_empty = attributes == CsrAttributes::default();
        assert_eq!(source, if is_empty { Source::List } else { Source::Template });
    }
}

#[test]
fn the_list_names_the_hash_that_goes_with_the_key() {
    for (key, hash) in [
        (KeyTemplate::EcP256, Some(Hash::Sha256)),
        (KeyTemplate::EcP384, Some(Hash::Sha384)),
        (KeyTemplate::EcP521, Some(Hash::Sha512)),
        (KeyTemplate::Rsa3072, Some(Hash::Sha256)),
        (KeyTemplate::Ed25519, None),
    ] {
        let attributes = CsrAttributes { key: Some(key), ..CsrAttributes::default() };
        let plan = CsrPlan::from_der(&attributes.to_list_der()).unwrap();
        assert_eq!(plan.hash(), hash);
        assert_eq!(plan.key(), Some(&KeyWish::from(key)));
    }
}

#[test]
fn an_answer_stays_below_what_one_line_may_have() {
    let attributes = CsrAttributes {
        dns_name: Some("device-0042.iot.example.com".to_owned()),
        key: Some(KeyTemplate::EcP256),
        linking: Linking::Required,
    };
    let body =
        brski_est::transfer::encode(&attributes.to_der(), brski_est::transfer::Folding::WhenLong);
    assert_eq!(body.matches('\n').count(), 1);
}

#[test]
fn octets_that_are_no_attributes_are_refused_by_name() {
    for octets in [&[][..], &[0x31, 0], &[0x30, 1, 0], &[0x30, 2, 5, 0], &[0x30, 2, 0x30, 0]] {
        assert_eq!(CsrPlan::from_der(octets), Err(CsrAttributesError::NotAttributes));
    }
    let octets = 17 * 1024;
    let refused = CsrPlan::from_der(&vec![0x30; octets]);
    assert_eq!(refused, Err(CsrAttributesError::TooLong { octets }));
}
