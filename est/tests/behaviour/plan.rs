//! What a client is asked to put into its CSR, and does.

use std::net::IpAddr;

use brski_est::csr::{Csr, GeneralName, KeyKind};
use brski_est::csr_attributes::{
    ClientFacts, CsrAttributes, CsrAttributesError, CsrPlan, ExtensionValue, KeyTemplate, KeyWish,
    Linking, NameKind, NameSlot, PlanError, Requested, Source,
};
use brski_est::csr_builder::{Hash, Signer as _};

use crate::support::{key, private, rsa, vector};

const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";
const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
const MAC_ADDRESS: &str = "1.3.6.1.1.1.1.22";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const TEMPLATE: [u8; 13] = [6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 16, 2, 61];

fn plan(name: &str) -> Option<CsrPlan> {
    let body = vector(name)?;
    Some(CsrPlan::from_der(&body).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn unknown(plan: &CsrPlan) -> Vec<&str> {
    plan.unknown().iter().map(Requested::oid).collect()
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u8::try_from(contents.len()).unwrap();
    let length = if length < 0x80 { vec![length] } else { vec![0x81, length] };
    [&[tag][..], &length, contents].concat()
}

/// A body of one template with these contents.
fn template(contents: &[u8]) -> Vec<u8> {
    let set = tlv(0x31, &tlv(0x30, contents));
    tlv(0x30, &tlv(0x30, &[&TEMPLATE[..], &set].concat()))
}

/// RFC 9908 §3.4.
#[test]
fn the_published_template_is_read_in_full() {
    let Some(plan) = plan("rfc9908/constructed_s3_4_csrattrs.der") else { return };
    assert_eq!(plan.source(), Source::Template);
    let subject: Vec<(&str, Option<&[u8]>)> =
        plan.subject().iter().map(|name| (name[0].kind(), name[0].value())).collect();
    let department: &[u8] = b"\x0c\x06myDept";
    let group: &[u8] = b"\x0c\x07myGroup";
    assert_eq!(
        subject,
        [
            (COMMON_NAME, None),
            (ORGANIZATIONAL_UNIT, Some(department)),
            (ORGANIZATIONAL_UNIT, Some(group))
        ]
    );
    assert_eq!(plan.key(), Some(&KeyWish::Kind(KeyKind::EcP256)));
    let [names, usage, extended] = plan.extensions() else { panic!("three extensions") };
    let ExtensionValue::Names(slots) = names.value() else { panic!("names") };
    let [NameSlot::Given { name, .. }, NameSlot::ClientFills(NameKind::Ip)] = slots.as_slice()
    else {
        panic!("{slots:?}")
    };
    assert_eq!(name, &GeneralName::Dns("www.myServer.com".into()));
    assert!(usage.is_critical());
    assert_eq!(usage.value(), &ExtensionValue::Given(vec![3, 2, 3, 0x88]));
    assert_eq!(extended.oid(), EXTENDED_KEY_USAGE);
    assert_eq!(extended.value(), &ExtensionValue::ClientFills);
    assert_eq!((plan.linking(), plan.hash()), (Linking::NotAsked, None));
    assert!(unknown(&plan).is_empty());
}

#[test]
fn a_client_fills_the_published_template() {
    let Some(plan) = plan("rfc9908/constructed_s3_4_csrattrs.der") else { return };
    let address = GeneralName::Ip(IpAddr::from([192, 0, 2, 7]));
    let facts = ClientFacts::new()
        .with_subject(COMMON_NAME, "device 7")
        .with_name(GeneralName::Dns("not.asked.for".into()))
        .with_name(address.clone())
        .with_extension(EXTENDED_KEY_USAGE, &[0x30, 0]);
    let key = key();
    assert!(plan.key().unwrap().is_met_by(key.spki_der()));
    let csr = Csr::parse(&plan.request(&facts).unwrap().sign(&key).unwrap()).unwrap();
    let subject: Vec<String> =
        csr.subject_attributes().iter().map(|each| each.text().to_owned()).collect();
    assert_eq!(subject, ["device 7", "myDept", "myGroup"]);
    let names = [GeneralName::Dns("www.myServer.com".into()), address];
    assert_eq!(csr.subject_alt_names().unwrap(), names);
    let kinds: Vec<(&str, bool)> =
        csr.extensions().iter().map(|each| (each.oid(), each.is_critical())).collect();
    assert_eq!(kinds, [("2.5.29.17", false), ("2.5.29.15", true), ("2.5.29.37", false)]);
    csr.prove().unwrap();
}

#[test]
fn a_client_that_cannot_fill_a_template_says_what_is_missing() {
    let Some(plan) = plan("rfc9908/constructed_s3_4_csrattrs.der") else { return };
    let refused = |facts: &ClientFacts| plan.request(facts).unwrap_err();
    let facts = ClientFacts::new();
    assert_eq!(refused(&facts), PlanError::Subject { kind: COMMON_NAME.to_owned() });
    let facts = facts.with_subject(COMMON_NAME, "x");
    assert_eq!(refused(&facts), PlanError::Name { kind: NameKind::Ip });
    let facts = facts.with_name(GeneralName::Ip(IpAddr::from([192, 0, 2, 7])));
    assert_eq!(refused(&facts), PlanError::Extension { oid: EXTENDED_KEY_USAGE.to_owned() });
    plan.request(&facts.with_extension(EXTENDED_KEY_USAGE, &[0x30, 0])).unwrap();
    let linked = CsrAttributes { linking: Linking::Required, ..CsrAttributes::default() };
    let plan = CsrPlan::from_der(&linked.to_der()).unwrap();
    assert_eq!(plan.request(&ClientFacts::new()).unwrap_err(), PlanError::ChallengePassword);
}

/// RFC 9908 §4.
#[test]
fn a_template_makes_the_list_beside_it_count_for_nothing() {
    let list = CsrAttributes {
        dns_name: Some("list.example.org".into()),
        key: Some(KeyTemplate::Rsa2048),
        linking: Linking::Required,
    };
    let template = CsrAttributes {
        dns_name: Some("template.example.org".into()),
        key: Some(KeyTemplate::EcP384),
        linking: Linking::NotAsked,
    };
    let inside = |der: &[u8]| {
        let header = if der[1] < 0x80 { 2 } else { usize::from(der[1] & 0x7f) + 2 };
        der[header..].to_vec()
    };
    let template_alone =
        inside(&template.to_der())[inside(&template.to_list_der()).len()..].to_vec();
    let both = [inside(&list.to_list_der()), template_alone].concat();
    let both = tlv(0x30, &both);
    assert_eq!(CsrAttributes::from_der(&both), Ok(template));
    let plan = CsrPlan::from_der(&both).unwrap();
    assert_eq!((plan.source(), plan.linking()), (Source::Template, Linking::NotAsked));
}

/// RFC 7030 §4.5.2 and Appendix A.2, RFC 9908 §5.
#[test]
fn the_published_lists_are_read() {
    for (name, key, hash, unknown_ones) in [
        (
            "rfc7030/s4_5_2_csrattrs.der",
            Some(KeyKind::EcP384),
            Some(Hash::Sha384),
            // An extension request without extensions: the example's own mistake.
            &["1.2.840.113549.1.9.14"][..],
        ),
        (
            "rfc8951/s4_5_2_csrattrs.b64",
            Some(KeyKind::EcP384),
            Some(Hash::Sha384),
            &["1.2.840.113549.1.9.14"],
        ),
        (
            "rfc9908/rfc7030-example01.csrattr.der",
            Some(KeyKind::EcP384),
            Some(Hash::Sha384),
            &[MAC_ADDRESS],
        ),
        (
            "rfc9908/potato-example.csrattr.der",
            Some(KeyKind::EcP521),
            Some(Hash::Sha512),
            &["1.2.840.113549.1.9.20", "0.9.2342.19200300.100.1.5"],
        ),
        (
            "rfc9908/harkins03.csrattr.der",
            Some(KeyKind::EcP521),
            Some(Hash::Sha512),
            &["1.2.840.113549.1.9.20", "0.9.2342.19200300.100.1.5"],
        ),
        ("rfc9908/harkins02.csrattr.der", Some(KeyKind::EcP384), Some(Hash::Sha384), &[]),
        // brainpoolP384r1 alone is a curve that nobody here has.
        (
            "rfc7030/a2_csrattrs_response.der",
            None,
            Some(Hash::Sha384),
            &[MAC_ADDRESS, "2.999.1", "2.999.2", "1.3.36.3.3.2.8.1.1.11"],
        ),
    ] {
        let Some(body) = vector(name) else { return };
        let der = brski_est::transfer::decode(&body).unwrap();
        let plan = CsrPlan::from_der(&der).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plan.source(), Source::List);
        assert_eq!(plan.linking(), Linking::Required, "{name}");
        assert_eq!(plan.key(), key.map(KeyWish::Kind).as_ref(), "{name}");
        assert_eq!(plan.hash(), hash, "{name}");
        assert_eq!(unknown(&plan), unknown_ones, "{name}");
    }
    let Some(plan) = plan("rfc7030/a2_csrattrs_response.der") else { return };
    assert_eq!(plan.unknown()[2].values().len(), 3);
}

#[test]
fn a_list_asks_for_values_of_the_subject() {
    let Some(plan) = plan("rfc9908/harkins02.csrattr.der") else { return };
    assert_eq!(plan.subject()[0][0].kind(), SERIAL_NUMBER);
    let facts = ClientFacts::new().with_challenge_password("x");
    let missing = plan.request(&facts).unwrap_err();
    assert_eq!(missing, PlanError::Subject { kind: SERIAL_NUMBER.to_owned() });
    let facts = facts.with_subject(SERIAL_NUMBER, "SN-7").with_subject(COMMON_NAME, "not asked");
    let csr = plan.request(&facts).unwrap().sign(&key()).unwrap();
    let csr = Csr::parse(&csr).unwrap();
    assert_eq!(csr.subject_attributes().len(), 1);
    assert_eq!(csr.subject_attributes()[0].text(), "SN-7");
    assert_eq!(csr.challenge_password(), Some("x"));
}

/// RFC 9908 §5.1, and §5.3 as its prose says.
#[test]
fn a_name_that_the_server_gives_goes_in_to_the_octet() {
    for name in ["rfc9908/realistic-acp.csrattr.der", "rfc9908/constructed_s5_3_as_prose_says.der"]
    {
        let Some(plan) = plan(name) else { return };
        let facts = ClientFacts::new()
            .with_subject(SERIAL_NUMBER, "SN-7")
            .with_challenge_password("x")
            .with_name(GeneralName::Dns("not.asked.for".into()));
        let csr = plan.request(&facts).unwrap().sign(&key()).unwrap();
        let csr = Csr::parse(&csr).unwrap();
        for (asked, slot) in csr.extensions().iter().zip(plan.extensions()) {
            assert_eq!(asked.oid(), slot.oid());
            assert_eq!(asked.is_critical(), slot.is_critical());
        }
        assert_eq!(csr.extensions().len(), plan.extensions().len(), "{name}");
        let names: Vec<GeneralName> = plan.given_names().cloned().collect();
        assert_eq!(csr.subject_alt_names().unwrap(), names);
    }
    let Some(plan) = plan("rfc9908/realistic-acp.csrattr.der") else { return };
    let Some(published) = vector("rfc9908/realistic-acp.csrattr.der") else { return };
    let csr = plan.request(&ClientFacts::new()).unwrap().sign(&key()).unwrap();
    let csr = Csr::parse(&csr).unwrap();
    assert!(csr.extensions()[0].is_critical());
    assert!(published.ends_with(csr.extensions()[0].der()));
}

#[test]
fn a_client_that_is_asked_for_nothing_says_what_it_knows() {
    let facts = ClientFacts::new()
        .with_subject(COMMON_NAME, "dev-1")
        .with_name(GeneralName::Dns("dev-1.example.org".into()));
    for plan in [CsrPlan::empty(), CsrPlan::from_der(&[0x30, 0]).unwrap()] {
        assert!(plan.is_empty());
        let csr = plan.request(&facts).unwrap().sign(&key()).unwrap();
        let csr = Csr::parse(&csr).unwrap();
        assert_eq!(csr.common_names(), ["dev-1"]);
        assert_eq!(csr.subject_alt_names().unwrap().len(), 1);
    }
    let unwritable = [
        ClientFacts::new().with_subject("nothing", "x"),
        ClientFacts::new().with_name(GeneralName::Other(3)),
    ];
    for facts in unwritable {
        let refused = CsrPlan::empty().request(&facts).unwrap_err();
        assert!(matches!(refused, PlanError::Fact { .. }), "{refused}");
    }
}

#[test]
fn bare_identifiers_of_keys_curves_and_extensions_are_understood() {
    let list = |identifiers: &[&[u8]]| {
        let elements: Vec<u8> = identifiers.iter().flat_map(|each| tlv(6, each)).collect();
        CsrPlan::from_der(&tlv(0x30, &elements)).unwrap()
    };
    let ec: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let rsa_encryption: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1];
    assert_eq!(list(&[ec]).key(), Some(&KeyWish::AnyCurve));
    assert_eq!(list(&[ec, p256]).key(), list(&[p256, ec]).key());
    assert_eq!(list(&[p256]).key(), Some(&KeyWish::Kind(KeyKind::EcP256)));
    assert_eq!(list(&[rsa_encryption]).key(), Some(&KeyWish::Kind(KeyKind::Rsa)));
    let ed25519 = list(&[&[0x2b, 0x65, 0x70]]);
    assert_eq!(ed25519.key(), Some(&KeyWish::Kind(KeyKind::Ed25519)));
    let names = list(&[&[0x55, 0x1d, 17]]);
    let missing = names.request(&ClientFacts::new()).unwrap_err();
    assert_eq!(missing, PlanError::Extension { oid: "2.5.29.17".to_owned() });
    let facts = ClientFacts::new().with_name(GeneralName::Dns("a.example.org".into()));
    let csr = names.request(&facts).unwrap().sign(&key()).unwrap();
    assert_eq!(Csr::parse(&csr).unwrap().subject_alt_names().unwrap().len(), 1);
    let twice = [tlv(6, &[0x55, 0x1d, 17]), tlv(6, &[0x55, 0x1d, 17])].concat();
    let refused = CsrPlan::from_der(&tlv(0x30, &twice));
    assert_eq!(refused, Err(CsrAttributesError::Twice { oid: "2.5.29.17".to_owned() }));
}

