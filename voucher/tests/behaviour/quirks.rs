//! What the CMS reader forgives, and what it does not.

use brski_voucher::artefact::PledgeRequest;
use brski_voucher::encoding::Quirk;
use brski_voucher::signature::{PrivateKey, SignatureError};
use brski_voucher::verify::{ParseError, Unverified, Verified, VerifyError};
use brski_voucher::{CmsError, EnvelopeError, TlvError};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use crate::crafted::{
    Crafted, EC_PUBLIC_KEY, ECDSA_SHA256, ECDSA_SHA384, ID_DATA, ID_VOUCHER, MESSAGE_DIGEST, SHA1,
    SHA256, ber, content_type_attribute, der, digest_attribute, long, oid,
};
use crate::support::{Party, SERIAL, World, at_now, idevid_params};

const CONTENT: &[u8] = br#"{"ietf-voucher-request:voucher":{"serial-number":"x","nonce":"y"}}"#;
const SIGNED_TIME: &[u8] = &[
    0x30, 0x1c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5, 0x31, 0x0f, 0x17, 0x0d,
    0x32, 0x36, 0x30, 0x36, 0x30, 0x31, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x5a,
];

fn crafted(world: &World) -> Crafted {
    Crafted::new(CONTENT, &world.device.certificate)
}

fn read(crafted: &Crafted, party: &Party) -> Result<Verified<PledgeRequest>, VerifyError> {
    Unverified::parse(&crafted.sign(party)).unwrap().verify_by_key(&party.certificate)
}

