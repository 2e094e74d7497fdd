//! The registrar's refusals.

use brski_voucher::artefact::{Assertion, Binding, Nonce, PledgeRequest};
use brski_voucher::idevid;
use brski_voucher::pledge::PinError;
use brski_voucher::registrar::{
    PledgeRequestRefusal, VoucherRefusal, check_pledge_request, check_voucher,
};
use brski_voucher::verify::Unverified;
use rustls_pki_types::CertificateDer;

use crate::crafted::Crafted;
use crate::support::{
    SERIAL, World, at_now, at_year_2050, nonce, now, p256, registrar_params, serial,
};

#[test]
fn accepts_a_pledge_request_that_is_right() {
    let world = World::new();
    let own = &world.registrar.certificate;
    assert_eq!(check_pledge_request(&world.pledge_request(), &serial(SERIAL), own), Ok(()));
}

#[test]
fn refuses_a_request_with_the_serial_number_of_another_device() {
    let world = World::new();
    let own = &world.registrar.certificate;
    let refusal = check_pledge_request(&world.pledge_request(), &serial("5000"), own).unwrap_err();
    let expected = PledgeRequestRefusal::SerialNumberMismatch {
        request: SERIAL.to_owned(),
        idevid: "5000".to_owned(),
    };
    assert_eq!(refusal, expected);
    let text = refusal.to_string();
    assert!(text.contains(SERIAL) && text.contains("5000") && text.contains("§5.5"), "{text}");
}

#[test]
fn refuses_a_request_that_does_not_assert_proximity() {
    let world = World::new();
    let mut fields = world.pledge_fields();
    fields.assertion = Assertion::Logged;
    let refusal = check_pledge_request(
        &world.sign_pledge(&fields),
        &serial(SERIAL),
        &world.registrar.certificate,
    );
    assert_eq!(refusal, Err(PledgeRequestRefusal::Assertion { assertion: "logged".to_owned() }));
}