#[test]
fn keys_meet_the_wishes_for_their_kind_and_size() {
    let (p256, rsa) = (key(), private(&rsa()));
    for (wish, by_p256, by_rsa) in [
        (KeyWish::Kind(KeyKind::EcP256), true, false),
        (KeyWish::Kind(KeyKind::EcP384), false, false),
        (KeyWish::AnyCurve, true, false),
        (KeyWish::Kind(KeyKind::Rsa), false, true),
        (KeyWish::Rsa { bits: 2048 }, false, true),
        (KeyWish::Rsa { bits: 4096 }, false, false),
        (KeyWish::Unknown { oid: "1.2.3".to_owned() }, false, false),
    ] {
        assert_eq!(wish.is_met_by(p256.spki_der()), by_p256, "{wish:?}");
        assert_eq!(wish.is_met_by(rsa.spki_der()), by_rsa, "{wish:?}");
    }
}

#[test]
fn templates_that_are_not_what_the_standard_says_are_refused_by_name() {
    let version = [2, 1, 0];
    let attributes = |contents: &[u8]| [&version[..], &tlv(0xa1, contents)].concat();
    CsrPlan::from_der(&template(&attributes(&[]))).unwrap();
    let request = |kind: u8| {
        // An extension request, or its template, without extensions.
        let mut oid = vec![6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 14];
        if kind == 62 {
            oid = [&TEMPLATE[..12], &[62]].concat();
        }
        tlv(0x30, &[&oid[..], &tlv(0x31, &[0x30, 0])].concat())
    };
    for (contents, part) in [
        (vec![], "frame"),
        (vec![2, 1, 1, 0xa1, 0], "version"),
        (version.to_vec(), "frame"),
        ([&version[..], &[0xa0, 0]].concat(), "frame"),
        ([&attributes(&[])[..], &[5, 0]].concat(), "frame"),
        ([&version[..], &[0x30, 2, 5, 0], &[0xa1, 0]].concat(), "subject"),
        ([&version[..], &[0x30, 2, 0x31, 0], &[0xa1, 0]].concat(), "subject"),
        ([&version[..], &[0xa0, 0], &[0xa1, 0]].concat(), "subjectPKInfo"),
        (attributes(&[5, 0]), "attributes"),
        (attributes(&[request(14), request(62)].concat()), "extension request"),
        (attributes(&[request(62), request(62)].concat()), "extension request"),
    ] {
        let refused = CsrPlan::from_der(&template(&contents));
        assert_eq!(refused, Err(CsrAttributesError::Template(part)), "{contents:?}");
    }
}

