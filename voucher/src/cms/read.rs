//! Reads CMS SignedData and keeps every octet as it came, so that signatures are checked over what was sent.
//!
//! Strict typed parsing refuses real artefacts; this reader forgives the spelling of the signature algorithm
//! and the order of signed attributes, says so, and forgives nothing else.

use thiserror::Error;

use super::{CONTENT_TYPE, ID_ANIMA_JSON_VOUCHER, ID_DATA, ID_SIGNED_DATA, MESSAGE_DIGEST};
use crate::certificate::Certificate;
use crate::signature::{self, Hash, SignatureError, Spelling};
use crate::tlv::{INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Tlv, TlvError, only};

/// The longest artefact that is read, in octets.
pub const ARTEFACT_OCTETS: usize = 64 * 1024;
/// The most certificates that are read from one artefact.
const CERTIFICATES: usize = 16;

const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_1: u8 = 0xa1;

/// What was wrong and forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quirk {
    /// The content type is id-data, not id-ct-animaJSONVoucher.
    ContentTypeData,
    /// The signature algorithm is the key's, or carries NULL parameters.
    SignatureAlgorithm,
    /// The signed attributes are not in DER order, and the signature is over the order as sent.
    AttributeOrder,
}

/// Why octets are no SignedData that this library reads.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CmsError {
    /// It is longer than this library reads.
    #[error("the artefact has {octets} octets, more than {ARTEFACT_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is not DER of SignedData.
    #[error("the CMS cannot be read: {0}")]
    Encoding(#[from] TlvError),
    /// Something stands where something else belongs.
    #[error("the CMS {0}")]
    Structure(&'static str),
}

/// SignedData with one signer and signed attributes.
#[derive(Clone, Debug)]
pub(crate) struct SignedData {
    pub(crate) content: Vec<u8>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) is_data: bool,
    signed_attributes: Vec<u8>,
    digest: Hash,
    message_digest: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    signer: SignerIdentifier,
}

#[derive(Clone, Debug)]
enum SignerIdentifier {
    IssuerAndSerial { issuer: Vec<u8>, serial: Vec<u8> },
    KeyIdentifier(Vec<u8>),
}

impl SignedData {
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CmsError> {
        if der.len() > ARTEFACT_OCTETS {
            return Err(CmsError::TooLong { octets: der.len() });
        }
        let mut outer = only(der, SEQUENCE)?.inside();
        if outer.expect(OBJECT_IDENTIFIER)?.contents != ID_SIGNED_DATA {
            return Err(CmsError::Structure("is not SignedData"));
        }
        let wrapped = outer.expect(EXPLICIT_0)?;
        outer.end()?;
        let mut fields = only(wrapped.contents, SEQUENCE)?.inside();
        fields.expect(INTEGER)?;
        fields.expect(SET)?;
        let (content, is_data) = content(fields.expect(SEQUENCE)?)?;
        let certificates = fields.optional(EXPLICIT_0)?.map(certificates).transpose()?;
        fields.optional(EXPLICIT_1)?;
        let mut signers = fields.expect(SET)?.inside();
        fields.end()?;
        let signer = signers.expect(SEQUENCE)?;
        if !signers.is_empty() {
            return Err(CmsError::Structure("has more than one signer"));
        }
        let content_type = if is_data { ID_DATA } else { ID_ANIMA_JSON_VOUCHER };
        let certificates = certificates.unwrap_or_default();
        read_signer(signer, content, content_type, certificates, is_data)
    }

    /// The certificate among those carried that the signer names.
    pub(crate) fn signer_certificate(&self) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| match &self.signer {
            SignerIdentifier::IssuerAndSerial { issuer, serial } => {
                certificate.issuer_der() == issuer && certificate.serial() == serial
            }
            SignerIdentifier::KeyIdentifier(identifier) => {
                certificate.subject_key_identifier() == Some(identifier)
            }
        })
    }

    /// Verifies content and signed attributes with a key.
    pub(crate) fn verify(&self, spki: &[u8]) -> Result<Vec<Quirk>, SignatureError> {
        if self.digest.digest(&self.content) != self.message_digest {
            return Err(SignatureError::Mismatch);
        }
        let as_sent = retag(&self.signed_attributes);
        let sorted = sorted(&self.signed_attributes);
        let check = |message: &[u8]| {
            let hash = Some(self.digest);
            signature::verify(spki, &self.algorithm, hash, message, &self.signature)
        };
        let (spelling, is_reordered) = match check(&as_sent) {
            Ok(spelling) => (spelling, as_sent != sorted),
            Err(_) => (check(&sorted)?, true),
        };
        let mut quirks = Vec::new();
        if self.is_data {
            quirks.push(Quirk::ContentTypeData);
        }
        if spelling == Spelling::Forgiven {
            quirks.push(Quirk::SignatureAlgorithm);
        }
        if is_reordered {
            quirks.push(Quirk::AttributeOrder);
        }
        Ok(quirks)
    }
}

