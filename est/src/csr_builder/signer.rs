//! Keys that sign CSRs and packages of keys; one may live elsewhere, behind [`Signer`].

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};

use super::BuildError;
use crate::oid;
use crate::tlv::{NULL, object_identifier, sequence, tagged};

/// The signature algorithms that this library makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// RSA, PKCS#1 v1.5, with SHA-256.
    RsaSha256,
    /// RSA, PKCS#1 v1.5, with SHA-384.
    RsaSha384,
    /// RSA, PKCS#1 v1.5, with SHA-512.
    RsaSha512,
    /// Ed25519.
    Ed25519,
}

impl SignatureAlgorithm {
    /// The hash that is signed; Ed25519 goes with SHA-512 where CMS wants one beside it (RFC 8419 §3.1).
    #[must_use]
    pub fn hash(self) -> Hash {
        match self {
            Self::EcdsaSha256 | Self::RsaSha256 => Hash::Sha256,
            Self::EcdsaSha384 | Self::RsaSha384 => Hash::Sha384,
            Self::EcdsaSha512 | Self::RsaSha512 | Self::Ed25519 => Hash::Sha512,
        }
    }

    /// Its AlgorithmIdentifier, DER.
    pub(crate) fn identifier(self) -> Vec<u8> {
        let plain = |kind| sequence(&[&object_identifier(kind)]);
        // RSA alone has parameters, which are NULL (RFC 4055 §5).
        let with_null = |kind| sequence(&[&object_identifier(kind), &tagged(NULL, &[])]);
        match self {
            Self::EcdsaSha256 => plain(oid::ECDSA_SHA256),
            Self::EcdsaSha384 => plain(oid::ECDSA_SHA384),
            Self::EcdsaSha512 => plain(oid::ECDSA_SHA512),
            Self::RsaSha256 => with_null(oid::RSA_SHA256),
            Self::RsaSha384 => with_null(oid::RSA_SHA384),
            Self::RsaSha512 => with_null(oid::RSA_SHA512),
            Self::Ed25519 => plain(oid::ED25519),
        }
    }
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// A private key that may live elsewhere.
pub trait Signer {
    /// Its SubjectPublicKeyInfo, DER.
    fn spki_der(&self) -> &[u8];
    /// What it signs with.
    fn algorithm(&self) -> SignatureAlgorithm;
    /// Signs a message, which it hashes itself.
    ///
    /// # Errors
    /// [`BuildError::Signing`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BuildError>;
}

/// A key in memory: P-256, P-384, P-521, Ed25519, or RSA of 2048 to 8192 bits.
pub struct PrivateKey {
    pair: Pair,
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// Reads a PKCS#8 private key, DER. An elliptic curve goes with its own hash, RSA with SHA-256.
    ///
    /// # Errors
    /// [`BuildError::Key`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, BuildError> {
        let (pair, algorithm) = ecdsa(pkcs8)
            .or_else(|| {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
                Some((Pair::Ed25519(pair), SignatureAlgorithm::Ed25519))
            })
            .or_else(|| {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
                Some((Pair::Rsa(pair), SignatureAlgorithm::RsaSha256))
            })
            .ok_or(BuildError::Key)?;
        let spki = match &pair {
            Pair::Ecdsa(pair) => spki(pair.public_key()),
            Pair::Ed25519(pair) => spki(pair.public_key()),
            Pair::Rsa(pair) => spki(pair.public_key()),
        };
        Ok(Self { pair, spki: spki.ok_or(BuildError::Key)?, algorithm })
    }

    /// Has the key sign with a hash, where it can choose: RSA with any, the others with their own alone.
    ///
    /// # Errors
    /// [`BuildError::Hash`].
    pub fn with_hash(self, hash: Hash) -> Result<Self, BuildError> {
        let algorithm = match (&self.pair, hash) {
            (Pair::Rsa(_), Hash::Sha256) => SignatureAlgorithm::RsaSha256,
            (Pair::Rsa(_), Hash::Sha384) => SignatureAlgorithm::RsaSha384,
            (Pair::Rsa(_), Hash::Sha512) => SignatureAlgorithm::RsaSha512,
            (_, hash) if hash == self.algorithm.hash() => self.algorithm,
            (_, hash) => return Err(BuildError::Hash { hash }),
        };
        Ok(Self { algorithm, ..self })
    }
}

impl Signer for PrivateKey {
    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BuildError> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| BuildError::Signing),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    rsa_encoding(self.algorithm),
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .map_err(|_| BuildError::Signing)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn ecdsa(pkcs8: &[u8]) -> Option<(Pair, SignatureAlgorithm)> {
    let choices = [
        (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha256),
        (&ECDSA_P384_SHA384_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha384),
        (&ECDSA_P521_SHA512_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha512),
    ];
    choices.into_iter().find_map(|(curve, algorithm)| {
        let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok()?;
        Some((Pair::Ecdsa(pair), algorithm))
    })
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Option<Vec<u8>> {
    key.as_der().ok().map(|der| der.as_ref().to_vec())
}

fn rsa_encoding(algorithm: SignatureAlgorithm) -> &'static dyn RsaEncoding {
    match algorithm.hash() {
        Hash::Sha256 => &RSA_PKCS1_SHA256,
        Hash::Sha384 => &RSA_PKCS1_SHA384,
        Hash::Sha512 => &RSA_PKCS1_SHA512,
    }
}
