//! The pledge's refusals.

use std::time::Duration;

use brski_voucher::artefact::{Assertion, Binding, Nonce, Voucher};
use brski_voucher::pledge::{
    Pin, PinError, VoucherRefusal, check_assertion, check_nonceless_voucher, check_registrar_chain,
    check_voucher, pinned_certificate,
};
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::{Unverified, VerifyError};
use rustls_pki_types::UnixTime;

use crate::crafted::Crafted;
use crate::support::{
    NOW, SERIAL, World, at_now, at_year_2050, nonce, now, p256, registrar_params, serial,
};

#[test]
fn accepts_its_voucher_and_its_registrar() {
    let world = World::new();
    let voucher = world.sign_voucher(&world.voucher_fields());
    let idevid = &world.device.certificate;
    check_voucher(&voucher, &serial(SERIAL), &nonce(), idevid, at_now()).unwrap();
    let pinned = pinned_certificate(&voucher).unwrap();
    check_registrar_chain(&pinned, &world.registrar.chain(), at_now()).unwrap();
}

#[test]
fn refuses_a_voucher_of_another_manufacturer() {
    let world = World::new();
    let stranger = World::new();
    let octets = stranger.sign_voucher(&stranger.voucher_fields()).bytes().to_vec();
    let voucher = Unverified::<Voucher>::parse(&octets).unwrap();
    let refusal = voucher.verify_by_anchors(&world.vendor.anchors(), at_now()).unwrap_err();
    assert!(matches!(refusal, VerifyError::Chain(_)));
}

#[test]
fn refuses_voucher_with_foreign_serial_number() {
    let world = World::new();
    let voucher = world.sign_voucher(&world.voucher_fields());
    let idevid = &world.device.certificate;
    let refusal = check_voucher(&voucher, &serial("other"), &nonce(), idevid, at_now());
    let expected = VoucherRefusal::SerialNumberMismatch {
        voucher: SERIAL.to_owned(),
        own: "other".to_owned(),
    };
    assert_eq!(refusal, Err(expected));
}

#[test]
fn refuses_voucher_with_foreign_nonce_or_none() {
    let world = World::new();
    let idevid = &world.device.certificate;
    let other = Nonce::parse("another").unwrap();
    let voucher = world.sign_voucher(&world.voucher_fields());
    let refusal = check_voucher(&voucher, &serial(SERIAL), &other, idevid, at_now());
    assert!(matches!(refusal, Err(VoucherRefusal::NonceMismatch { .. })));
    let mut fields = world.voucher_fields();
    fields.binding = Binding::ExpiresOn(now());
    let voucher = world.sign_voucher(&fields);
    let refusal = check_voucher(&voucher, &serial(SERIAL), &nonce(), idevid, at_now());
    let expected =
        VoucherRefusal::NonceMismatch { voucher: String::new(), request: nonce().to_string() };
    assert_eq!(refusal, Err(expected));
}

#[test]
fn takes_a_voucher_that_was_made_ahead_if_it_has_no_nonce_and_is_not_over() {
    let world = World::new();
    let idevid = &world.device.certificate;
    let check = |binding, name: &str, time| {
        let mut fields = world.voucher_fields();
        fields.binding = binding;
        check_nonceless_voucher(&world.sign_voucher(&fields), &serial(name), idevid, time)
    };
    check(Binding::ExpiresOn(now()), SERIAL, at_now()).unwrap();
    let refusal = check(Binding::ExpiresOn(now()), SERIAL, at_year_2050());
    assert!(matches!(refusal, Err(VoucherRefusal::Expired { .. })));
    let refusal = check(Binding::ExpiresOn(now()), "other", at_now());
    assert!(matches!(refusal, Err(VoucherRefusal::SerialNumberMismatch { .. })));
    let refusal = check(Binding::Nonce(nonce()), SERIAL, at_now());
    let expected = VoucherRefusal::UnexpectedNonce { voucher: nonce().to_string() };
    assert_eq!(refusal, Err(expected));
}

