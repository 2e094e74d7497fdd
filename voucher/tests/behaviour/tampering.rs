//! A changed byte never verifies as something else, and no input panics.

use brski_voucher::artefact::{PledgeRequest, PledgeRequestFields};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::signature::{PrivateKey, SignError, SignatureError};
use brski_voucher::verify::{ParseError, Unverified, VerifyError};
use brski_voucher::{ARTEFACT_OCTETS, CmsError, EnvelopeError, TlvError};

use crate::crafted::{Crafted, CraftedCertificate, der, oid};
use crate::support::{World, at_now, now};

const CONTENT: &[u8] = br#"{"ietf-voucher-request:voucher":{"serial-number":"x"}}"#;
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

fn signed(world: &World, fields: &PledgeRequestFields) -> Vec<u8> {
    fields.sign(&world.device.signer, &world.device.chain(), now()).unwrap()
}

/// What a byte says matters only if what is verified differs: the outer version, or a certificate that a key
/// replaces, is covered by no signature. So the content must be the same, or there must be none.
#[test]
fn a_changed_byte_never_verifies_with_other_content() {
    let world = World::new();
    let original = world.pledge_request();
    let mut verified = 0;
    for at in 0..original.bytes().len() {
        for flip in [0x01, 0x80] {
            let mut octets = original.bytes().to_vec();
            octets[at] ^= flip;
            let Ok(request) = Unverified::<PledgeRequest>::parse(&octets) else {
                continue;
            };
            let Ok(request) = request.verify_by_key(&world.device.certificate) else {
                continue;
            };
            assert_eq!(*request, *original, "octet {at} with {flip:#x}");
            verified += 1;
        }
    }
    // Most octets are covered: what is not are versions, the digest set and the certificate.
    assert!(verified < original.bytes().len());
}

#[test]
fn a_changed_byte_of_content_attributes_or_signature_never_verifies() {
    let world = World::new();
    let request = world.pledge_request();
    let octets = request.bytes();
    let find = |part: &[u8]| octets.windows(part.len()).position(|each| each == part).unwrap();
    let content = find(b"{\"ietf-voucher-request:voucher\"");
    let content_end = content + octets[content..].iter().position(|each| *each == 0xa0).unwrap();
    // The last signed attribute's value, and the signature at the very end.
    let signature = octets.len() - 60;
    for at in (content..content_end).chain(signature..octets.len()) {
        let mut octets = octets.to_vec();
        octets[at] ^= 0x01;
        let verified = Unverified::<PledgeRequest>::parse(&octets)
            .is_ok_and(|request| request.verify_by_key(&world.device.certificate).is_ok());
        assert!(!verified, "octet {at}");
    }
}

#[test]
fn a_changed_byte_never_verifies_by_anchors_with_another_signer() {
    let world = World::new();
    let original = world.pledge_request();
    let anchors = world.vendor.anchors();
    for at in 0..original.bytes().len() {
        let mut octets = original.bytes().to_vec();
        octets[at] ^= 0x01;
        let Ok(request) = Unverified::<PledgeRequest>::parse(&octets) else {
            continue;
        };
        let Ok(request) = request.verify_by_anchors(&anchors, at_now()) else {
            continue;
        };
        assert_eq!(*request, *original, "octet {at}");
        assert_eq!(request.signer().der(), original.signer().der(), "octet {at}");
    }
}

