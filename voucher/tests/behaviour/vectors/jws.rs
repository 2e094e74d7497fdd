//! The artefacts of draft-ietf-anima-jws-voucher, as published.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brski_voucher::artefact::{
    Artefact, Assertion, PledgeRequest, PledgeRequestFields, RegistrarRequest, Voucher,
};
use brski_voucher::certificate::CMC_RA;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::masa::RegistrarRequestRefusal;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;
use brski_voucher::{masa, pledge};
use rustls_pki_types::UnixTime;

use super::{Folder, anchor, at};
use crate::support::serial;

const SERIAL: &str = "kit-987654321";

/// 2024-12-01.
fn then() -> ValidityTime {
    at(1_733_011_200)
}

fn parse<T: Artefact>(octets: &[u8]) -> Unverified<T> {
    Unverified::parse_as(octets, Encoding::Jws, Strictness::Standard).unwrap()
}

/// The payload, taken out by other means.
fn payload(octets: &[u8]) -> Vec<u8> {
    let jws: serde_json::Value = serde_json::from_slice(octets).unwrap();
    URL_SAFE_NO_PAD.decode(jws["payload"].as_str().unwrap()).unwrap()
}

#[test]
fn verifies_the_published_pledge_request() {
    let Some(folder) = Folder::of("jws-voucher") else {
        return;
    };
    let octets = folder.octets("pvr.json");
    let idevid = folder.certificate("01-certificate.pem");
    let request = parse::<PledgeRequest>(&octets);
    assert_eq!(request.payload(), payload(&octets));
    assert_eq!(*request.content().serial_number(), serial(SERIAL));
    assert_eq!(request.content().created_on().unwrap().as_str(), "2024-11-29T09:34:16.426Z");
    assert!(request.forgiven().is_empty());
    let by_key = request.clone().verify_by_key(&idevid).unwrap();
    assert_eq!(by_key.bytes(), octets);
    let maker = anchor(&folder.certificate("02-certificate.pem"));
    let by_anchor = request.verify_by_anchors(&maker, then()).unwrap();
    assert_eq!(by_anchor.signer().der(), idevid.der());
}

#[test]
fn verifies_the_published_registrar_request_whose_tls_certificate_was_another_one() {
    let Some(folder) = Folder::of("jws-voucher") else {
        return;
    };
    let octets = folder.octets("rvr.json");
    let request = parse::<RegistrarRequest>(&octets).verify_presented(then()).unwrap();
    assert_eq!(request.payload(), payload(&octets));
    assert_eq!(request.signer().der(), folder.certificate("04-certificate.pem").der());
    assert!(request.signer().has_extended_key_usage(CMC_RA));
    let prior = request.prior_signed_voucher_request().unwrap();
    assert_eq!(prior, folder.octets("rvr.prior.bin"));
    parse::<PledgeRequest>(prior).verify_by_key(&folder.certificate("01-certificate.pem")).unwrap();
    let maker = anchor(&folder.certificate("02-certificate.pem"));
    let refusal = masa::check_registrar_request(&request, &maker, then()).unwrap_err();
    assert!(matches!(refusal, RegistrarRequestRefusal::ProximityMismatch { .. }), "{refusal}");
}

#[test]
fn verifies_the_published_voucher() {
    let Some(folder) = Folder::of("jws-voucher") else {
        return;
    };
    let octets = folder.octets("voucher.json");
    let maker = anchor(&folder.certificate("08-certificate.pem"));
    let voucher = parse::<Voucher>(&octets).verify_by_anchors(&maker, then()).unwrap();
    assert_eq!(voucher.payload(), payload(&octets));
    assert_eq!(voucher.for_pledge(), octets);
    assert_eq!(voucher.assertion(), Some(Assertion::Logged));
    let idevid = folder.certificate("01-certificate.pem");
    let nonce = voucher.nonce().cloned().unwrap();
    pledge::check_voucher(&voucher, &serial(SERIAL), &nonce, &idevid, then()).unwrap();
    // What is pinned is the domain CA; the registrar's chain of the request leads there.
    let pinned = pledge::pinned_certificate(&voucher).unwrap();
    let chain =
        [folder.certificate("04-certificate.pem"), folder.certificate("05-certificate.pem")];
    pledge::check_registrar_chain(&pinned, &chain, then()).unwrap();
}

/// The payloads are published on their own too, with white space.
#[test]
fn reads_the_published_payloads_as_json() {
    let Some(folder) = Folder::of("jws-voucher") else {
        return;
    };
    for name in ["pvr", "rvr", "voucher"] {
        let expected: serde_json::Value =
            serde_json::from_slice(&folder.octets(&format!("{name}.payload.json"))).unwrap();
        let octets = folder.octets(&format!("{name}.json"));
        let kept = match name {
            "voucher" => parse::<Voucher>(&octets).payload().to_vec(),
            _ => parse::<PledgeRequest>(&octets).payload().to_vec(),
        };
        assert_eq!(kept, payload(&octets), "{name}");
        let read: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn signs_again_with_the_published_keys() {
    let Some(folder) = Folder::of("jws-voucher") else {
        return;
    };
    let idevid = folder.certificate("01-certificate.pem");
    let original = parse::<PledgeRequest>(&folder.octets("pvr.json"));
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_733_011_200));
    let fields = PledgeRequestFields {
        assertion: original.content().assertion().unwrap_or(Assertion::Proximity),
        serial_number: original.content().serial_number().clone(),
        nonce: original.content().nonce().unwrap().clone(),
        created_on: Some(now),
        proximity_registrar_cert: original.content().proximity().unwrap().octets().to_vec().into(),
    };
    let chain = std::slice::from_ref(&idevid);
    let signed =
        fields.sign_as(Encoding::Jws, &folder.key("00-private-key.pem"), chain, now).unwrap();
    let again = parse::<PledgeRequest>(&signed).verify_by_key(&idevid).unwrap();
    assert_eq!(again.nonce(), original.content().nonce());
    assert_eq!(again.proximity(), original.content().proximity());
}
