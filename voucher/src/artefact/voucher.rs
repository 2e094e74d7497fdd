//! The MASA's voucher (RFC 8366 §5, RFC 8995 §5.6).

use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    Artefact, Assertion, ContentType, Nonce, Timestamp, VoucherRoot, read_nonce, read_octets,
    read_serial_number, read_timestamp, write_time,
};
use crate::certificate::Certificate;
use crate::idevid::SerialNumber;
use crate::json::{self, JsonError, Object};
use crate::signature::{SignError, Signer};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Members {
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<Assertion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idevid_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_domain_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_cert_revocation_checks: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal_date: Option<String>,
}

/// A MASA's voucher, as read (RFC 8366 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    assertion: Option<Assertion>,
    serial_number: SerialNumber,
    nonce: Option<Nonce>,
    created_on: Option<Timestamp>,
    expires_on: Option<Timestamp>,
    idevid_issuer: Option<Vec<u8>>,
    pinned_domain_cert: Option<Vec<u8>>,
    domain_cert_revocation_checks: Option<bool>,
    last_renewal_date: Option<Timestamp>,
}

impl Voucher {
    /// What the MASA asserts.
    #[must_use]
    pub fn assertion(&self) -> Option<Assertion> {
        self.assertion
    }

    /// The pledge that it is for.
    #[must_use]
    pub fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// The request that it answers; absent in a nonceless voucher.
    #[must_use]
    pub fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }

    /// When the MASA made it; mandatory in RFC 8366, absent in examples of RFC 8995.
    #[must_use]
    pub fn created_on(&self) -> Option<&Timestamp> {
        self.created_on.as_ref()
    }

    /// When a nonceless voucher ends.
    #[must_use]
    pub fn expires_on(&self) -> Option<&Timestamp> {
        self.expires_on.as_ref()
    }

    /// The issuer of the IDevID that it is for, in one of the forms of [`is_issuer`](crate::idevid::is_issuer).
    #[must_use]
    pub fn idevid_issuer(&self) -> Option<&[u8]> {
        self.idevid_issuer.as_deref()
    }

    /// The certificate that the pledge shall trust the domain by, DER.
    #[must_use]
    pub fn pinned_domain_cert(&self) -> Option<&[u8]> {
        self.pinned_domain_cert.as_deref()
    }

    /// Whether the pledge must check revocation in the domain.
    #[must_use]
    pub fn domain_cert_revocation_checks(&self) -> Option<bool> {
        self.domain_cert_revocation_checks
    }

    /// Until when the MASA means to renew it.
    #[must_use]
    pub fn last_renewal_date(&self) -> Option<&Timestamp> {
        self.last_renewal_date.as_ref()
    }
}

impl Artefact for Voucher {
    fn from_json(content: &[u8]) -> Result<Self, JsonError> {
        let VoucherRoot { members: Object(members) } =
            json::parse::<VoucherRoot<Members>>(content)?;
        Ok(Self {
            assertion: members.assertion,
            serial_number: read_serial_number(members.serial_number)?,
            nonce: read_nonce(members.nonce)?,
            created_on: read_timestamp("created-on", members.created_on)?,
            expires_on: read_timestamp("expires-on", members.expires_on)?,
            idevid_issuer: read_octets("idevid-issuer", members.idevid_issuer)?,
            pinned_domain_cert: read_octets("pinned-domain-cert", members.pinned_domain_cert)?,
            domain_cert_revocation_checks: members.domain_cert_revocation_checks,
            last_renewal_date: read_timestamp("last-renewal-date", members.last_renewal_date)?,
        })
    }
}

/// What a voucher holds by: RFC 8366 §5.3 forbids both at once, and a renewal date without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It answers the request with this nonce.
    Nonce(Nonce),
    /// It answers any request until this time.
    ExpiresOn(UnixTime),
    /// It answers any request until `expires_on`, and is renewed until `last_renewal_date`.
    Renewable {
        /// When it ends.
        expires_on: UnixTime,
        /// Until when it is renewed.
        last_renewal_date: UnixTime,
    },
}

/// A voucher to be sent; [`voucher_fields`](crate::masa::voucher_fields) makes it from a registrar's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherFields {
    /// What the MASA asserts.
    pub assertion: Assertion,
    /// The pledge that it is for.
    pub serial_number: SerialNumber,
    /// What it holds by.
    pub binding: Binding,
    /// Now.
    pub created_on: UnixTime,
    /// The issuer of the IDevID, as the registrar sent it.
    pub idevid_issuer: Option<Vec<u8>>,
    /// The certificate that the pledge shall trust the domain by.
    pub pinned_domain_cert: CertificateDer<'static>,
    /// Whether the pledge must check revocation in the domain, where the MASA says.
    pub domain_cert_revocation_checks: Option<bool>,
}

impl VoucherFields {
    /// Signs it with a MASA's key. `chain`: the voucher signer's certificate first. `at`: the signing time.
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
        let (nonce, expires_on, last_renewal_date) = match &self.binding {
            Binding::Nonce(nonce) => (Some(nonce.to_string()), None, None),
            Binding::ExpiresOn(expires_on) => (None, Some(*expires_on), None),
            Binding::Renewable { expires_on, last_renewal_date } => {
                (None, Some(*expires_on), Some(*last_renewal_date))
            }
        };
        let members = Object(Members {
            assertion: Some(self.assertion),
            created_on: Some(write_time(self.created_on)?),
            expires_on: expires_on.map(write_time).transpose()?,
            serial_number: Some(self.serial_number.to_string()),
            idevid_issuer: self.idevid_issuer.as_deref().map(json::encode),
            nonce,
            pinned_domain_cert: Some(json::encode(&self.pinned_domain_cert)),
            domain_cert_revocation_checks: self.domain_cert_revocation_checks,
            last_renewal_date: last_renewal_date.map(write_time).transpose()?,
        });
        super::sign(&VoucherRoot { members }, content_type, signer, chain, at)
    }
}
