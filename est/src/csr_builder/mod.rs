//! Makes CSRs, for clients (RFC 2986), and for a server that made the key itself (RFC 7030 §4.4).
//! It makes wrong ones as well, for those who test servers.

mod signer;

use thiserror::Error;

pub use self::signer::{Hash, PrivateKey, SignatureAlgorithm, Signer};
use crate::csr::{Csr, GeneralName};
use crate::oid;
use crate::server_keygen::EncryptionRequest;
use crate::tlv::{
    BIT_STRING, BOOLEAN, IA5_STRING, OCTET_STRING, PRINTABLE_STRING, SEQUENCE, SET, UTF8_STRING,
    inside, object_identifier, sequence, tagged,
};

const ATTRIBUTES: u8 = 0xa0;
const VERSION_0: &[u8] = &[0x02, 1, 0];

/// The former name of [`PrivateKey`].
pub type EcdsaKey = PrivateKey;

/// A CSR that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The key is none that this library can sign with.
    #[error("the private key is not PKCS#8 of a P-256, P-384, P-521, Ed25519 or RSA key")]
    Key,
    /// The key does not go with the hash.
    #[error("the private key cannot sign with {hash}")]
    Hash {
        /// The hash.
        hash: Hash,
    },
    /// The key did not sign.
    #[error("the private key did not sign")]
    Signing,
    /// An object identifier is none.
    #[error("{oid:?} is no object identifier")]
    Oid {
        /// What was given.
        oid: String,
    },
    /// A name is of a kind that is only read.
    #[error("{name} cannot be asked for")]
    Name {
        /// The name.
        name: GeneralName,
    },
}

/// What a CSR asks for.
#[derive(Clone, Debug, Default)]
pub struct CsrRequest {
    /// RelativeDistinguishedNames, DER.
    subject: Vec<Vec<u8>>,
    /// GeneralNames, DER.
    names: Vec<Vec<u8>>,
    /// Extensions, DER.
    extensions: Vec<Vec<u8>>,
    /// Attributes, DER, those aside that the other fields make.
    attributes: Vec<Vec<u8>>,
    challenge_password: Option<String>,
}

impl CsrRequest {
    /// Asks for these DNS names, and nothing in the subject.
    #[must_use]
    pub fn new(dns_names: &[&str]) -> Self {
        let names = dns_names
            .iter()
            .filter_map(|name| GeneralName::Dns((*name).to_owned()).to_der())
            .collect();
        Self { names, ..Self::default() }
    }

    /// Asks for the subject and the extensions that another CSR asks for, and for nothing else of it.
    ///
    /// For a server that makes the key itself: it signs with that key what the client could not (RFC 7030 §4.4).
    #[must_use]
    pub fn like(csr: &Csr) -> Self {
        let whole = |value: &crate::tlv::Value<'_>| value.whole.to_vec();
        let subject = inside(csr.subject_der(), SEQUENCE).unwrap_or_default();
        Self {
            subject: subject.iter().map(whole).collect(),
            extensions: csr.extensions().iter().map(|each| each.der().to_vec()).collect(),
            ..Self::default()
        }
    }

    /// Asks for a common name too.
    #[must_use]
    pub fn with_common_name(self, name: &str) -> Self {
        self.with_subject(oid::COMMON_NAME, &subject_text(oid::COMMON_NAME, name))
    }

    /// Asks for an attribute in the subject. `kind`: dotted, such as `2.5.4.5` for serialNumber.
    ///
    /// # Errors
    /// [`BuildError::Oid`].
    pub fn with_subject_attribute(self, kind: &str, text: &str) -> Result<Self, BuildError> {
        let kind = identifier(kind)?;
        let value = subject_text(&kind, text);
        Ok(self.with_subject(&kind, &value))
    }

    /// Asks for a subject alternative name of any kind.
    ///
    /// # Errors
    /// [`BuildError::Name`] for a kind that is only read, or with an object identifier that is none.
    pub fn with_alternative_name(mut self, name: &GeneralName) -> Result<Self, BuildError> {
        let der = name.to_der().ok_or_else(|| BuildError::Name { name: name.clone() })?;
        self.names.push(der);
        Ok(self)
    }

    /// Asks for basicConstraints CA:TRUE, which no device gets.
    #[must_use]
    pub fn with_ca_true(self) -> Self {
        self.with_extension(oid::BASIC_CONSTRAINTS, &sequence(&[&tagged(BOOLEAN, &[0xff])]))
    }

    /// Asks for any extension. `kind`: the contents of its object identifier; `value`: what its extnValue holds.
    #[must_use]
    pub fn with_extension(mut self, kind: &[u8], value: &[u8]) -> Self {
        self.extensions.push(extension(kind, value));
        self
    }

    /// Asks for any extension, marked critical; arguments as for [`CsrRequest::with_extension`].
    #[must_use]
    pub fn with_critical_extension(mut self, kind: &[u8], value: &[u8]) -> Self {
        self.extensions.push(critical_extension(kind, value));
        self
    }