/// A certificate with a subject in two string types and names of two kinds, and what of it goes into a CSR.
fn certified() -> rcgen::Certificate {
    let mut parameters = rcgen::CertificateParams::new(vec!["dev-7.example.org".into()]).unwrap();
    parameters.subject_alt_names.push(rcgen::SanType::IpAddress(IpAddr::from([192, 0, 2, 7])));
    let mut subject = rcgen::DistinguishedName::new();
    let printable = rcgen::DnValue::PrintableString("Dev 7".try_into().unwrap());
    subject.push(rcgen::DnType::CommonName, printable);
    subject.push(rcgen::DnType::OrganizationName, rcgen::DnValue::Utf8String("Plant".into()));
    parameters.distinguished_name = subject;
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
}

/// RFC 7030 §4.2.2.
#[test]
fn a_renewal_asks_for_the_names_of_its_certificate_byte_for_byte() {
    let certificate = certified();
    let facts = ClientFacts::renewing(certificate.der()).unwrap();
    let csr = CsrPlan::empty().request(&facts).unwrap().sign(&key()).unwrap();
    let csr = Csr::parse(&csr).unwrap();
    let whole = certificate.der().windows(csr.subject_der().len());
    assert!(whole.into_iter().any(|window| window == csr.subject_der()), "the same octets");
    let names: Vec<String> =
        csr.subject_attributes().iter().map(|each| each.text().into()).collect();
    assert_eq!(names, ["Dev 7", "Plant"]);
    assert_eq!(
        csr.subject_alt_names().unwrap(),
        [GeneralName::Dns("dev-7.example.org".into()), GeneralName::Ip([192, 0, 2, 7].into())]
    );
}

#[test]
fn a_renewal_fills_in_only_what_the_server_leaves_open() {
    let attributes = CsrAttributes {
        dns_name: Some("other.example.org".into()),
        key: None,
        linking: Linking::NotAsked,
    };
    let plan = CsrPlan::from_der(&attributes.to_der()).unwrap();
    let facts = ClientFacts::renewing(certified().der()).unwrap();
    let csr = Csr::parse(&plan.request(&facts).unwrap().sign(&key()).unwrap()).unwrap();
    assert_eq!(
        csr.subject_alt_names().unwrap(),
        [GeneralName::Dns("other.example.org".into())],
        "the server's word counts"
    );
    assert_eq!(csr.subject_attributes().len(), 2);
}

#[test]
fn nothing_is_renewed_that_is_no_certificate() {
    for wrong in [&b""[..], b"\x30\x00", b"no certificate"] {
        let facts = ClientFacts::renewing(&wrong.into());
        assert_eq!(facts.err(), Some(PlanError::Certificate), "{wrong:?}");
    }
}
