//! The three artefacts of BRSKI as values: pledge request, registrar request, voucher (RFC 8995 §3, RFC 8366 §5).
//!
//! They are three types, since what is legal in one is forbidden in another.

use std::fmt;

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::certificate::Certificate;
use crate::cms::{self, ID_ANIMA_JSON_VOUCHER, ID_DATA};
use crate::idevid::SerialNumber;
use crate::json::{self, JsonError};
use crate::signature::{SignError, Signer};

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
        Err(value("nonce", text, "it has not 1 to 128 octets"))
    }

    /// Makes a nonce of random octets.
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

/// A date and time: Unix seconds and the text that it was written as (RFC 3339, any offset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    seconds: i64,
    text: String,
}

impl Timestamp {
    /// Reads RFC 3339.
    fn parse(member: &'static str, text: &str) -> Result<Self, JsonError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|at| Self { seconds: at.unix_timestamp(), text: text.to_owned() })
            .map_err(|_| value(member, text, "it is not a date and time of RFC 3339"))
    }

    /// A point in time, written in UTC.
    ///
    /// # Errors
    /// [`SignError::Encoding`] after the year 9999.
    pub fn at(time: UnixTime) -> Result<Self, SignError> {
        let seconds = i64::try_from(time.as_secs()).map_err(|_| SignError::Encoding)?;
        let text = OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok())
            .ok_or(SignError::Encoding)?;
        Ok(Self { seconds, text })
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn value(member: &'static str, text: &str, reason: &'static str) -> JsonError {
    JsonError::Value { member, value: text.chars().take(60).collect(), reason }
}

/// What an artefact is made of, in one of its encodings.
pub trait Artefact: Sized {
    /// Reads the content that was signed.
    ///
    /// # Errors
    /// [`JsonError`].
    fn from_json(content: &[u8]) -> Result<Self, JsonError>;
}

/// The content type of the CMS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// id-ct-animaJSONVoucher, as RFC 8366 §5.4 asks.
    #[default]
    AnimaJsonVoucher,
    /// id-data, for peers that know nothing else.
    Data,
}

/// All members that are read; each artefact takes those that are legal in it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<Assertion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idevid_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proximity_registrar_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prior_signed_voucher_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_domain_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_cert_revocation_checks: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RequestRoot {
    #[serde(rename = "ietf-voucher-request:voucher")]
    members: Members,
}

#[derive(Debug, Serialize, Deserialize)]
struct VoucherRoot {
    #[serde(rename = "ietf-voucher:voucher")]
    members: Members,
}

fn timestamp(member: &'static str, text: Option<String>) -> Result<Option<Timestamp>, JsonError> {
    text.map(|text| Timestamp::parse(member, &text)).transpose()
}

fn octets(member: &'static str, text: Option<String>) -> Result<Option<Vec<u8>>, JsonError> {
    text.map(|text| json::decode(member, &text)).transpose()
}

fn serial(text: Option<String>) -> Result<SerialNumber, JsonError> {
    let text = text.ok_or_else(|| value("serial-number", "", "it is absent"))?;
    SerialNumber::parse(&text)
        .map_err(|_| value("serial-number", &text, "it is not a serial number"))
}

fn nonce(text: Option<String>) -> Result<Option<Nonce>, JsonError> {
    text.map(|text| Nonce::parse(&text)).transpose()
}

/// A pledge's voucher request (RFC 8995 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PledgeRequest {
    /// What the pledge asserts; it should be proximity.
    pub assertion: Option<Assertion>,
    /// The pledge's serial number, as it says.
    pub serial_number: SerialNumber,
    /// Ties the voucher to this request.
    pub nonce: Option<Nonce>,
    /// When the pledge made it, if it has a clock.
    pub created_on: Option<Timestamp>,
    /// The registrar's certificate that the pledge saw in TLS, DER.
    pub proximity_registrar_cert: Option<Vec<u8>>,
}

impl Artefact for PledgeRequest {
    fn from_json(content: &[u8]) -> Result<Self, JsonError> {
        let RequestRoot { members } = json::parse(content)?;
        Ok(Self {
            assertion: members.assertion,
            serial_number: serial(members.serial_number)?,
            nonce: nonce(members.nonce)?,
            created_on: timestamp("created-on", members.created_on)?,
            proximity_registrar_cert: octets(
                "proximity-registrar-cert",
                members.proximity_registrar_cert,
            )?,
        })
    }
}

/// A registrar's voucher request (RFC 8995 §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarRequest {
    /// Carried forward from the pledge.
    pub assertion: Option<Assertion>,
    /// The serial number that the registrar read from the IDevID.
    pub serial_number: SerialNumber,
    /// The pledge's nonce, verbatim.
    pub nonce: Option<Nonce>,
    /// When the registrar made it.
    pub created_on: Option<Timestamp>,
    /// The authority key identifier of the IDevID: its extnValue, verbatim.
    pub idevid_issuer: Option<Vec<u8>>,
    /// The pledge's request as received.
    pub prior_signed_voucher_request: Option<Vec<u8>>,
}

