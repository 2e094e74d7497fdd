//! The artefacts of draft-ietf-anima-constrained-voucher, as published. They are not one transaction.

use brski_voucher::artefact::{
    Artefact, Assertion, Binding, PledgeRequest, Proximity, RegistrarRequest, Voucher,
    VoucherFields,
};
use brski_voucher::certificate::CMC_RA;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::{IssuerForm, issuer_form};
use brski_voucher::masa::RegistrarRequestRefusal;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;
use brski_voucher::{masa, pledge};
use rustls_pki_types::UnixTime;

use super::{Folder, anchor, at};
use crate::support::serial;

const SERIAL: &str = "JADA123456789";
const THEN: u64 = 1_672_531_200;

/// 2023-01-01.
fn then() -> ValidityTime {
    at(THEN)
}

fn parse<T: Artefact>(octets: &[u8]) -> Unverified<T> {
    Unverified::parse_as(octets, Encoding::Cose, Strictness::Standard).unwrap()
}

#[test]
fn verifies_the_published_pledge_request_which_carries_no_certificate() {
    let Some(folder) = Folder::of("constrained-voucher") else {
        return;
    };
    let octets = folder.hex("pvr.hex");
    assert_eq!(octets.len(), 201);
    let request = parse::<PledgeRequest>(&octets);
    assert_eq!(request.payload(), folder.hex("pvr-nonsigned.hex"));
    assert!(request.certificates().is_empty());
    let request = request.verify_by_key(&folder.certificate("pledge.pem")).unwrap();
    assert_eq!(request.bytes(), octets);
    assert_eq!(request.assertion(), Some(Assertion::Proximity));
    assert_eq!(*request.serial_number(), serial(SERIAL));
    assert_eq!(request.nonce().unwrap().as_str(), "I7+7ycK88hM=");
    let registrar = folder.certificate("registrar.pem");
    let seen = request.proximity().unwrap();
    assert_eq!(*seen, Proximity::PublicKey(registrar.spki_der().to_vec()));
    assert!(seen.is_of(&registrar) && !seen.is_of(&folder.certificate("pledge.pem")));
}

#[test]
fn verifies_the_published_registrar_request() {
    let Some(folder) = Folder::of("constrained-voucher") else {
        return;
    };
    let octets = folder.hex("rvr.hex");
    assert_eq!(octets.len(), 1604);
    let request = parse::<RegistrarRequest>(&octets).verify_presented(then()).unwrap();
    assert_eq!(request.payload(), folder.hex("rvr-nonsigned.hex"));
    assert!(request.signer().has_extended_key_usage(CMC_RA));
    assert_eq!(request.signer().spki_der(), folder.certificate("registrar.pem").spki_der());
    assert_eq!(request.signer_chain().len(), 2);
    assert_eq!(request.prior_signed_voucher_request().unwrap(), folder.hex("pvr.hex"));
    let idevid = folder.certificate("pledge.pem");
    let form = issuer_form(request.idevid_issuer().unwrap(), &idevid);
    assert_eq!(form, Some(IssuerForm::ExtensionValue));
    // It was made before the pledge's chain had to stand beside it, so a MASA cannot check the request inside.
    let maker = anchor(&folder.certificate("masa_ca.pem"));
    let refusal = masa::check_registrar_request(&request, &maker, then()).unwrap_err();
    assert!(matches!(refusal, RegistrarRequestRefusal::PriorUntrusted(_)), "{refusal}");
}

#[test]
fn verifies_the_published_voucher_and_takes_the_certificates_off() {
    let Some(folder) = Folder::of("constrained-voucher") else {
        return;
    };
    let octets = folder.hex("voucher.hex");
    assert_eq!(octets.len(), 724);
    let maker = anchor(&folder.certificate("masa_ca.pem"));
    let voucher = parse::<Voucher>(&octets).verify_by_anchors(&maker, then()).unwrap();
    assert_eq!(voucher.payload(), folder.hex("voucher-nonsigned.hex"));
    assert_eq!(voucher.signer().der(), folder.certificate("masa_ca.pem").der());
    assert_eq!(voucher.domain_cert_revocation_checks(), Some(false));
    let pinned = pledge::pinned_certificate(&voucher).unwrap();
    assert_eq!(pinned.spki_der(), folder.certificate("domain_ca.pem").spki_der());
    let forwarded = voucher.for_pledge();
    let stripped = parse::<Voucher>(&forwarded);
    assert!(stripped.certificates().is_empty());
    assert_eq!(stripped.payload(), voucher.payload());
    stripped.verify_by_anchors(&maker, then()).unwrap();
}

#[test]
fn signs_again_with_the_published_keys() {
    let Some(folder) = Folder::of("constrained-voucher") else {
        return;
    };
    let original = parse::<Voucher>(&folder.hex("voucher.hex"));
    let masa = folder.certificate("masa_ca.pem");
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(THEN));
    let fields = VoucherFields {
        assertion: original.content().assertion().unwrap(),
        serial_number: original.content().serial_number().clone(),
        binding: Binding::Nonce(original.content().nonce().unwrap().clone()),
        created_on: now,
        idevid_issuer: None,
        pinned_domain_cert: original.content().pinned_domain_cert().unwrap().to_vec().into(),
        domain_cert_revocation_checks: Some(false),
    };
    let key = folder.key("keys/privkey_masa_ca.pem");
    let chain = std::slice::from_ref(&masa);
    let signed = fields.sign_as(Encoding::Cose, &key, chain, now).unwrap();
    let again = parse::<Voucher>(&signed).verify_by_anchors(&anchor(&masa), then()).unwrap();
    assert_eq!(again.nonce(), original.content().nonce());
    assert_eq!(again.pinned_domain_cert(), original.content().pinned_domain_cert());
}