fn content(encapsulated: Tlv<'_>) -> Result<(Vec<u8>, bool), CmsError> {
    let mut fields = encapsulated.inside();
    let content_type = fields.expect(OBJECT_IDENTIFIER)?.contents;
    let is_data = content_type == ID_DATA;
    if !is_data && content_type != ID_ANIMA_JSON_VOUCHER {
        return Err(CmsError::Structure("holds neither id-data nor id-ct-animaJSONVoucher"));
    }
    let wrapped =
        fields.optional(EXPLICIT_0)?.ok_or(CmsError::Structure("has no content inside"))?;
    Ok((only(wrapped.contents, OCTET_STRING)?.contents.to_vec(), is_data))
}

fn certificates(field: Tlv<'_>) -> Result<Vec<Certificate>, CmsError> {
    let mut reader = field.inside();
    let mut certificates = Vec::new();
    while !reader.is_empty() {
        let choice = reader.any()?;
        // Other choices than a certificate (attribute certificates, say) are of no use here.
        if choice.tag == SEQUENCE
            && let Ok(certificate) = Certificate::from_der(choice.whole)
        {
            certificates.push(certificate);
        }
        if certificates.len() > CERTIFICATES {
            return Err(CmsError::Structure("carries more than 16 certificates"));
        }
    }
    Ok(certificates)
}

fn read_signer(
    signer: Tlv<'_>,
    content: Vec<u8>,
    content_type: &[u8],
    certificates: Vec<Certificate>,
    is_data: bool,
) -> Result<SignedData, CmsError> {
    let mut fields = signer.inside();
    fields.expect(INTEGER)?;
    let signer = match fields.peek() {
        Some(0x80) => SignerIdentifier::KeyIdentifier(fields.any()?.contents.to_vec()),
        _ => {
            let mut pair = fields.expect(SEQUENCE)?.inside();
            SignerIdentifier::IssuerAndSerial {
                issuer: pair.expect(SEQUENCE)?.whole.to_vec(),
                serial: pair.expect(INTEGER)?.contents.to_vec(),
            }
        }
    };
    let mut digest = fields.expect(SEQUENCE)?.inside();
    let digest = Hash::from_oid(digest.expect(OBJECT_IDENTIFIER)?.contents)
        .ok_or(CmsError::Structure("has a digest that is unknown or too weak"))?;
    // RFC 8366bis §5.4: without signed attributes, content could pass for attributes.
    let attributes =
        fields.optional(EXPLICIT_0)?.ok_or(CmsError::Structure("has no signed attributes"))?;
    let algorithm = fields.expect(SEQUENCE)?;
    let signature = fields.expect(OCTET_STRING)?;
    fields.optional(EXPLICIT_1)?;
    fields.end()?;
    if single_value(attributes, CONTENT_TYPE)? != content_type {
        return Err(CmsError::Structure("signs another content type than it holds"));
    }
    Ok(SignedData {
        content,
        certificates,
        is_data,
        signed_attributes: attributes.whole.to_vec(),
        digest,
        message_digest: single_value(attributes, MESSAGE_DIGEST)?.to_vec(),
        algorithm: algorithm.contents.to_vec(),
        signature: signature.contents.to_vec(),
        signer,
    })
}

/// The value of the one attribute of this type.
fn single_value<'a>(attributes: Tlv<'a>, wanted: &[u8]) -> Result<&'a [u8], CmsError> {
    let mut found = None;
    let mut reader = attributes.inside();
    while !reader.is_empty() {
        let mut attribute = reader.expect(SEQUENCE)?.inside();
        let oid = attribute.expect(OBJECT_IDENTIFIER)?;
        let mut values = attribute.expect(SET)?.inside();
        if oid.contents != wanted {
            continue;
        }
        let value = values.any()?;
        if !values.is_empty() || found.replace(value.contents).is_some() {
            return Err(CmsError::Structure("has a signed attribute twice"));
        }
    }
    found.ok_or(CmsError::Structure("lacks the content type or the message digest attribute"))
}

/// The attributes as the signature covers them: with the tag of SET OF (RFC 5652 §5.4).
fn retag(attributes: &[u8]) -> Vec<u8> {
    let mut octets = attributes.to_vec();
    if let Some(tag) = octets.first_mut() {
        *tag = SET;
    }
    octets
}

/// The same with the attributes in DER order.
fn sorted(attributes: &[u8]) -> Vec<u8> {
    let Ok(list) = only(attributes, EXPLICIT_0) else {
        return Vec::new();
    };
    let mut reader = list.inside();
    let mut values = Vec::new();
    while let Ok(value) = reader.any() {
        values.push(value.whole);
    }
    values.sort_unstable();
    super::write::tagged(SET, &values.concat())
}
