//! What is read from certificates, odd ones too.

use brski_voucher::certificate::{
    CERTIFICATE_OCTETS, CLIENT_AUTH, CMC_RA, Certificate, CertificateError, SERVER_AUTH, domain_id,
};
use rcgen::{CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose, SanType, date_time_ymd};

use crate::crafted::{CraftedCertificate, der, oid};
use crate::support::{MASA, Party, SERIAL, World, idevid_params, masa_extension, p256, params};

#[test]
fn reads_the_facts_of_an_idevid() {
    let world = World::new();
    let idevid = &world.device.certificate;
    assert_eq!(idevid.subject_serial_number(), Some(SERIAL));
    assert_eq!(idevid.masa_url_extension(), Some(MASA));
    assert_eq!(idevid.issuer_der(), world.vendor.certificate.subject_der());
    assert_eq!(idevid.not_before(), 1_767_225_600);
    assert_eq!(idevid.not_after(), 2_082_758_400);
    let above = world.vendor.certificate.subject_key_identifier().unwrap();
    let identifier = idevid.authority_key_identifier().unwrap();
    assert_eq!(identifier, der(0x30, &[&der(0x80, &[above])]));
    assert!(!idevid.is_ca());
    assert!(!idevid.is_self_issued());
    assert!(world.vendor.certificate.is_ca());
    assert!(world.vendor.certificate.is_self_issued());
}

#[test]
fn reads_a_printable_serial_number_and_a_utf8_masa_url() {
    let world = World::new();
    let mut wanted = params("device");
    let printable = DnValue::PrintableString("PID:C9500 SN:FCW2117".try_into().unwrap());
    wanted.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), printable);
    wanted.custom_extensions.push(masa_extension(0x0c, MASA));
    let device = world.vendor.issue(wanted, p256());
    assert_eq!(device.certificate.subject_serial_number(), Some("PID:C9500 SN:FCW2117"));
    assert_eq!(device.certificate.masa_url_extension(), Some(MASA));
}

#[test]
fn reads_no_masa_url_of_another_type() {
    let world = World::new();
    let mut wanted = params("device");
    wanted.custom_extensions.push(masa_extension(0x04, MASA));
    let device = world.vendor.issue(wanted, p256());
    assert_eq!(device.certificate.masa_url_extension(), None);
    assert_eq!(device.certificate.subject_serial_number(), None);
}

#[test]
fn reads_usages_and_names() {
    let mut wanted = params("server");
    wanted.subject_alt_names = vec![
        SanType::DnsName("a.example".try_into().unwrap()),
        SanType::IpAddress([192, 0, 2, 1].into()),
        SanType::DnsName("b.example".try_into().unwrap()),
    ];
    let party = Party::root(wanted, p256());
    assert_eq!(party.certificate.dns_names(), ["a.example", "b.example"]);
    let world = World::new();
    for purpose in [CMC_RA, SERVER_AUTH, CLIENT_AUTH] {
        assert!(world.registrar.certificate.has_extended_key_usage(purpose));
        assert!(!world.device.certificate.has_extended_key_usage(purpose));
    }
    let purposes = ["1.3.6.1.5.5.7.3.28", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];
    assert_eq!(world.registrar.certificate.extended_key_usages(), purposes);
    assert!(world.device.certificate.extended_key_usages().is_empty());
    let mut wanted = params("odd");
    let odd = [&[2, 999, 3][..], &[2, 25, u64::MAX], &[0, 5]];
    wanted.extended_key_usages =
        odd.iter().map(|arcs| ExtendedKeyUsagePurpose::Other(arcs.to_vec())).collect();
    let odd = Party::root(wanted, p256()).certificate.extended_key_usages();
    assert_eq!(odd, ["2.999.3", "2.25.18446744073709551615", "0.5"]);
}

#[test]
fn reads_dates_that_never_end() {
    let world = World::new();
    let mut wanted = idevid_params(SERIAL);
    wanted.not_after = date_time_ymd(9999, 12, 31);
    let device = world.vendor.issue(wanted, p256());
    assert_eq!(device.certificate.not_after(), 253_402_214_400);
}

