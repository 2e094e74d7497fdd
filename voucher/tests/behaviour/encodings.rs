//! Each artefact in each encoding, with each algorithm: what is signed is read again, and nothing else is.

use brski_voucher::artefact::{Artefact, PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Quirk, Strictness};
use brski_voucher::registrar::{check_pledge_request, registrar_request_fields};
use brski_voucher::signature::{PrivateKey, SignError, SignatureError, Signer as _};
use brski_voucher::verify::{ParseError, Unverified, VerifyError};
use brski_voucher::{CoseError, EnvelopeError, JwsError, masa};
use der::Decode as _;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};

use crate::support::{SERIAL, World, at_now, idevid_params, now, serial};

const ENCODINGS: [Encoding; 4] =
    [Encoding::Cms, Encoding::CmsIdData, Encoding::Jws, Encoding::Cose];

fn parse<T: Artefact>(octets: &[u8], encoding: Encoding) -> Unverified<T> {
    Unverified::parse_as(octets, encoding, Strictness::Standard).unwrap()
}

#[test]
fn a_whole_exchange_works_in_each_encoding() {
    let world = World::new();
    let (device, registrar) = (&world.device, &world.registrar);
    for encoding in ENCODINGS {
        let pledge = world
            .pledge_fields()
            .sign_as(encoding, &device.signer, &device.chain(), now())
            .unwrap();
        let pledge =
            parse::<PledgeRequest>(&pledge, encoding).verify_by_key(&device.certificate).unwrap();
        assert_eq!(pledge.encoding(), encoding);
        check_pledge_request(&pledge, &serial(SERIAL), &registrar.certificate).unwrap();

        let fields = registrar_request_fields(&pledge, &device.certificate, &serial(SERIAL), now());
        let chain = [world.registrar_chain(), device.chain()].concat();
        let request = fields.sign_as(encoding, &registrar.signer, &chain, now()).unwrap();
        let request =
            parse::<RegistrarRequest>(&request, encoding).verify_presented(at_now()).unwrap();
        assert_eq!(request.signer_chain(), world.registrar_chain());
        let prior =
            masa::check_registrar_request(&request, &world.vendor.anchors(), at_now()).unwrap();
        assert_eq!(prior.bytes(), pledge.bytes());

        let voucher = world.voucher_fields();
        let signed =
            voucher.sign_as(encoding, &world.masa.signer, &world.masa.chain(), now()).unwrap();
        let read = parse::<Voucher>(&signed, encoding);
        let read = read.verify_by_anchors(&world.vendor.anchors(), at_now()).unwrap();
        assert_eq!(read.nonce(), pledge.nonce(), "the nonce survives {encoding:?}");
        assert_eq!(read.pinned_domain_cert(), Some(world.domain.certificate.der().as_ref()));
        let expected: &[Quirk] =
            if encoding == Encoding::CmsIdData { &[Quirk::ContentTypeData] } else { &[] };
        assert_eq!(read.forgiven(), expected);
    }
}

#[test]
fn each_algorithm_signs_in_each_encoding_that_has_it() {
    let world = World::new();
    let keys = [
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
        KeyPair::generate_for(&PKCS_ED25519),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    ];
    for key in keys.map(Result::unwrap) {
        let pkcs8 = key.serialize_der();
        let own = world.vendor.issue_for(idevid_params(SERIAL), &key);
        for signer in [
            PrivateKey::from_pkcs8_der(&pkcs8).unwrap(),
            PrivateKey::from_pkcs8_der(&pkcs8).unwrap().with_pss(),
        ] {
            for encoding in ENCODINGS {
                let chain = std::slice::from_ref(&own);
                let signed = world.pledge_fields().sign_as(encoding, &signer, chain, now());
                if let Err(error) = signed {
                    let algorithm = format!("{:?}", signer.algorithm());
                    assert_eq!((algorithm.as_str(), encoding), ("RsaPkcs1Sha256", Encoding::Cose));
                    assert!(matches!(error, SignError::NoCoseAlgorithm));
                    continue;
                }
                let request = parse::<PledgeRequest>(&signed.unwrap(), encoding);
                request.verify_by_key(&own).unwrap();
            }
        }
    }
}