impl Artefact for RegistrarRequest {
    fn from_json(content: &[u8]) -> Result<Self, JsonError> {
        let RequestRoot { members } = json::parse(content)?;
        Ok(Self {
            assertion: members.assertion,
            serial_number: serial(members.serial_number)?,
            nonce: nonce(members.nonce)?,
            created_on: timestamp("created-on", members.created_on)?,
            idevid_issuer: octets("idevid-issuer", members.idevid_issuer)?,
            prior_signed_voucher_request: octets(
                "prior-signed-voucher-request",
                members.prior_signed_voucher_request,
            )?,
        })
    }
}

/// A MASA's voucher (RFC 8366 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// What the MASA asserts.
    pub assertion: Option<Assertion>,
    /// The pledge that it is for.
    pub serial_number: SerialNumber,
    /// The request that it answers; absent in a nonceless voucher.
    pub nonce: Option<Nonce>,
    /// When the MASA made it.
    pub created_on: Option<Timestamp>,
    /// When a nonceless voucher ends.
    pub expires_on: Option<Timestamp>,
    /// The issuer of the IDevID that it is for.
    pub idevid_issuer: Option<Vec<u8>>,
    /// The certificate that the pledge shall trust the domain by, DER.
    pub pinned_domain_cert: Option<Vec<u8>>,
    /// Whether the pledge must check revocation in the domain.
    pub domain_cert_revocation_checks: Option<bool>,
}

impl Artefact for Voucher {
    fn from_json(content: &[u8]) -> Result<Self, JsonError> {
        let VoucherRoot { members } = json::parse(content)?;
        Ok(Self {
            assertion: members.assertion,
            serial_number: serial(members.serial_number)?,
            nonce: nonce(members.nonce)?,
            created_on: timestamp("created-on", members.created_on)?,
            expires_on: timestamp("expires-on", members.expires_on)?,
            idevid_issuer: octets("idevid-issuer", members.idevid_issuer)?,
            pinned_domain_cert: octets("pinned-domain-cert", members.pinned_domain_cert)?,
            domain_cert_revocation_checks: members.domain_cert_revocation_checks,
        })
    }
}

fn text(timestamp: Option<&Timestamp>) -> Option<String> {
    timestamp.map(|timestamp| timestamp.text.clone())
}

fn base64(octets: Option<&Vec<u8>>) -> Option<String> {
    octets.map(|octets| json::encode(octets))
}

fn sign<T: Serialize>(
    root: &T,
    content_type: ContentType,
    signer: &dyn Signer,
    chain: &[Certificate],
    at: UnixTime,
) -> Result<Vec<u8>, SignError> {
    let content = serde_json::to_vec(root).map_err(|_| SignError::Encoding)?;
    let content_type = match content_type {
        ContentType::AnimaJsonVoucher => ID_ANIMA_JSON_VOUCHER,
        ContentType::Data => ID_DATA,
    };
    cms::write::sign(&content, content_type, signer, chain, at)
}

impl PledgeRequest {
    /// Signs it with the key of the IDevID. `chain`: the IDevID first.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        content_type: ContentType,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let members = Members {
            assertion: self.assertion,
            serial_number: Some(self.serial_number.to_string()),
            nonce: self.nonce.as_ref().map(Nonce::to_string),
            created_on: text(self.created_on.as_ref()),
            proximity_registrar_cert: base64(self.proximity_registrar_cert.as_ref()),
            ..Members::default()
        };
        sign(&RequestRoot { members }, content_type, signer, chain, at)
    }
}

impl RegistrarRequest {
    /// Signs it with the registrar's key. `chain`: the registrar's certificate first, up to what it wants pinned.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        content_type: ContentType,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let members = Members {
            assertion: self.assertion,
            serial_number: Some(self.serial_number.to_string()),
            nonce: self.nonce.as_ref().map(Nonce::to_string),
            created_on: text(self.created_on.as_ref()),
            idevid_issuer: base64(self.idevid_issuer.as_ref()),
            prior_signed_voucher_request: base64(self.prior_signed_voucher_request.as_ref()),
            ..Members::default()
        };
        sign(&RequestRoot { members }, content_type, signer, chain, at)
    }
}

impl Voucher {
    /// Signs it with a MASA's key. `chain`: the voucher signer's certificate first.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        content_type: ContentType,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let members = Members {
            assertion: self.assertion,
            serial_number: Some(self.serial_number.to_string()),
            nonce: self.nonce.as_ref().map(Nonce::to_string),
            created_on: text(self.created_on.as_ref()),
            expires_on: text(self.expires_on.as_ref()),
            idevid_issuer: base64(self.idevid_issuer.as_ref()),
            pinned_domain_cert: base64(self.pinned_domain_cert.as_ref()),
            domain_cert_revocation_checks: self.domain_cert_revocation_checks,
            ..Members::default()
        };
        sign(&VoucherRoot { members }, content_type, signer, chain, at)
    }
}