#[test]
fn reads_version_1_long_serials_and_extensions_that_nobody_knows() {
    let world = World::new();
    let idevid = &world.device.certificate;
    let mut odd = CraftedCertificate::version_1(idevid);
    odd.serial = vec![0x7f; 23];
    let certificate = Certificate::from_der(&odd.sign(&world.vendor)).unwrap();
    assert_eq!(certificate.serial(), [0x7f; 23]);
    assert_eq!(certificate.subject_serial_number(), Some(SERIAL));
    assert_eq!(certificate.spki_der(), idevid.spki_der());
    assert_eq!(certificate.not_after(), 253_402_300_799);
    odd.version = der(0xa0, &[&[2, 1, 2]]);
    // 2.25 with a UUID: an arc of 128 bits, critical, with contents that are no ASN.1.
    let uuid = [&[0x69][..], &[0xff; 17], &[0x7f]].concat();
    let extension = der(0x30, &[&oid(&uuid), &[1, 1, 0xff], &der(0x04, &[b"???"])]);
    odd.extensions = der(0xa3, &[&der(0x30, &[&extension])]);
    assert!(Certificate::from_der(&odd.sign(&world.vendor)).is_ok());
}

/// An extension that is not critical.
fn extension(arcs: &[u8], value: &[u8]) -> Vec<u8> {
    der(0x30, &[&oid(arcs), &der(0x04, &[value])])
}

/// An IDevID with every extension that is asked for, among others that no strict parser takes.
fn odd_idevid(world: &World, odd: &[&[u8]]) -> Certificate {
    let mut crafted = CraftedCertificate::version_1(&world.device.certificate);
    crafted.version = der(0xa0, &[&[2, 1, 2]]);
    crafted.serial = [&[0x7f][..], &[0xff; 22]].concat();
    let url = der(0x16, &[MASA.as_bytes()]);
    let list = [
        // CA:FALSE written out, which DER leaves out.
        extension(&[0x55, 29, 19], &der(0x30, &[&[1, 1, 0]])),
        odd.concat(),
        extension(&[0x2b, 6, 1, 5, 5, 7, 1, 32], &url),
        extension(&[0x55, 29, 14], &der(0x04, &[&[5; 20]])),
        extension(&[0x55, 29, 35], &der(0x30, &[&der(0x80, &[&[6; 20]])])),
    ];
    crafted.extensions = der(0xa3, &[&der(0x30, &[&list.concat()])]);
    Certificate::from_der(&crafted.sign(&world.vendor)).unwrap()
}

#[test]
fn reads_every_field_of_an_idevid_whatever_stands_beside_them() {
    let world = World::new();
    let uuid = [&[0x69][..], &[0xff; 17], &[0x7f]].concat();
    let critical = |value: &[u8]| der(0x30, &[&oid(&[0x2a, 3]), value, &der(0x04, &[&[5, 0]])]);
    for odd in [
        // Object identifiers that parsers refuse: 2.999, 2.25 with 128 bits, one that does not end, none at all.
        extension(&[0x88, 0x37], b"???"),
        extension(&uuid, &[]),
        extension(&[0x2a, 0x80], &[]),
        extension(&[], &[]),
        // FALSE written out, TRUE as another octet than 0xff, critical and unknown.
        critical(&[1, 1, 0]),
        critical(&[1, 1, 1]),
        critical(&[1, 1, 0xff]),
        // No value, a value of another type, something after it, no extension at all.
        der(0x30, &[&oid(&[0x2a, 3])]),
        der(0x30, &[&oid(&[0x2a, 3]), &[5, 0]]),
        der(0x30, &[&oid(&[0x2a, 3]), &[4, 0, 5, 0]]),
        vec![0x31, 0],
        vec![5, 0],
        // A length in more octets than needed.
        vec![0x30, 0x81, 6, 6, 2, 0x2a, 3, 4, 0],
    ] {
        let idevid = odd_idevid(&world, &[&odd]);
        assert_eq!(idevid.serial().len(), 23);
        assert_eq!(idevid.subject_serial_number(), Some(SERIAL), "{odd:02x?}");
        assert_eq!(idevid.masa_url_extension(), Some(MASA), "{odd:02x?}");
        assert_eq!(idevid.subject_key_identifier(), Some(&[5; 20][..]), "{odd:02x?}");
        let expected = der(0x30, &[&der(0x80, &[&[6; 20]])]);
        assert_eq!(idevid.authority_key_identifier(), Some(&expected[..]), "{odd:02x?}");
        assert!(!idevid.is_ca());
        assert_eq!(idevid.spki_der(), world.device.certificate.spki_der());
    }
}

