//! Serial numbers, MASA URLs, idevid-issuer.

use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::{
    IssuerForm, MasaUrl, MasaUrlError, SerialNumber, SerialNumberError, issuer, issuer_form,
    serial_number,
};

use crate::crafted::{CraftedCertificate, der};
use crate::support::{SERIAL, World, serial};

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
    for text in [":443", "https://", "/path", "https:///path", "[]:1"] {
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
        (b"CN=vendor CA", IssuerForm::Name),
        (b"/CN=vendor CA", IssuerForm::Name),
    ] {
        assert_eq!(issuer_form(sent, idevid), Some(form));
    }
    for foreign in [&[][..], b"CN=vendor", &bare[1..], world.domain.certificate.subject_der()] {
        assert_eq!(issuer_form(foreign, idevid), None);
    }
}
