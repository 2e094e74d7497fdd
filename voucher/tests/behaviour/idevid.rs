//! Serial numbers, MASA URLs, idevid-issuer.

use brski_voucher::certificate::Certificate;
use std::collections::BTreeMap;

use brski_voucher::idevid::{
    IssuerForm, MasaUrl, MasaUrlError, Pattern, PatternError, SerialNumber, SerialNumberError,
    SerialRule, SerialRules, issuer, issuer_form, serial_number,
};

use crate::crafted::{CraftedCertificate, der};
use rcgen::CustomExtension;

use crate::support::{SERIAL, World, p256, params, serial};

#[test]
fn reads_the_serial_number_of_the_subject() {
    let world = World::new();
    assert_eq!(serial_number(&world.device.certificate), Ok(serial(SERIAL)));
    let none = serial_number(&world.registrar.certificate).unwrap_err();
    let looked_for = "subject serialNumber (2.5.4.5)".to_owned();
    assert_eq!(none, SerialNumberError::Absent { looked_for });
}

#[test]
fn refuses_serial_numbers_that_are_none() {
    assert_eq!(SerialNumber::parse(""), Err(SerialNumberError::Length { octets: 0 }));
    let long = "x".repeat(256);
    assert_eq!(SerialNumber::parse(&long), Err(SerialNumberError::Length { octets: 256 }));
    for text in ["a\nb", "a\0", "\u{7f}", "\u{85}"] {
        assert_eq!(SerialNumber::parse(text), Err(SerialNumberError::ControlCharacter));
    }
    assert!(SerialNumber::parse("PID:C9500-16X SN:FCW2117A56M é").is_ok());
}

#[test]
fn reads_masa_urls_as_they_are_written() {
    for (text, endpoint) in [
        ("masa.example:9443", "https://masa.example:9443/.well-known/brski/requestvoucher"),
        ("MASA.example", "https://masa.example/.well-known/brski/requestvoucher"),
        ("http://masa.example/", "https://masa.example/.well-known/brski/requestvoucher"),
        ("https://masa.example:443", "https://masa.example/.well-known/brski/requestvoucher"),
        ("https://masa.example/v2/brski//", "https://masa.example/v2/brski/requestvoucher"),
        ("masa.example/v2", "https://masa.example/v2/requestvoucher"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443/.well-known/brski/requestvoucher"),
        ("[2001:db8::1]", "https://[2001:db8::1]/.well-known/brski/requestvoucher"),
        ("192.0.2.1:9443", "https://192.0.2.1:9443/.well-known/brski/requestvoucher"),
        ("HTTPS://masa.example///", "https://masa.example/.well-known/brski/requestvoucher"),
        ("coaps://masa.example/x", "https://masa.example/x/requestvoucher"),
    ] {
        let url = MasaUrl::parse(text).unwrap();
        assert_eq!(url.endpoint("requestvoucher"), endpoint, "{text}");
    }
    let url = MasaUrl::parse("masa.example").unwrap();
    assert_eq!((url.host(), url.port()), ("masa.example", 443));
    assert_eq!(url.path("requestauditlog"), "/.well-known/brski/requestauditlog");
}

#[test]
fn refuses_masa_urls_that_hide_something() {
    for text in [
        "https://user@masa.example",
        "masa.example#x",
        "masa.example?x",
        "masa\\example",
        "masa .example",
        "masa.example\r\nHost: x",
        "m\u{e4}sa.example",
    ] {
        assert!(matches!(MasaUrl::parse(text), Err(MasaUrlError::Character { .. })), "{text:?}");
    }
    for text in [
        ":443",
        "https://",
        "/path",
        "https:///path",
        "[]:1",
        "[masa.example]",
        "[192.0.2.1]",
        "[fe80::1%25eth0]",
        "masa%2eexample",
        "masa,example",
        "masa..example",
        "-masa.example",
        "*.example",
        "\"masa\"",
        // Addresses that some resolvers know: hexadecimal, octal, one number.
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
    ] {
        assert!(matches!(MasaUrl::parse(text), Err(MasaUrlError::Host { .. })), "{text:?}");
    }
    for text in ["a:", "a:x", "a:65536", "a:0", "a:+1", "a:1:2", "[::1", "[::1]x", "[::1]:0"] {
        assert!(matches!(MasaUrl::parse(text), Err(MasaUrlError::Port { .. })), "{text:?}");
    }
    for text in [String::new(), "a".repeat(2049)] {
        let octets = text.len();
        assert_eq!(MasaUrl::parse(&text), Err(MasaUrlError::Length { octets }));
    }
}

#[test]
fn names_the_issuer_by_the_whole_authority_key_identifier() {
    let world = World::new();
    let idevid = &world.device.certificate;
    let identifier = idevid.authority_key_identifier().unwrap();
    assert_eq!(issuer(idevid), der(0x04, &[identifier]));
}

#[test]
fn names_the_issuer_by_the_key_where_there_is_no_identifier() {
    let world = World::new();
    let without = CraftedCertificate::version_1(&world.device.certificate).sign(&world.vendor);
    let without = Certificate::from_der(&without).unwrap();
    let name = issuer(&without);
    assert_eq!(name[..6], [0x04, 0x18, 0x30, 0x16, 0x80, 0x14]);
    assert_eq!(name.len(), 26);
    assert_eq!(issuer_form(&name, &without), Some(IssuerForm::ExtensionValue));
}

#[test]
fn knows_the_issuer_in_each_form_found_in_the_field() {
    let world = World::new();
    let idevid = &world.device.certificate;
    let wrapped = issuer(idevid);
    let bare = world.vendor.certificate.subject_key_identifier().unwrap();
    for (sent, form) in [
        (&wrapped[..], IssuerForm::ExtensionValue),
        (&wrapped[2..], IssuerForm::AuthorityKeyIdentifier),
        (bare, IssuerForm::KeyIdentifier),
        (&der(0x04, &[bare])[..], IssuerForm::KeyIdentifier),
        (b"CN=vendor CA", IssuerForm::Name),
        (b"/CN=vendor CA", IssuerForm::Name),
    ] {
        assert_eq!(issuer_form(sent, idevid), Some(form));
    }
    for foreign in [&[][..], b"CN=vendor", &bare[1..], world.domain.certificate.subject_der()] {
        assert_eq!(issuer_form(foreign, idevid), None);
    }
}

#[test]
fn names_the_issuer_verbatim_where_the_identifier_holds_no_key_identifier() {
    let world = World::new();
    // authorityCertIssuer and authorityCertSerialNumber alone (RFC 5280 §4.2.1.1).
    let name = der(0xa1, &[&der(0xa4, &[world.vendor.certificate.subject_der()])]);
    let identifier = der(0x30, &[&name, &der(0x82, &[&[7]])]);
    let mut wanted = params("device");
    wanted.use_authority_key_identifier_extension = false;
    wanted
        .custom_extensions
        .push(CustomExtension::from_oid_content(&[2, 5, 29, 35], identifier.clone()));
    let idevid = world.vendor.issue(wanted, p256()).certificate;
    assert_eq!(issuer(&idevid), der(0x04, &[&identifier]));
    assert_eq!(issuer_form(&issuer(&idevid), &idevid), Some(IssuerForm::ExtensionValue));
    assert_eq!(issuer_form(&identifier, &idevid), Some(IssuerForm::AuthorityKeyIdentifier));
    // There is nothing for these to match.
    assert_eq!(issuer_form(&[], &idevid), None);
    assert_eq!(issuer_form(&[4, 0], &idevid), None);
}

/// A subject alternative name with a hardwareModuleName (RFC 4108 §5).
fn hardware_module_name(serial: &[u8]) -> CustomExtension {
    let module = der(0x30, &[&der(0x06, &[&[0x2b, 6, 1, 4, 1, 0x82]]), &der(0x04, &[serial])]);
    let kind = der(0x06, &[&[0x2b, 6, 1, 5, 5, 7, 8, 4]]);
    let other = der(0xa0, &[&kind, &der(0xa0, &[&module])]);
    CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &[&other]))
}

