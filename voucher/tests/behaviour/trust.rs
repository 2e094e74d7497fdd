//! Which certificates chain to which anchors.

use brski_voucher::certificate::Certificate;
use brski_voucher::trust::{AnchorError, Anchors, ChainError, ValidityTime, verify_chain};
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use rustls_pki_types::CertificateDer;

use crate::crafted::{CraftedCertificate, ECDSA_SHA256, der, oid};
use crate::support::{
    Party, SERIAL, World, at_now, at_year_2050, ca_params, idevid_params, p256, p384, params,
};

#[test]
fn follows_intermediates_in_any_order() {
    let world = World::new();
    let upper = world.vendor.issue(ca_params("upper"), p384());
    let lower = upper.issue(ca_params("lower"), p256());
    let device = lower.issue(idevid_params(SERIAL), p256());
    let anchors = world.vendor.anchors();
    let between = [lower.certificate.clone(), upper.certificate.clone()];
    verify_chain(&device.certificate, &between, &anchors, at_now()).unwrap();
    let turned = [upper.certificate, lower.certificate];
    verify_chain(&device.certificate, &turned, &anchors, at_now()).unwrap();
    let refusal = verify_chain(&device.certificate, &turned[..1], &anchors, at_now());
    assert!(matches!(refusal, Err(ChainError::Path(_))));
}

#[test]
fn asks_for_no_extended_key_usage() {
    let world = World::new();
    let mut wanted = idevid_params(SERIAL);
    wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let device = world.vendor.issue(wanted, p256());
    verify_chain(&device.certificate, &[], &world.vendor.anchors(), at_now()).unwrap();
}

#[test]
fn ignores_expiry_where_told_so() {
    let world = World::new();
    let (device, anchors) = (&world.device.certificate, world.vendor.anchors());
    assert!(verify_chain(device, &[], &anchors, at_year_2050()).is_err());
    verify_chain(device, &[], &anchors, ValidityTime::IgnoringExpiry).unwrap();
}

#[test]
fn takes_anchors_whose_dates_are_over() {
    let mut old = ca_params("old CA");
    old.not_before = date_time_ymd(1999, 1, 1);
    old.not_after = date_time_ymd(2009, 1, 1);
    old.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let old = Party::root(old, p384());
    let device = old.issue(idevid_params(SERIAL), p256());
    verify_chain(&device.certificate, &[], &old.anchors(), at_now()).unwrap();
}

#[test]
fn takes_a_version_1_root_as_an_anchor() {
    let world = World::new();
    let root = CraftedCertificate::version_1(&world.vendor.certificate).sign(&world.vendor);
    let anchors = Anchors::new(&[CertificateDer::from(root)]).unwrap();
    verify_chain(&world.device.certificate, &[], &anchors, at_now()).unwrap();
}

#[test]
fn takes_odd_leaves_directly_under_an_anchor() {
    let world = World::new();
    let anchors = world.vendor.anchors();
    let mut odd = CraftedCertificate::version_1(&world.device.certificate);
    let version_1 = Certificate::from_der(&odd.sign(&world.vendor)).unwrap();
    verify_chain(&version_1, &[], &anchors, at_year_2050()).unwrap();

    odd.version = der(0xa0, &[&[2, 1, 2]]);
    odd.serial = vec![0x7f; 23];
    let unknown = der(0x30, &[&oid(&[0x2a, 3]), &[1, 1, 0xff], &der(0x04, &[&[5, 0]])]);
    odd.extensions = der(0xa3, &[&der(0x30, &[&unknown])]);
    let critical = Certificate::from_der(&odd.sign(&world.vendor)).unwrap();
    verify_chain(&critical, &[], &anchors, at_now()).unwrap();
}