#[test]
fn no_changed_octet_verifies_as_something_else() {
    let world = World::new();
    let (signer, chain) = (&world.device.signer, world.device.chain());
    let anchors = world.vendor.anchors();
    for encoding in ENCODINGS {
        let octets = world.pledge_fields().sign_as(encoding, signer, &chain, now()).unwrap();
        let original = parse::<PledgeRequest>(&octets, encoding);
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 1 << (at % 8);
            let Ok(read) =
                Unverified::<PledgeRequest>::parse_as(&changed, encoding, Strictness::Lenient)
            else {
                continue;
            };
            if let Ok(verified) = read.verify_by_anchors(&anchors, at_now()) {
                // Octets outside of what is signed may change what is forgiven, and no more than that.
                assert_eq!(verified.payload(), original.payload(), "{encoding:?} at {at}");
                assert_eq!(verified.signer(), &world.device.certificate);
            }
        }
    }
}

#[test]
fn the_lenient_read_base64_around_cms_and_cose_without_its_tag() {
    use base64::Engine as _;

    let world = World::new();
    let (signer, chain) = (&world.device.signer, world.device.chain());
    let fields = world.pledge_fields();
    let der = fields.sign(signer, &chain, now()).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(&der);
    let folded: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    let cose = fields.sign_as(Encoding::Cose, signer, &chain, now()).unwrap();
    for (octets, encoding, quirk) in [
        (text.clone().into_bytes(), Encoding::Cms, Quirk::Base64Body),
        (folded.join("\n").into_bytes(), Encoding::Cms, Quirk::Base64Body),
        (cose[1..].to_vec(), Encoding::Cose, Quirk::Untagged),
    ] {
        let strict = Unverified::<PledgeRequest>::parse_as(&octets, encoding, Strictness::Standard);
        assert!(matches!(strict, Err(ParseError::Envelope(_))));
        let read =
            Unverified::<PledgeRequest>::parse_as(&octets, encoding, Strictness::Lenient).unwrap();
        let read = read.verify_by_key(&world.device.certificate).unwrap();
        assert_eq!(read.forgiven(), [quirk]);
        if encoding == Encoding::Cms {
            assert_eq!(read.bytes(), der, "what is forwarded is DER");
        }
    }
}

#[test]
fn an_empty_post_has_a_name_of_its_own_which_the_lenient_forgive() {
    for encoding in ENCODINGS {
        for (strictness, forgiven) in
            [(Strictness::Standard, None), (Strictness::Lenient, Some(Quirk::EmptyPost))]
        {
            let error =
                Unverified::<PledgeRequest>::parse_as(&[], encoding, strictness).unwrap_err();
            assert!(matches!(error, ParseError::Envelope(EnvelopeError::Empty)));
            assert_eq!(error.forgiven_by(strictness), forgiven);
            let other =
                Unverified::<PledgeRequest>::parse_as(b" ", encoding, strictness).unwrap_err();
            assert_eq!(other.forgiven_by(strictness), None);
        }
    }
}

#[test]
fn refuses_an_algorithm_of_another_kind_of_key() {
    let world = World::new();
    let (signer, chain) = (&world.device.signer, world.device.chain());
    for encoding in [Encoding::Jws, Encoding::Cose] {
        let octets = world.pledge_fields().sign_as(encoding, signer, &chain, now()).unwrap();
        let request = parse::<PledgeRequest>(&octets, encoding);
        let refusal = request.verify_by_key(&world.vendor.certificate).unwrap_err();
        assert_eq!(refusal, VerifyError::Signature(SignatureError::KeyKind));
    }
}

/// A JWS whose signature another party added to.
fn countersigned(world: &World, fields: &[u8]) -> serde_json::Value {
    let mut jws: serde_json::Value = serde_json::from_slice(fields).unwrap();
    let again = world
        .voucher_fields()
        .sign_as(Encoding::Jws, &world.registrar.signer, &world.registrar_chain(), now())
        .unwrap();
    let again: serde_json::Value = serde_json::from_slice(&again).unwrap();
    assert_eq!(again["payload"], jws["payload"]);
    let second = again["signatures"][0].clone();
    jws["signatures"].as_array_mut().unwrap().push(second);
    jws
}

