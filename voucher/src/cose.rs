//! COSE_Sign1 around CBOR: `application/voucher+cose`.
//!
//! RFC 9052 §4.2, RFC 9360 (x5bag, x5chain), draft-ietf-anima-constrained-voucher §6, §8.

use ciborium::Value as Item;
use coset::iana::EnumI64 as _;
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, Header, HeaderBuilder, Label,
    RegisteredLabelWithPrivate, TaggedCborSerializable as _, iana,
};
use thiserror::Error;

use crate::certificate::Certificate;
use crate::content::cbor;
use crate::encoding::{Quirk, Strictness};
use crate::envelope::{CERTIFICATES, CertificateOrder, Seal};
use crate::signature::{RawAlgorithm, SignError, Signer};

/// Unordered certificates (RFC 9360 §2).
const X5BAG: i64 = 32;
/// The signer's certificate, and its issuers in order (RFC 9360 §2).
const X5CHAIN: i64 = 33;
/// The first octet of what has tag 18.
const TAG_SIGN1: u8 = 0xd2;

/// Why octets are no COSE_Sign1 that this library reads.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CoseError {
    /// It is no CBOR of a bounded size.
    #[error("the COSE cannot be read: {0}")]
    Cbor(&'static str),
    /// It is CBOR, but no COSE_Sign1.
    #[error("the CBOR is no COSE_Sign1")]
    NotSign1,
    /// A key stands twice in a header, in both headers, or in a map inside of one (RFC 9052 §3).
    #[error("the COSE_Sign1 has a header parameter twice")]
    RepeatedParameter,
    /// Something follows its end.
    #[error("octets follow the end of the COSE_Sign1")]
    TrailingOctets,
    /// It lacks the tag 18.
    #[error("the COSE_Sign1 has no tag 18")]
    Untagged,
    /// The content is elsewhere.
    #[error("the COSE_Sign1 has no payload inside")]
    Detached,
    /// The algorithm is not in the protected header, or none that this library knows.
    #[error("the COSE_Sign1 has an algorithm that is absent or unknown")]
    Algorithm,
    /// It has header parameters that must be understood, and are not (RFC 9052 §3.1).
    #[error("the COSE_Sign1 has critical header parameters, and this library knows none")]
    Critical,
    /// A certificate in it cannot be read.
    #[error("the COSE_Sign1 has an x5bag or x5chain that is no list of certificates")]
    Certificate,
    /// There are more certificates than this library reads.
    #[error("the COSE_Sign1 carries more than {CERTIFICATES} certificates")]
    TooManyCertificates,
}