fn parse_error(crafted: &Crafted, party: &Party) -> CmsError {
    match Unverified::<PledgeRequest>::parse(&crafted.sign(party)) {
        Err(ParseError::Envelope(EnvelopeError::Cms(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn forgives_nothing_where_nothing_is_wrong() {
    let world = World::new();
    assert_eq!(read(&crafted(&world), &world.device).unwrap().forgiven(), []);
}

#[test]
fn forgives_id_data() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.content_type = ID_DATA.to_vec();
    crafted.attributes = Some(vec![content_type_attribute(ID_DATA), digest_attribute(CONTENT)]);
    let request = read(&crafted, &world.device).unwrap();
    assert_eq!(request.forgiven(), [Quirk::ContentTypeData]);
}

#[test]
fn forgives_ber_and_content_in_pieces() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.is_ber = true;
    assert_eq!(read(&crafted, &world.device).unwrap().forgiven(), [Quirk::Ber]);
    let (head, tail) = CONTENT.split_at(20);
    crafted.content = Some(ber(0x24, &[&der(0x04, &[head]), &der(0x24, &[&der(0x04, &[tail])])]));
    let request = read(&crafted, &world.device).unwrap();
    assert_eq!(request.forgiven(), [Quirk::Ber]);
    assert_eq!(request.serial_number().as_str(), "x");
    // The bytes are kept as received, not as rewritten.
    assert!(request.bytes().starts_with(&[0x30, 0x80]));
}

#[test]
fn forgives_lengths_in_more_octets_than_needed() {
    let world = World::new();
    for octets in [2, 3, 4] {
        let mut crafted = crafted(&world);
        crafted.content = Some(long(0x04, octets, &[CONTENT]));
        let request = read(&crafted, &world.device).unwrap();
        assert_eq!(request.forgiven(), [Quirk::Ber], "{octets}");
        assert_eq!(request.payload(), CONTENT);
    }
    let mut crafted = crafted(&world);
    crafted.content = Some(long(0x04, 5, &[CONTENT]));
    assert_eq!(parse_error(&crafted, &world.device), CmsError::Encoding(TlvError::Length));
}

#[test]
fn reads_each_version_whatever_the_content_type() {
    let world = World::new();
    for version in [1, 3, 4, 5] {
        let mut crafted = crafted(&world);
        crafted.version = version;
        assert_eq!(read(&crafted, &world.device).unwrap().forgiven(), [], "{version}");
        crafted.content_type = ID_DATA.to_vec();
        crafted.attributes = Some(vec![content_type_attribute(ID_DATA), digest_attribute(CONTENT)]);
        let request = read(&crafted, &world.device).unwrap();
        assert_eq!(request.forgiven(), [Quirk::ContentTypeData], "{version}");
    }
}

#[test]
fn forgives_certificates_in_no_order_but_the_signers_first_is_usual() {
    let world = World::new();
    let own = world.device.certificate.der().to_vec();
    let mut others: Vec<Vec<u8>> = [&world.vendor, &world.domain, &world.registrar]
        .map(|party| party.certificate.der().to_vec())
        .to_vec();
    let forgiven = |certificates: &[Vec<u8>]| {
        let mut crafted = crafted(&world);
        crafted.certificates = certificates.concat();
        read(&crafted, &world.device).unwrap().forgiven().to_vec()
    };
    others.push(own.clone());
    others.sort();
    assert_eq!(forgiven(&others), [], "the order of DER");
    others.reverse();
    others.retain(|each| *each != own);
    others.insert(1, own.clone());
    assert_eq!(forgiven(&others), [Quirk::CertificateOrder]);
    others.swap(0, 1);
    assert_eq!(forgiven(&others), [], "the signer's first");
}

#[test]
fn tells_all_that_it_forgives_at_once() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.is_ber = true;
    crafted.content_type = ID_DATA.to_vec();
    crafted.algorithm = [oid(ECDSA_SHA256), vec![5, 0]].concat();
    crafted.attributes = Some(vec![digest_attribute(CONTENT), content_type_attribute(ID_DATA)]);
    let expected =
        [Quirk::ContentTypeData, Quirk::Ber, Quirk::SignatureAlgorithm, Quirk::AttributeOrder];
    assert_eq!(read(&crafted, &world.device).unwrap().forgiven(), expected);
    let words = expected.map(Quirk::as_str);
    assert_eq!(words, ["content-type-id-data", "ber", "signature-algorithm", "attribute-order"]);
}

#[test]
fn forgives_the_spelling_of_the_signature_algorithm() {
    let world = World::new();
    for algorithm in [
        [oid(ECDSA_SHA256), vec![5, 0]].concat(),
        oid(EC_PUBLIC_KEY),
        [oid(ECDSA_SHA256), oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])].concat(),
        [oid(EC_PUBLIC_KEY), oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])].concat(),
    ] {
        let mut crafted = crafted(&world);
        crafted.algorithm = algorithm;
        let request = read(&crafted, &world.device).unwrap();
        assert_eq!(request.forgiven(), [Quirk::SignatureAlgorithm]);
    }
}

/// Parameters of PSS: hash, the mask's hash, the length of the salt, and what follows.
fn pss(hash: &[u8], mask: &[u8], salt: u8, rest: &[u8]) -> Vec<u8> {
    const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
    const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
    let mask = der(0x30, &[&oid(MGF1), &der(0x30, &[mask])]);
    let parameters = [
        der(0xa0, &[&der(0x30, &[hash])]),
        der(0xa1, &[&mask]),
        der(0xa2, &[&der(0x02, &[&[salt]])]),
        rest.to_vec(),
    ];
    [oid(PSS), der(0x30, &[&parameters.concat()])].concat()
}