#[test]
fn every_signature_of_a_jws_must_hold() {
    let world = World::new();
    let fields = world.voucher_fields();
    let signed =
        fields.sign_as(Encoding::Jws, &world.masa.signer, &world.masa.chain(), now()).unwrap();
    let mut jws = countersigned(&world, &signed);
    let read = |jws: &serde_json::Value| {
        parse::<Voucher>(&serde_json::to_vec(jws).unwrap(), Encoding::Jws)
            .verify_by_anchors(&world.vendor.anchors(), at_now())
    };
    let voucher = read(&jws).unwrap();
    assert_eq!(voucher.countersigners(), *std::slice::from_ref(&world.registrar.certificate));
    jws["signatures"][1]["signature"] = jws["signatures"][0]["signature"].clone();
    let refusal = read(&jws).unwrap_err();
    assert!(matches!(refusal, VerifyError::Signature(_)), "{refusal}");
}

#[test]
fn reads_as_many_certificates_as_it_says() {
    let world = World::new();
    let chain: Vec<Certificate> = vec![world.device.certificate.clone(); 16];
    for encoding in ENCODINGS {
        let octets =
            world.pledge_fields().sign_as(encoding, &world.device.signer, &chain, now()).unwrap();
        let request = parse::<PledgeRequest>(&octets, encoding);
        assert_eq!(request.certificates().len(), 16);
        request.verify_by_anchors(&world.vendor.anchors(), at_now()).unwrap();
    }
}

#[test]
fn refuses_more_certificates_than_it_reads() {
    let world = World::new();
    let chain: Vec<Certificate> = vec![world.device.certificate.clone(); 17];
    for encoding in [Encoding::Jws, Encoding::Cose] {
        let octets =
            world.pledge_fields().sign_as(encoding, &world.device.signer, &chain, now()).unwrap();
        let error = Unverified::<PledgeRequest>::parse_as(&octets, encoding, Strictness::Standard);
        assert!(matches!(
            error,
            Err(ParseError::Envelope(
                EnvelopeError::Jws(JwsError::TooManyCertificates)
                    | EnvelopeError::Cose(CoseError::TooManyCertificates)
            ))
        ));
    }
}

const X5BAG: i64 = 32;
const X5CHAIN: i64 = 33;

/// A COSE voucher of the MASA with these certificates under these labels, in the header that is not signed.
fn carrying(world: &World, parameters: &[(i64, &[&Certificate])]) -> Vec<u8> {
    use ciborium::Value as Item;

    let signer = &world.masa.signer;
    let fields = world.voucher_fields();
    let signed = fields.sign_as(Encoding::Cose, signer, &world.masa.chain(), now()).unwrap();
    let mut message: Item = ciborium::from_reader(&signed[..]).unwrap();
    let Item::Tag(18, parts) = &mut message else {
        panic!("no COSE_Sign1");
    };
    let item = |certificate: &Certificate| Item::Bytes(certificate.der().to_vec());
    let list = |certificates: &[&Certificate]| match certificates {
        [single] => item(single),
        several => Item::Array(several.iter().map(|each| item(each)).collect()),
    };
    let header = parameters.iter().map(|(label, each)| (Item::from(*label), list(each))).collect();
    parts.as_array_mut().unwrap()[1] = Item::Map(header);
    let mut octets = Vec::new();
    ciborium::into_writer(&message, &mut octets).unwrap();
    octets
}

#[test]
fn counts_the_certificates_of_chain_and_bag_together() {
    let world = World::new();
    let own = &world.masa.certificate;
    let octets = carrying(&world, &[(X5CHAIN, &[own; 15]), (X5BAG, &[own])]);
    assert_eq!(parse::<Voucher>(&octets, Encoding::Cose).certificates().len(), 16);
    let octets = carrying(&world, &[(X5CHAIN, &[own; 16]), (X5BAG, &[own])]);
    let error = Unverified::<Voucher>::parse_as(&octets, Encoding::Cose, Strictness::Standard);
    assert!(matches!(
        error,
        Err(ParseError::Envelope(EnvelopeError::Cose(CoseError::TooManyCertificates)))
    ));
}

