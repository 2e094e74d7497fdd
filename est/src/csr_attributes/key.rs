//! The key that a CSR shall be of, as both forms of CSR attributes say it (RFC 9908 §3.2, §3.4).

use crate::csr::{KeyAlgorithm, KeyKind};
use crate::csr_builder::attribute;
use crate::oid;
use crate::tlv::{BIT_STRING, INTEGER, NULL, object_identifier, sequence, tagged};

/// The key that a server asks for, with the hash that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyTemplate {
    /// P-256, signing with SHA-256.
    EcP256,
    /// P-384, signing with SHA-384.
    EcP384,
    /// P-521, signing with SHA-512.
    EcP521,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 bits, signing with SHA-256.
    Rsa2048,
    /// RSA of 3072 bits, signing with SHA-256.
    Rsa3072,
    /// RSA of 4096 bits, signing with SHA-256.
    Rsa4096,
}

/// The public exponent that everybody takes.
const EXPONENT_65537: &[u8] = &[INTEGER, 3, 1, 0, 1];

impl KeyTemplate {
    const ALL: [Self; 7] = [
        Self::EcP256,
        Self::EcP384,
        Self::EcP521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    fn curve(self) -> Option<&'static [u8]> {
        match self {
            Self::EcP256 => Some(oid::P256),
            Self::EcP384 => Some(oid::P384),
            Self::EcP521 => Some(oid::P521),
            _ => None,
        }
    }

    fn modulus_octets(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(256),
            Self::Rsa3072 => Some(384),
            Self::Rsa4096 => Some(512),
            _ => None,
        }
    }

    /// The bare identifier of the signature algorithm, for the list; none where the key says it all.
    pub(super) fn signature(self) -> Option<&'static [u8]> {
        match self {
            Self::EcP256 => Some(oid::ECDSA_SHA256),
            Self::EcP384 => Some(oid::ECDSA_SHA384),
            Self::EcP521 => Some(oid::ECDSA_SHA512),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => Some(oid::RSA_SHA256),
            Self::Ed25519 => None,
        }
    }

    /// The attribute of the list: the key's algorithm, with the curve or the size as its value.
    pub(super) fn to_attribute(self) -> Vec<u8> {
        match (self.curve(), self.modulus_octets()) {
            (Some(curve), _) => attribute(oid::EC_PUBLIC_KEY, &object_identifier(curve)),
            (_, Some(octets)) => {
                let bits = u16::try_from(octets * 8).unwrap_or(u16::MAX).to_be_bytes();
                attribute(oid::RSA_ENCRYPTION, &tagged(INTEGER, &bits))
            }
            (None, None) => attribute(oid::ED25519, &[]),
        }
    }

    /// The contents of a SubjectPublicKeyInfoTemplate. RSA alone has a key in it, a placeholder of the size asked for.
    pub(super) fn to_template(self) -> Vec<u8> {
        match (self.curve(), self.modulus_octets()) {
            (Some(curve), _) => {
                sequence(&[&object_identifier(oid::EC_PUBLIC_KEY), &object_identifier(curve)])
            }
            (_, Some(octets)) => {
                let algorithm =
                    sequence(&[&object_identifier(oid::RSA_ENCRYPTION), &tagged(NULL, &[])]);
                [algorithm, tagged(BIT_STRING, &placeholder(octets))].concat()
            }
            (None, None) => sequence(&[&object_identifier(oid::ED25519)]),
        }
    }

    /// The template that asks for just this key, if there is one.
    pub(super) fn of(wish: &KeyWish) -> Option<Self> {
        Self::ALL.into_iter().find(|template| KeyWish::from(*template) == *wish)
    }
}

/// An RSAPublicKey of this length, behind the count of unused bits.
fn placeholder(octets: usize) -> Vec<u8> {
    let mut modulus = vec![0; octets.saturating_add(1)];
    // A zero octet keeps the number positive; its highest bit gives it its length, and it is odd as a modulus is.
    if let [_, first, .., last] = modulus.as_mut_slice() {
        *first = 0x80;
        *last = 1;
    }
    [&[0][..], &sequence(&[&tagged(INTEGER, &modulus), EXPONENT_65537])].concat()
}

/// The key that a client is asked to have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyWish {
    /// Of exactly this kind; an RSA key is of any size that is not too small.
    Kind(KeyKind),
    /// RSA of this many bits.
    Rsa {
        /// The length of the modulus.
        bits: u32,
    },
    /// On an elliptic curve of the client's choice.
    AnyCurve,
    /// Of a kind that this library does not know.
    Unknown {
        /// Its algorithm or its curve, dotted.
        oid: String,
    },
}

impl KeyWish {
    /// Whether a key fulfils it. `spki`: SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn is_met_by(&self, spki: &[u8]) -> bool {
        let key = KeyAlgorithm::of_spki(spki);
        match self {
            Self::Kind(kind) => key.kind() == Some(*kind),
            Self::Rsa { bits } => key == KeyAlgorithm::Rsa(*bits),
            Self::AnyCurve => {
                matches!(key.kind(), Some(KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::EcP521))
            }
            Self::Unknown { .. } => false,
        }
    }

    /// What an elliptic curve's identifier asks for.
    pub(super) fn of_curve(curve: &[u8]) -> Self {
        match curve {
            oid::P256 => Self::Kind(KeyKind::EcP256),
            oid::P384 => Self::Kind(KeyKind::EcP384),
            oid::P521 => Self::Kind(KeyKind::EcP521),
            other => Self::Unknown { oid: oid::dotted(other) },
        }
    }
}

impl From<KeyTemplate> for KeyWish {
    fn from(template: KeyTemplate) -> Self {
        match template {
            KeyTemplate::EcP256 => Self::Kind(KeyKind::EcP256),
            KeyTemplate::EcP384 => Self::Kind(KeyKind::EcP384),
            KeyTemplate::EcP521 => Self::Kind(KeyKind::EcP521),
            KeyTemplate::Ed25519 => Self::Kind(KeyKind::Ed25519),
            KeyTemplate::Rsa2048 => Self::Rsa { bits: 2048 },
            KeyTemplate::Rsa3072 => Self::Rsa { bits: 3072 },
            KeyTemplate::Rsa4096 => Self::Rsa { bits: 4096 },
        }
    }
}
