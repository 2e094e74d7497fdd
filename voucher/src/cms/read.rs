//! Reads CMS SignedData and keeps every octet as it came, so that signatures are checked over what was sent.
//!
//! Strict typed parsing refuses real artefacts; this reader forgives BER, the spelling of the signature algorithm
//! and the order of signed attributes, says so, and forgives nothing else.
//! RFC 5652 §5, draft-ietf-anima-rfc8366bis §5.4.

use thiserror::Error;

use super::ber::normalise;
use super::{
    CONTENT_TYPE, ID_SIGNED_DATA, MESSAGE_DIGEST, SIGNING_TIME, content_type, from_content_type,
};
use crate::certificate::{Certificate, date};
use crate::encoding::{Encoding, Quirk};
use crate::envelope::CERTIFICATES;
use crate::signature::{self, Hash, SignatureError, Spelling};
use crate::tlv::{
    INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Tlv, TlvError, has_shortest_lengths,
    only, tagged,
};

const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_1: u8 = 0xa1;
const KEY_IDENTIFIER: u8 = 0x80;

/// Why octets are no SignedData that this library reads.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CmsError {
    /// It is neither DER nor BER of SignedData.
    #[error("the CMS cannot be read: {0}")]
    Encoding(TlvError),
    /// It is CMS of another kind.
    #[error("the CMS is not SignedData")]
    NotSignedData,
    /// It holds something else than a voucher.
    #[error("the CMS holds neither id-ct-animaJSONVoucher nor id-data")]
    ForeignContentType,
    /// The content is elsewhere.
    #[error("the CMS has no content inside")]
    Detached,
    /// There is more than one signer.
    #[error("the CMS has more than one signer")]
    SeveralSigners,
    /// There are more certificates than this library reads.
    #[error("the CMS carries more than {CERTIFICATES} certificates")]
    TooManyCertificates,
    /// The digest is none that this library knows.
    #[error("the CMS has a digest that is unknown or too weak")]
    Digest,
    /// There are no signed attributes: content could pass for attributes (draft-ietf-anima-rfc8366bis §5.4).
    #[error("the CMS has no signed attributes")]
    NoSignedAttributes,
    /// A signed attribute that must be there is not.
    #[error("the CMS lacks the signed attribute {attribute}")]
    MissingAttribute {
        /// The attribute.
        attribute: &'static str,
    },
    /// A signed attribute stands there twice, or has several values.
    #[error("the CMS has the signed attribute {attribute} twice")]
    RepeatedAttribute {
        /// The attribute.
        attribute: &'static str,
    },
    /// The signed content type is not that of the content (RFC 5652 §11.1).
    #[error("the CMS signs another content type than it holds")]
    ContentTypeMismatch,
}

impl From<TlvError> for CmsError {
    fn from(reason: TlvError) -> Self {
        Self::Encoding(reason)
    }
}

/// SignedData with one signer and signed attributes.
#[derive(Clone, Debug)]
pub(crate) struct SignedData {
    pub(crate) content: Vec<u8>,
    pub(crate) certificates: Vec<Certificate>,
    /// Unix seconds.
    pub(crate) signing_time: Option<i64>,
    /// CMS with either content type.
    pub(crate) encoding: Encoding,
    pub(crate) quirks: Vec<Quirk>,
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
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, CmsError> {
        let definite = Self::parse_der(octets);
        let (mut signed_data, is_der) = match definite {
            Ok(signed_data) => (signed_data, has_shortest_lengths(octets)),
            Err(CmsError::Encoding(_)) => match normalise(octets) {
                Ok(Some(der)) => (Self::parse_der(&der)?, false),
                _ => return definite,
            },
            Err(_) => return definite,
        };
        if !is_der {
            signed_data.quirks.push(Quirk::Ber);
        }
        Ok(signed_data)
    }

    fn parse_der(der: &[u8]) -> Result<Self, CmsError> {
        let mut outer = only(der, SEQUENCE)?.inside();
        if outer.expect(OBJECT_IDENTIFIER)?.contents != ID_SIGNED_DATA {
            return Err(CmsError::NotSignedData);
        }
        let wrapped = outer.expect(EXPLICIT_0)?;
        outer.end()?;
        let mut fields = only(wrapped.contents, SEQUENCE)?.inside();
        // Any version: peers disagree on it (draft-ietf-anima-rfc8366bis §5.4).
        fields.expect(INTEGER)?;
        fields.expect(SET)?;
        let (encoding, content) = read_content(fields.expect(SEQUENCE)?)?;
        let certificates = match fields.optional(EXPLICIT_0)? {
            Some(field) => read_certificates(field)?,
            None => Vec::new(),
        };
        fields.optional(EXPLICIT_1)?;
        let mut signers = fields.expect(SET)?.inside();
        fields.end()?;
        let signer = signers.expect(SEQUENCE)?;
        if !signers.is_empty() {
            return Err(CmsError::SeveralSigners);
        }
        read_signer(signer, encoding, content, certificates)
    }

    /// Whether the signer is named by this certificate.
    pub(crate) fn names(&self, certificate: &Certificate) -> bool {
        match &self.signer {
            SignerIdentifier::IssuerAndSerial { issuer, serial } => {
                certificate.issuer_der() == issuer && certificate.serial() == serial
            }
            SignerIdentifier::KeyIdentifier(identifier) => {
                certificate.subject_key_identifier() == Some(identifier)
            }
        }
    }