#[test]
fn an_x5chain_begins_with_the_signer_and_an_x5bag_has_no_order() {
    let world = World::new();
    let (own, other) = (&world.masa.certificate, &world.registrar.certificate);
    let mismatch = Some(VerifyError::Signature(SignatureError::KeyKind));
    for (label, certificates, refusal) in [
        (X5CHAIN, &[own][..], None),
        (X5CHAIN, &[own, other], None),
        (X5CHAIN, &[other, own], mismatch.clone()),
        (X5CHAIN, &[other], mismatch.clone()),
        (X5BAG, &[own], None),
        (X5BAG, &[own, other], None),
        (X5BAG, &[other, own], None),
        (X5BAG, &[other], mismatch),
        (X5BAG, &[], Some(VerifyError::NoSigner { carried: 0 })),
    ] {
        let octets = carrying(&world, &[(label, certificates)]);
        let voucher = parse::<Voucher>(&octets, Encoding::Cose);
        assert_eq!(voucher.certificates().len(), certificates.len());
        let presented = voucher.presented();
        let verified = voucher.clone().verify_presented(at_now());
        assert_eq!(verified.as_ref().err(), refusal.as_ref(), "{label} {}", certificates.len());
        assert_eq!(presented.signers.is_empty(), refusal.is_some());
        // What the pledge gets still holds by the key.
        let forwarded = parse::<Voucher>(&voucher.for_pledge(), Encoding::Cose);
        assert!(forwarded.certificates().is_empty());
        assert!(forwarded.verify_by_key(own).is_ok());
    }
}

#[test]
fn guesses_an_encoding_and_knows_its_media_types() {
    let world = World::new();
    let (signer, chain) = (&world.device.signer, world.device.chain());
    for encoding in ENCODINGS {
        let octets = world.pledge_fields().sign_as(encoding, signer, &chain, now()).unwrap();
        let guess = Encoding::guess(&octets).unwrap();
        assert_eq!(guess.as_str(), encoding.as_str());
        let by_type = Encoding::of_media_type(encoding.media_type()).unwrap();
        assert_eq!(by_type.as_str(), encoding.as_str());
    }
    let old = Encoding::of_media_type("Application/Voucher-COSE+cbor; charset=x");
    assert_eq!(old, Some(Encoding::Cose));
    assert_eq!(Encoding::of_media_type("application/json"), None);
    assert_eq!(Encoding::guess(b"hello"), None);
}

/// What this library writes is DER to the letter, as a reader by another hand sees it.
#[test]
fn cms_is_strict_der_to_another_reader() {
    let world = World::new();
    let octets = world
        .registrar_fields()
        .sign(&world.registrar.signer, &world.registrar.chain(), now())
        .unwrap();
    let info = cms::content_info::ContentInfo::from_der(&octets).unwrap();
    let signed: cms::signed_data::SignedData = info.content.decode_as().unwrap();
    assert_eq!(signed.version, cms::content_info::CmsVersion::V3);
    assert_eq!(signed.encap_content_info.econtent_type.to_string(), "1.2.840.113549.1.9.16.1.40");
    assert_eq!(signed.signer_infos.0.len(), 1);
}

/// Ed25519 signs the attributes themselves, and the digest among them is SHA-512 (RFC 8419 §3).
#[test]
fn ed25519_in_cms_is_as_rfc_8419_says() {
    use aws_lc_rs::digest::{SHA512, digest};
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use der::Encode as _;

    let world = World::new();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let own = world.vendor.issue_for(idevid_params(SERIAL), &key);
    let signer = PrivateKey::from_pkcs8_der(&key.serialize_der()).unwrap();
    let chain = std::slice::from_ref(&own);
    let octets = world.pledge_fields().sign(&signer, chain, now()).unwrap();
    let info = cms::content_info::ContentInfo::from_der(&octets).unwrap();
    let signed: cms::signed_data::SignedData = info.content.decode_as().unwrap();
    let signer_info = signed.signer_infos.0.get(0).unwrap();
    assert_eq!(signer_info.digest_alg.oid.to_string(), "2.16.840.1.101.3.4.2.3");
    assert_eq!(signer_info.signature_algorithm.oid.to_string(), "1.3.101.112");
    assert!(signer_info.signature_algorithm.parameters.is_none());
    let attributes = signer_info.signed_attrs.as_ref().unwrap();
    let content = signed.encap_content_info.econtent.as_ref().unwrap().value();
    let message_digest = attributes
        .iter()
        .find(|attribute| attribute.oid.to_string() == "1.2.840.113549.1.9.4")
        .and_then(|attribute| attribute.values.get(0))
        .unwrap();
    assert_eq!(message_digest.value(), digest(&SHA512, content).as_ref());
    let public = UnparsedPublicKey::new(&ED25519, key.public_key_raw());
    let signature = signer_info.signature.as_bytes();
    public.verify(&attributes.to_der().unwrap(), signature).unwrap();
}