/// Reads the payload and its signature with what it signs.
pub(crate) fn parse(
    octets: &[u8],
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<(Vec<u8>, Seal), CoseError> {
    let mut message = read(octets, strictness, forgiven)?;
    let header = &message.protected.header;
    if has_repeated_parameter(header, &message.unprotected) {
        return Err(CoseError::RepeatedParameter);
    }
    if !header.crit.is_empty() || !message.unprotected.crit.is_empty() {
        return Err(CoseError::Critical);
    }
    let Some(RegisteredLabelWithPrivate::Assigned(algorithm)) = &header.alg else {
        return Err(CoseError::Algorithm);
    };
    let algorithm = RawAlgorithm::from_cose(algorithm.to_i64()).ok_or(CoseError::Algorithm)?;
    let (certificates, order) = certificates(&message)?;
    let seal = Seal {
        algorithm,
        message: if message.payload.is_some() { message.tbs_data(b"") } else { Vec::new() },
        signature: std::mem::take(&mut message.signature),
        certificates,
        order,
    };
    Ok((message.payload.take().ok_or(CoseError::Detached)?, seal))
}

fn read(
    octets: &[u8],
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<CoseSign1, CoseError> {
    cbor::scan(octets).map_err(CoseError::Cbor)?;
    let refusal = |error| match error {
        coset::CoseError::DuplicateMapKey => CoseError::RepeatedParameter,
        coset::CoseError::ExtraneousData => CoseError::TrailingOctets,
        _ => CoseError::NotSign1,
    };
    if octets.first() == Some(&TAG_SIGN1) {
        return CoseSign1::from_tagged_slice(octets).map_err(refusal);
    }
    let message = CoseSign1::from_slice(octets).map_err(refusal)?;
    match strictness {
        Strictness::Standard => Err(CoseError::Untagged),
        Strictness::Lenient => {
            forgiven.push(Quirk::Untagged);
            Ok(message)
        }
    }
}

/// Whether a parameter stands in both headers, or a key twice in the value of one (RFC 9052 §3).
fn has_repeated_parameter(protected: &Header, unprotected: &Header) -> bool {
    let is_in_both =
        |label: &Label| unprotected.rest.iter().any(|(unprotected, _)| unprotected == label);
    let mut parameters = protected.rest.iter().chain(&unprotected.rest);
    (protected.alg.is_some() && unprotected.alg.is_some())
        || (protected.content_type.is_some() && unprotected.content_type.is_some())
        || (!protected.key_id.is_empty() && !unprotected.key_id.is_empty())
        || protected.rest.iter().any(|(label, _)| is_in_both(label))
        || parameters.any(|(_, value)| cbor::repeated_key(value).is_some())
}

/// The certificates of both headers; an x5chain says which one is the signer's.
fn certificates(message: &CoseSign1) -> Result<(Vec<Certificate>, CertificateOrder), CoseError> {
    let parameters = message.protected.header.rest.iter().chain(&message.unprotected.rest);
    let (mut chain, mut bag) = (Vec::new(), Vec::new());
    for (label, value) in parameters {
        let list = match label {
            Label::Int(X5CHAIN) => &mut chain,
            Label::Int(X5BAG) => &mut bag,
            _ => continue,
        };
        // RFC 9360 §2: one certificate stands alone, several in an array.
        let items = match value {
            Item::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        if items.len() > CERTIFICATES {
            return Err(CoseError::TooManyCertificates);
        }
        for item in items {
            let der = item.as_bytes().ok_or(CoseError::Certificate)?;
            list.push(Certificate::from_der(der).map_err(|_| CoseError::Certificate)?);
        }
    }
    let order = if chain.is_empty() { CertificateOrder::Bag } else { CertificateOrder::Chain };
    chain.append(&mut bag);
    if chain.len() > CERTIFICATES {
        return Err(CoseError::TooManyCertificates);
    }
    Ok((chain, order))
}

/// Signs content; the certificates of `chain` go into an x5bag.
pub(crate) fn sign(
    content: &[u8],
    signer: &dyn Signer,
    chain: &[Certificate],
) -> Result<Vec<u8>, SignError> {
    let algorithm = signer.algorithm().raw();
    let number = algorithm.cose().ok_or(SignError::NoCoseAlgorithm)?;
    let label = iana::Algorithm::from_i64(number).ok_or(SignError::NoCoseAlgorithm)?;
    let certificates: Vec<Item> =
        chain.iter().map(|each| Item::Bytes(each.der().to_vec())).collect();
    let certificates = match <[Item; 1]>::try_from(certificates) {
        Ok([single]) => single,
        Err(several) => Item::Array(several),
    };
    CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(label).build())
        .unprotected(HeaderBuilder::new().value(X5BAG, certificates).build())
        .payload(content.to_vec())
        .try_create_signature(b"", |message| algorithm.sign(signer, message))?
        .build()
        .to_tagged_vec()
        .map_err(|_| SignError::Cbor)
}

/// The message without the certificates in its unprotected header, which its signature does not cover.
///
/// None if `octets` are no COSE_Sign1.
pub(crate) fn without_certificates(octets: &[u8]) -> Option<Vec<u8>> {
    let mut message = read(octets, Strictness::Lenient, &mut Vec::new()).ok()?;
    let is_other = |label: &Label| !matches!(label, Label::Int(X5BAG | X5CHAIN));
    message.unprotected.rest.retain(|(label, _)| is_other(label));
    message.to_tagged_vec().ok()
}
