//! The bare operations: the same suites and keys as in the requests, one after the other on one processor.

use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey as Verifier,
};

use super::document::Row;

/// How long each operation is measured.
const SPAN: Duration = Duration::from_millis(700);
/// What is signed: about as long as what a certificate's signature covers.
const MESSAGE: [u8; 500] = [7; 500];

/// What each operation costs, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    sign: f64,
    verify: f64,
    agree: f64,
}

/// Measures them.
pub(crate) fn measure() -> Costs {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
    let signature = key.sign(&random, &MESSAGE).unwrap();
    let verifier = Verifier::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref().to_vec());
    let peer = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
    let peer = peer.compute_public_key().unwrap();
    Costs {
        sign: micros(|| {
            key.sign(&random, &MESSAGE).unwrap();
        }),
        verify: micros(|| verifier.verify(&MESSAGE, signature.as_ref()).unwrap()),
        agree: micros(|| {
            let own = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
            own.compute_public_key().unwrap();
            let peer = UnparsedPublicKey::new(&X25519, peer.as_ref());
            agree_ephemeral(own, peer, (), |secret| {
                std::hint::black_box(secret);
                Ok(())
            })
            .unwrap();
        }),
    }
}

/// Processor time of one call, in microseconds: the median of batches.
fn micros(mut operation: impl FnMut()) -> f64 {
    let (begin, mut batches) = (Instant::now(), Vec::new());
    while begin.elapsed() < SPAN {
        let before = brski_lab::load::own_time();
        for _ in 0..100 {
            operation();
        }
        batches.push((brski_lab::load::own_time() - before).as_secs_f64() * 1e4);
    }
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

impl Costs {
    pub(crate) fn rows(&self) -> Vec<Row> {
        let row = |name: &str, micros: f64| Row::figure(name, format!("{micros:.1} µs"));
        vec![
            row("P-256 signature", self.sign),
            row("P-256 verification", self.verify),
            row("X25519 key and agreement", self.agree),
        ]
    }

    /// A handshake of TLS 1.3 with certificates on both sides, as server: keys, own signature, the client's.
    pub(crate) fn handshake(&self) -> f64 {
        self.agree + self.sign + self.verify
    }

    /// A CSR's signature, and that of the certificate.
    pub(crate) fn issue(&self) -> f64 {
        self.verify + self.sign
    }

    /// The one signature of an IDevID under its anchor.
    pub(crate) fn chain(&self) -> f64 {
        self.verify
    }

    /// All of an onboarding: a handshake by IDevID and one by the certificate; the IDevID's chain once; the pledge's
    /// request verified, the registrar's signed; as client of the MASA keys, own signature, the MASA's and its
    /// certificate's; CSR and certificate.
    pub(crate) fn onboarding(&self) -> f64 {
        let masa = self.agree + self.sign + 2.0 * self.verify;
        2.0 * self.handshake() + self.chain() + self.verify + self.sign + masa + self.issue()
    }
}