#[test]
fn refuses_a_request_without_assertion_or_proximity_certificate() {
    let world = World::new();
    let check = |members: &str| {
        let content = format!(r#"{{"ietf-voucher-request:voucher":{{{members}}}}}"#);
        let octets =
            Crafted::new(content.as_bytes(), &world.device.certificate).sign(&world.device);
        let request = Unverified::<PledgeRequest>::parse(&octets).unwrap();
        let request = request.verify_by_key(&world.device.certificate).unwrap();
        check_pledge_request(&request, &serial("x"), &world.registrar.certificate).unwrap_err()
    };
    let absent = PledgeRequestRefusal::Assertion { assertion: "absent".to_owned() };
    assert_eq!(check(r#""serial-number":"x""#), absent);
    let none = PledgeRequestRefusal::NoProximityCertificate;
    assert_eq!(check(r#""serial-number":"x","assertion":"proximity""#), none);
}

#[test]
fn refuses_a_request_that_saw_another_registrar() {
    let world = World::new();
    let other = world.domain.issue(registrar_params(), p256());
    let mut fields = world.pledge_fields();
    fields.proximity_registrar_cert = other.certificate.der().clone();
    let own = &world.registrar.certificate;
    let refusal =
        check_pledge_request(&world.sign_pledge(&fields), &serial(SERIAL), own).unwrap_err();
    assert!(matches!(refusal, PledgeRequestRefusal::ForeignProximityCertificate { .. }));
}

#[test]
fn carries_the_pledge_request_forward_as_received() {
    let world = World::new();
    let request = world.pledge_request();
    let fields = world.registrar_fields();
    assert_eq!(fields.nonce.as_ref(), request.nonce());
    assert_eq!(fields.assertion, Some(Assertion::Proximity));
    assert_eq!(fields.idevid_issuer, idevid::issuer(&world.device.certificate));
    assert_eq!(fields.created_on, now());
    let prior = fields.prior_signed_voucher_request.unwrap();
    assert!(Unverified::<PledgeRequest>::parse(&prior).is_ok());
    let signed = world.sign_registrar(&world.registrar_fields());
    let json = String::from_utf8_lossy(signed.bytes()).into_owned();
    assert!(!json.contains("proximity-registrar-cert"), "the registrar must not send one");
}

#[test]
fn accepts_a_voucher_whose_signer_is_unknown_by_what_it_says() {
    let world = World::new();
    let voucher = world.sign_voucher(&world.voucher_fields());
    let content = Unverified::parse(voucher.bytes()).unwrap();
    let chain = world.registrar_chain();
    let nonce = nonce();
    check_voucher(content.content(), &serial(SERIAL), Some(&nonce), &chain, at_now()).unwrap();
}

#[test]
fn accepts_a_nonceless_voucher() {
    let world = World::new();
    let mut fields = world.voucher_fields();
    fields.binding = Binding::ExpiresOn(now());
    let voucher = world.sign_voucher(&fields);
    let (chain, nonce) = (world.registrar_chain(), nonce());
    check_voucher(&voucher, &serial(SERIAL), Some(&nonce), &chain, at_now()).unwrap();
}

#[test]
fn refuses_voucher_with_foreign_serial_number_or_nonce() {
    let world = World::new();
    let voucher = world.sign_voucher(&world.voucher_fields());
    let chain = world.registrar_chain();
    let own = nonce();
    let refusal = check_voucher(&voucher, &serial("other"), Some(&own), &chain, at_now());
    assert!(matches!(refusal, Err(VoucherRefusal::SerialNumberMismatch { .. })));
    let other = Nonce::parse("another").unwrap();
    for request in [Some(&other), None] {
        let refusal =
            check_voucher(&voucher, &serial(SERIAL), request, &chain, at_now()).unwrap_err();
        let expected = VoucherRefusal::NonceMismatch {
            voucher: own.to_string(),
            request: request.map_or_else(String::new, Nonce::to_string),
        };
        assert_eq!(refusal, expected);
    }
}

#[test]
fn refuses_voucher_that_pins_another_domain_or_nothing_readable() {
    let world = World::new();
    let stranger = World::new();
    let chain = world.registrar_chain();
    let nonce = nonce();
    let refusal = |pinned: CertificateDer<'static>, chain: &[_], time| {
        let mut fields = world.voucher_fields();
        fields.pinned_domain_cert = pinned;
        let voucher = world.sign_voucher(&fields);
        check_voucher(&voucher, &serial(SERIAL), Some(&nonce), chain, time).unwrap_err()
    };
    let foreign = stranger.domain.certificate.der().clone();
    let refused = refusal(foreign, &chain, at_now());
    assert!(matches!(refused, VoucherRefusal::Pin(PinError::Chain { .. })));
    let garbage = refusal(CertificateDer::from(vec![1, 2]), &chain, at_now());
    assert_eq!(garbage, VoucherRefusal::Pin(PinError::Unreadable));
    let own = world.domain.certificate.der().clone();
    assert_eq!(refusal(own.clone(), &[], at_now()), VoucherRefusal::Pin(PinError::NoChain));
    let expired = refusal(own, &chain, at_year_2050());
    assert!(matches!(expired, VoucherRefusal::Pin(PinError::Chain { .. })));
}

#[test]
fn accepts_voucher_that_pins_a_key_of_this_domain() {
    use base64::Engine as _;

    let world = World::new();
    let key = world.domain.certificate.spki_der();
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    let content = format!(
        r#"{{"ietf-voucher:voucher":{{"serial-number":"x","pinned-domain-pubk":"{key}"}}}}"#
    );
    let octets = Crafted::new(content.as_bytes(), &world.device.certificate).sign(&world.device);
    let voucher = Unverified::parse(&octets).unwrap();
    let check = |chain: &[_]| check_voucher(voucher.content(), &serial("x"), None, chain, at_now());
    check(&world.registrar_chain()).unwrap();
    let refusal = check(&World::new().registrar_chain());
    assert!(matches!(refusal, Err(VoucherRefusal::Pin(PinError::ForeignKey { .. }))));
}

#[test]
fn refuses_voucher_without_a_pin() {
    let world = World::new();
    let content = br#"{"ietf-voucher:voucher":{"serial-number":"x"}}"#;
    let octets = Crafted::new(content, &world.device.certificate).sign(&world.device);
    let voucher = Unverified::parse(&octets).unwrap();
    let chain = world.registrar_chain();
    let refusal = check_voucher(voucher.content(), &serial("x"), None, &chain, at_now());
    assert_eq!(refusal, Err(VoucherRefusal::Pin(PinError::NoPin)));
}
