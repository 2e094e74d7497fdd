//! The MASA's refusals, and its vouchers.

use std::time::Duration;

use brski_voucher::artefact::{Assertion, Binding, Nonce, RegistrarRequest};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Quirk, Strictness};
use brski_voucher::idevid::{Pattern, SerialRule, SerialRules};
use brski_voucher::masa::{
    Devices, RegistrarRequestRefusal as Refusal, check_nonceless_request, check_registrar_request,
    check_registrar_request_for, voucher_fields,
};
use brski_voucher::verify::{Unverified, Verified, VerifyError};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::support::{
    NOW, SERIAL, World, at_now, at_year_2050, ca_params, idevid_params, nonce, now, p256, p384,
    params, registrar_params, serial,
};

fn check(world: &World, request: &Verified<RegistrarRequest>) -> Result<(), Refusal> {
    check_registrar_request(request, &world.vendor.anchors(), at_now()).map(|_| ())
}

fn refused(world: &World, request: &Verified<RegistrarRequest>) -> Refusal {
    check(world, request).unwrap_err()
}

/// Each refusal that compares says both values and the clause.
#[test]
fn a_refusal_names_its_clause() {
    let world = World::new();
    let refusals = [
        {
            let mut fields = world.registrar_fields();
            fields.prior_signed_voucher_request = Some(vec![1, 2, 3]);
            refused(&world, &world.sign_registrar(&fields))
        },
        {
            let request = world.sign_registrar(&world.registrar_fields());
            let strangers = World::new().vendor.anchors();
            check_registrar_request(&request, &strangers, at_now()).unwrap_err()
        },
        {
            let mut fields = world.registrar_fields();
            fields.nonce = Some(Nonce::parse("another").unwrap());
            refused(&world, &world.sign_registrar(&fields))
        },
    ];
    for refusal in refusals {
        assert!(refusal.to_string().contains("(RFC 8995 §5.5."), "{refusal}");
    }
}

/// The request, carrying these certificates.
fn carrying(world: &World, chain: &[Certificate]) -> Verified<RegistrarRequest> {
    let der = world.registrar_fields().sign(&world.registrar.signer, chain, now()).unwrap();
    Unverified::parse(&der).unwrap().verify_presented(at_now()).unwrap()
}

#[test]
fn accepts_a_registrar_request_and_gives_the_pledges_back() {
    let world = World::new();
    let request = world.sign_registrar(&world.registrar_fields());
    let prior = check_registrar_request(&request, &world.vendor.anchors(), at_now()).unwrap();
    assert_eq!(Some(prior.bytes()), request.prior_signed_voucher_request());
    assert_eq!(request.signer_chain().last().unwrap().der(), world.domain.certificate.der());
}

#[test]
fn accepts_a_registrar_whose_certificate_stands_alone() {
    let world = World::new();
    let request = carrying(&world, &world.registrar.chain());
    assert_eq!(request.signer_chain(), world.registrar.chain());
    check(&world, &request).unwrap();
}

#[test]
fn finds_the_top_of_the_presented_chain_among_others() {
    let mut world = World::new();
    let issuing = world.domain.issue(ca_params("issuing CA"), p384());
    world.registrar = issuing.issue(registrar_params(), p256());
    let own = world.registrar.certificate.clone();
    let (lower, upper) = (issuing.certificate.clone(), world.domain.certificate.clone());
    let stranger = world.vendor.certificate.clone();
    let request = carrying(&world, &[own.clone(), stranger, upper.clone(), lower.clone()]);
    assert_eq!(request.signer_chain(), [own.clone(), lower.clone(), upper]);
    // Up to the issuing CA only, if that is what the registrar wants pinned.
    let request = carrying(&world, &[own.clone(), lower.clone()]);
    assert_eq!(request.signer_chain(), [own, lower]);
}

#[test]
fn refuses_a_presented_chain_that_is_over() {
    let world = World::new();
    let chain = world.registrar_chain();
    let der = world.registrar_fields().sign(&world.registrar.signer, &chain, now()).unwrap();
    let request = Unverified::<RegistrarRequest>::parse(&der).unwrap();
    let refusal = request.verify_presented(at_year_2050()).unwrap_err();
    assert!(matches!(refusal, VerifyError::Chain(_)));
}

