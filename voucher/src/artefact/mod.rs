//! The three artefacts of BRSKI as values: pledge request, registrar request, voucher (RFC 8995 §3, RFC 8366 §5).
//!
//! They are three types, since what is legal in one is forbidden in another.
//! What was read has accessors; what is to be sent is filled in as `…Fields` and signed.

mod pledge_request;
mod registrar_request;
mod voucher;

use std::fmt;

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::certificate::Certificate;
use crate::cms;
use crate::idevid::SerialNumber;
use crate::json::{self, JsonError};
use crate::signature::{SignError, Signer};

pub use crate::cms::ContentType;
pub use pledge_request::{PledgeRequest, PledgeRequestFields};
pub use registrar_request::{RegistrarRequest, RegistrarRequestFields};
pub use voucher::{Binding, Voucher, VoucherFields};

/// The longest nonce that is read, in octets.
const NONCE_OCTETS: usize = 128;

/// A nonce: an opaque string, echoed as it came. What it should be (8 to 32 octets in base64) it often is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(String);

impl Nonce {
    /// Takes a nonce as it is written: 1 to 128 octets.
    ///
    /// # Errors
    /// [`JsonError::Value`].
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        if (1..=NONCE_OCTETS).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(JsonError::value("nonce", text, "it has not 1 to 128 octets"))
    }

    /// Makes a nonce of random octets, in base64.
    #[must_use]
    pub fn from_random(octets: [u8; 16]) -> Self {
        Self(json::encode(&octets))
    }

    /// The nonce as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the MASA or the pledge asserts about the domain (RFC 8366 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Assertion {
    /// The ownership was verified.
    Verified,
    /// The issuance was logged.
    Logged,
    /// The pledge was near the registrar.
    Proximity,
    /// The pledge was near the registrar's agent.
    AgentProximity,
}

impl fmt::Display for Assertion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Verified => "verified",
            Self::Logged => "logged",
            Self::Proximity => "proximity",
            Self::AgentProximity => "agent-proximity",
        })
    }
}

/// A date and time: Unix seconds, and the text that it was written as (RFC 3339, any offset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    seconds: i64,
    text: String,
}

impl Timestamp {
    fn parse(member: &'static str, text: &str) -> Result<Self, JsonError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|at| Self { seconds: at.unix_timestamp(), text: text.to_owned() })
            .map_err(|_| JsonError::value(member, text, "it is not a date and time of RFC 3339"))
    }

    /// Seconds since the Unix epoch, UTC; fractions are cut.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// An artefact that can be read from the content that was signed; implemented by the three of this module.
pub trait Artefact: Sized + sealed::Sealed {
    /// Reads the JSON that was signed.
    ///
    /// # Errors
    /// [`JsonError`].
    fn from_json(content: &[u8]) -> Result<Self, JsonError>;
}

mod sealed {
    /// Keeps [`Artefact`](super::Artefact) to the types of this module.
    pub trait Sealed {}
    impl Sealed for super::PledgeRequest {}
    impl Sealed for super::RegistrarRequest {}
    impl Sealed for super::Voucher {}
}

/// A voucher request's JSON: one member around the others (RFC 8995 §3.4).
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct RequestRoot<T> {
    #[serde(rename = "ietf-voucher-request:voucher")]
    members: json::Object<T>,
}

/// A voucher's JSON: one member around the others (RFC 8366 §5.3).
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct VoucherRoot<T> {
    #[serde(rename = "ietf-voucher:voucher")]
    members: json::Object<T>,
}

fn read_timestamp(
    member: &'static str,
    text: Option<String>,
) -> Result<Option<Timestamp>, JsonError> {
    text.map(|text| Timestamp::parse(member, &text)).transpose()
}

fn read_octets(member: &'static str, text: Option<String>) -> Result<Option<Vec<u8>>, JsonError> {
    text.map(|text| json::decode(member, &text)).transpose()
}

fn read_nonce(text: Option<String>) -> Result<Option<Nonce>, JsonError> {
    text.map(|text| Nonce::parse(&text)).transpose()
}

fn read_serial_number(text: Option<String>) -> Result<SerialNumber, JsonError> {
    const MEMBER: &str = "serial-number";
    let text = text.ok_or(JsonError::Absent { member: MEMBER })?;
    SerialNumber::parse(&text).map_err(|_| {
        JsonError::value(MEMBER, &text, "it has not 1 to 255 octets, or has control characters")
    })
}

/// A point in time as this library writes it: RFC 3339 in UTC, to the second.
fn write_time(time: UnixTime) -> Result<String, SignError> {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|at| at.format(&Rfc3339).ok())
        .ok_or(SignError::Time { seconds: time.as_secs() })
}

fn sign<T: Serialize>(
    root: &T,
    content_type: ContentType,
    signer: &dyn Signer,
    chain: &[Certificate],
    at: UnixTime,
) -> Result<Vec<u8>, SignError> {
    let content = serde_json::to_vec(root).map_err(SignError::Json)?;
    cms::write::sign(&content, content_type, signer, chain, at)
}