#[test]
fn refuses_voucher_that_asserts_less_than_policy_asks() {
    let world = World::new();
    let mut fields = world.voucher_fields();
    fields.assertion = Assertion::Logged;
    let voucher = world.sign_voucher(&fields);
    check_assertion(&voucher, &[Assertion::Proximity, Assertion::Logged]).unwrap();
    let wanted = [Assertion::Verified, Assertion::Proximity];
    let refusal = check_assertion(&voucher, &wanted).unwrap_err();
    let expected =
        "the voucher asserts logged, the pledge accepts verified or proximity (RFC 8366 §5.3)";
    assert_eq!(refusal.to_string(), expected);
    let content = br#"{"ietf-voucher:voucher":{"serial-number":"x"}}"#;
    let silent = Crafted::new(content, &world.device.certificate).sign(&world.device);
    let silent = Unverified::<Voucher>::parse(&silent).unwrap();
    assert!(check_assertion(silent.content(), &wanted).is_err());
}

#[test]
fn refuses_voucher_for_an_idevid_of_another_issuer() {
    let world = World::new();
    let mut fields = world.voucher_fields();
    fields.idevid_issuer = Some(vec![4, 2, 0x30, 0]);
    let voucher = world.sign_voucher(&fields);
    let idevid = &world.device.certificate;
    let refusal = check_voucher(&voucher, &serial(SERIAL), &nonce(), idevid, at_now());
    assert!(matches!(refusal, Err(VoucherRefusal::IdevidIssuerMismatch { .. })));
}

#[test]
fn accepts_voucher_without_idevid_issuer() {
    let world = World::new();
    let mut fields = world.voucher_fields();
    fields.idevid_issuer = None;
    let voucher = world.sign_voucher(&fields);
    let idevid = &world.device.certificate;
    check_voucher(&voucher, &serial(SERIAL), &nonce(), idevid, at_now()).unwrap();
}

#[test]
fn refuses_an_expired_voucher_if_it_has_a_clock() {
    let world = World::new();
    // Nonce and end together are forbidden, but sent by some.
    let content = br#"{"ietf-voucher:voucher":{"serial-number":"x","nonce":"y",
        "expires-on":"2026-06-01T02:00:00+02:00"}}"#;
    let octets = Crafted::new(content, &world.device.certificate).sign(&world.device);
    let voucher = Unverified::<Voucher>::parse(&octets).unwrap();
    let voucher = voucher.verify_by_key(&world.device.certificate).unwrap();
    let nonce = Nonce::parse("y").unwrap();
    let check = |now| check_voucher(&voucher, &serial("x"), &nonce, &world.device.certificate, now);
    assert_eq!(check(at_now()), Ok(()));
    assert_eq!(check(ValidityTime::IgnoringExpiry), Ok(()));
    let later = UnixTime::since_unix_epoch(Duration::from_secs(NOW + 1));
    let expired = i64::try_from(NOW).unwrap();
    let expected = VoucherRefusal::Expired { expired, now: expired + 1 };
    assert_eq!(check(ValidityTime::At(later)), Err(expected));
}

#[test]
fn accepts_the_registrar_that_is_pinned_itself_or_another_certificate_of_its_key() {
    let world = World::new();
    let own = &world.registrar.certificate;
    check_registrar_chain(own, &world.registrar.chain(), at_now()).unwrap();
    let key = rcgen::KeyPair::try_from(world.registrar.key.serialize_der()).unwrap();
    let renewed = world.domain.issue(registrar_params(), key);
    assert_ne!(renewed.certificate.der(), own.der());
    check_registrar_chain(own, &renewed.chain(), at_now()).unwrap();
}

#[test]
fn refuses_a_registrar_that_the_voucher_does_not_pin() {
    let world = World::new();
    let stranger = World::new();
    let pinned = &world.domain.certificate;
    let refusal = check_registrar_chain(pinned, &stranger.registrar_chain(), at_now());
    assert!(matches!(refusal, Err(PinError::Chain { .. })));
    let expired = check_registrar_chain(pinned, &world.registrar_chain(), at_year_2050());
    assert!(matches!(expired, Err(PinError::Chain { .. })));
    assert_eq!(check_registrar_chain(pinned, &[], at_now()), Err(PinError::NoChain));
    // A registrar that is pinned itself vouches for no other.
    let minted = world.registrar.issue(registrar_params(), p256());
    let pinned = &world.registrar.certificate;
    let refusal = check_registrar_chain(pinned, &minted.chain(), at_now());
    assert!(matches!(refusal, Err(PinError::Chain { .. })));
}

