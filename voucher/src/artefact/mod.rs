//! The three artefacts of BRSKI as values: pledge request, registrar request, voucher (RFC 8995 §3, RFC 8366 §5).
//!
//! They are three types, since what is legal in one is forbidden in another.
//! What was read has accessors; what is to be sent is filled in as `…Fields` and signed, in any [`Encoding`].

mod pledge_request;
mod registrar_request;
mod voucher;

use std::fmt;

use rustls_pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::certificate::Certificate;
use crate::content::{ContentError, Leaf, Leaves, Module, Value, base64, cbor, json};
use crate::encoding::{Encoding, Quirk, Strictness};
use crate::envelope;
use crate::idevid::SerialNumber;
use crate::signature::{SignError, Signer};

pub use pledge_request::{PledgeRequest, PledgeRequestFields, Proximity};
pub use registrar_request::{RegistrarRequest, RegistrarRequestFields};
pub use voucher::{Binding, Directions, Voucher, VoucherFields};

/// The longest nonce that is read, in octets.
const NONCE_OCTETS: usize = 128;

/// A nonce: an opaque string in JSON, echoed as it came; octets in CBOR.
///
/// What the string should be (8 to 32 octets in base64) it often is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(String);

impl Nonce {
    /// Takes a nonce as it is written: 1 to 128 octets.
    ///
    /// # Errors
    /// [`ContentError::Value`].
    pub fn parse(text: &str) -> Result<Self, ContentError> {
        if (1..=NONCE_OCTETS).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(ContentError::value("nonce", text, "it has not 1 to 128 octets"))
    }

    /// Makes a nonce of random octets, in base64.
    #[must_use]
    pub fn from_random(octets: [u8; 16]) -> Self {
        Self(base64::encode(&octets))
    }

    /// The nonce of CBOR, whose text is its base64.
    pub(crate) fn from_octets(octets: Vec<u8>) -> Result<Self, ContentError> {
        Self::parse(&base64::encode(&octets))
    }

    /// The nonce for CBOR: what its base64 says, else its text.
    pub(crate) fn to_octets(&self) -> Vec<u8> {
        base64::decode(&self.0, Strictness::Standard, &mut Vec::new())
            .unwrap_or_else(|| self.0.clone().into_bytes())
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl Assertion {
    /// All of them, in the order of their numbers (draft-ietf-anima-rfc8366bis §7.3).
    pub const ALL: [Self; 4] =
        [Self::Verified, Self::Logged, Self::Proximity, Self::AgentProximity];

    /// Its word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Logged => "logged",
            Self::Proximity => "proximity",
            Self::AgentProximity => "agent-proximity",
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self, ContentError> {
        Self::ALL
            .into_iter()
            .find(|each| each.as_str() == word)
            .ok_or_else(|| ContentError::value("assertion", word, "it is unknown"))
    }

    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Verified => 0,
            Self::Logged => 1,
            Self::Proximity => 2,
            Self::AgentProximity => 3,
        }
    }

    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.number() == number)
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A date and time: Unix seconds, and the text that it was written as (RFC 3339, any offset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    seconds: i64,
    text: String,
}

impl Timestamp {
    pub(crate) fn parse(member: &'static str, text: &str) -> Result<Self, ContentError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|at| Self { seconds: at.unix_timestamp(), text: text.to_owned() })
            .map_err(|_| ContentError::value(member, text, "it is not a date and time of RFC 3339"))
    }

    /// A point in time as this library writes it: in UTC, to the second.
    fn at(time: UnixTime) -> Result<Self, SignError> {
        let beyond = SignError::Time { seconds: time.as_secs() };
        let Ok(seconds) = i64::try_from(time.as_secs()) else {
            return Err(beyond);
        };
        OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .map(|text| Self { seconds, text })
            .ok_or(beyond)
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
    /// Reads the JSON or CBOR that was signed; `forgiven` gets what was wrong with it.
    ///
    /// # Errors
    /// [`ContentError`].
    fn read(
        content: &[u8],
        encoding: Encoding,
        strictness: Strictness,
        forgiven: &mut Vec<Quirk>,
    ) -> Result<Self, ContentError> {
        let module = <Self as sealed::Sealed>::MODULE;
        let leaves = match encoding {
            Encoding::Cose => cbor::read(content, module, Self::LEAVES, strictness, forgiven),
            _ => json::read(content, module, Self::LEAVES, strictness, forgiven),
        }?;
        <Self as sealed::Sealed>::from_leaves(leaves)
    }
}

impl<T: sealed::Sealed> Artefact for T {}

mod sealed {
    use crate::content::{ContentError, Leaf, Leaves, Module};

    /// Keeps [`Artefact`](super::Artefact) to the types of this module.
    pub trait Sealed: Sized {
        /// The YANG module that it belongs to.
        #[allow(private_interfaces, reason = "nobody outside can name this trait")]
        const MODULE: Module;

        /// The leaves that are legal in it; any other must be ignored (RFC 8995 §3.4, §5.6.1).
        #[allow(private_interfaces, reason = "nobody outside can name this trait")]
        const LEAVES: &[Leaf];

        /// Takes its leaves.
        #[allow(private_interfaces, reason = "nobody outside can name this trait")]
        fn from_leaves(leaves: Leaves) -> Result<Self, ContentError>;
    }
}

/// The serial number, which each artefact must have (RFC 8366 §5.3).
fn serial_number(leaves: &mut Leaves) -> Result<SerialNumber, ContentError> {
    let member = Leaf::SerialNumber.name();
    let text = leaves.text(Leaf::SerialNumber).ok_or(ContentError::Absent { member })?;
    SerialNumber::parse(&text).map_err(|_| {
        ContentError::value(member, &text, "it has not 1 to 255 octets, or has control characters")
    })
}

fn date(time: UnixTime) -> Result<Value, SignError> {
    Timestamp::at(time).map(Value::Date)
}

/// Writes and signs an artefact.
fn sign(
    leaves: &Leaves,
    module: Module,
    encoding: Encoding,
    signer: &dyn Signer,
    chain: &[Certificate],
    at: UnixTime,
) -> Result<Vec<u8>, SignError> {
    let content = match encoding {
        Encoding::Cose => cbor::write(leaves, module),
        _ => json::write(leaves, module).map_err(SignError::Json)?,
    };
    envelope::sign(&content, encoding, signer, chain, at)
}
