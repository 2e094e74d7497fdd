//! What EST's messages cost, beside the one bare signature operation that proving a CSR cannot do without.
//!
//! `make bench` prints each time and, at the end, the ratios to the floor of the same run. Nothing is asserted.

// A panic is how a benchmark fails.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "it is a program beside the library, and its floor signs by itself"
)]

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

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

/// One verification of a message as long as what a CSR signs.
fn floor(criterion: &mut Criterion, pair: &EcdsaKeyPair) {
    let message = [7; 200];
    let random = SystemRandom::new();
    let signature = pair.sign(&random, &message).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pair.public_key());
    criterion.bench_function("floor/verify", |bencher| {
        bencher.iter(|| key.verify(black_box(&message), signature.as_ref()));
    });
}

fn requests(criterion: &mut Criterion, key: &PrivateKey) {
    let request = CsrRequest::new(&[NAME]).with_common_name(NAME);
    criterion.bench_function("csr/build-and-sign", |bencher| {
        bencher.iter(|| black_box(&request).sign(key).unwrap());
    });
    let body = transfer::encode(&request.sign(key).unwrap(), Folding::WhenLong);
    let decode = |body: &str| Csr::parse(&transfer::decode_csr(body.as_bytes()).unwrap()).unwrap();
    criterion.bench_function("csr/decode", |bencher| {
        bencher.iter(|| decode(black_box(&body)));
    });
    criterion.bench_function("csr/decode-and-prove", |bencher| {
        bencher.iter(|| decode(black_box(&body)).prove().unwrap());
    });
    let region = Region::new(ALLOCATOR);
    let proven = decode(&body).prove().unwrap();
    let change = region.change();
    println!(
        "allocations: {} of {} octets in all to decode and prove a CSR of {} octets",
        change.allocations,
        change.bytes_allocated,
        proven.der().len(),
    );
}

fn answers(criterion: &mut Criterion) {
    let certificates: Vec<CertificateDer<'static>> = (0..CHAIN)
        .map(|_| {
            let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
        })
        .collect();
    let all: Vec<&CertificateDer<'static>> = certificates.iter().collect();
    for (name, some) in [("one", all.get(..1).unwrap()), ("chain", &all)] {
        criterion.bench_function(&format!("certs-only/build-{name}"), |bencher| {
            bencher
                .iter(|| transfer::encode(&certs_only::encode(black_box(some)), Folding::WhenLong));
        });
    }
    let message = certs_only::encode(&all);
    criterion.bench_function("certs-only/read-chain", |bencher| {
        bencher.iter(|| certs_only::decode(black_box(&message)).unwrap());
    });
    let attributes = CsrAttributes {
        dns_name: Some(NAME.to_owned()),
        key: Some(KeyTemplate::EcP256),
        linking: Linking::Required,
    };
    criterion.bench_function("csr-attributes/encode", |bencher| {
        bencher.iter(|| transfer::encode(&black_box(&attributes).to_der(), Folding::WhenLong));
    });
    let der = attributes.to_der();
    criterion.bench_function("csr-attributes/plan", |bencher| {
        bencher.iter(|| CsrPlan::from_der(black_box(&der)).unwrap());
    });
}

/// The median that criterion kept of a benchmark, in nanoseconds.
fn median(name: &str) -> Option<f64> {
    // target/release/deps/THIS → target
    let target = std::env::current_exe().ok()?.ancestors().nth(3)?.to_owned();
    let file = target.join("criterion").join(name.replace('/', "_")).join("new/estimates.json");
    let text = std::fs::read_to_string(file).ok()?;
    let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
    estimates.pointer("/median/point_estimate")?.as_f64()
}

fn ratios() {
    println!("\nratios to one bare verification of the same run");
    for name in [
        "csr/decode-and-prove",
        "csr/decode",
        "csr/build-and-sign",
        "certs-only/build-one",
        "certs-only/build-chain",
        "certs-only/read-chain",
        "csr-attributes/encode",
        "csr-attributes/plan",
    ] {
        if let (Some(cost), Some(floor)) = (median(name), median("floor/verify")) {
            let micros = cost / 1000.0;
            println!("  {name:<24} {micros:>7.2} µs  {:>5.3} × the floor", cost / floor);
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let pair = KeyPair::generate().unwrap();
    let pkcs8 = pair.serialize_der();
    let bare = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8).unwrap();
    floor(&mut criterion, &bare);
    requests(&mut criterion, &PrivateKey::from_pkcs8_der(&pkcs8).unwrap());
    answers(&mut criterion);
    criterion.final_summary();
    ratios();
}