#[test]
fn refuses_a_signer_that_is_no_registrar() {
    let world = World::with_registrar(params("no registrar"));
    let request = world.sign_registrar(&world.registrar_fields());
    let refusal = refused(&world, &request).to_string();
    let expected = "the request's signer \"CN=no registrar\" has the extended key usages [], and not \
        1.3.6.1.5.5.7.3.28 (cmcRA) (RFC 8995 §5.5.4)";
    assert_eq!(refusal, expected);
}

#[test]
fn refuses_a_request_without_the_pledges_or_with_one_that_cannot_be_read() {
    let world = World::new();
    let mut fields = world.registrar_fields();
    fields.prior_signed_voucher_request = None;
    assert!(matches!(refused(&world, &world.sign_registrar(&fields)), Refusal::NoPriorRequest));
    fields.prior_signed_voucher_request = Some(vec![1, 2, 3]);
    let refusal = refused(&world, &world.sign_registrar(&fields));
    assert!(matches!(refusal, Refusal::PriorUnreadable(_)));
}

#[test]
fn refuses_a_pledge_of_another_manufacturer() {
    let world = World::new();
    let request = world.sign_registrar(&world.registrar_fields());
    let refusal = check_registrar_request(&request, &World::new().vendor.anchors(), at_now());
    assert!(matches!(refusal, Err(Refusal::PriorUntrusted(_))));
}

