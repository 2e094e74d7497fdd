//! The JSON of voucher requests and vouchers, as YANG writes it (RFC 8366 §5.3, RFC 7951).
//!
//! Unknown members are ignored; a known member twice is refused, since two readers might pick two values.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::DeserializeOwned;
use thiserror::Error;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Why content is no JSON of this artefact.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is no JSON, lacks a member, or has one twice.
    #[error("the JSON cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A member is not base64.
    #[error("member {0} is not base64")]
    Base64(&'static str),
    /// A member is not what its type allows.
    #[error("member {member} is {value:?}: {reason}")]
    Value {
        /// The member.
        member: &'static str,
        /// Its value, cut.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

pub(crate) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, JsonError> {
    Ok(serde_json::from_slice(content)?)
}

/// Decodes base64 as it is found in the field: either alphabet, padded or not, folded or not.
pub(crate) fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, JsonError> {
    let text: String = text.chars().filter(|each| !each.is_ascii_whitespace()).collect();
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).map_err(|_| JsonError::Base64(member))
}

pub(crate) fn encode(octets: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(octets)
}
