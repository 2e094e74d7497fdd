//! The private keys that the registrar signs with: its own, the domain CA's, the local issuer's.
//!
//! Whoever signs sees a [`Key`] and not where it lives. It signs voucher requests and the trail
//! ([`Signer`]), TLS handshakes ([`SigningKey`](rustls::sign::SigningKey)) and certificates
//! ([`rcgen::SigningKey`]).

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use brski_voucher::signature::{PrivateKey, SignError, SignatureAlgorithm, Signer};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::identity::{IdentityError, read_key};

pub mod kind;
pub mod place;
#[cfg(feature = "pkcs11")]
mod public;
#[cfg(feature = "pkcs11")]
pub mod token;

pub use self::kind::KeyType;
pub use self::place::KeyPlace;
use self::place::TokenUri;

/// A private key and what it is needed for.
pub struct Key {
    signer: Arc<dyn Signer>,
    tls: Arc<dyn rustls::sign::SigningKey>,
    public: rcgen::SubjectPublicKeyInfo,
    octets: Option<PrivatePkcs8KeyDer<'static>>,
}

impl Key {
    /// Opens a key, wherever it lives.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file, or what is wrong with the token.
    pub fn open(place: &KeyPlace) -> Result<Self, IdentityError> {
        match place {
            KeyPlace::File(path) => Self::read(path),
            KeyPlace::Token(uri) => Self::in_token(uri),
        }
    }

    #[cfg(feature = "pkcs11")]
    fn in_token(uri: &TokenUri) -> Result<Self, IdentityError> {
        Self::of_token(token::TokenKey::open(uri)?)
    }

    #[cfg(not(feature = "pkcs11"))]
    fn in_token(_uri: &TokenUri) -> Result<Self, IdentityError> {
        Err(IdentityError::NoTokens)
    }

    /// Makes a key of a kind in a token, which it never leaves, under the label of the URI.
    ///
    /// # Errors
    /// [`IdentityError`]; also if the token has one of that label.
    #[cfg(feature = "pkcs11")]
    pub fn make_in_token(uri: &TokenUri, kind: KeyType) -> Result<Self, IdentityError> {
        Self::of_token(token::TokenKey::make(uri, kind)?)
    }

    /// Makes a key of a kind in a token.
    ///
    /// # Errors
    /// [`IdentityError::NoTokens`]: this program was built without PKCS#11.
    #[cfg(not(feature = "pkcs11"))]
    pub fn make_in_token(_uri: &TokenUri, _kind: KeyType) -> Result<Self, IdentityError> {
        Err(IdentityError::NoTokens)
    }

    /// Gives a key in a token, and its public key, the label of another URI.
    ///
    /// # Errors
    /// [`IdentityError`].
    #[cfg(feature = "pkcs11")]
    pub fn rename_in_token(from: &TokenUri, to: &TokenUri) -> Result<(), IdentityError> {
        Ok(token::rename(from, to)?)
    }

    /// Gives a key in a token another label.
    ///
    /// # Errors
    /// [`IdentityError::NoTokens`]: this program was built without PKCS#11.
    #[cfg(not(feature = "pkcs11"))]
    pub fn rename_in_token(_from: &TokenUri, _to: &TokenUri) -> Result<(), IdentityError> {
        Err(IdentityError::NoTokens)
    }

    #[cfg(feature = "pkcs11")]
    fn of_token(key: token::TokenKey) -> Result<Self, IdentityError> {
        let key = Arc::new(key);
        let public = rcgen::SubjectPublicKeyInfo::from_der(key.spki_der())
            .map_err(|_| IdentityError::from(key.unknown_kind()))?;
        let tls = Arc::new(token::TlsKey(Arc::clone(&key)));
        Ok(Self { signer: key, tls, public, octets: None })
    }

    /// Reads the key of a file, PKCS#8 PEM, that only its owner may read.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn read(path: &Path) -> Result<Self, IdentityError> {
        let octets = read_key(path)?;
        Self::from_pkcs8(octets)
            .map_err(|reason| IdentityError::Content { path: path.to_owned(), reason })
    }

    /// A key in memory.
    ///
    /// # Errors
    /// Why it is none that this program signs with.
    pub fn from_pkcs8(octets: PrivatePkcs8KeyDer<'static>) -> Result<Self, String> {
        let signer = PrivateKey::from_pkcs8_der(octets.secret_pkcs8_der())
            .map_err(|error| error.to_string())?;
        let tls = any_supported_type(&PrivateKeyDer::Pkcs8(octets.clone_key()))
            .map_err(|error| error.to_string())?;
        let public = rcgen::SubjectPublicKeyInfo::from_der(signer.spki_der())
            .map_err(|error| error.to_string())?;
        Ok(Self { signer: Arc::new(signer), tls, public, octets: Some(octets) })
    }

    /// Its SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        self.signer.spki_der()
    }

    /// The kind that a key in its place would have; P-256 in the place of one that is not made here.
    #[must_use]
    pub fn kind(&self) -> KeyType {
        match self.signer.algorithm() {
            SignatureAlgorithm::EcdsaSha384 => KeyType::EcP384,
            SignatureAlgorithm::RsaPkcs1Sha256 => KeyType::Rsa2048,
            _ => KeyType::EcP256,
        }
    }

    /// What signs messages.
    #[must_use]
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// What signs TLS handshakes.
    #[must_use]
    pub fn tls(&self) -> Arc<dyn rustls::sign::SigningKey> {
        Arc::clone(&self.tls)
    }

    /// The key itself, where this process has it.
    #[must_use]
    pub fn octets(&self) -> Option<&PrivatePkcs8KeyDer<'static>> {
        self.octets.as_ref()
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        // The hash must be the one that the signer takes, which the public key alone does not say.
        match self.signer.algorithm() {
            SignatureAlgorithm::EcdsaSha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            SignatureAlgorithm::EcdsaSha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            SignatureAlgorithm::EcdsaSha512 => &rcgen::PKCS_ECDSA_P521_SHA512,
            SignatureAlgorithm::RsaPkcs1Sha256 => &rcgen::PKCS_RSA_SHA256,
            SignatureAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            _ => self.public.algorithm(),
        }
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign(message).map_err(|error: SignError| {
            // What went wrong in a token is in the log; rcgen has no word for it.
            tracing::error!(%error, "a certificate was not signed");
            rcgen::Error::RemoteKeyError
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Key").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use brski_voucher::signature::verify_signed;
    use rcgen::{KeyPair, PublicKeyData as _};

    use super::*;

    #[test]
    fn signs_with_what_it_says_on_each_curve() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ECDSA_P521_SHA512,
            &rcgen::PKCS_ED25519,
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let octets = PrivatePkcs8KeyDer::from(pair.serialize_der());
            let key = Key::from_pkcs8(octets).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.subject_public_key_info(), key.spki_der());
            let signature = rcgen::SigningKey::sign(&key, b"message").unwrap();
            verify_signed(key.spki_der(), b"message", &signature).unwrap();
            verify_signed(key.spki_der(), b"another", &signature).unwrap_err();
        }
    }

    #[test]
    fn refuses_what_is_no_key_and_prints_nothing() {
        Key::from_pkcs8(PrivatePkcs8KeyDer::from(vec![0x30, 0])).unwrap_err();
        let pair = KeyPair::generate().unwrap();
        let key = Key::from_pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der())).unwrap();
        assert_eq!(format!("{key:?}"), "Key { .. }");
    }
}
