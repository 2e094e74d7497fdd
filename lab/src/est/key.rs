//! Keys that a client makes, by their names on the command line.

use brski_est::csr::KeyKind;
use brski_est::csr_attributes::KeyWish;
use brski_est::csr_builder::{BuildError, PrivateKey};
use clap::ValueEnum;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;

/// A kind of key, with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// ECDSA on P-256
    EcP256,
    /// ECDSA on P-384
    EcP384,
    /// ECDSA on P-521
    EcP521,
    /// Ed25519
    Ed25519,
    /// RSA of 2048 bits
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA of 3072 bits
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits
    #[value(name = "rsa-4096")]
    Rsa4096,
}

/// Why there is no key.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The library makes none.
    #[error("a key cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] BuildError),
}

/// A private key, ready to sign, and what it is kept as.
#[derive(Debug)]
pub struct Key {
    /// Signs.
    pub private: PrivateKey,
    /// PKCS#8.
    pub pkcs8: PrivatePkcs8KeyDer<'static>,
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError::Read`].
    pub fn of(pkcs8: PrivatePkcs8KeyDer<'static>) -> Result<Self, KeyError> {
        let private = PrivateKey::from_pkcs8_der(pkcs8.secret_pkcs8_der())?;
        Ok(Self { private, pkcs8 })
    }
}

impl KeyType {
    /// The kind that a server asks for; nothing for one that no client here has.
    #[must_use]
    pub fn of_wish(wish: &KeyWish) -> Option<Self> {
        match wish {
            KeyWish::Kind(KeyKind::EcP256) | KeyWish::AnyCurve => Some(Self::EcP256),
            KeyWish::Kind(KeyKind::EcP384) => Some(Self::EcP384),
            KeyWish::Kind(KeyKind::EcP521) => Some(Self::EcP521),
            KeyWish::Kind(KeyKind::Ed25519) => Some(Self::Ed25519),
            KeyWish::Kind(KeyKind::Rsa) => Some(Self::Rsa3072),
            KeyWish::Rsa { bits: 2048 } => Some(Self::Rsa2048),
            KeyWish::Rsa { bits: 3072 } => Some(Self::Rsa3072),
            KeyWish::Rsa { bits: 4096 } => Some(Self::Rsa4096),
            _ => None,
        }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn generate(self) -> Result<Key, KeyError> {
        let pair = match self {
            Self::EcP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::EcP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::EcP521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            Self::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        Key::of(PrivatePkcs8KeyDer::from(pair?.serialize_der()))
    }
}

#[cfg(test)]
mod tests {
    use brski_est::csr::KeyAlgorithm;
    use brski_est::csr_builder::Signer as _;

    use super::*;

    #[test]
    fn a_key_is_of_the_kind_that_was_wished_for() {
        for (wish, algorithm) in [
            (KeyWish::Kind(KeyKind::EcP256), KeyAlgorithm::EcP256),
            (KeyWish::Kind(KeyKind::EcP384), KeyAlgorithm::EcP384),
            (KeyWish::Kind(KeyKind::EcP521), KeyAlgorithm::EcP521),
            (KeyWish::Kind(KeyKind::Ed25519), KeyAlgorithm::Ed25519),
            (KeyWish::Rsa { bits: 2048 }, KeyAlgorithm::Rsa(2048)),
            (KeyWish::AnyCurve, KeyAlgorithm::EcP256),
        ] {
            let key = KeyType::of_wish(&wish).unwrap().generate().unwrap();
            assert_eq!(KeyAlgorithm::of_spki(key.private.spki_der()), algorithm, "{wish:?}");
            assert!(wish.is_met_by(key.private.spki_der()));
        }
    }

    #[test]
    fn wishes_for_other_keys_are_not_met() {
        for wish in [
            KeyWish::Rsa { bits: 1024 },
            KeyWish::Rsa { bits: 8192 },
            KeyWish::Unknown { oid: "1.3.101.113".to_owned() },
        ] {
            assert_eq!(KeyType::of_wish(&wish), None, "{wish:?}");
        }
    }
}