/// A voucher that pins these, in JSON.
fn pinning(world: &World, members: &str) -> Voucher {
    let content = format!(r#"{{"ietf-voucher:voucher":{{"serial-number":"x",{members}}}}}"#);
    let octets = Crafted::new(content.as_bytes(), &world.masa.certificate).sign(&world.masa);
    Unverified::<Voucher>::parse(&octets).unwrap().content().clone()
}

fn base64(octets: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(octets)
}

fn digest(octets: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref().to_vec()
}

#[test]
fn accepts_the_registrar_whose_key_or_whose_authoritys_key_is_pinned() {
    let world = World::new();
    let chain = world.registrar_chain();
    for pinned in &chain {
        let key = pinned.spki_der();
        for members in [
            format!(r#""pinned-domain-pubk":"{}""#, base64(key)),
            format!(r#""pinned-domain-pubk-sha256":"{}""#, base64(&digest(key))),
            format!(r#""pinned-domain-cert":"{}""#, base64(pinned.der())),
        ] {
            let pin = Pin::of(&pinning(&world, &members)).unwrap();
            pin.check(&chain, at_now()).unwrap();
            assert!(matches!(pin.check(&chain, at_year_2050()), Err(PinError::Chain { .. })));
            assert_eq!(pin.check(&[], at_now()), Err(PinError::NoChain));
        }
    }
}

#[test]
fn prefers_a_pinned_key_to_a_certificate_and_its_digest_to_both() {
    let world = World::new();
    let (certificate, key) = (base64(world.vendor.certificate.der()), base64(b"key"));
    let three = format!(
        r#""pinned-domain-cert":"{certificate}","pinned-domain-pubk":"{key}","pinned-domain-pubk-sha256":"AAAA""#
    );
    assert_eq!(Pin::of(&pinning(&world, &three)), Ok(Pin::PublicKeySha256(vec![0; 3])));
    let two = format!(r#""pinned-domain-cert":"{certificate}","pinned-domain-pubk":"{key}""#);
    assert_eq!(Pin::of(&pinning(&world, &two)), Ok(Pin::PublicKey(b"key".to_vec())));
    assert_eq!(Pin::of(&pinning(&world, r#""nonce":"y""#)), Err(PinError::NoPin));
    let garbage = pinning(&world, r#""pinned-domain-cert":"AAAA""#);
    assert_eq!(Pin::of(&garbage), Err(PinError::Unreadable));
}

#[test]
fn refuses_a_registrar_whose_key_is_not_pinned() {
    let world = World::new();
    let stranger = World::new();
    let key = world.domain.certificate.spki_der();
    for pin in [Pin::PublicKey(key.to_vec()), Pin::PublicKeySha256(digest(key))] {
        match pin.check(&stranger.registrar_chain(), at_now()).unwrap_err() {
            PinError::ForeignKey { registrar, pinned } => {
                assert_eq!((registrar.len(), pinned.len()), (64 + 2 + 64, 64));
            }
            other => panic!("{other}"),
        }
        // To show the certificate that is pinned does not help who is not under it.
        let mut shown = stranger.registrar_chain();
        shown.push(world.domain.certificate.clone());
        assert!(matches!(pin.check(&shown, at_now()), Err(PinError::Chain { .. })));
    }
    let short = Pin::PublicKeySha256(digest(key)[..31].to_vec());
    let refusal = short.check(&world.registrar_chain(), at_now());
    assert!(matches!(refusal, Err(PinError::ForeignKey { .. })));
}

#[test]
fn checks_a_registrar_without_a_clock() {
    let world = World::new();
    let (pinned, chain) = (&world.domain.certificate, world.registrar_chain());
    check_registrar_chain(pinned, &chain, ValidityTime::IgnoringExpiry).unwrap();
}