#[test]
fn refuses_every_cut() {
    let world = World::new();
    let octets = signed(&world, &world.pledge_fields());
    for end in 0..octets.len() {
        assert!(Unverified::<PledgeRequest>::parse(&octets[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn refuses_octets_after_the_end_and_too_many() {
    let world = World::new();
    let mut octets = signed(&world, &world.pledge_fields());
    octets.push(0);
    let error = Unverified::<PledgeRequest>::parse(&octets).unwrap_err();
    assert!(matches!(
        error,
        ParseError::Envelope(EnvelopeError::Cms(CmsError::Encoding(TlvError::Trailing(1))))
    ));
    let error = Unverified::<PledgeRequest>::parse(&vec![0x30; ARTEFACT_OCTETS + 1]).unwrap_err();
    assert!(matches!(error, ParseError::Envelope(EnvelopeError::TooLong { octets: 65537 })));
}

#[test]
fn refuses_a_signature_by_another_key() {
    let world = World::new();
    let octets = signed(&world, &world.pledge_fields());
    let request = Unverified::<PledgeRequest>::parse(&octets).unwrap();
    let refusal = request.clone().verify_by_key(&world.registrar.certificate).unwrap_err();
    assert_eq!(refusal, VerifyError::Signature(SignatureError::Mismatch));
    // A P-384 key does not fit at all.
    let refusal = request.verify_by_key(&world.vendor.certificate).unwrap_err();
    assert_eq!(refusal, VerifyError::Signature(SignatureError::Mismatch));
}

#[test]
fn refuses_a_key_that_is_none() {
    let world = World::new();
    let mut odd = CraftedCertificate::version_1(&world.device.certificate);
    odd.spki = der(0x30, &[&[5, 0]]);
    let odd = Certificate::from_der(&odd.sign(&world.vendor)).unwrap();
    let octets = signed(&world, &world.pledge_fields());
    let request = Unverified::<PledgeRequest>::parse(&octets).unwrap();
    let refusal = request.verify_by_key(&odd).unwrap_err();
    assert_eq!(refusal, VerifyError::Signature(SignatureError::Key));
    assert!(matches!(PrivateKey::from_pkcs8_der(&[1, 2, 3]), Err(SignError::Key)));
}

#[test]
fn refuses_rsa_keys_of_fewer_than_2048_bits() {
    let world = World::new();
    let with_modulus = |octets: usize| {
        let modulus = der(0x02, &[&[0], &vec![0x81; octets]]);
        let key = der(0x30, &[&modulus, &der(0x02, &[&[1, 0, 1]])]);
        let mut weak = CraftedCertificate::version_1(&world.device.certificate);
        let algorithm = der(0x30, &[&oid(RSA_ENCRYPTION), &[5, 0]]);
        weak.spki = der(0x30, &[&algorithm, &der(0x03, &[&[0], &key])]);
        Certificate::from_der(&weak.sign(&world.vendor)).unwrap()
    };
    let mut cms = Crafted::new(CONTENT, &world.device.certificate);
    cms.algorithm = [oid(RSA_ENCRYPTION), vec![5, 0]].concat();
    let cms = Unverified::<PledgeRequest>::parse(&cms.sign(&world.device)).unwrap();
    let jws =
        br#"{"payload":"eyJpZXRmLXZvdWNoZXItcmVxdWVzdDp2b3VjaGVyIjp7InNlcmlhbC1udW1iZXIiOiJ4In19",
        "signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AA"}]}"#;
    let jws =
        Unverified::<PledgeRequest>::parse_as(jws, Encoding::Jws, Strictness::Standard).unwrap();
    for (octets, refusal) in [
        (128, SignatureError::WeakKey { bits: 1024 }),
        (255, SignatureError::WeakKey { bits: 2040 }),
        (256, SignatureError::Mismatch),
    ] {
        for request in [&cms, &jws] {
            let verified = request.clone().verify_by_key(&with_modulus(octets));
            assert_eq!(verified.unwrap_err(), VerifyError::Signature(refusal.clone()));
        }
    }
}

#[test]
fn refuses_an_algorithm_of_another_kind_of_key_in_cms() {
    let world = World::new();
    for algorithm in [[oid(RSA_SHA256), vec![5, 0]].concat(), oid(ED25519)] {
        let mut crafted = Crafted::new(CONTENT, &world.device.certificate);
        crafted.algorithm = algorithm;
        let octets = crafted.sign(&world.device);
        let request = Unverified::<PledgeRequest>::parse(&octets).unwrap();
        let refusal = request.verify_by_key(&world.device.certificate).unwrap_err();
        assert_eq!(refusal, VerifyError::Signature(SignatureError::KeyKind));
    }
}

#[test]
fn no_input_panics() {
    // A small generator of our own: the same inputs on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let world = World::new();
    let octets = signed(&world, &world.pledge_fields());
    for _ in 0..2000 {
        let mut changed = octets.clone();
        for _ in 0..4 {
            let at = usize::from(next()) * 7 % changed.len();
            changed[at] = next();
        }
        if let Ok(request) = Unverified::<PledgeRequest>::parse(&changed) {
            let _ = request.verify_presented(at_now());
        }
        let noise: Vec<u8> = (0..64).map(|_| next()).collect();
        assert!(Unverified::<PledgeRequest>::parse(&noise).is_err());
    }
}
