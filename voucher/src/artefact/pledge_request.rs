//! The pledge's voucher request (RFC 8995 §5.2).

use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    Artefact, Assertion, ContentType, Nonce, RequestRoot, Timestamp, read_nonce, read_octets,
    read_serial_number, read_timestamp, write_time,
};
use crate::certificate::Certificate;
use crate::idevid::SerialNumber;
use crate::json::{self, JsonError, Object};
use crate::signature::{SignError, Signer};

/// The members that are legal in it; others must be ignored (RFC 8995 §3.4).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<Assertion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proximity_registrar_cert: Option<String>,
}

/// A pledge's voucher request, as read (RFC 8995 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PledgeRequest {
    assertion: Option<Assertion>,
    serial_number: SerialNumber,
    nonce: Option<Nonce>,
    created_on: Option<Timestamp>,
    proximity_registrar_cert: Option<Vec<u8>>,
}

impl PledgeRequest {
    /// What the pledge asserts; it should be proximity.
    #[must_use]
    pub fn assertion(&self) -> Option<Assertion> {
        self.assertion
    }

    /// The pledge's serial number, as it says.
    #[must_use]
    pub fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// What ties the voucher to this request.
    #[must_use]
    pub fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }

    /// When the pledge made it, if it has a clock.
    #[must_use]
    pub fn created_on(&self) -> Option<&Timestamp> {
        self.created_on.as_ref()
    }

    /// The registrar's certificate that the pledge saw in TLS, DER.
    #[must_use]
    pub fn proximity_registrar_cert(&self) -> Option<&[u8]> {
        self.proximity_registrar_cert.as_deref()
    }
}

impl Artefact for PledgeRequest {
    fn from_json(content: &[u8]) -> Result<Self, JsonError> {
        let RequestRoot { members: Object(members) } =
            json::parse::<RequestRoot<Members>>(content)?;
        Ok(Self {
            assertion: members.assertion,
            serial_number: read_serial_number(members.serial_number)?,
            nonce: read_nonce(members.nonce)?,
            created_on: read_timestamp("created-on", members.created_on)?,
            proximity_registrar_cert: read_octets(
                "proximity-registrar-cert",
                members.proximity_registrar_cert,
            )?,
        })
    }
}

/// A pledge's voucher request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PledgeRequestFields {
    /// What the pledge asserts: proximity.
    pub assertion: Assertion,
    /// The pledge's serial number.
    pub serial_number: SerialNumber,
    /// Fresh for every attempt.
    pub nonce: Nonce,
    /// Now, if the pledge has a clock.
    pub created_on: Option<UnixTime>,
    /// The registrar's certificate that the pledge saw in TLS.
    pub proximity_registrar_cert: CertificateDer<'static>,
}

impl PledgeRequestFields {
    /// Signs it with the key of the IDevID. `chain`: the IDevID first. `at`: the signing time.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        self.sign_as(ContentType::default(), signer, chain, at)
    }

    /// Signs it as [`sign`](Self::sign) does, with this content type of the CMS.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_as(
        &self,
        content_type: ContentType,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let members = Object(Members {
            assertion: Some(self.assertion),
            created_on: self.created_on.map(write_time).transpose()?,
            serial_number: Some(self.serial_number.to_string()),
            nonce: Some(self.nonce.to_string()),
            proximity_registrar_cert: Some(json::encode(&self.proximity_registrar_cert)),
        });
        super::sign(&RequestRoot { members }, content_type, signer, chain, at)
    }
}
