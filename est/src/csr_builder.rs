//! Makes CSRs, for clients (RFC 2986). It makes wrong ones as well, for those who test servers.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use thiserror::Error;

use crate::tlv::{BIT_STRING, BOOLEAN, OCTET_STRING, SET, oid, sequence, tagged};

const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const CHALLENGE_PASSWORD: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const UTF8_STRING: u8 = 0x0c;
const DNS_NAME: u8 = 0x82;
const ATTRIBUTES: u8 = 0xa0;

/// A CSR that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The key is none that this library can sign with.
    #[error("the private key is not PKCS#8 of a P-256 or P-384 key")]
    Key,
    /// The key did not sign.
    #[error("the private key did not sign")]
    Signing,
}

/// The signature algorithms that this library makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
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

/// A P-256 or P-384 key in memory.
pub struct EcdsaKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

impl EcdsaKey {
    /// Reads a PKCS#8 private key, DER.
    ///
    /// # Errors
    /// [`BuildError::Key`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, BuildError> {
        let choices = [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, SignatureAlgorithm::EcdsaSha384),
        ];
        let (pair, algorithm) = choices
            .into_iter()
            .find_map(|(curve, algorithm)| {
                EcdsaKeyPair::from_pkcs8(curve, pkcs8).ok().map(|pair| (pair, algorithm))
            })
            .ok_or(BuildError::Key)?;
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key())
            .map_err(|_| BuildError::Key)?
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

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BuildError> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| BuildError::Signing)
    }
}

impl fmt::Debug for EcdsaKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EcdsaKey").finish_non_exhaustive()
    }
}

/// What a CSR asks for.
#[derive(Clone, Debug, Default)]
pub struct CsrRequest {
    common_name: Option<String>,
    dns_names: Vec<String>,
    extensions: Vec<Vec<u8>>,
    challenge_password: Option<String>,
}

impl CsrRequest {
    /// Asks for these DNS names, and nothing in the subject.
    #[must_use]
    pub fn new(dns_names: &[&str]) -> Self {
        let dns_names = dns_names.iter().map(|name| (*name).to_owned()).collect();
        Self { dns_names, ..Self::default() }
    }

    /// Asks for a common name too.
    #[must_use]
    pub fn with_common_name(mut self, name: &str) -> Self {
        self.common_name = Some(name.to_owned());
        self
    }

    /// Asks for basicConstraints CA:TRUE, which no device gets.
    #[must_use]
    pub fn with_ca_true(self) -> Self {
        self.with_extension(BASIC_CONSTRAINTS, &sequence(&[&tagged(BOOLEAN, &[0xff])]))
    }

    /// Asks for any extension. `kind`: the contents of its object identifier; `value`: what its extnValue holds.
    #[must_use]
    pub fn with_extension(mut self, kind: &[u8], value: &[u8]) -> Self {
        self.extensions.push(extension(kind, value));
        self
    }

    /// Carries a challengePassword (RFC 7030 §3.5).
    #[must_use]
    pub fn with_challenge_password(mut self, password: &str) -> Self {
        self.challenge_password = Some(password.to_owned());
        self
    }

    /// Makes the CSR: PKCS#10, DER.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn sign(&self, key: &dyn Signer) -> Result<Vec<u8>, BuildError> {
        let subject = self.common_name.as_ref().map_or_else(Vec::new, |name| {
            let pair = sequence(&[&oid(COMMON_NAME), &tagged(UTF8_STRING, name.as_bytes())]);
            tagged(SET, &pair)
        });
        let info = sequence(&[
            &[0x02, 1, 0],
            &sequence(&[&subject]),
            key.spki_der(),
            &tagged(ATTRIBUTES, &self.attributes()),
        ]);
        let algorithm = match key.algorithm() {
            SignatureAlgorithm::EcdsaSha256 => ECDSA_SHA256,
            SignatureAlgorithm::EcdsaSha384 => ECDSA_SHA384,
        };
        let signature = [&[0][..], &key.sign(&info)?].concat();
        Ok(sequence(&[&info, &sequence(&[&oid(algorithm)]), &tagged(BIT_STRING, &signature)]))
    }

    fn attributes(&self) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if !self.dns_names.is_empty() {
            let names: Vec<Vec<u8>> =
                self.dns_names.iter().map(|name| tagged(DNS_NAME, name.as_bytes())).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            extensions.push(extension(SUBJECT_ALT_NAME, &sequence(&names)));
        }
        let mut attributes = Vec::new();
        if !extensions.is_empty() {
            let list: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
            attributes.extend(attribute(EXTENSION_REQUEST, &sequence(&list)));
        }
        if let Some(password) = &self.challenge_password {
            let text = tagged(UTF8_STRING, password.as_bytes());
            attributes.extend(attribute(CHALLENGE_PASSWORD, &text));
        }
        attributes
    }
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &tagged(SET, value)])
}

pub(crate) fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &tagged(OCTET_STRING, value)])
}
