//! How a client wants its private key to travel: the attributes of its CSR say so (RFC 7030 §4.4.1).

use rustls_pki_types::CertificateDer;
use thiserror::Error;

use super::algorithms::{Capabilities, Curve, KeyTransport, KeyWrap};
use crate::certificate::Fields;
use crate::csr::{Attribute, Csr, KeyAlgorithm, KeyKind};
use crate::oid;
use crate::tlv::{INTEGER, OCTET_STRING, sequence, tagged, values};

/// The longest identifier of a key, in octets.
const IDENTIFIER_OCTETS: usize = 64;
/// The bits of keyUsage for RSA and for elliptic curves: keyEncipherment and keyAgreement.
const KEY_ENCIPHERMENT: u8 = 0b0010_0000;
const KEY_AGREEMENT: u8 = 0b0000_1000;
/// The smallest RSA key that a private key is encrypted for, in bits.
const RSA_BITS_LEAST: u32 = 2048;

/// Why a private key cannot travel as a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtectionError {
    /// The attribute that names the key is not one string of 1 to 64 octets.
    #[error(
        "the attribute that names the decryption key is not one string of 1 to {IDENTIFIER_OCTETS} octets"
    )]
    Identifier,
    /// A symmetric key is named: this library encrypts for certificates alone.
    #[error(
        "the CSR names a symmetric key ({identifier}) to encrypt with; none is shared with this server"
    )]
    SymmetricKey {
        /// Its identifier, in hexadecimal.
        identifier: String,
    },
    /// A symmetric and an asymmetric key are named.
    #[error("the CSR names a symmetric and an asymmetric key to encrypt with")]
    Ambiguous,
    /// A key is named, and not what its owner can decrypt with.
    #[error("the CSR names a key to encrypt for, and no SMIMECapabilities")]
    NoCapabilities,
    /// The SMIMECapabilities cannot be read.
    #[error("the SMIMECapabilities of the CSR cannot be read")]
    Capabilities,
    /// None of the certificates at hand has the key.
    #[error("no certificate is known whose key has the identifier {identifier}")]
    UnknownKey {
        /// The identifier, in hexadecimal.
        identifier: String,
    },
    /// The key is of a kind that nothing can be encrypted for, or too small.
    #[error(
        "the key to encrypt for is {kind}; elliptic curves and RSA of at least 2048 bits are taken"
    )]
    KeyKind {
        /// The key's kind.
        kind: KeyAlgorithm,
    },
    /// The key's certificate does not allow it to be encrypted for.
    #[error("the certificate of the key to encrypt for restricts it to other uses")]
    KeyUsage,
    /// The client lists no algorithm that is known here and goes with its key.
    #[error("the SMIMECapabilities of the CSR list no way known here to encrypt a key for {kind}")]
    NoCommonAlgorithm {
        /// The key's kind.
        kind: KeyAlgorithm,
    },
    /// A certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
}

/// How a private key is to travel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyProtection {
    /// As it is, inside TLS.
    TlsOnly,
    /// Encrypted for the owner of a key.
    Encrypted(EncryptionRequest),
}

impl KeyProtection {
    /// Reads what a CSR asks for.
    ///
    /// # Errors
    /// [`ProtectionError::SymmetricKey`] and the others up to [`ProtectionError::Capabilities`].
    ///
    /// RFC 7030 §4.4.1.1, §4.4.1.2; RFC 4108 §2.2.5.
    pub fn of(csr: &Csr) -> Result<Self, ProtectionError> {
        let symmetric = attribute(csr, oid::DECRYPT_KEY_ID).map(identifier).transpose()?;
        let asymmetric =
            attribute(csr, oid::ASYMMETRIC_DECRYPT_KEY_ID).map(identifier).transpose()?;
        match (symmetric, asymmetric) {
            (None, None) => Ok(Self::TlsOnly),
            (Some(_), Some(_)) => Err(ProtectionError::Ambiguous),
            (Some(symmetric), None) => {
                Err(ProtectionError::SymmetricKey { identifier: hexadecimal(&symmetric) })
            }
            (None, Some(key_identifier)) => {
                let attribute = attribute(csr, oid::SMIME_CAPABILITIES)
                    .ok_or(ProtectionError::NoCapabilities)?;
                let capabilities = match attribute.values() {
                    [only] => Capabilities::read(only),
                    _ => None,
                };
                let capabilities = capabilities.ok_or(ProtectionError::Capabilities)?;
                Ok(Self::Encrypted(EncryptionRequest { key_identifier, capabilities }))
            }
        }
    }
}

/// A client's wish that its private key be encrypted for the owner of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionRequest {
    key_identifier: Vec<u8>,
    capabilities: Capabilities,
}

