//! For all values: what is written is read again, whatever the encoding.

use std::time::Duration;

use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequest, PledgeRequestFields, RegistrarRequest,
    RegistrarRequestFields, Voucher, VoucherFields,
};
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::{MasaUrl, SerialNumber};
use brski_voucher::telemetry::Status;
use brski_voucher::verify::Unverified;
use proptest::prelude::*;
use rustls_pki_types::UnixTime;

use crate::crafted::der;
use crate::support::{World, at_now, now};

fn encodings() -> impl Strategy<Value = Encoding> {
    prop::sample::select(vec![Encoding::Cms, Encoding::CmsIdData, Encoding::Jws, Encoding::Cose])
}

fn assertions() -> impl Strategy<Value = Assertion> {
    prop::sample::select(vec![
        Assertion::Verified,
        Assertion::Logged,
        Assertion::Proximity,
        Assertion::AgentProximity,
    ])
}

fn serials() -> impl Strategy<Value = SerialNumber> {
    "\\PC{1,40}".prop_filter_map("no serial number", |text| SerialNumber::parse(&text).ok())
}

/// Any time until the year 9999.
fn times() -> impl Strategy<Value = UnixTime> {
    (0..253_402_300_800_u64)
        .prop_map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn nonces() -> impl Strategy<Value = Nonce> {
    any::<[u8; 16]>().prop_map(Nonce::from_random)
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

fn seconds(at: UnixTime) -> i64 {
    i64::try_from(at.as_secs()).unwrap()
}

thread_local! {
    static WORLD: World = World::new();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pledge_requests(
        encoding in encodings(), assertion in assertions(), serial_number in serials(),
        nonce in nonces(), created_on in prop::option::of(times()), seen in octets(),
    ) {
        let fields = PledgeRequestFields {
            assertion, serial_number, nonce, created_on, proximity_registrar_cert: seen.into(),
        };
        WORLD.with(|world| {
            let (signer, chain) = (&world.device.signer, world.device.chain());
            let signed = fields.sign_as(encoding, signer, &chain, now()).unwrap();
            let read = Unverified::<PledgeRequest>::parse_as(&signed, encoding, Strictness::Standard);
            let read = read.unwrap().verify_by_key(&world.device.certificate).unwrap();
            prop_assert_eq!(read.assertion(), Some(fields.assertion));
            prop_assert_eq!(read.serial_number(), &fields.serial_number);
            prop_assert_eq!(read.nonce(), Some(&fields.nonce));
            prop_assert_eq!(read.created_on().map(|at| at.seconds()), created_on.map(seconds));
            let seen: &[u8] = &fields.proximity_registrar_cert;
            prop_assert_eq!(read.proximity().map(|seen| seen.octets()), Some(seen));
            Ok(())
        })?;
    }

    #[test]
    fn registrar_requests(
        encoding in encodings(), assertion in prop::option::of(assertions()),
        serial_number in serials(), nonce in prop::option::of(nonces()), created_on in times(),
        identifier in octets(), prior in prop::option::of(octets()),
    ) {
        let fields = RegistrarRequestFields {
            assertion, serial_number, nonce, created_on,
            idevid_issuer: der(0x04, &[&der(0x30, &[&identifier])]),
            prior_signed_voucher_request: prior,
        };
        WORLD.with(|world| {
            let (signer, chain) = (&world.registrar.signer, world.registrar_chain());
            let signed = fields.sign_as(encoding, signer, &chain, now()).unwrap();
            let read = Unverified::<RegistrarRequest>::parse_as(&signed, encoding, Strictness::Standard);
            let read = read.unwrap().verify_by_key(&world.registrar.certificate).unwrap();
            prop_assert_eq!(read.assertion(), fields.assertion);
            prop_assert_eq!(read.serial_number(), &fields.serial_number);
            prop_assert_eq!(read.nonce(), fields.nonce.as_ref());
            prop_assert_eq!(read.idevid_issuer(), Some(&fields.idevid_issuer[..]));
            let prior = fields.prior_signed_voucher_request.as_deref();
            prop_assert_eq!(read.prior_signed_voucher_request(), prior);
            Ok(())
        })?;
    }

    #[test]
    fn vouchers(
        encoding in encodings(), assertion in assertions(), serial_number in serials(),
        created_on in times(), until in times(), renewal in prop::option::of(times()),
        nonce in prop::option::of(nonces()), pinned in octets(), checks in any::<Option<bool>>(),
    ) {
        let binding = match (nonce, renewal) {
            (Some(nonce), _) => Binding::Nonce(nonce),
            (None, Some(last_renewal_date)) => Binding::Renewable { expires_on: until, last_renewal_date },
            (None, None) => Binding::ExpiresOn(until),
        };
        let fields = VoucherFields {
            assertion, serial_number, binding, created_on, idevid_issuer: None,
            pinned_domain_cert: pinned.into(), domain_cert_revocation_checks: checks,
        };
        WORLD.with(|world| {
            let (signer, chain) = (&world.masa.signer, world.masa.chain());
            let signed = fields.sign_as(encoding, signer, &chain, now()).unwrap();
            let read = Unverified::<Voucher>::parse_as(&signed, encoding, Strictness::Standard);
            let read = read.unwrap().verify_by_key(&world.masa.certificate).unwrap();
            prop_assert_eq!(read.assertion(), Some(fields.assertion));
            let (nonce, expires, renewed) = match &fields.binding {
                Binding::Nonce(nonce) => (Some(nonce), None, None),
                Binding::ExpiresOn(at) => (None, Some(seconds(*at)), None),
                Binding::Renewable { expires_on, last_renewal_date } => {
                    (None, Some(seconds(*expires_on)), Some(seconds(*last_renewal_date)))
                }
            };
            prop_assert_eq!(read.nonce(), nonce);
            prop_assert_eq!(read.expires_on().map(|at| at.seconds()), expires);
            prop_assert_eq!(read.last_renewal_date().map(|at| at.seconds()), renewed);
            prop_assert_eq!(read.domain_cert_revocation_checks(), checks);
            let pinned: &[u8] = &fields.pinned_domain_cert;
            prop_assert_eq!(read.pinned_domain_cert(), Some(pinned));
            Ok(())
        })?;
    }

    /// What no signature covers may differ, such as a version; what is read and who signed it may not.
    #[test]
    fn changed_octets(
        encoding in encodings(), serial_number in serials(), nonce in nonces(), pinned in octets(),
        at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let fields = VoucherFields {
            assertion: Assertion::Logged, serial_number, binding: Binding::Nonce(nonce),
            created_on: now(), idevid_issuer: None, pinned_domain_cert: pinned.into(),
            domain_cert_revocation_checks: None,
        };
        WORLD.with(|world| {
            let (signer, chain) = (&world.masa.signer, world.masa.chain());
            let mut signed = fields.sign_as(encoding, signer, &chain, now()).unwrap();
            let read = |signed: &[u8]| {
                let read = Unverified::<Voucher>::parse_as(signed, encoding, Strictness::Lenient);
                read.ok()?.verify_by_anchors(&world.vendor.anchors(), at_now()).ok()
            };
            let original = read(&signed).unwrap();
            signed[at.index(original.bytes().len())] ^= flip;
            if let Some(changed) = read(&signed) {
                prop_assert_eq!(&*changed, &*original);
                prop_assert_eq!(changed.payload(), original.payload());
                prop_assert_eq!(changed.signer(), original.signer());
            }
            Ok(())
        })?;
    }

    #[test]
    fn status_reports(reason in "\\PC{0,60}") {
        let status = Status::failure(&reason);
        prop_assert_eq!(Status::parse(&status.to_json()).unwrap(), status);
    }

    #[test]
    fn masa_urls(text in "[a-z0-9.:/\\[\\]-]{1,40}") {
        if let Ok(url) = MasaUrl::parse(&text) {
            prop_assert_eq!(MasaUrl::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..400), encoding in encodings()) {
        let _ = Unverified::<Voucher>::parse_as(&octets, encoding, Strictness::Lenient);
    }
}
