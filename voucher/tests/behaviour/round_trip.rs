//! What was signed is read again as it was.

use std::time::Duration;

use brski_voucher::ContentError;
use brski_voucher::artefact::{
    Artefact, Assertion, Binding, Nonce, PledgeRequest, RegistrarRequest, Voucher,
};
use brski_voucher::encoding::{Encoding, Quirk, Strictness};
use brski_voucher::idevid;
use brski_voucher::signature::{SignError, SignatureAlgorithm, Signer};
use brski_voucher::verify::Unverified;
use rustls_pki_types::UnixTime;

use crate::support::{NOW, SERIAL, World, nonce, now, serial};

fn json_of<T: Artefact>(json: &[u8]) -> Result<T, ContentError> {
    T::read(json, Encoding::Cms, Strictness::Standard, &mut Vec::new())
}

fn later(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW + seconds))
}

#[test]
fn reads_a_pledge_request_as_it_was_signed() {
    let world = World::new();
    let request = world.pledge_request();
    assert_eq!(request.assertion(), Some(Assertion::Proximity));
    assert_eq!(*request.serial_number(), serial(SERIAL));
    assert_eq!(request.nonce(), Some(&nonce()));
    assert_eq!(request.created_on().unwrap().as_str(), "2026-06-01T00:00:00Z");
    let registrar = world.registrar.certificate.der().as_ref();
    assert_eq!(request.proximity().unwrap().octets(), registrar);
    assert_eq!(request.signing_time(), Some(i64::try_from(NOW).unwrap()));
    assert_eq!(request.forgiven(), []);
}

#[test]
fn reads_a_registrar_request_as_it_was_signed() {
    let world = World::new();
    let fields = world.registrar_fields();
    let request = world.sign_registrar(&fields);
    assert_eq!(request.assertion(), Some(Assertion::Proximity));
    assert_eq!(request.nonce(), Some(&nonce()));
    assert_eq!(request.idevid_issuer(), Some(&fields.idevid_issuer[..]));
    let prior = request.prior_signed_voucher_request();
    assert_eq!(prior, fields.prior_signed_voucher_request.as_deref());
    assert_eq!(request.certificates(), world.registrar_chain());
    assert_eq!(request.signer_chain(), world.registrar_chain());
}

#[test]
fn reads_a_voucher_with_nonce_as_it_was_signed() {
    let world = World::new();
    let voucher = world.sign_voucher(&world.voucher_fields());
    assert_eq!(voucher.nonce(), Some(&nonce()));
    assert_eq!(voucher.expires_on(), None);
    assert_eq!(voucher.created_on().unwrap().seconds(), i64::try_from(NOW).unwrap());
    assert_eq!(voucher.domain_cert_revocation_checks(), Some(false));
    let pinned = world.domain.certificate.der().as_ref();
    assert_eq!(voucher.pinned_domain_cert(), Some(pinned));
    let issuer = idevid::issuer(&world.device.certificate);
    assert_eq!(voucher.idevid_issuer(), Some(&issuer[..]));
}

#[test]
fn reads_a_voucher_with_expiry_as_it_was_signed() {
    let world = World::new();
    let mut fields = world.voucher_fields();
    fields.binding = Binding::Renewable { expires_on: later(60), last_renewal_date: later(90) };
    let voucher = world.sign_voucher(&fields);
    assert_eq!(voucher.nonce(), None);
    assert_eq!(voucher.expires_on().unwrap().as_str(), "2026-06-01T00:01:00Z");
    assert_eq!(voucher.last_renewal_date().unwrap().as_str(), "2026-06-01T00:01:30Z");
}

#[test]
fn writes_id_data_for_peers_that_know_nothing_else() {
    let world = World::new();
    let (signer, chain) = (&world.device.signer, world.device.chain());
    let der = world.pledge_fields().sign_as(Encoding::CmsIdData, signer, &chain, now()).unwrap();
    let request = Unverified::<PledgeRequest>::parse(&der).unwrap();
    let request = request.verify_by_key(&world.device.certificate).unwrap();
    assert_eq!(request.forgiven(), [Quirk::ContentTypeData]);
}