    /// Asks for extended key usages, dotted.
    ///
    /// # Errors
    /// [`BuildError::Oid`].
    pub fn with_extended_key_usages(self, usages: &[&str]) -> Result<Self, BuildError> {
        let usages = usages
            .iter()
            .map(|usage| Ok(object_identifier(&identifier(usage)?)))
            .collect::<Result<Vec<Vec<u8>>, BuildError>>()?;
        let value = tagged(SEQUENCE, &usages.concat());
        Ok(self.with_extension(oid::EXTENDED_KEY_USAGE, &value))
    }

    /// Carries any attribute. `kind`: dotted; `values`: each DER.
    ///
    /// # Errors
    /// [`BuildError::Oid`].
    pub fn with_attribute(mut self, kind: &str, values: &[&[u8]]) -> Result<Self, BuildError> {
        self.attributes.push(attribute(&identifier(kind)?, &values.concat()));
        Ok(self)
    }

    /// Carries a challengePassword (RFC 7030 §3.5).
    #[must_use]
    pub fn with_challenge_password(mut self, password: &str) -> Self {
        self.challenge_password = Some(password.to_owned());
        self
    }

    /// Asks a server that makes the key to encrypt it (RFC 7030 §4.4.1.2).
    #[must_use]
    pub fn with_encryption(mut self, request: &EncryptionRequest) -> Self {
        let id = tagged(OCTET_STRING, request.key_identifier());
        self.attributes.push(attribute(oid::ASYMMETRIC_DECRYPT_KEY_ID, &id));
        let capabilities = request.capabilities_der();
        self.attributes.push(attribute(oid::SMIME_CAPABILITIES, &capabilities));
        self
    }

    /// Makes the CSR: PKCS#10, DER.
    ///
    /// # Errors
    /// [`BuildError::Signing`].
    pub fn sign(&self, key: &dyn Signer) -> Result<Vec<u8>, BuildError> {
        let info = sequence(&[
            VERSION_0,
            &tagged(SEQUENCE, &self.subject.concat()),
            key.spki_der(),
            &tagged(ATTRIBUTES, &self.attributes()),
        ]);
        // A BIT STRING begins with the count of its unused bits.
        let signature = [&[0][..], &key.sign(&info)?].concat();
        Ok(sequence(&[&info, &key.algorithm().identifier(), &tagged(BIT_STRING, &signature)]))
    }

    pub(crate) fn with_subject(mut self, kind: &[u8], value: &[u8]) -> Self {
        self.subject.push(tagged(SET, &sequence(&[&object_identifier(kind), value])));
        self
    }

    /// Adds an Extension, DER.
    pub(crate) fn with_whole_extension(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Adds a RelativeDistinguishedName, DER.
    pub(crate) fn with_relative_name(mut self, name: Vec<u8>) -> Self {
        self.subject.push(name);
        self
    }

    fn attributes(&self) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if !self.names.is_empty() {
            let names = tagged(SEQUENCE, &self.names.concat());
            extensions.push(extension(oid::SUBJECT_ALT_NAME, &names));
        }
        let mut attributes = self.attributes.clone();
        if !extensions.is_empty() {
            let list = tagged(SEQUENCE, &extensions.concat());
            attributes.push(attribute(oid::EXTENSION_REQUEST, &list));
        }
        if let Some(password) = &self.challenge_password {
            let text = tagged(UTF8_STRING, password.as_bytes());
            attributes.push(attribute(oid::CHALLENGE_PASSWORD, &text));
        }
        attributes.concat()
    }
}

fn identifier(dotted: &str) -> Result<Vec<u8>, BuildError> {
    oid::contents(dotted).ok_or_else(|| BuildError::Oid { oid: dotted.to_owned() })
}

/// A subject's value in the string type that X.520 and RFC 4519 have for it.
pub(crate) fn subject_text(kind: &[u8], text: &str) -> Vec<u8> {
    let tag = match oid::dotted(kind).as_str() {
        // countryName, serialNumber, dnQualifier.
        "2.5.4.6" | "2.5.4.5" | "2.5.4.46" => PRINTABLE_STRING,
        // emailAddress, domainComponent.
        "1.2.840.113549.1.9.1" | "0.9.2342.19200300.100.1.25" => IA5_STRING,
        _ => UTF8_STRING,
    };
    tagged(tag, text.as_bytes())
}

pub(crate) fn attribute(kind: &[u8], values: &[u8]) -> Vec<u8> {
    sequence(&[&object_identifier(kind), &tagged(SET, values)])
}

pub(crate) fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&object_identifier(kind), &tagged(OCTET_STRING, value)])
}

pub(crate) fn critical_extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    let is_critical = tagged(BOOLEAN, &[0xff]);
    sequence(&[&object_identifier(kind), &is_critical, &tagged(OCTET_STRING, value)])
}