#[test]
fn refuses_odd_leaves_of_others_and_outside_their_dates() {
    let world = World::new();
    let anchors = world.vendor.anchors();
    let mut odd = CraftedCertificate::version_1(&world.device.certificate);
    let refused = |der: &[u8], time| {
        let leaf = Certificate::from_der(der).unwrap();
        verify_chain(&leaf, &[], &anchors, time).unwrap_err()
    };
    // Another issuer's name, and the right name with another key.
    assert!(matches!(refused(&odd.sign(&world.domain), at_now()), ChainError::Path(_)));
    let twin = Party::root(ca_params("vendor CA"), p384());
    assert!(matches!(refused(&odd.sign(&twin), at_now()), ChainError::Path(_)));
    // A changed octet of what is signed.
    let mut changed = odd.sign(&world.vendor);
    let at = changed.windows(3).position(|each| each == b"dev").unwrap();
    changed[at] ^= 1;
    assert!(matches!(refused(&changed, at_now()), ChainError::Path(_)));
    // The algorithm inside differs from the one outside.
    odd.inner_algorithm = oid(ECDSA_SHA256);
    assert!(matches!(refused(&odd.sign(&world.vendor), at_now()), ChainError::Path(_)));
    odd = CraftedCertificate::version_1(&world.device.certificate);
    odd.not_after = der(0x17, &[b"260201000000Z"]);
    let expected = ChainError::Validity {
        not_before: 1_767_225_600,
        not_after: 1_769_904_000,
        at: 1_780_272_000,
    };
    assert_eq!(refused(&odd.sign(&world.vendor), at_now()), expected);
}

#[test]
fn an_end_entity_certificate_as_an_anchor_vouches_for_itself_alone() {
    let world = World::new();
    let device = &world.device.certificate;
    verify_chain(device, &[], &world.device.anchors(), at_now()).unwrap();
    let expired = verify_chain(device, &[], &world.device.anchors(), at_year_2050());
    assert!(matches!(expired, Err(ChainError::Validity { .. })));
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut wanted = idevid_params("evil");
        wanted.is_ca = is_ca;
        let device = world.vendor.issue(wanted, p256());
        let minted = device.issue(idevid_params("minted"), p256());
        let refusal = verify_chain(&minted.certificate, &[], &device.anchors(), at_now());
        assert!(matches!(refusal, Err(ChainError::Path(_))));
    }
}

#[test]
fn an_end_entity_certificate_as_an_anchor_vouches_for_no_odd_leaf() {
    let world = World::new();
    // P-384, since the odd leaf is signed with SHA-384: only the anchor's kind stands against it.
    for (wanted, is_accepted) in [(idevid_params("evil"), false), (ca_params("CA"), true)] {
        let issuer = world.vendor.issue(wanted, p384());
        let odd = CraftedCertificate::version_1(&world.device.certificate).sign(&issuer);
        let odd = Certificate::from_der(&odd).unwrap();
        let verified = verify_chain(&odd, &[], &issuer.anchors(), at_now());
        assert_eq!(verified.is_ok(), is_accepted);
    }
}

#[test]
fn refuses_a_device_as_an_intermediate() {
    let world = World::new();
    let minted = world.device.issue(idevid_params("minted"), p256());
    let between = [world.device.certificate.clone()];
    let anchors = world.vendor.anchors();
    let refusal = verify_chain(&minted.certificate, &between, &anchors, at_now());
    assert!(matches!(refusal, Err(ChainError::Path(_))));
}

#[test]
fn refuses_foreign_certificates_and_no_anchor_at_all() {
    let world = World::new();
    let device = &world.device.certificate;
    let refusal = verify_chain(device, &[], &world.domain.anchors(), at_now());
    assert!(matches!(refusal, Err(ChainError::Path(_))));
    let none = Anchors::new(&[]).unwrap();
    assert!(none.is_empty());
    assert_eq!(verify_chain(device, &[], &none, at_now()), Err(ChainError::NoAnchor));
}

#[test]
fn refuses_anchors_that_are_none() {
    let error = Anchors::new(&[CertificateDer::from(vec![1, 2, 3])]).unwrap_err();
    assert!(matches!(error, AnchorError::Certificate(_)));
}

#[test]
fn refuses_an_anchor_that_no_path_can_end_at() {
    let world = World::new();
    let mut odd = CraftedCertificate::version_1(&world.vendor.certificate);
    // A length in more octets than needed: readable, but not DER.
    odd.spki.insert(1, 0x81);
    let error = Anchors::new(&[CertificateDer::from(odd.sign(&world.vendor))]).unwrap_err();
    assert!(matches!(error, AnchorError::Path(_)));
}

#[test]
fn judges_a_leaf_with_an_unknown_critical_extension_by_its_issuer() {
    let world = World::new();
    let mut wanted = params("odd");
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
    unknown.set_criticality(true);
    wanted.custom_extensions.push(unknown);
    let odd = world.vendor.issue(wanted, p256());
    verify_chain(&odd.certificate, &[], &world.vendor.anchors(), at_now()).unwrap();
    let refusal = verify_chain(&odd.certificate, &[], &world.domain.anchors(), at_now());
    assert!(matches!(refusal, Err(ChainError::Path(_))));
}