#[test]
fn writes_times_of_any_century() {
    let world = World::new();
    for (seconds, text) in [(0, "1970-01-01T00:00:00Z"), (2_840_140_800, "2060-01-01T00:00:00Z")] {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let mut fields = world.pledge_fields();
        fields.created_on = Some(at);
        let der = fields.sign(&world.device.signer, &world.device.chain(), at).unwrap();
        let request = Unverified::<PledgeRequest>::parse(&der).unwrap();
        let request = request.verify_by_key(&world.device.certificate).unwrap();
        assert_eq!(request.created_on().unwrap().as_str(), text);
        assert_eq!(request.signing_time(), Some(i64::try_from(seconds).unwrap()));
    }
}

#[test]
fn refuses_to_sign_without_the_certificate_of_the_key() {
    let world = World::new();
    let fields = world.pledge_fields();
    let signer = &world.device.signer;
    assert!(matches!(fields.sign(signer, &[], now()), Err(SignError::NoCertificate)));
    let foreign = world.registrar_chain();
    assert!(matches!(fields.sign(signer, &foreign, now()), Err(SignError::ForeignCertificate)));
}

/// A key that lives elsewhere, and answers with these octets, or not at all.
struct Elsewhere<'a> {
    spki: &'a [u8],
    answer: Option<&'a [u8]>,
}

impl Signer for Elsewhere<'_> {
    fn spki_der(&self) -> &[u8] {
        self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaSha256
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.answer.map(<[u8]>::to_vec).ok_or(SignError::Signing)
    }
}

#[test]
fn says_so_where_a_key_does_not_sign_or_signs_nonsense() {
    let world = World::new();
    let spki = world.device.certificate.spki_der();
    let sign = |encoding, answer| {
        let signer = Elsewhere { spki, answer };
        world.pledge_fields().sign_as(encoding, &signer, &world.device.chain(), now())
    };
    for encoding in [Encoding::Cms, Encoding::Jws, Encoding::Cose] {
        assert!(matches!(sign(encoding, None), Err(SignError::Signing)));
    }
    // What is no ECDSA signature in DER does not become two numbers: none, one, zero, too long, a word.
    let zero = [0x30, 6, 2, 1, 0, 2, 1, 1];
    let long = [&[0x30, 38, 2, 33][..], &[0x7f; 33], &[2, 1, 1]].concat();
    for answer in [&[][..], &[0x30, 3, 2, 1, 1], &zero, &long, b"signature"] {
        for encoding in [Encoding::Jws, Encoding::Cose] {
            assert!(matches!(sign(encoding, Some(answer)), Err(SignError::Signing)));
        }
    }
}

#[test]
fn refuses_to_sign_after_the_year_9999() {
    let world = World::new();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_800));
    let signed = world.pledge_fields().sign(&world.device.signer, &world.device.chain(), at);
    assert!(matches!(signed, Err(SignError::Time { seconds: 253_402_300_800 })));
}

#[test]
fn takes_json_as_it_is_found_in_the_field() {
    let json =
        br#"{"ietf-voucher-request:voucher": {"serial-number": "x", "nonce": "9730977110184206",
            "proximity-registrar-cert": "-_8\n A", "pinned-domain-cert": 7, "unknown": [{}],
            "created-on": "2021-04-13T17:43:23.747-04:00", "expires-on": "never"}, "more": 1}"#;
    let mut forgiven = Vec::new();
    let mut read = |strictness| PledgeRequest::read(json, Encoding::Cms, strictness, &mut forgiven);
    let error = read(Strictness::Standard).unwrap_err();
    assert!(matches!(error, ContentError::Base64 { member: "proximity-registrar-cert" }));
    let request = read(Strictness::Lenient).unwrap();
    assert_eq!(forgiven, [Quirk::FoldedBase64, Quirk::Base64Spelling]);
    assert_eq!(request.nonce().unwrap().as_str(), "9730977110184206");
    assert_eq!(request.proximity().unwrap().octets(), [0xfb, 0xff, 0x00]);
    assert_eq!(request.assertion(), None);
}

