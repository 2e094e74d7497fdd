//! Signatures: which algorithms there are, how one is checked, and how one is made by a key that may live elsewhere.
//!
//! Read: ECDSA on P-256, P-384 and P-521, RSA from 2048 bits (PKCS#1 v1.5, and PSS with the salt as long as the hash),
//! Ed25519; with SHA-256, SHA-384 or SHA-512. Written: ECDSA on P-256 and P-384.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, RawPublicKeyEntity};

use crate::tlv::{OBJECT_IDENTIFIER, Reader};

const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

/// A signature that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The key is none that this library knows.
    #[error("the public key cannot be read")]
    Key,
    /// The algorithm is none that this library knows, or too weak.
    #[error("the signature algorithm is unknown or too weak")]
    Algorithm,
    /// The signature does not match the message and the key.
    #[error("the signature does not match")]
    Mismatch,
}

/// A hash function of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn from_oid(oid: &[u8]) -> Option<Self> {
        match oid {
            SHA256 => Some(Self::Sha256),
            SHA384 => Some(Self::Sha384),
            SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }

    pub(crate) fn digest(self, message: &[u8]) -> Vec<u8> {
        use aws_lc_rs::digest;
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }
}

/// How the signature algorithm was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Exact,
    /// The key's algorithm stands where the signature's belongs, or NULL parameters were added.
    Forgiven,
}

/// Verifies a signature.
///
/// `algorithm`: the contents of the AlgorithmIdentifier; `hash`: the digest algorithm beside it, where there is one.
pub(crate) fn verify(
    spki: &[u8],
    algorithm: &[u8],
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Result<Spelling, SignatureError> {
    let (wanted, spelling) = normalise(algorithm, hash).ok_or(SignatureError::Algorithm)?;
    let key = SubjectPublicKeyInfoDer::from(spki);
    let entity = RawPublicKeyEntity::try_from(&key).map_err(|_| SignatureError::Key)?;
    let mut candidates = ALL_VERIFICATION_ALGS
        .iter()
        .filter(|candidate| candidate.signature_alg_id().as_ref() == wanted)
        .peekable();
    if candidates.peek().is_none() {
        return Err(SignatureError::Algorithm);
    }
    candidates
        .any(|candidate| entity.verify_signature(*candidate, message, signature).is_ok())
        .then_some(spelling)
        .ok_or(SignatureError::Mismatch)
}

/// The algorithm identifier as the table knows it.
fn normalise(algorithm: &[u8], hash: Option<Hash>) -> Option<(Vec<u8>, Spelling)> {
    let mut reader = Reader::new(algorithm);
    let oid = reader.expect(OBJECT_IDENTIFIER).ok()?;
    let parameters = reader.optional(0x05).ok()?;
    let plain = |oid: &[u8]| identifier(oid, &[]);
    let with_null = |oid: &[u8]| identifier(oid, &[0x05, 0x00]);
    let spelled = |is_exact: bool| {
        if is_exact { Spelling::Exact } else { Spelling::Forgiven }
    };
    match (oid.contents, hash) {
        (ECDSA_SHA256 | ECDSA_SHA384 | ECDSA_SHA512, _) => {
            Some((plain(oid.contents), spelled(parameters.is_none())))
        }
        (EC_PUBLIC_KEY, Some(hash)) => {
            let oid = match hash {
                Hash::Sha256 => ECDSA_SHA256,
                Hash::Sha384 => ECDSA_SHA384,
                Hash::Sha512 => ECDSA_SHA512,
            };
            Some((plain(oid), Spelling::Forgiven))
        }
        (RSA_ENCRYPTION, Some(hash)) => {
            let oid = match hash {
                Hash::Sha256 => RSA_SHA256,
                Hash::Sha384 => RSA_SHA384,
                Hash::Sha512 => RSA_SHA512,
            };
            // RFC 3370 §3.2 allows this spelling.
            Some((with_null(oid), Spelling::Exact))
        }
        (RSA_SHA256 | RSA_SHA384 | RSA_SHA512, _) => {
            Some((with_null(oid.contents), spelled(parameters.is_some())))
        }
        _ => Some((algorithm.to_vec(), Spelling::Exact)),
    }
}

fn identifier(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    let length = u8::try_from(oid.len()).unwrap_or(u8::MAX);
    [&[OBJECT_IDENTIFIER, length], oid, parameters].concat()
}

/// The signature algorithms that this library makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256, for P-256 keys.
    EcdsaSha256,
    /// ECDSA with SHA-384, for P-384 keys.
    EcdsaSha384,
}

impl SignatureAlgorithm {
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::EcdsaSha256 => Hash::Sha256,
            Self::EcdsaSha384 => Hash::Sha384,
        }
    }

    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => ECDSA_SHA256,
            Self::EcdsaSha384 => ECDSA_SHA384,
        }
    }
}

/// A signature that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key is none that this library can sign with.
    #[error("the private key is not PKCS#8 of a P-256 or P-384 key")]
    Key,
    /// The key did not sign.
    #[error("the private key did not sign")]
    Signing,
    /// There is no certificate to name the signer with.
    #[error("there is no signer's certificate")]
    NoCertificate,
    /// The signer's certificate is of another key.
    #[error("the signer's certificate is of another key than the one that signs")]
    ForeignCertificate,
    /// The content does not become JSON.
    #[error("the content cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// A time is after the year 9999.
    #[error("the time {seconds} (Unix seconds) is after the year 9999")]
    Time {
        /// The time.
        seconds: u64,
    },
}

/// A private key that may live elsewhere: in a file, a token or a TPM.
pub trait Signer: Send + Sync {
    /// Its SubjectPublicKeyInfo, DER, exactly as in its certificate.
    fn spki_der(&self) -> &[u8];
    /// What it signs with.
    fn algorithm(&self) -> SignatureAlgorithm;
    /// Signs a message, which it hashes itself; an ECDSA signature is DER (RFC 3279 §2.2.3).
    ///
    /// # Errors
    /// [`SignError::Signing`] if the key does not answer.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A P-256 or P-384 key in memory.
///
/// ECDSA needs a random number for each signature; aws-lc takes it from the operating system itself.
pub struct EcdsaKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

impl EcdsaKey {
    /// Reads a PKCS#8 private key, DER, of curve P-256 or P-384.
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, SignError> {
        let choices = [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha384),
        ];
        let (pair, algorithm) = choices
            .into_iter()
            .find_map(|(curve, algorithm)| {
                EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok().map(|pair| (pair, algorithm))
            })
            .ok_or(SignError::Key)?;
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key())
            .map_err(|_| SignError::Key)?
            .as_ref()
            .to_vec();
        Ok(Self { pair, spki, algorithm })
    }
}

impl Signer for EcdsaKey {
    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    #[expect(
        clippy::disallowed_types,
        reason = "ECDSA cannot be made without; aws-lc asks the system"
    )]
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign(&aws_lc_rs::rand::SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignError::Signing)
    }
}

impl fmt::Debug for EcdsaKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EcdsaKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
