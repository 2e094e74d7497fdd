//! A CSR: read as it came, proven by its own signature (RFC 2986, RFC 7030 §3.4, §4.2.1).

mod attributes;
pub mod check;
mod extension;
mod key;
mod names;

use std::ops::Deref;

use aws_lc_rs::digest;
use thiserror::Error;

pub use self::attributes::Attribute;
pub use self::extension::{BasicConstraints, Extension, KeyUsage};
pub(crate) use self::key::rsa_bits;
pub use self::key::{KeyAlgorithm, KeyKind};
pub(crate) use self::names::{DIRECTORY_NAME, DNS_NAME, IP_ADDRESS, subject_attributes};
pub use self::names::{GeneralName, SubjectAttribute};
use crate::oid;
use crate::signature::{self, SignatureFault};
use crate::tlv::{BIT_STRING, DerError, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, inside, values};

/// The longest CSR that is read, in octets.
pub const CSR_OCTETS: usize = 32 * 1024;
/// The most attributes, and the most extensions, that one CSR may have.
const ATTRIBUTES_MOST: usize = 64;
/// The smallest and the largest RSA keys whose signatures are checked, in bits.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const COMMON_NAME: &str = "2.5.4.3";
const ATTRIBUTES: u8 = 0xa0;

/// Why octets are no CSR, or none that is proven.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CsrError {
    /// It is longer than this library reads.
    #[error("it has {octets} octets, more than {CSR_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It has more parts of one kind than any real one.
    #[error("it has more than {most} {what}")]
    TooMany {
        /// The kind.
        what: &'static str,
        /// How many may be there.
        most: usize,
    },
    /// It is not DER.
    #[error("it is not DER: {0}")]
    Encoding(#[from] DerError),
    /// Something stands where something else belongs.
    #[error("its {0} is not what PKCS#10 says")]
    Structure(&'static str),
    /// An extension or an attribute is there twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// Its key is of no kind whose signatures are checked here.
    #[error("its key is of an unknown kind")]
    UnknownKey,
    /// Its RSA key is too small to prove anything, or too large to be checked.
    #[error("its RSA key has {bits} bits; 2048 to 8192 are taken")]
    RsaSize {
        /// The length of the modulus.
        bits: u32,
    },
    /// It is signed with a hash that is broken.
    #[error(
        "its signature is made with {hash}, which proves nothing any more; SHA-256 or better is needed"
    )]
    WeakHash {
        /// The hash.
        hash: &'static str,
    },
    /// The signature algorithm is unknown.
    #[error("its signature algorithm is unknown")]
    Algorithm,
    /// Its key did not sign it.
    #[error("its signature does not match its key")]
    Signature,
}