#[test]
fn refuses_a_request_for_another_serial_number() {
    let world = World::new();
    let mut fields = world.registrar_fields();
    fields.serial_number = serial("other");
    match refused(&world, &world.sign_registrar(&fields)) {
        Refusal::SerialNumberMismatch { request, idevid } => {
            assert_eq!((request.as_str(), idevid.as_str()), ("other", SERIAL));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn refuses_a_pledge_without_serial_number() {
    let mut world = World::new();
    world.device = world.vendor.issue(params("nameless"), p256());
    let request = world.sign_registrar(&world.registrar_fields());
    match refused(&world, &request) {
        Refusal::SerialNumberMismatch { idevid, .. } => assert_eq!(idevid, ""),
        other => panic!("{other}"),
    }
}

#[test]
fn finds_the_serial_number_of_a_device_where_its_manufacturer_puts_it() {
    let mut world = World::new();
    world.device = world.vendor.issue(params(SERIAL), p256());
    let request = world.sign_registrar(&world.registrar_fields());
    assert!(matches!(refused(&world, &request), Refusal::SerialNumberMismatch { .. }));
    let by = |pattern: &str| {
        let rule = SerialRule::CommonName(Pattern::parse(pattern).unwrap());
        let devices = Devices {
            anchors: world.vendor.anchors(),
            serial_rules: SerialRules::new(vec![SerialRule::SubjectSerialNumber, rule]),
            ..Devices::default()
        };
        check_registrar_request_for(&request, &devices, at_now())
    };
    assert_eq!(*by(".*").unwrap().serial_number(), serial(SERIAL));
    assert!(matches!(by("^.."), Err(Refusal::SerialNumberMismatch { .. })));
}

#[test]
fn reads_a_devices_request_as_leniently_as_its_manufacturer_says() {
    use base64::Engine as _;

    let world = World::new();
    let mut fields = world.registrar_fields();
    let base64 = base64::engine::general_purpose::STANDARD.encode(world.pledge_request().bytes());
    fields.prior_signed_voucher_request = Some(base64.into_bytes());
    let request = world.sign_registrar(&fields);
    assert!(matches!(refused(&world, &request), Refusal::PriorUnreadable(_)));
    let devices = Devices {
        anchors: world.vendor.anchors(),
        strictness: Strictness::Lenient,
        ..Devices::default()
    };
    let prior = check_registrar_request_for(&request, &devices, at_now()).unwrap();
    assert_eq!(prior.forgiven(), [Quirk::Base64Body]);
}

#[test]
fn refuses_a_request_with_another_nonce_or_none() {
    let world = World::new();
    for other in [Some(Nonce::parse("another").unwrap()), None] {
        let mut fields = world.registrar_fields();
        fields.nonce = other;
        let refusal = refused(&world, &world.sign_registrar(&fields));
        assert!(matches!(refusal, Refusal::NonceMismatch { .. }));
    }
}

#[test]
fn refuses_a_pledge_that_saw_another_registrar() {
    let world = World::new();
    let stranger = World::new();
    let proximity = |seen: CertificateDer<'static>| {
        let mut pledge = world.pledge_fields();
        pledge.proximity_registrar_cert = seen;
        let mut fields = world.registrar_fields();
        fields.prior_signed_voucher_request = Some(world.sign_pledge(&pledge).bytes().to_vec());
        fields
    };
    let seen = stranger.registrar.certificate.der().clone();
    let fields = proximity(seen);
    let refusal = refused(&world, &world.sign_registrar(&fields));
    assert!(matches!(refusal, Refusal::ProximityMismatch { .. }));

    // To carry the other's certificates does not help.
    let chain = [world.registrar_chain(), stranger.registrar_chain()].concat();
    let der = fields.sign(&world.registrar.signer, &chain, now()).unwrap();
    let request = Unverified::parse(&der).unwrap().verify_presented(at_now()).unwrap();
    assert!(matches!(refused(&world, &request), Refusal::ProximityMismatch { .. }));

    let garbage = proximity(CertificateDer::from(vec![1, 2, 3]));
    let refusal = refused(&world, &world.sign_registrar(&garbage));
    assert!(matches!(refusal, Refusal::ProximityMismatch { .. }));
}

#[test]
fn accepts_another_tls_certificate_of_the_same_domain() {
    let world = World::new();
    let tls = world.domain.issue(params("tls"), p256());
    let mut pledge = world.pledge_fields();
    pledge.proximity_registrar_cert = tls.certificate.der().clone();
    let mut fields = world.registrar_fields();
    fields.prior_signed_voucher_request = Some(world.sign_pledge(&pledge).bytes().to_vec());
    let chain = [world.registrar_chain(), tls.chain()].concat();
    let der = fields.sign(&world.registrar.signer, &chain, now()).unwrap();
    let request = Unverified::parse(&der).unwrap().verify_presented(at_now()).unwrap();
    check(&world, &request).unwrap();
}

#[test]
fn refuses_a_request_for_an_idevid_of_another_issuer() {
    let world = World::new();
    let mut fields = world.registrar_fields();
    fields.idevid_issuer = vec![4, 2, 0x30, 0];
    match refused(&world, &world.sign_registrar(&fields)) {
        Refusal::IdevidIssuerMismatch { request, idevid } => {
            assert_eq!(request, "04023000");
            assert!(idevid.starts_with("0418301680"), "{idevid}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn refuses_a_pledge_request_signed_by_a_device_with_another_serial_number() {
    let mut world = World::new();
    world.device = world.vendor.issue(idevid_params("5000"), p256());
    let request = world.sign_registrar(&world.registrar_fields());
    assert!(matches!(refused(&world, &request), Refusal::SerialNumberMismatch { .. }));
}

#[test]
fn answers_with_the_nonce_or_an_end() {
    let world = World::new();
    let lifetime = Duration::from_secs(1200);
    let pinned = &world.domain.certificate;
    let mut fields = world.registrar_fields();
    let request = world.sign_registrar(&fields);
    let voucher = voucher_fields(&request, Assertion::Proximity, pinned, lifetime, now());
    assert_eq!(voucher.binding, Binding::Nonce(nonce()));
    assert_eq!(voucher.pinned_domain_cert, *pinned.der());
    assert_eq!(voucher.idevid_issuer, Some(fields.idevid_issuer.clone()));

    fields.nonce = None;
    let request = world.sign_registrar(&fields);
    let voucher = voucher_fields(&request, Assertion::Logged, pinned, lifetime, now());
    let end = UnixTime::since_unix_epoch(Duration::from_secs(NOW + 1200));
    assert_eq!(voucher.binding, Binding::ExpiresOn(end));
}

#[test]
fn takes_a_request_without_a_nonce_from_a_known_domain_only() {
    let world = World::new();
    let mut fields = world.registrar_fields();
    (fields.nonce, fields.prior_signed_voucher_request) = (None, None);
    let request = world.sign_registrar(&fields);
    check_nonceless_request(&request, &world.domain.anchors(), at_now()).unwrap();
    let stranger = World::new();
    let refusal = check_nonceless_request(&request, &stranger.domain.anchors(), at_now());
    assert!(matches!(refusal, Err(Refusal::UnknownDomain(_))));
    let with_nonce = world.sign_registrar(&world.registrar_fields());
    let refusal = check_nonceless_request(&with_nonce, &world.domain.anchors(), at_now());
    assert!(matches!(refusal, Err(Refusal::UnexpectedNonce { .. })));
    let unmarked = World::with_registrar(params("no registrar"));
    let request = unmarked.sign_registrar(&fields);
    let refusal = check_nonceless_request(&request, &unmarked.domain.anchors(), at_now());
    assert!(matches!(refusal, Err(Refusal::NotARegistrar { .. })));
}
