//! The registrar's voucher request (RFC 8995 §5.5).

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::{
    Artefact, Assertion, ContentType, Nonce, RequestRoot, Timestamp, read_nonce, read_octets,
    read_serial_number, read_timestamp, write_time,
};
use crate::certificate::Certificate;
use crate::idevid::SerialNumber;
use crate::json::{self, JsonError, Object};
use crate::signature::{SignError, Signer};

/// The members that are legal in it; a proximity-registrar-cert is not.
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
    idevid_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prior_signed_voucher_request: Option<String>,
}

/// A registrar's voucher request, as read (RFC 8995 §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarRequest {
    assertion: Option<Assertion>,
    serial_number: SerialNumber,
    nonce: Option<Nonce>,
    created_on: Option<Timestamp>,
    idevid_issuer: Option<Vec<u8>>,
    prior_signed_voucher_request: Option<Vec<u8>>,
}

impl RegistrarRequest {
    /// What the pledge asserted, carried forward.
    #[must_use]
    pub fn assertion(&self) -> Option<Assertion> {
        self.assertion
    }

    /// The serial number that the registrar read from the IDevID.
    #[must_use]
    pub fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// The pledge's nonce, verbatim.
    #[must_use]
    pub fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }

    /// When the registrar made it.
    #[must_use]
    pub fn created_on(&self) -> Option<&Timestamp> {
        self.created_on.as_ref()
    }

    /// The authority key identifier of the IDevID, in one of the forms of [`is_issuer`](crate::idevid::is_issuer).
    #[must_use]
    pub fn idevid_issuer(&self) -> Option<&[u8]> {
        self.idevid_issuer.as_deref()
    }

    /// The pledge's request, as the registrar received it.
    #[must_use]
    pub fn prior_signed_voucher_request(&self) -> Option<&[u8]> {
        self.prior_signed_voucher_request.as_deref()
    }
}

impl Artefact for RegistrarRequest {
    fn from_json(content: &[u8]) -> Result<Self, JsonError> {
        let RequestRoot { members: Object(members) } =
            json::parse::<RequestRoot<Members>>(content)?;
        Ok(Self {
            assertion: members.assertion,
            serial_number: read_serial_number(members.serial_number)?,
            nonce: read_nonce(members.nonce)?,
            created_on: read_timestamp("created-on", members.created_on)?,
            idevid_issuer: read_octets("idevid-issuer", members.idevid_issuer)?,
            prior_signed_voucher_request: read_octets(
                "prior-signed-voucher-request",
                members.prior_signed_voucher_request,
            )?,
        })
    }
}

/// A registrar's voucher request to be sent; [`registrar_request_fields`](crate::registrar::registrar_request_fields)
/// makes it from a pledge's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarRequestFields {
    /// What the pledge asserted.
    pub assertion: Option<Assertion>,
    /// The serial number, read from the IDevID.
    pub serial_number: SerialNumber,
    /// The pledge's nonce.
    pub nonce: Option<Nonce>,
    /// Now.
    pub created_on: UnixTime,
    /// The [`issuer`](crate::idevid::issuer) of the IDevID.
    pub idevid_issuer: Vec<u8>,
    /// The pledge's request as received.
    pub prior_signed_voucher_request: Option<Vec<u8>>,
}

impl RegistrarRequestFields {
    /// Signs it with the registrar's key.
    ///
    /// `chain`: the registrar's certificate first, up to what it wants pinned. `at`: the signing time.
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
            assertion: self.assertion,
            created_on: Some(write_time(self.created_on)?),
            serial_number: Some(self.serial_number.to_string()),
            idevid_issuer: Some(json::encode(&self.idevid_issuer)),
            nonce: self.nonce.as_ref().map(Nonce::to_string),
            prior_signed_voucher_request: self
                .prior_signed_voucher_request
                .as_deref()
                .map(json::encode),
        });
        super::sign(&RequestRoot { members }, content_type, signer, chain, at)
    }
}
