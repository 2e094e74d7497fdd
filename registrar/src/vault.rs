//! Seals what nobody may read in a copy of the database: AES-256-GCM under a key that is derived (HKDF, RFC 5869) from
//! the registrar's own private key, which is in no database.
//!
//! Invariant: what was sealed for one purpose opens for no other, since its context is authenticated with it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

/// Keeps this derivation apart from any other use of the same private key.
const SALT: &[u8] = b"brski-registrar";
/// Which of the keys that may be derived this one is.
const PURPOSE: &[u8] = b"generated keys, AES-256-GCM, version 1";
const KEY_OCTETS: usize = 32;

/// Why something cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The cryptographic provider failed.
    #[error("the cryptographic provider failed")]
    Provider,
    /// It was sealed under another key of the registrar or for another context, or it was changed.
    #[error("what is sealed does not open with the registrar's key")]
    Opening,
}

/// Seals and opens.
pub struct Vault(RandomizedNonceKey);

impl Vault {
    /// Derives the key. `private_key`: the registrar's, PKCS#8, DER, as its file has it.
    ///
    /// # Errors
    /// [`VaultError::Provider`].
    pub fn of_private_key(private_key: &[u8]) -> Result<Self, VaultError> {
        let mut key = Zeroizing::new([0; KEY_OCTETS]);
        Salt::new(HKDF_SHA256, SALT)
            .extract(private_key)
            .expand(&[PURPOSE], HKDF_SHA256)
            .and_then(|expanded| expanded.fill(key.as_mut_slice()))
            .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()))
            .map(Self)
            .map_err(|_| VaultError::Provider)
    }

    /// Seals a secret. `context`: what it belongs to; it opens with the same alone.
    ///
    /// Gives a fresh nonce, the ciphertext and its tag, one behind the other.
    ///
    /// # Errors
    /// [`VaultError::Provider`].
    pub fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, VaultError> {
        // With room for the tag the plain text is not moved, and is overwritten where it stands.
        let room = secret.len().saturating_add(AES_256_GCM.tag_len());
        let mut octets = Vec::with_capacity(room);
        octets.extend_from_slice(secret);
        match self.0.seal_in_place_append_tag(Aad::from(context), &mut octets) {
            Ok(nonce) => Ok([nonce.as_ref().as_slice(), &octets].concat()),
            Err(_) => {
                octets.zeroize();
                Err(VaultError::Provider)
            }
        }
    }

    /// Opens what [`Vault::seal`] gave for this context.
    ///
    /// # Errors
    /// [`VaultError::Opening`].
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (nonce, octets) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Opening)?;
        let mut octets = Zeroizing::new(octets.to_vec());
        let length = self
            .0
            .open_in_place(Nonce::from(nonce), Aad::from(context), &mut octets)
            .map_err(|_| VaultError::Opening)?
            .len();
        octets.truncate(length);
        Ok(octets)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(private_key: &[u8]) -> Vault {
        Vault::of_private_key(private_key).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_again_and_shows_nothing() {
        let sealed = vault(b"key").seal(b"a private key", b"device 1").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"private"));
        // Derived anew, as after a restart.
        assert_eq!(*vault(b"key").open(&sealed, b"device 1").unwrap(), b"a private key");
    }

    #[test]
    fn the_same_secret_is_never_sealed_to_the_same_octets() {
        let vault = vault(b"key");
        assert_ne!(vault.seal(b"secret", b"").unwrap(), vault.seal(b"secret", b"").unwrap());
    }

    #[test]
    fn another_key_context_or_octet_opens_nothing() {
        let sealed = vault(b"key").seal(b"secret", b"device 1").unwrap();
        let refused = Err(VaultError::Opening);
        assert_eq!(vault(b"other").open(&sealed, b"device 1"), refused);
        assert_eq!(vault(b"key").open(&sealed, b"device 2"), refused);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(vault(b"key").open(&changed, b"device 1"), refused, "octet {place}");
            assert_eq!(vault(b"key").open(&sealed[..place], b"device 1"), refused);
        }
    }

    #[test]
    fn a_vault_prints_nothing() {
        assert_eq!(format!("{:?}", vault(b"key")), "Vault { .. }");
    }
}