#[test]
fn reads_serial_numbers_by_each_rule() {
    let world = World::new();
    let issue = |extension: Option<CustomExtension>| {
        let mut params = params("pump 7.plant.example");
        params.custom_extensions.extend(extension);
        world.vendor.issue(params, p256()).certificate
    };
    let plain = issue(None);
    let rules = |rule: SerialRule| SerialRules::new(vec![rule]);
    let pattern = |text: &str| Pattern::parse(text).unwrap();
    let text = issue(Some(hardware_module_name(b"HW-7")));
    let binary = issue(Some(hardware_module_name(&[0, 0xff])));
    let listed = SerialRule::List(BTreeMap::from([(plain.fingerprint(), serial("listed"))]));
    for (certificate, rule, expected) in [
        (&text, SerialRule::HardwareModuleName, "HW-7"),
        (&binary, SerialRule::HardwareModuleName, "00ff"),
        (&plain, SerialRule::CommonName(pattern(r"^(pump \d+)\.")), "pump 7"),
        (&plain, SerialRule::CommonName(pattern(r"(x)?(?<serial>\d+)")), "7"),
        (&plain, SerialRule::Subject(pattern("CN=.*")), "CN=pump 7.plant.example"),
        (&plain, listed, "listed"),
    ] {
        assert_eq!(rules(rule).read(certificate), Ok(serial(expected)));
    }
}

#[test]
fn the_first_rule_that_finds_something_counts() {
    let world = World::new();
    let pattern = Pattern::parse("vice").unwrap();
    let rules = SerialRules::new(vec![
        SerialRule::HardwareModuleName,
        SerialRule::SubjectSerialNumber,
        SerialRule::CommonName(pattern.clone()),
    ]);
    assert_eq!(rules.read(&world.device.certificate), Ok(serial(SERIAL)));
    let error = rules.read(&world.registrar.certificate).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the IDevID has no serial number: looked for hardwareModuleName, \
         subject serialNumber (2.5.4.5), common name \"vice\""
    );
    let rules = SerialRules::new(vec![SerialRule::CommonName(pattern)]);
    assert_eq!(rules.read(&world.device.certificate), Ok(serial("vice")));
}

#[test]
fn refuses_patterns_that_are_none_or_too_large() {
    assert!(matches!(Pattern::parse("("), Err(PatternError::Syntax(_))));
    assert!(matches!(Pattern::parse("(a{1000}){1000}"), Err(PatternError::Syntax(_))));
    assert!(matches!(Pattern::parse(&"a".repeat(513)), Err(PatternError::Length { octets: 513 })));
}
