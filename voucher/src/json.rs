//! The JSON of voucher requests and vouchers, as YANG writes it (RFC 8366 §5.3, RFC 7951).
//!
//! Unknown members are ignored; a known member twice is refused, since two readers might pick two values.
//! What each artefact's members are stands with the artefact.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// How much of a value an error repeats, in characters.
const VALUE_CHARACTERS: usize = 60;

/// Why content is no JSON of this artefact.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is no JSON, lacks a member, or has one twice.
    #[error("the JSON cannot be read: {0}")]
    Syntax(serde_json::Error),
    /// A member that must be there is not.
    #[error("member {member} is absent")]
    Absent {
        /// The member.
        member: &'static str,
    },
    /// A member is not base64.
    #[error("member {member} is not base64")]
    Base64 {
        /// The member.
        member: &'static str,
    },
    /// A member is not what its type allows.
    #[error("member {member} is {value:?}: {reason}")]
    Value {
        /// The member.
        member: &'static str,
        /// Its value, cut to 60 characters.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl JsonError {
    pub(crate) fn value(member: &'static str, value: &str, reason: &'static str) -> Self {
        Self::Value { member, value: value.chars().take(VALUE_CHARACTERS).collect(), reason }
    }
}

/// An object: what is derived for a structure would take an array of its members too.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

pub(crate) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, JsonError> {
    let Object(value) = serde_json::from_slice(content).map_err(JsonError::Syntax)?;
    Ok(value)
}

/// Decodes base64 as it is found in the field: either alphabet, padded or not, folded or not.
pub(crate) fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, JsonError> {
    let text: String = text.chars().filter(|each| !each.is_ascii_whitespace()).collect();
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).map_err(|_| JsonError::Base64 { member })
}

/// Writes base64 as RFC 7951 §6.6 asks: the standard alphabet, padded, in one line.
pub(crate) fn encode(octets: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::{JsonError, decode, encode};

    #[test]
    fn reads_every_spelling_of_base64_found_in_the_field() {
        let octets = [0xfb, 0xff, 0xbe, 0x01];
        for text in ["+/++AQ==", "+/++AQ", "-_--AQ", "-_--AQ==", "+/+\n+A\r\n Q="] {
            assert_eq!(decode("nonce", text).unwrap(), octets, "{text:?}");
        }
        assert_eq!(encode(&octets), "+/++AQ==");
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in ["+_++AQ==", "A", "A*==", "äAAA"] {
            let error = decode("nonce", text).unwrap_err();
            assert!(matches!(error, JsonError::Base64 { member: "nonce" }), "{text:?}");
        }
    }
}
