//! What kinds of keys this program makes for itself; it signs with more of them, if somebody else made them.

use clap::ValueEnum;
use rcgen::{KeyPair, RsaKeySize};

/// What kind of key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// RSA with 2048 bits.
    #[value(name = "rsa-2048")]
    Rsa2048,
}

impl KeyType {
    /// Makes a key of this kind in memory.
    ///
    /// # Errors
    /// What the cryptographic library says.
    pub fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::EcP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::EcP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::keys::Key;

    #[test]
    fn a_key_that_is_made_is_of_its_kind() {
        for kind in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
            let octets = PrivatePkcs8KeyDer::from(kind.generate().unwrap().serialize_der());
            assert_eq!(Key::from_pkcs8(octets).unwrap().kind(), kind);
        }
    }
}