#[test]
fn finds_nothing_behind_what_ends_early() {
    let world = World::new();
    let idevid = odd_idevid(&world, &[&[0x30, 0x7f]]);
    assert_eq!(idevid.subject_serial_number(), Some(SERIAL));
    assert_eq!(idevid.masa_url_extension(), None);
    assert_eq!(idevid.authority_key_identifier(), None);
}

#[test]
fn a_clone_is_the_same_certificate_and_another_one_is_not() {
    let world = World::new();
    let own = &world.device.certificate;
    assert_eq!(*own, own.clone());
    assert_eq!(*own, Certificate::from_der(own.der()).unwrap());
    assert_ne!(own, &world.registrar.certificate);
    let text = format!("{own:?}");
    assert!(text.starts_with("Certificate { subject_serial_number: Some("), "{text}");
}

#[test]
fn names_a_domain_by_key_identifier_else_by_key() {
    let world = World::new();
    let domain = &world.domain.certificate;
    assert_eq!(domain_id(domain), domain.subject_key_identifier().unwrap());
    let without = CraftedCertificate::version_1(&world.registrar.certificate).sign(&world.domain);
    let without = Certificate::from_der(&without).unwrap();
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, without.spki_der());
    assert_eq!(domain_id(&without), expected.as_ref());
}

#[test]
fn refuses_what_is_no_certificate() {
    let world = World::new();
    let mut long = params("long");
    let contents = der(0x04, &[&vec![0; CERTIFICATE_OCTETS]]);
    long.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], contents));
    let key = p256();
    let long = long.self_signed(&key).unwrap();
    let error = Certificate::from_der(long.der()).unwrap_err();
    assert!(matches!(error, CertificateError::TooLong { .. }));

    let octets = world.device.certificate.der().to_vec();
    for end in 0..octets.len() {
        assert!(Certificate::from_der(&octets[..end]).is_err(), "cut at {end}");
    }
    let error = Certificate::from_der(&[octets, vec![0]].concat()).unwrap_err();
    assert!(matches!(error, CertificateError::Encoding(_)));
}

#[test]
fn refuses_dates_that_are_none() {
    let world = World::new();
    for text in ["99991231235959+", "99991331235959Z", "9999123123595Z", "+9991231235959Z"] {
        let mut odd = CraftedCertificate::version_1(&world.device.certificate);
        odd.not_after = der(0x18, &[text.as_bytes()]);
        let error = Certificate::from_der(&odd.sign(&world.vendor)).unwrap_err();
        assert_eq!(error, CertificateError::Date { field: "notAfter" }, "{text}");
    }
}

#[test]
fn reads_an_idevid_whose_other_extensions_a_strict_parser_refuses() {
    let world = World::new();
    let mut params = idevid_params(SERIAL);
    // CA:FALSE written out, which DER leaves out; object identifiers beyond what parsers expect.
    params.custom_extensions.extend([
        CustomExtension::from_oid_content(&[2, 5, 29, 19], der(0x30, &[&der(0x01, &[&[0]])])),
        CustomExtension::from_oid_content(&[2, 999, 1], vec![5, 0]),
        CustomExtension::from_oid_content(&[2, 25, u64::MAX], vec![0xff]),
    ]);
    let odd = world.vendor.issue(params, p256()).certificate;
    assert_eq!(odd.subject_serial_number(), Some(SERIAL));
    assert_eq!(odd.masa_url_extension(), Some(MASA));
    assert!(!odd.is_ca());
    assert!(odd.authority_key_identifier().is_some());
}
