//! What EST's messages cost, beside the one bare signature operation that proving a CSR cannot do without.
//!
//! `make bench` prints each time and, at the end, the ratios to the floor of the same run. Nothing is asserted.

// A panic is how a benchmark fails.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "it is a program beside the library, which reads a clock, and whose floor signs by itself"
)]

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use brski_est::certs_only;
use brski_est::csr::Csr;
use brski_est::csr_attributes::{CsrAttributes, CsrPlan, KeyTemplate, Linking};
use brski_est::csr_builder::{CsrRequest, PrivateKey};
use brski_est::transfer::{self, Folding};
use criterion::Criterion;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NAME: &str = "device-0042.iot.example.org";
/// Certificates in an answer of `/cacerts`: two roots and a chain of an ACME CA.
const CHAIN: usize = 5;

/// One bare verification of a message as long as what a CSR signs, and everything that was compared with it.
struct Comparison<'a> {
    criterion: &'a mut Criterion,
    floor: Box<dyn Fn()>,
    lines: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(criterion: &'a mut Criterion, pair: &EcdsaKeyPair) -> Self {
        let message = [7; 200];
        let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        let floor: Box<dyn Fn()> =
            Box::new(move || key.verify(black_box(&message), signature.as_ref()).unwrap());
        criterion.bench_function("floor/verify", |bencher| bencher.iter(&floor));
        Self { criterion, floor, lines: Vec::new() }
    }

    fn with(&mut self, name: &str, work: &dyn Fn()) {
        self.criterion.bench_function(name, |bencher| bencher.iter(work));
        self.lines.push(format!("  {name:<24} {:>6.3} × the floor", ratio(&*self.floor, work)));
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

fn requests(comparison: &mut Comparison<'_>, key: &PrivateKey) {
    let request = CsrRequest::new(&[NAME]).with_common_name(NAME);
    let body = transfer::encode(&request.sign(key).unwrap(), Folding::WhenLong);
    let decode =
        || Csr::parse(&transfer::decode_csr(black_box(&body).as_bytes()).unwrap()).unwrap();
    comparison.with("csr/decode-and-prove", &|| {
        black_box(decode().prove().unwrap());
    });
    comparison.with("csr/decode", &|| {
        black_box(decode());
    });
    comparison.with("csr/build-and-sign", &|| {
        black_box(black_box(&request).sign(key).unwrap());
    });
    let region = Region::new(ALLOCATOR);
    let proven = decode().prove().unwrap();
    let change = region.change();
    println!(
        "allocations: {} of {} octets in all to decode and prove a CSR of {} octets",
        change.allocations,
        change.bytes_allocated,
        proven.der().len(),
    );
}

fn answers(comparison: &mut Comparison<'_>) {
    let certificates: Vec<CertificateDer<'static>> = (0..CHAIN)
        .map(|_| {
            let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
        })
        .collect();
    let all: Vec<&CertificateDer<'static>> = certificates.iter().collect();
    for (name, some) in [("one", all.get(..1).unwrap()), ("chain", &all)] {
        comparison.with(&format!("certs-only/build-{name}"), &|| {
            black_box(transfer::encode(&certs_only::encode(black_box(some)), Folding::WhenLong));
        });
    }
    let message = certs_only::encode(&all);
    comparison.with("certs-only/read-chain", &|| {
        black_box(certs_only::decode(black_box(&message)).unwrap());
    });
    let attributes = CsrAttributes {
        dns_name: Some(NAME.to_owned()),
        key: Some(KeyTemplate::EcP256),
        linking: Linking::Required,
    };
    comparison.with("csr-attributes/encode", &|| {
        black_box(transfer::encode(&black_box(&attributes).to_der(), Folding::WhenLong));
    });
    let der = attributes.to_der();
    comparison.with("csr-attributes/plan", &|| {
        black_box(CsrPlan::from_der(black_box(&der)).unwrap());
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let pkcs8 = KeyPair::generate().unwrap().serialize_der();
    let bare = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).unwrap();
    let mut comparison = Comparison::new(&mut criterion, &bare);
    requests(&mut comparison, &PrivateKey::from_pkcs8_der(&pkcs8).unwrap());
    answers(&mut comparison);
    let lines = comparison.lines;
    criterion.final_summary();
    println!("\nratios to one bare verification, timed in turns");
    lines.iter().for_each(|line| println!("{line}"));
}
