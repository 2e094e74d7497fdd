//! The artefacts of RFC 8995 Appendix C, as published.

use brski_voucher::artefact::{
    Assertion, PledgeRequest, PledgeRequestFields, RegistrarRequest, Voucher,
};
use brski_voucher::certificate::{CMC_RA, Certificate, SERVER_AUTH, domain_id};
use brski_voucher::encoding::{Encoding, Quirk, Strictness};
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use brski_voucher::verify::Unverified;
use brski_voucher::{idevid, masa, pledge, registrar};
use der::Decode as _;
use rustls_pki_types::UnixTime;

use super::{Folder, at};
use crate::support::serial;

const SERIAL: &str = "00-D0-E5-F2-00-02";
const NONCE: &str = "-_XE9zK9q8Ll1qylMtLKeg";

struct Vectors {
    vendor: Certificate,
    owner: Certificate,
    registrar: Certificate,
    masa: Certificate,
    idevid: Certificate,
    pledge_request: Vec<u8>,
    registrar_request: Vec<u8>,
    voucher: Vec<u8>,
}

impl Vectors {
    fn read() -> Option<Self> {
        let folder = Folder::of("rfc8995")?;
        Some(Self {
            vendor: folder.certificate("vendor.crt"),
            owner: folder.certificate("ownerca_secp384r1.crt"),
            registrar: folder.certificate("jrc_prime256v1.crt"),
            masa: folder.certificate("masa.crt"),
            idevid: folder.certificate(&format!("idevid_{SERIAL}.crt")),
            pledge_request: folder.octets(&format!("vr_{SERIAL}.der")),
            registrar_request: folder.octets(&format!("parboiled_vr_{SERIAL}.der")),
            voucher: folder.octets(&format!("voucher_{SERIAL}.der")),
        })
    }

    fn vendor_anchors(&self) -> Anchors {
        Anchors::new(&[self.vendor.der().clone()]).unwrap()
    }
}

/// 2021-04-14.
fn then() -> ValidityTime {
    at(1_618_358_400)
}

#[test]
fn reads_the_published_idevid() {
    let Some(vectors) = Vectors::read() else {
        return;
    };
    let idevid = &vectors.idevid;
    assert_eq!(idevid::serial_number(idevid).unwrap(), serial(SERIAL));
    assert_eq!(idevid.masa_url_extension(), Some("highway-test.example.com:9443"));
    assert_eq!(idevid.authority_key_identifier(), None);
    let published_later = ValidityTime::IgnoringExpiry;
    verify_chain(idevid, &[], &vectors.vendor_anchors(), published_later).unwrap();
}