    /// Whether the certificates are in the order of DER, or the signer's comes first, which some readers rely on.
    fn is_usual_order(&self) -> bool {
        self.certificates.is_sorted_by(|one, next| one.der().as_ref() <= next.der().as_ref())
            || self.certificates.first().is_some_and(|first| self.names(first))
    }

    /// Verifies content and signed attributes with a key; gives back what was forgiven in the signature.
    pub(crate) fn verify(&self, content: &[u8], spki: &[u8]) -> Result<Vec<Quirk>, SignatureError> {
        if self.digest.digest(content) != self.message_digest {
            return Err(SignatureError::Mismatch);
        }
        // RFC 5652 §5.4 asks for the DER of a SET OF; who sends another order often signs that order.
        let as_sent = retag(&self.signed_attributes);
        let in_order = sorted(&self.signed_attributes);
        let check = |message: &[u8]| {
            let hash = Some(self.digest);
            signature::verify(spki, &self.algorithm, hash, message, &self.signature)
        };
        let spelling = match check(&as_sent) {
            Err(SignatureError::Mismatch) if as_sent != in_order => check(&in_order)?,
            result => result?,
        };
        let mut quirks = Vec::new();
        if spelling == Spelling::Forgiven {
            quirks.push(Quirk::SignatureAlgorithm);
        }
        if as_sent != in_order {
            quirks.push(Quirk::AttributeOrder);
        }
        Ok(quirks)
    }
}

fn read_content(encapsulated: Tlv<'_>) -> Result<(Encoding, Vec<u8>), CmsError> {
    let mut fields = encapsulated.inside();
    let oid = fields.expect(OBJECT_IDENTIFIER)?.contents;
    let encoding = from_content_type(oid).ok_or(CmsError::ForeignContentType)?;
    let wrapped = fields.optional(EXPLICIT_0)?.ok_or(CmsError::Detached)?;
    fields.end()?;
    Ok((encoding, only(wrapped.contents, OCTET_STRING)?.contents.to_vec()))
}

fn read_certificates(field: Tlv<'_>) -> Result<Vec<Certificate>, CmsError> {
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
            return Err(CmsError::TooManyCertificates);
        }
    }
    Ok(certificates)
}

fn read_signer(
    signer: Tlv<'_>,
    encoding: Encoding,
    content: Vec<u8>,
    certificates: Vec<Certificate>,
) -> Result<SignedData, CmsError> {
    let mut fields = signer.inside();
    fields.expect(INTEGER)?;
    let signer = read_signer_identifier(match fields.peek() {
        Some(KEY_IDENTIFIER) => fields.any()?,
        _ => fields.expect(SEQUENCE)?,
    })?;
    let digest = fields.expect(SEQUENCE)?.inside().expect(OBJECT_IDENTIFIER)?;
    let digest = Hash::from_oid(digest.contents).ok_or(CmsError::Digest)?;
    let attributes = fields.optional(EXPLICIT_0)?.ok_or(CmsError::NoSignedAttributes)?;
    let algorithm = fields.expect(SEQUENCE)?;
    let signature = fields.expect(OCTET_STRING)?;
    fields.optional(EXPLICIT_1)?;
    fields.end()?;
    let required = |oid, attribute, tag| match single_value(attributes, oid, attribute)? {
        Some(value) if value.tag == tag => Ok(value.contents),
        Some(value) => Err(TlvError::Tag { expected: tag, found: value.tag }.into()),
        None => Err(CmsError::MissingAttribute { attribute }),
    };
    if required(CONTENT_TYPE, "contentType", OBJECT_IDENTIFIER)? != content_type(encoding) {
        return Err(CmsError::ContentTypeMismatch);
    }
    let message_digest = required(MESSAGE_DIGEST, "messageDigest", OCTET_STRING)?.to_vec();
    let mut signed_data = SignedData {
        content,
        certificates,
        signing_time: single_value(attributes, SIGNING_TIME, "signingTime")?.and_then(date),
        encoding,
        quirks: Vec::new(),
        signed_attributes: attributes.whole.to_vec(),
        digest,
        message_digest,
        algorithm: algorithm.contents.to_vec(),
        signature: signature.contents.to_vec(),
        signer,
    };
    if encoding == Encoding::CmsIdData {
        signed_data.quirks.push(Quirk::ContentTypeData);
    }
    if !signed_data.is_usual_order() {
        signed_data.quirks.push(Quirk::CertificateOrder);
    }
    Ok(signed_data)
}

fn read_signer_identifier(identifier: Tlv<'_>) -> Result<SignerIdentifier, CmsError> {
    if identifier.tag == KEY_IDENTIFIER {
        return Ok(SignerIdentifier::KeyIdentifier(identifier.contents.to_vec()));
    }
    let mut pair = identifier.inside();
    Ok(SignerIdentifier::IssuerAndSerial {
        issuer: pair.expect(SEQUENCE)?.whole.to_vec(),
        serial: pair.expect(INTEGER)?.contents.to_vec(),
    })
}

/// The value of the one attribute of this type, if there is one (RFC 5652 §5.3: each at most once).
fn single_value<'a>(
    attributes: Tlv<'a>,
    wanted: &[u8],
    name: &'static str,
) -> Result<Option<Tlv<'a>>, CmsError> {
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
        if !values.is_empty() || found.replace(value).is_some() {
            return Err(CmsError::RepeatedAttribute { attribute: name });
        }
    }
    Ok(found)
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
    tagged(SET, &values.concat())
}