#[test]
fn reads_each_legal_spelling_of_pss_and_no_other_salt_or_hash() {
    let mut world = World::new();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    world.device = world.vendor.issue(idevid_params(SERIAL), key);
    let pkcs8 = world.device.key.serialize_der();
    world.device.signer = PrivateKey::from_pkcs8_der(&pkcs8).unwrap().with_pss();
    let read = |algorithm: Vec<u8>| {
        let mut crafted = crafted(&world);
        crafted.algorithm = algorithm;
        read(&crafted, &world.device).map(|request| request.forgiven().to_vec())
    };
    let (absent, null) = (oid(SHA256), [oid(SHA256), vec![5, 0]].concat());
    let trailer = der(0xa3, &[&[2, 1, 1]]);
    for algorithm in [
        pss(&null, &null, 32, &[]),
        pss(&absent, &absent, 32, &[]),
        pss(&absent, &null, 32, &trailer),
    ] {
        assert_eq!(read(algorithm), Ok(Vec::new()));
    }
    let unknown = Err(VerifyError::Signature(SignatureError::Algorithm));
    let other = oid(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2]);
    for algorithm in [
        pss(&null, &null, 20, &[]),
        pss(&null, &null, 64, &[]),
        pss(&null, &other, 32, &[]),
        pss(&null, &null, 32, &der(0xa3, &[&[2, 1, 2]])),
        pss(&null, &null, 32, &[5, 0]),
        pss(&oid(SHA1), &oid(SHA1), 20, &[]),
        pss(&null, &null, 32, &[])[..11].to_vec(),
        [&pss(&null, &null, 32, &[])[..11], &[0x30, 0]].concat(),
    ] {
        assert_eq!(read(algorithm), unknown);
    }
    // Another hash throughout is legal, and is not what was signed.
    let mismatch = Err(VerifyError::Signature(SignatureError::Mismatch));
    assert_eq!(read(pss(&other, &other, 48, &[])), mismatch);
}

#[test]
fn forgives_attributes_out_of_order_signed_in_either_order() {
    let world = World::new();
    let in_order =
        vec![content_type_attribute(ID_VOUCHER), SIGNED_TIME.to_vec(), digest_attribute(CONTENT)];
    let reversed: Vec<_> = in_order.iter().rev().cloned().collect();
    let mut crafted = crafted(&world);
    crafted.attributes = Some(reversed);
    assert_eq!(read(&crafted, &world.device).unwrap().forgiven(), [Quirk::AttributeOrder]);
    crafted.attributes_signed = Some(in_order);
    let request = read(&crafted, &world.device).unwrap();
    assert_eq!(request.forgiven(), [Quirk::AttributeOrder]);
    assert_eq!(request.signing_time(), Some(1_780_272_000));
}

#[test]
fn finds_the_signer_by_key_identifier() {
    let world = World::new();
    let mut crafted = Crafted::new(CONTENT, &world.vendor.certificate);
    let identifier = world.vendor.certificate.subject_key_identifier().unwrap();
    crafted.signer_identifier = der(0x80, &[identifier]);
    crafted.algorithm = oid(ECDSA_SHA384);
    let octets = crafted.sign(&world.vendor);
    let request = Unverified::<PledgeRequest>::parse(&octets).unwrap();
    // The digest beside it is SHA-256: CMS lets them differ.
    let request = request.verify_presented(at_now()).unwrap();
    assert_eq!(request.signer().der(), world.vendor.certificate.der());
}

#[test]
fn ignores_attribute_certificates_among_the_certificates() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.certificates.extend_from_slice(&der(0xa2, &[&[2, 1, 1]]));
    assert!(read(&crafted, &world.device).is_ok());
}

#[test]
fn refuses_no_signed_attributes() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.attributes = None;
    assert_eq!(parse_error(&crafted, &world.device), CmsError::NoSignedAttributes);
}

#[test]
fn refuses_signed_attributes_that_lack_or_repeat_what_matters() {
    let world = World::new();
    let (kind, digest) = (content_type_attribute(ID_VOUCHER), digest_attribute(CONTENT));
    let mut crafted = crafted(&world);
    let mut refusal = |attributes: Vec<Vec<u8>>| {
        crafted.attributes = Some(attributes);
        parse_error(&crafted, &world.device)
    };
    let missing = |attribute| CmsError::MissingAttribute { attribute };
    assert_eq!(refusal(vec![kind.clone()]), missing("messageDigest"));
    assert_eq!(refusal(vec![digest.clone()]), missing("contentType"));
    let repeated = CmsError::RepeatedAttribute { attribute: "messageDigest" };
    assert_eq!(refusal(vec![kind, digest.clone(), digest.clone()]), repeated);
    // Two values of one attribute, and none.
    let values = |values: &[u8]| der(0x30, &[&oid(MESSAGE_DIGEST), &der(0x31, &[values])]);
    let kind = || content_type_attribute(ID_VOUCHER);
    let value = &digest[digest.len() - 34..];
    let repeated = CmsError::RepeatedAttribute { attribute: "messageDigest" };
    assert_eq!(refusal(vec![kind(), values(&value.repeat(2))]), repeated);
    let none = CmsError::Encoding(TlvError::Truncated);
    assert_eq!(refusal(vec![kind(), values(&[])]), none);
    let repeated = CmsError::RepeatedAttribute { attribute: "contentType" };
    assert_eq!(refusal(vec![kind(), kind(), digest.clone()]), repeated);
    let foreign = content_type_attribute(ID_DATA);
    assert_eq!(refusal(vec![foreign, digest]), CmsError::ContentTypeMismatch);
}