#[test]
fn reads_the_published_registrar() {
    let Some(vectors) = Vectors::read() else {
        return;
    };
    let registrar = &vectors.registrar;
    assert!(registrar.has_extended_key_usage(CMC_RA));
    assert!(!registrar.has_extended_key_usage(SERVER_AUTH));
    assert!(vectors.owner.is_ca());
    let expected = "3b2eb0daf4bc6abf26fc5b441eececeec97b2d20f7a56f724c280279ca082f73";
    let hex: String = domain_id(registrar).iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn verifies_the_published_pledge_request_with_the_key_of_the_reissued_idevid() {
    let Some(vectors) = Vectors::read() else {
        return;
    };
    assert_eq!(vectors.pledge_request.len(), 1652);
    let request = Unverified::<PledgeRequest>::parse(&vectors.pledge_request).unwrap();
    assert_ne!(request.certificates()[0].serial(), vectors.idevid.serial());
    let request = request.verify_by_key(&vectors.idevid).unwrap();
    assert_eq!(request.assertion(), Some(Assertion::Proximity));
    assert_eq!(request.nonce().unwrap().as_str(), NONCE);
    assert_eq!(request.created_on().unwrap().as_str(), "2021-04-13T17:43:23.747-04:00");
    assert_eq!(request.created_on().unwrap().seconds(), 1_618_350_203);
    assert_eq!(request.bytes(), vectors.pledge_request);
    assert_eq!(request.forgiven(), [Quirk::ContentTypeData]);
    registrar::check_pledge_request(&request, &serial(SERIAL), &vectors.registrar).unwrap();
}

#[test]
fn verifies_the_published_registrar_request_and_the_pledges_inside() {
    let Some(vectors) = Vectors::read() else {
        return;
    };
    assert_eq!(vectors.registrar_request.len(), 3943);
    let request = Unverified::<RegistrarRequest>::parse(&vectors.registrar_request).unwrap();
    let request = request.verify_presented(then()).unwrap();
    assert_eq!(request.signer().der(), vectors.registrar.der());
    assert_eq!(request.prior_signed_voucher_request().unwrap(), vectors.pledge_request);
    let prior = masa::check_registrar_request(&request, &vectors.vendor_anchors(), then()).unwrap();
    assert_eq!(prior.bytes(), vectors.pledge_request);
}

#[test]
fn verifies_the_published_voucher_and_its_pin() {
    let Some(vectors) = Vectors::read() else {
        return;
    };
    assert_eq!(vectors.voucher.len(), 1574);
    let voucher = Unverified::<Voucher>::parse(&vectors.voucher).unwrap();
    let voucher = voucher.verify_by_anchors(&vectors.vendor_anchors(), then()).unwrap();
    assert_eq!(voucher.assertion(), Some(Assertion::Logged));
    let pinned = pledge::pinned_certificate(&voucher).unwrap();
    assert_eq!(pinned.der(), vectors.registrar.der());
    let chain = [vectors.registrar.clone()];
    let nonce = voucher.nonce().cloned();
    registrar::check_voucher(&voucher, &serial(SERIAL), nonce.as_ref(), &chain, then()).unwrap();
    let nonce = nonce.unwrap();
    pledge::check_voucher(&voucher, &serial(SERIAL), &nonce, &vectors.idevid, then()).unwrap();
    pledge::check_registrar_chain(&pinned, &chain, then()).unwrap();
}

/// The content, as a reader by another hand takes it out.
fn content(octets: &[u8]) -> Vec<u8> {
    let info = cms::content_info::ContentInfo::from_der(octets).unwrap();
    let signed: cms::signed_data::SignedData = info.content.decode_as().unwrap();
    signed.encap_content_info.econtent.unwrap().value().to_vec()
}

#[test]
fn keeps_the_published_payloads_octet_for_octet() {
    let (Some(vectors), Some(folder)) = (Vectors::read(), Folder::of("rfc8995")) else {
        return;
    };
    let pledge = Unverified::<PledgeRequest>::parse(&vectors.pledge_request).unwrap();
    let registrar = Unverified::<RegistrarRequest>::parse(&vectors.registrar_request).unwrap();
    let voucher = Unverified::<Voucher>::parse(&vectors.voucher).unwrap();
    for (payload, octets, name) in [
        (pledge.payload(), &vectors.pledge_request, "vr"),
        (registrar.payload(), &vectors.registrar_request, "parboiled_vr"),
        (voucher.payload(), &vectors.voucher, "voucher"),
    ] {
        assert_eq!(payload, content(octets), "{name}");
        // Published beside it in lines of 60 columns.
        let lines = folder.octets(&format!("{name}_{SERIAL}.json"));
        let unfolded: Vec<u8> = lines.into_iter().filter(|octet| *octet != b'\n').collect();
        assert_eq!(payload, unfolded, "{name}");
    }
}

#[test]
fn reads_the_published_base64_if_lenient() {
    let (Some(vectors), Some(folder)) = (Vectors::read(), Folder::of("rfc8995")) else {
        return;
    };
    let octets = folder.octets(&format!("vr_{SERIAL}.b64"));
    let read = |strictness| {
        Unverified::<PledgeRequest>::parse_as(&octets, Encoding::Cms, strictness)
            .map(|request| request.verify_by_key(&vectors.idevid).unwrap())
    };
    assert!(read(Strictness::Standard).is_err());
    let request = read(Strictness::Lenient).unwrap();
    assert_eq!(request.bytes(), vectors.pledge_request);
    assert_eq!(request.forgiven(), [Quirk::Base64Body, Quirk::ContentTypeData]);
}

/// It was made a year earlier, and lies beside the others.
#[test]
fn verifies_the_older_registrar_request_that_is_published_in_base64() {
    let (Some(vectors), Some(folder)) = (Vectors::read(), Folder::of("rfc8995")) else {
        return;
    };
    let octets = folder.octets(&format!("parboiled_{SERIAL}.b64"));
    let request =
        Unverified::<RegistrarRequest>::parse_as(&octets, Encoding::Cms, Strictness::Lenient)
            .unwrap();
    // 2020-02-26.
    let request = request.verify_presented(at(1_582_675_200)).unwrap();
    assert_eq!(request.payload(), content(request.bytes()));
    assert_eq!(request.signer().der(), vectors.registrar.der());
    let prior = request.prior_signed_voucher_request().unwrap();
    let prior = Unverified::<PledgeRequest>::parse(prior).unwrap();
    let prior = prior.verify_by_key(&vectors.idevid).unwrap();
    assert_eq!(prior.nonce(), request.nonce());
}

#[test]
fn signs_again_with_the_published_keys() {
    let (Some(vectors), Some(folder)) = (Vectors::read(), Folder::of("rfc8995")) else {
        return;
    };
    // 2021-05-01, when the re-issued IDevID is valid.
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_619_827_200));
    let time = ValidityTime::At(now);
    let key = |name: &str| folder.key(&format!("{name}.key"));
    let original = Unverified::<PledgeRequest>::parse(&vectors.pledge_request).unwrap();
    let original = original.content();
    let fields = PledgeRequestFields {
        assertion: original.assertion().unwrap(),
        serial_number: original.serial_number().clone(),
        nonce: original.nonce().unwrap().clone(),
        created_on: Some(now),
        proximity_registrar_cert: original.proximity().unwrap().octets().to_vec().into(),
    };
    for encoding in [Encoding::Cms, Encoding::CmsIdData] {
        let idevid = std::slice::from_ref(&vectors.idevid);
        let signer = key(&format!("idevid_{SERIAL}"));
        let signed = fields.sign_as(encoding, &signer, idevid, now).unwrap();
        let pledge = Unverified::<PledgeRequest>::parse(&signed).unwrap();
        let pledge = pledge.verify_by_anchors(&vectors.vendor_anchors(), time).unwrap();
        assert_eq!(pledge.nonce(), original.nonce());
        assert_eq!(pledge.proximity(), original.proximity());

        let fields =
            registrar::registrar_request_fields(&pledge, &vectors.idevid, &serial(SERIAL), now);
        let chain = [vectors.registrar.clone(), vectors.owner.clone()];
        let signed = fields.sign_as(encoding, &key("jrc_prime256v1"), &chain, now).unwrap();
        let request = Unverified::<RegistrarRequest>::parse(&signed).unwrap();
        let request = request.verify_presented(time).unwrap();
        masa::check_registrar_request(&request, &vectors.vendor_anchors(), time).unwrap();

        let lifetime = std::time::Duration::from_secs(1200);
        let (proximity, pinned) = (Assertion::Proximity, &vectors.owner);
        let fields = masa::voucher_fields(&request, proximity, pinned, lifetime, now);
        let maker = std::slice::from_ref(&vectors.masa);
        let signed = fields.sign_as(encoding, &key("masa"), maker, now).unwrap();
        let voucher = Unverified::<Voucher>::parse(&signed).unwrap();
        let voucher = voucher.verify_by_anchors(&vectors.vendor_anchors(), time).unwrap();
        let nonce = original.nonce().unwrap();
        pledge::check_voucher(&voucher, &serial(SERIAL), nonce, &vectors.idevid, time).unwrap();
        let pinned = pledge::pinned_certificate(&voucher).unwrap();
        pledge::check_registrar_chain(&pinned, &chain[..1], time).unwrap();
    }
}

#[test]
fn no_changed_or_cut_vector_verifies_or_panics() {
    let Some(vectors) = Vectors::read() else {
        return;
    };
    let anchors = vectors.vendor_anchors();
    let verifies = |octets: &[u8]| {
        Unverified::<PledgeRequest>::parse(octets)
            .is_ok_and(|request| request.verify_by_anchors(&anchors, then()).is_ok())
    };
    assert!(verifies(&vectors.pledge_request));
    for end in 0..vectors.pledge_request.len() {
        assert!(!verifies(&vectors.pledge_request[..end]), "cut at {end}");
    }
    for at in 0..vectors.voucher.len() {
        let mut octets = vectors.voucher.clone();
        octets[at] ^= 0xff;
        if let Ok(voucher) = Unverified::<Voucher>::parse(&octets) {
            let _ = voucher.verify_by_anchors(&anchors, then());
        }
    }
}