impl EncryptionRequest {
    /// For a client: asks for encryption to the key of one of its certificates, by all that this library decrypts.
    ///
    /// # Errors
    /// [`ProtectionError::Certificate`], [`ProtectionError::KeyKind`], [`ProtectionError::KeyUsage`].
    pub fn for_certificate(certificate: &CertificateDer<'_>) -> Result<Self, ProtectionError> {
        let fields = Fields::read(certificate).ok_or(ProtectionError::Certificate)?;
        let kind = usable_kind(&fields)?;
        let own = fields.subject_key_identifier().map(<[u8]>::to_vec);
        let key_identifier =
            own.or_else(|| fields.sha1_key_identifier()).ok_or(ProtectionError::Certificate)?;
        let capabilities = Capabilities::of_kind(kind);
        let kind = KeyAlgorithm::of_spki(fields.spki);
        let capabilities = capabilities.ok_or(ProtectionError::KeyKind { kind })?;
        Ok(Self { key_identifier, capabilities })
    }

    /// The identifier of the key.
    #[must_use]
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// The SMIMECapabilities, DER.
    pub(crate) fn capabilities_der(&self) -> Vec<u8> {
        self.capabilities.to_der()
    }

    /// For a server: finds the key among certificates, and how to encrypt for it.
    ///
    /// `certificates`: those that the client may name: the one of its TLS session, and others known to be its own.
    /// One matches by its subject key identifier, or by SHA-1 of its key.
    ///
    /// # Errors
    /// [`ProtectionError::UnknownKey`], [`ProtectionError::KeyKind`], [`ProtectionError::KeyUsage`],
    /// [`ProtectionError::NoCommonAlgorithm`].
    pub fn recipient(
        &self,
        certificates: &[&CertificateDer<'_>],
    ) -> Result<Recipient, ProtectionError> {
        let named = |fields: &Fields<'_>| {
            fields.subject_key_identifier() == Some(self.key_identifier.as_slice())
                || fields.sha1_key_identifier().as_deref() == Some(self.key_identifier.as_slice())
        };
        let fields = certificates
            .iter()
            .filter_map(|certificate| Fields::read(certificate))
            .find(named)
            .ok_or_else(|| ProtectionError::UnknownKey {
                identifier: hexadecimal(&self.key_identifier),
            })?;
        let kind = usable_kind(&fields)?;
        let transport = match Curve::of_kind(kind) {
            Some(curve) => {
                self.capabilities.key_wrap(curve).map(|wrap| Transport::Agreement { curve, wrap })
            }
            None => self.capabilities.key_transport().map(Transport::Rsa),
        };
        let transport = transport.ok_or_else(|| ProtectionError::NoCommonAlgorithm {
            kind: KeyAlgorithm::of_spki(fields.spki),
        })?;
        // A client finds its key by what its certificate says; one that says nothing is named by its issuer.
        let name = match fields.subject_key_identifier() {
            Some(identifier) => RecipientName::KeyIdentifier(identifier.to_vec()),
            None => RecipientName::IssuerAndSerial(sequence(&[
                fields.issuer,
                &tagged(INTEGER, fields.serial),
            ])),
        };
        Ok(Recipient {
            name,
            spki: fields.spki.to_vec(),
            transport,
            cipher: self.capabilities.content_cipher(),
        })
    }
}

/// A key to encrypt for, and by which algorithms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub(super) name: RecipientName,
    pub(super) spki: Vec<u8>,
    pub(super) transport: Transport,
    pub(super) cipher: super::algorithms::ContentCipher,
}

/// How a recipient is named in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecipientName {
    /// The identifier of its key.
    KeyIdentifier(Vec<u8>),
    /// IssuerAndSerialNumber, DER.
    IssuerAndSerial(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Rsa(KeyTransport),
    Agreement { curve: Curve, wrap: KeyWrap },
}

/// The kind of a key that may be encrypted for (RFC 7030 §4.4.1.2: explicitly so, or unrestricted).
fn usable_kind(fields: &Fields<'_>) -> Result<KeyKind, ProtectionError> {
    let kind = KeyAlgorithm::of_spki(fields.spki);
    let (usable, needed) = match (kind, kind.kind()) {
        (KeyAlgorithm::Rsa(bits), _) if bits >= RSA_BITS_LEAST => (KeyKind::Rsa, KEY_ENCIPHERMENT),
        (_, Some(curve)) if Curve::of_kind(curve).is_some() => (curve, KEY_AGREEMENT),
        _ => return Err(ProtectionError::KeyKind { kind }),
    };
    match fields.key_usage() {
        Some(usage) if usage & needed == 0 => Err(ProtectionError::KeyUsage),
        _ => Ok(usable),
    }
}

fn attribute<'a>(csr: &'a Csr, kind: &[u8]) -> Option<&'a Attribute> {
    let kind = oid::dotted(kind);
    csr.attributes().iter().find(|attribute| attribute.oid() == kind)
}

fn identifier(attribute: &Attribute) -> Result<Vec<u8>, ProtectionError> {
    let [value] = attribute.values() else {
        return Err(ProtectionError::Identifier);
    };
    match values(value).as_deref() {
        Ok([only])
            if only.tag == OCTET_STRING
                && (1..=IDENTIFIER_OCTETS).contains(&only.contents.len()) =>
        {
            Ok(only.contents.to_vec())
        }
        _ => Err(ProtectionError::Identifier),
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
