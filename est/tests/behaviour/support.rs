//! Published examples, keys, certificates and CSRs for the tests.

use std::path::PathBuf;
use std::time::Duration;

use brski_est::csr_builder::{CsrRequest, PrivateKey};
use rcgen::{
    CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, RsaKeySize, SignatureAlgorithm,
};
use rustls_pki_types::{CertificateDer, UnixTime};

pub(crate) const NAME: &str = "dev-1.iot.example.org";

/// A published example, or nothing where the examples are not at hand.
#[expect(clippy::disallowed_methods, reason = "where vectors lie is a matter of the machine")]
pub(crate) fn vector(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("VECTORS_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    match std::fs::read(folder.join(name)) {
        Ok(octets) => Some(octets),
        Err(error) => {
            skip(&format!("skipped: no vectors ({name}: {error})"));
            None
        }
    }
}

/// Says what a test cannot do here; where everything must be at hand, that is a failure.
pub(crate) fn skip(reason: &str) {
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{reason}");
    println!("{reason}");
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// 2026-06-01.
pub(crate) fn now() -> UnixTime {
    at(1_780_272_000)
}

pub(crate) const CURVES: [&SignatureAlgorithm; 3] =
    [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512];

/// A key of each kind.
pub(crate) fn pairs() -> Vec<KeyPair> {
    let mut pairs: Vec<KeyPair> = CURVES
        .into_iter()
        .chain([&PKCS_ED25519])
        .map(|algorithm| KeyPair::generate_for(algorithm).unwrap())
        .collect();
    pairs.push(rsa());
    pairs
}

pub(crate) fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

pub(crate) fn private(pair: &KeyPair) -> PrivateKey {
    PrivateKey::from_pkcs8_der(pair.serialized_der()).unwrap()
}

/// A fresh P-256 key.
pub(crate) fn key() -> PrivateKey {
    private(&KeyPair::generate().unwrap())
}

pub(crate) fn csr() -> Vec<u8> {
    CsrRequest::new(&[NAME]).with_common_name(NAME).sign(&key()).unwrap()
}

/// A self-signed certificate of a key.
pub(crate) fn certificate_of(pair: &KeyPair) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params.self_signed(pair).unwrap().der().clone()
}

/// As [`certificate_of`], with the identifier of the key in it.
pub(crate) fn certificate_with_key_identifier(pair: &KeyPair) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.self_signed(pair).unwrap().der().clone()
}

pub(crate) fn certificate() -> CertificateDer<'static> {
    certificate_of(&KeyPair::generate().unwrap())
}

/// Generates numbers that are the same each time: what fails once fails always.
pub(crate) struct Numbers(u32);

impl Numbers {
    pub(crate) fn new() -> Self {
        Self(1)
    }

    pub(crate) fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(self.0 >> 8).unwrap()
    }
}