#[test]
fn refuses_json_that_two_readers_might_read_in_two_ways() {
    for (json, refusal) in [
        (r#"{"ietf-voucher:voucher":{"serial-number":"x","serial-number":"y"}}"#, "Repeated"),
        (r#"{"ietf-voucher:voucher":{"serial-number":"x","serial\u002dnumber":"y"}}"#, "Repeated"),
        (
            r#"{"ietf-voucher:voucher":{"serial-number":"x"},"ietf-voucher:voucher":{"serial-number":"x"}}"#,
            "Repeated",
        ),
        (r#"{"ietf-voucher:voucher":{"serial-number":"x"},"a":[{"b":1,"b":1}]}"#, "Repeated"),
        (r#"[{"serial-number":"x"}]"#, "Json"),
        (r#"{"ietf-voucher:voucher":[null,null,null,"x"]}"#, "Json"),
        (r#"{"ietf-voucher:voucher":{"serial-number":"x"}} trailing"#, "TrailingOctets"),
        (r#"{"ietf-voucher-request:voucher":{"serial-number":"x"}}"#, "Root"),
        ("", "Json"),
    ] {
        let error = format!("{:?}", json_of::<Voucher>(json.as_bytes()).unwrap_err());
        assert!(error.starts_with(refusal), "{json}: {error}");
    }
}

#[test]
fn refuses_json_that_is_nested_deeper_than_32() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"ietf-voucher:voucher":{{"serial-number":"x"}},"x":{open}{close}}}"#)
    };
    assert!(json_of::<Voucher>(nested(31).as_bytes()).is_ok());
    for levels in [32, 20_000] {
        let error = json_of::<Voucher>(nested(levels).as_bytes()).unwrap_err();
        assert!(matches!(error, ContentError::Depth), "{error}");
    }
}

#[test]
fn refuses_members_that_are_not_what_they_should_be() {
    let read = |members: &str| {
        let json = format!(r#"{{"ietf-voucher-request:voucher":{{{members}}}}}"#);
        json_of::<RegistrarRequest>(json.as_bytes()).unwrap_err()
    };
    let absent = read(r#""nonce":"x""#);
    assert!(matches!(absent, ContentError::Absent { member: "serial-number" }));
    for (members, wrong) in [
        (r#""serial-number":"""#, "serial-number"),
        (r#""serial-number":"a\u0000""#, "serial-number"),
        (r#""serial-number":"x","nonce":"""#, "nonce"),
        (r#""serial-number":"x","created-on":"yesterday""#, "created-on"),
        (r#""serial-number":"x","created-on":"2021-04-13T17:43:23""#, "created-on"),
    ] {
        let error = read(members);
        assert!(
            matches!(error, ContentError::Value { member, .. } if member == wrong),
            "{members}"
        );
    }
    let base64 = read(r#""serial-number":"x","idevid-issuer":"*""#);
    assert!(matches!(base64, ContentError::Base64 { member: "idevid-issuer" }));
    let assertion = read(r#""serial-number":"x","assertion":"hope""#);
    assert!(matches!(assertion, ContentError::Value { member: "assertion", .. }));
}

#[test]
fn refuses_nonces_without_bounds() {
    assert!(Nonce::parse("").is_err());
    assert!(Nonce::parse(&"n".repeat(129)).is_err());
    assert!(Nonce::parse(&"n".repeat(128)).is_ok());
    assert_eq!(Nonce::from_random([0xff; 16]).as_str(), "/////////////////////w==");
}
