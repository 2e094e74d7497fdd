//! The public key of a CSR: its kind and size.

use std::fmt;

use crate::oid;
use crate::tlv::{SEQUENCE, inside, values};

/// The kind of a public key, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// ECDSA on P-521.
    EcP521,
    /// RSA.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// The kind of a public key, and how large it is where that is not fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// ECDSA on P-521.
    EcP521,
    /// RSA with so many bits.
    Rsa(u32),
    /// Ed25519.
    Ed25519,
    /// Another.
    Unknown,
}

impl KeyAlgorithm {
    /// Reads a SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        read(spki).unwrap_or(Self::Unknown)
    }

    /// The kind, where it is a known one.
    #[must_use]
    pub fn kind(self) -> Option<KeyKind> {
        match self {
            Self::EcP256 => Some(KeyKind::EcP256),
            Self::EcP384 => Some(KeyKind::EcP384),
            Self::EcP521 => Some(KeyKind::EcP521),
            Self::Rsa(_) => Some(KeyKind::Rsa),
            Self::Ed25519 => Some(KeyKind::Ed25519),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.kind()) {
            (Self::Rsa(bits), _) => write!(formatter, "rsa of {bits} bits"),
            (_, Some(kind)) => kind.fmt(formatter),
            (_, None) => formatter.write_str("of an unknown kind"),
        }
    }
}

fn read(spki: &[u8]) -> Option<KeyAlgorithm> {
    let fields = inside(spki, SEQUENCE)?;
    let [algorithm, key] = fields.as_slice() else {
        return None;
    };
    let algorithm = values(algorithm.contents).ok()?;
    let parameter = algorithm.get(1).map(|value| value.contents);
    match (algorithm.first()?.contents, parameter) {
        (oid::EC_PUBLIC_KEY, Some(oid::P256)) => Some(KeyAlgorithm::EcP256),
        (oid::EC_PUBLIC_KEY, Some(oid::P384)) => Some(KeyAlgorithm::EcP384),
        (oid::EC_PUBLIC_KEY, Some(oid::P521)) => Some(KeyAlgorithm::EcP521),
        (oid::ED25519, None) => Some(KeyAlgorithm::Ed25519),
        (oid::RSA_ENCRYPTION, _) => rsa_bits(key.contents.get(1..)?).map(KeyAlgorithm::Rsa),
        _ => None,
    }
}

/// The length of the modulus of an RSAPublicKey.
pub(crate) fn rsa_bits(public_key: &[u8]) -> Option<u32> {
    let numbers = inside(public_key, SEQUENCE)?;
    let modulus = numbers.first()?.contents;
    let significant = modulus.iter().skip_while(|octet| **octet == 0);
    let octets = u32::try_from(significant.clone().count()).ok()?;
    let unused = significant.clone().next()?.leading_zeros();
    Some(octets.checked_mul(8)?.saturating_sub(unused))
}
