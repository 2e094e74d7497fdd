//! What reading, verifying and signing cost, beside the bare signature operations that they cannot do without.
//!
//! `make bench` prints each time and, at the end, the ratios to the floor of the same run. Nothing is asserted.

// A panic is how a benchmark fails.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it is a program beside the library, which reads a clock and files, and whose floor signs by itself"
)]

use std::alloc::System;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequest, PledgeRequestFields, Voucher, VoucherFields,
};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::Unverified;
use criterion::Criterion;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::UnixTime;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ENCODINGS: [Encoding; 3] = [Encoding::Cms, Encoding::Jws, Encoding::Cose];

/// 2026-06-01.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_780_272_000))
}

/// A P-256 key under a P-256 CA.
struct Party {
    certificate: Certificate,
    anchors: Anchors,
    key: PrivateKey,
    bare: EcdsaKeyPair,
}

impl Party {
    fn new() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut root = params("maker");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let anchor = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::from_params(&root, &root_key);
        let own = params("signer").signed_by(&key, &issuer).unwrap();
        let pkcs8 = key.serialize_der();
        Self {
            certificate: Certificate::from_der(own.der()).unwrap(),
            anchors: Anchors::new(&[anchor.der().clone()]).unwrap(),
            key: PrivateKey::from_pkcs8_der(&pkcs8).unwrap(),
            bare: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).unwrap(),
        }
    }

    fn pledge_request(&self) -> PledgeRequestFields {
        PledgeRequestFields {
            assertion: Assertion::Proximity,
            serial_number: SerialNumber::parse("00-D0-E5-F2-00-02").unwrap(),
            nonce: Nonce::from_random([7; 16]),
            created_on: Some(now()),
            proximity_registrar_cert: self.certificate.der().clone(),
        }
    }

    fn voucher(&self) -> VoucherFields {
        VoucherFields {
            assertion: Assertion::Logged,
            serial_number: SerialNumber::parse("00-D0-E5-F2-00-02").unwrap(),
            binding: Binding::Nonce(Nonce::from_random([7; 16])),
            created_on: now(),
            idevid_issuer: None,
            pinned_domain_cert: self.certificate.der().clone(),
            domain_cert_revocation_checks: Some(false),
        }
    }
}

/// The bare signature operations.
struct Floor<'a> {
    verify: Box<dyn Fn() + 'a>,
    sign: Box<dyn Fn() + 'a>,
}

impl<'a> Floor<'a> {
    fn new(party: &'a Party) -> Self {
        let message = [7; 600];
        let random = SystemRandom::new();
        let signature = party.bare.sign(&random, &message).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, party.bare.public_key());
        Self {
            verify: Box::new(move || key.verify(black_box(&message), signature.as_ref()).unwrap()),
            sign: Box::new(move || {
                black_box(party.bare.sign(&random, black_box(&message)).unwrap());
            }),
        }
    }
}

/// How many times the floor `work` takes.
///
/// Both are timed in turns, and the median of the pairs counts: so it matters little what else the machine does.
fn ratio(floor: &dyn Fn(), work: &dyn Fn()) -> f64 {
    const ROUNDS: usize = 400;
    const CALLS: usize = 8;

    let time = |work: &dyn Fn()| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| work());
        start.elapsed().as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let floor = time(floor);
            time(work) / floor
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
}

/// Benchmarks each artefact in each encoding; gives a line for each ratio.
fn each_encoding(criterion: &mut Criterion, party: &Party) -> Vec<String> {
    let floor = Floor::new(party);
    criterion.bench_function("floor/verify", |bencher| bencher.iter(|| (floor.verify)()));
    criterion.bench_function("floor/sign", |bencher| bencher.iter(|| (floor.sign)()));
    let mut lines = Vec::new();
    let mut compare = |name: String, floor: &dyn Fn(), operations: f64, work: &dyn Fn()| {
        criterion.bench_function(&name, |bencher| bencher.iter(work));
        lines.push(format!("  {name:<26} {:>5.2} × the floor", ratio(floor, work) / operations));
    };
    let chain = std::slice::from_ref(&party.certificate);
    for encoding in ENCODINGS {
        let word = encoding.as_str();
        let (request, voucher) = (party.pledge_request(), party.voucher());
        compare(format!("sign-{word}/pledge-request"), &*floor.sign, 1.0, &|| {
            black_box(request.sign_as(encoding, &party.key, chain, now()).unwrap());
        });
        let request = request.sign_as(encoding, &party.key, chain, now()).unwrap();
        let voucher = voucher.sign_as(encoding, &party.key, chain, now()).unwrap();
        let verify_request = || {
            Unverified::<PledgeRequest>::parse_as(&request, encoding, Strictness::Standard)
                .unwrap()
                .verify_by_key(&party.certificate)
                .unwrap()
        };
        compare(format!("verify-{word}/by-key"), &*floor.verify, 1.0, &|| {
            black_box(verify_request());
        });
        // Its signature, and the one on the signer's certificate.
        compare(format!("verify-{word}/by-anchors"), &*floor.verify, 2.0, &|| {
            let voucher =
                Unverified::<Voucher>::parse_as(&voucher, encoding, Strictness::Standard).unwrap();
            let time = ValidityTime::At(now());
            black_box(voucher.verify_by_anchors(&party.anchors, time).unwrap());
        });
        let region = Region::new(ALLOCATOR);
        let verified = verify_request();
        let change = region.change();
        println!(
            "allocations, {word}: {} of {} octets in all to read and verify a request of {} octets",
            change.allocations,
            change.bytes_allocated,
            verified.bytes().len(),
        );
    }
    lines
}

/// The voucher of RFC 8995 Appendix C, if the vectors are at hand.
fn published(criterion: &mut Criterion) {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("VECTORS_DIR").map_or_else(beside, PathBuf::from);
    let Ok(voucher) = std::fs::read(folder.join("rfc8995/voucher_00-D0-E5-F2-00-02.der")) else {
        println!("skipped: no vectors");
        return;
    };
    criterion.bench_function("parse/rfc8995-voucher", |bencher| {
        bencher.iter(|| Unverified::<Voucher>::parse(black_box(&voucher)).unwrap());
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let party = Party::new();
    let lines = each_encoding(&mut criterion, &party);
    published(&mut criterion);
    criterion.final_summary();
    println!("\nratios to the bare signature operations, timed in turns");
    lines.iter().for_each(|line| println!("{line}"));
}