#[test]
fn refuses_a_digest_of_other_content() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.attributes =
        Some(vec![content_type_attribute(ID_VOUCHER), digest_attribute(b"other content")]);
    let refusal = read(&crafted, &world.device).unwrap_err();
    assert_eq!(refusal, VerifyError::Signature(SignatureError::Mismatch));
}

#[test]
fn refuses_attributes_that_were_not_signed() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.attributes_signed = Some(vec![content_type_attribute(ID_VOUCHER)]);
    let refusal = read(&crafted, &world.device).unwrap_err();
    assert_eq!(refusal, VerifyError::Signature(SignatureError::Mismatch));
}

#[test]
fn refuses_weak_or_unknown_algorithms() {
    let world = World::new();
    let mut weak = crafted(&world);
    weak.digest = SHA1.to_vec();
    assert_eq!(parse_error(&weak, &world.device), CmsError::Digest);
    let mut unknown = crafted(&world);
    // ecdsa-with-SHA1.
    unknown.algorithm = oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1]);
    let refusal = read(&unknown, &world.device).unwrap_err();
    assert_eq!(refusal, VerifyError::Signature(SignatureError::Algorithm));
}

#[test]
fn refuses_other_kinds_of_cms() {
    let world = World::new();
    let refusal = |change: &dyn Fn(&mut Crafted)| {
        let mut crafted = crafted(&world);
        change(&mut crafted);
        parse_error(&crafted, &world.device)
    };
    assert_eq!(refusal(&|cms| cms.outer_type = ID_DATA.to_vec()), CmsError::NotSignedData);
    assert_eq!(refusal(&|cms| cms.content_type = SHA1.to_vec()), CmsError::ForeignContentType);
    assert_eq!(refusal(&|cms| cms.content = None), CmsError::Detached);
    assert_eq!(refusal(&|cms| cms.signers = 2), CmsError::SeveralSigners);
    let none = CmsError::Encoding(TlvError::Truncated);
    assert_eq!(refusal(&|cms| cms.signers = 0), none);
    let many = |cms: &mut Crafted| cms.certificates = cms.certificates.repeat(17);
    assert_eq!(refusal(&many), CmsError::TooManyCertificates);
}

#[test]
fn refuses_a_signer_whose_certificate_is_not_carried() {
    let world = World::new();
    let mut crafted = crafted(&world);
    crafted.certificates = world.registrar.certificate.der().to_vec();
    let octets = crafted.sign(&world.device);
    let request = Unverified::<PledgeRequest>::parse(&octets).unwrap();
    let none = VerifyError::NoSigner { carried: 1 };
    assert_eq!(request.clone().verify_presented(at_now()).unwrap_err(), none);
    let anchors = world.vendor.anchors();
    assert_eq!(request.clone().verify_by_anchors(&anchors, at_now()).unwrap_err(), none);
    // The key alone needs no certificate inside.
    assert!(request.verify_by_key(&world.device.certificate).is_ok());
}

#[test]
fn refuses_content_that_is_no_voucher_request() {
    let world = World::new();
    let crafted = Crafted::new(b"no JSON", &world.device.certificate);
    let error = Unverified::<PledgeRequest>::parse(&crafted.sign(&world.device)).unwrap_err();
    assert!(matches!(error, ParseError::Content(_)));
}
