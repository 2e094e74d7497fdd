//! JWS around JSON: `application/voucher-jws+json`, the general JSON serialization alone.
//!
//! RFC 7515 §7.2.1, draft-ietf-anima-jws-voucher §3.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::certificate::Certificate;
use crate::content::{ContentError, base64, json};
use crate::encoding::Strictness;
use crate::envelope::{CERTIFICATES, CertificateOrder, Seal};
use crate::signature::{RawAlgorithm, SignError, Signer};

/// The most signatures of one artefact.
const SIGNATURES: usize = 4;
const TYPE: &str = "voucher-jws+json";

/// Why octets are no JWS that this library reads.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwsError {
    /// It, or a protected header of it, is no JSON, not the general serialization, or has a member twice.
    #[error("the JWS cannot be read: {0}")]
    Json(ContentError),
    /// A part of it is not base64url without padding.
    #[error("the JWS's {part} is not base64url")]
    Base64 {
        /// The part.
        part: &'static str,
    },
    /// There is no signature, or there are more than this library reads.
    #[error("the JWS has {signatures} signatures, not 1 to {SIGNATURES}")]
    Signatures {
        /// How many there are.
        signatures: usize,
    },
    /// The algorithm is none that this library knows; `none` is one of them.
    #[error("the JWS has the algorithm {algorithm:?}, which is unknown or none")]
    Algorithm {
        /// The algorithm.
        algorithm: String,
    },
    /// It is of another type than a voucher (draft-ietf-anima-jws-voucher §3.2).
    #[error("the JWS has the type {found:?}, not voucher-jws+json")]
    Type {
        /// The type.
        found: String,
    },
    /// It has header parameters that must be understood, and are not (RFC 7515 §4.1.11).
    #[error("the JWS has critical header parameters, and this library knows none")]
    Critical,
    /// A certificate in it cannot be read.
    #[error("the JWS has an x5c that is no list of certificates")]
    Certificate,
    /// There are more certificates than this library reads.
    #[error("the JWS carries more than {CERTIFICATES} certificates")]
    TooManyCertificates,
}

#[derive(Serialize, Deserialize)]
struct Jws {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    protected: String,
    signature: String,
}

/// The protected header; what else stands in it does not matter, unless it is critical.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x5c: Option<Vec<String>>,
    #[serde(default, skip_serializing)]
    crit: Critical,
}

/// Whether there are critical header parameters, whatever they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Critical {
    #[default]
    Absent,
    Present,
}

impl<'de> Deserialize<'de> for Critical {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self::Present)
    }
}

/// Reads the payload and its signatures, each with what it signs.
pub(crate) fn parse(octets: &[u8]) -> Result<(Vec<u8>, Vec<Seal>), JwsError> {
    let jws: Jws = json::parse(octets).map_err(JwsError::Json)?;
    if !(1..=SIGNATURES).contains(&jws.signatures.len()) {
        return Err(JwsError::Signatures { signatures: jws.signatures.len() });
    }
    let content = base64::decode_url(&jws.payload).ok_or(JwsError::Base64 { part: "payload" })?;
    let seals = jws.signatures.iter().map(|signature| seal(&jws.payload, signature));
    Ok((content, seals.collect::<Result<_, _>>()?))
}

fn seal(payload: &str, signature: &Signature) -> Result<Seal, JwsError> {
    let header = base64::decode_url(&signature.protected)
        .ok_or(JwsError::Base64 { part: "protected header" })?;
    let header: Header = json::parse(&header).map_err(JwsError::Json)?;
    if header.crit == Critical::Present {
        return Err(JwsError::Critical);
    }
    if let Some(found) = header.typ.filter(|found| found != TYPE) {
        return Err(JwsError::Type { found });
    }
    let algorithm = RawAlgorithm::from_jose(&header.alg)
        .ok_or(JwsError::Algorithm { algorithm: header.alg })?;
    Ok(Seal {
        algorithm,
        message: [signature.protected.as_bytes(), b".", payload.as_bytes()].concat(),
        signature: base64::decode_url(&signature.signature)
            .ok_or(JwsError::Base64 { part: "signature" })?,
        certificates: certificates(&header.x5c.unwrap_or_default())?,
        order: CertificateOrder::Chain,
    })
}

fn certificates(x5c: &[String]) -> Result<Vec<Certificate>, JwsError> {
    if x5c.len() > CERTIFICATES {
        return Err(JwsError::TooManyCertificates);
    }
    x5c.iter()
        .map(|text| {
            let der = base64::decode(text, Strictness::Standard, &mut Vec::new())?;
            Certificate::from_der(&der).ok()
        })
        .collect::<Option<_>>()
        .ok_or(JwsError::Certificate)
}

/// Signs content; the certificates of `chain` go into x5c.
pub(crate) fn sign(
    content: &[u8],
    signer: &dyn Signer,
    chain: &[Certificate],
) -> Result<Vec<u8>, SignError> {
    let algorithm = signer.algorithm().raw();
    let header = Header {
        alg: algorithm.jose().to_owned(),
        typ: Some(TYPE.to_owned()),
        x5c: Some(chain.iter().map(|each| base64::encode(each.der())).collect()),
        crit: Critical::Absent,
    };
    let protected = base64::encode_url(&serde_json::to_vec(&header).map_err(SignError::Json)?);
    let payload = base64::encode_url(content);
    let message = [protected.as_bytes(), b".", payload.as_bytes()].concat();
    let signature = base64::encode_url(&algorithm.sign(signer, &message)?);
    let jws = Jws { payload, signatures: vec![Signature { protected, signature }] };
    serde_json::to_vec(&jws).map_err(SignError::Json)
}