/// A CSR that was read, and whose signature nobody looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
    info: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    attributes: Vec<Attribute>,
    extensions: Vec<Extension>,
    challenge_password: Option<String>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Csr {
    /// Reads a CSR.
    ///
    /// `der`: PKCS#10, at most 32 KiB.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_OCTETS {
            return Err(CsrError::TooLong { octets: der.len() });
        }
        let outer = values(der)?;
        let [request] = outer.as_slice() else {
            return Err(CsrError::Structure("end"));
        };
        let parts = values(request.contents)?;
        let [info, algorithm, signature] = parts.as_slice() else {
            return Err(CsrError::Structure("frame"));
        };
        let tags = [request.tag, info.tag, algorithm.tag, signature.tag];
        if tags != [SEQUENCE, SEQUENCE, SEQUENCE, BIT_STRING] {
            return Err(CsrError::Structure("frame"));
        }
        // The first octet counts unused bits; a signature has none.
        let Some((0, signature)) = signature.contents.split_first() else {
            return Err(CsrError::Structure("signature"));
        };
        let fields = values(info.contents)?;
        let (version, subject, spki, attributes) = match fields.as_slice() {
            [version, subject, spki, attributes] if attributes.tag == ATTRIBUTES => {
                (version, subject, spki, attributes.contents)
            }
            // Some clients leave out the empty attributes.
            [version, subject, spki] => (version, subject, spki, &[][..]),
            _ => return Err(CsrError::Structure("content")),
        };
        if [version.tag, subject.tag, spki.tag] != [INTEGER, SEQUENCE, SEQUENCE] {
            return Err(CsrError::Structure("content"));
        }
        let attributes = attributes::read_all(attributes)?;
        Ok(Self {
            der: der.to_vec(),
            info: info.whole.to_vec(),
            subject: subject.whole.to_vec(),
            spki: spki.whole.to_vec(),
            attributes: attributes.all,
            extensions: attributes.extensions,
            challenge_password: attributes.challenge_password,
            algorithm: algorithm.contents.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Checks that its own key signed it, with an algorithm that is not too weak.
    ///
    /// # Errors
    /// [`CsrError::UnknownKey`] and [`CsrError::RsaSize`] for keys that are not taken, [`CsrError::WeakHash`] for
    /// SHA-1 and MD5, [`CsrError::Algorithm`] for what is unknown, [`CsrError::Signature`] where the signature is
    /// another's.
    ///
    /// RFC 7030 §3.4.
    pub fn prove(self) -> Result<ProvenCsr, CsrError> {
        match self.key_algorithm() {
            KeyAlgorithm::Unknown => return Err(CsrError::UnknownKey),
            KeyAlgorithm::Rsa(bits) if !RSA_BITS.contains(&bits) => {
                return Err(CsrError::RsaSize { bits });
            }
            _ => {}
        }
        match signature::verify(&self.spki, &self.algorithm, &self.info, &self.signature) {
            Ok(()) => Ok(ProvenCsr { csr: self }),
            Err(SignatureFault::Key) => Err(CsrError::Structure("public key")),
            Err(SignatureFault::WeakHash(hash)) => Err(CsrError::WeakHash { hash }),
            Err(SignatureFault::Algorithm) => Err(CsrError::Algorithm),
            Err(SignatureFault::Mismatch) => Err(CsrError::Signature),
        }
    }

    /// The CSR as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Its subject's Name, DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// SHA-256 of its SubjectPublicKeyInfo, by which a key is known whatever it is in.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(&[&self.spki])
    }

    /// The attributes of its subject, in the order written.
    #[must_use]
    pub fn subject_attributes(&self) -> Vec<SubjectAttribute> {
        names::subject_attributes(&self.subject)
    }

    /// The common names in its subject, as they stand; one that is no text reads as it can.
    #[must_use]
    pub fn common_names(&self) -> Vec<String> {
        let attributes = self.subject_attributes().into_iter();
        attributes
            .filter(|each| each.kind() == COMMON_NAME)
            .map(|each| each.text().to_owned())
            .collect()
    }

    /// All of its attributes, in the order written: those that the methods here explain, and the others.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The extensions that it asks for, in the order written.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The subject alternative names that it asks for.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn subject_alt_names(&self) -> Result<Vec<GeneralName>, CsrError> {
        let Some(value) = self.extension(SUBJECT_ALT_NAME) else {
            return Ok(Vec::new());
        };
        let names = inside(value, SEQUENCE).ok_or(CsrError::Structure("subjectAltName"))?;
        names.iter().map(|name| GeneralName::read(name).map_err(CsrError::Structure)).collect()
    }

    /// The basicConstraints that it asks for.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, CsrError> {
        self.extension(BASIC_CONSTRAINTS).map(BasicConstraints::read).transpose()
    }

    /// The keyUsage that it asks for.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, CsrError> {
        self.extension(KEY_USAGE).map(KeyUsage::read).transpose()
    }

    /// The extended key usages that it asks for, dotted.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn extended_key_usage(&self) -> Result<Vec<String>, CsrError> {
        let Some(value) = self.extension(EXTENDED_KEY_USAGE) else {
            return Ok(Vec::new());
        };
        let list = inside(value, SEQUENCE).ok_or(CsrError::Structure("extKeyUsage"))?;
        list.into_iter()
            .map(|usage| match usage.tag {
                OBJECT_IDENTIFIER => Ok(oid::dotted(usage.contents)),
                _ => Err(CsrError::Structure("extKeyUsage")),
            })
            .collect()
    }

    /// The challengePassword, which links the CSR to a TLS session (RFC 7030 §3.5).
    #[must_use]
    pub fn challenge_password(&self) -> Option<&str> {
        self.challenge_password.as_deref()
    }

    /// The kind of its key.
    #[must_use]
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        KeyAlgorithm::of_spki(&self.spki)
    }

    fn extension(&self, oid: &str) -> Option<&[u8]> {
        self.extensions.iter().find(|each| each.oid() == oid).map(Extension::value)
    }
}

/// A CSR whose key signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenCsr {
    csr: Csr,
}

impl ProvenCsr {
    /// What makes two CSRs ask for the same: SHA-256 over key, subject and requested extensions.
    ///
    /// Signature and challengePassword differ from one try to the next and are left out.
    #[must_use]
    pub fn enrollment_digest(&self) -> [u8; 32] {
        let mut extensions: Vec<&[u8]> =
            self.extensions.iter().map(|extension| extension.whole.as_slice()).collect();
        extensions.sort_unstable();
        let parts: Vec<&[u8]> =
            [self.spki_der(), self.subject_der()].into_iter().chain(extensions).collect();
        let lengths: Vec<[u8; 8]> = parts.iter().map(|part| part.len().to_be_bytes()).collect();
        let framed: Vec<&[u8]> = lengths
            .iter()
            .zip(&parts)
            .flat_map(|(length, part)| [length.as_slice(), part])
            .collect();
        sha256(&framed)
    }
}

impl Deref for ProvenCsr {
    type Target = Csr;

    fn deref(&self) -> &Csr {
        &self.csr
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut octets = [0; 32];
    octets.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    octets
}
