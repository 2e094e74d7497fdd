//! A private key in memory, for those whose keys need not live elsewhere.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;

use super::{SignError, SignatureAlgorithm, Signer};

/// A key in memory.
///
/// ECDSA and PSS need random octets for each signature; aws-lc takes them from the operating system itself.
pub struct PrivateKey {
    pair: Pair,
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads a PKCS#8 private key, DER: P-256, P-384, P-521, RSA from 2048 bits, or Ed25519.
    ///
    /// An RSA key signs with PKCS#1 v1.5; see [`with_pss`](Self::with_pss).
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, SignError> {
        if let Some(key) = Self::ecdsa(|curve| EcdsaKeyPair::from_pkcs8(curve, pkcs8)) {
            return Ok(key);
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
            return Self::rsa(pair);
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| SignError::Key)?;
        let spki = spki(pair.public_key())?;
        Ok(Self { pair: Pair::Ed25519(pair), spki, algorithm: SignatureAlgorithm::Ed25519 })
    }

    /// Reads a private key, DER, in PKCS#8 or in the older forms of RFC 5915 (EC) and RFC 8017 (RSA).
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, SignError> {
        match key {
            PrivateKeyDer::Pkcs8(key) => Self::from_pkcs8_der(key.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(key) => Self::ecdsa(|curve| {
                EcdsaKeyPair::from_private_key_der(curve, key.secret_sec1_der())
            })
            .ok_or(SignError::Key),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der())
                .map_err(|_| SignError::Key)
                .and_then(Self::rsa),
            _ => Err(SignError::Key),
        }
    }

    /// The key on the first curve that it fits.
    fn ecdsa<E>(
        read: impl Fn(&'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, E>,
    ) -> Option<Self> {
        let curves = [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha384),
            (&ECDSA_P521_SHA512_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha512),
        ];
        curves.into_iter().find_map(|(curve, algorithm)| {
            let pair = read(curve).ok()?;
            let spki = spki(pair.public_key()).ok()?;
            Some(Self { pair: Pair::Ecdsa(pair), spki, algorithm })
        })
    }

    fn rsa(pair: RsaKeyPair) -> Result<Self, SignError> {
        let (spki, algorithm) = (spki(pair.public_key())?, SignatureAlgorithm::RsaPkcs1Sha256);
        Ok(Self { pair: Pair::Rsa(pair), spki, algorithm })
    }

    /// The same key, signing with PSS if it is RSA; COSE knows nothing else.
    #[must_use]
    pub fn with_pss(self) -> Self {
        match self.algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                Self { algorithm: SignatureAlgorithm::RsaPssSha256, ..self }
            }
            _ => self,
        }
    }
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, SignError> {
    key.as_der().map(|der| der.as_ref().to_vec()).map_err(|_| SignError::Key)
}

impl Signer for PrivateKey {
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
        let random = aws_lc_rs::rand::SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignError::Signing),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = match self.algorithm {
                    SignatureAlgorithm::RsaPssSha256 => {
                        pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature)
                    }
                    _ => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
                };
                signed.map(|()| signature).map_err(|_| SignError::Signing)
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
