//! The registrar's voucher request (RFC 8995 §5.5).

use rustls_pki_types::UnixTime;

use super::{Assertion, Nonce, Timestamp, date, sealed, serial_number};
use crate::certificate::Certificate;
use crate::content::{ContentError, Leaf, Leaves, Module, Value};
use crate::encoding::Encoding;
use crate::idevid::SerialNumber;
use crate::signature::{SignError, Signer};

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

    /// The authority key identifier of the IDevID, in one of the forms of [`issuer_form`](crate::idevid::issuer_form).
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

#[allow(private_interfaces, reason = "nobody outside can name this trait")]
impl sealed::Sealed for RegistrarRequest {
    const MODULE: Module = Module::VoucherRequest;
    const LEAVES: &[Leaf] = &[
        Leaf::Assertion,
        Leaf::CreatedOn,
        Leaf::IdevidIssuer,
        Leaf::Nonce,
        Leaf::PriorSignedVoucherRequest,
        Leaf::SerialNumber,
    ];

    fn from_leaves(mut leaves: Leaves) -> Result<Self, ContentError> {
        Ok(Self {
            assertion: leaves.assertion(),
            serial_number: serial_number(&mut leaves)?,
            nonce: leaves.nonce(),
            created_on: leaves.date(Leaf::CreatedOn),
            idevid_issuer: leaves.octets(Leaf::IdevidIssuer),
            prior_signed_voucher_request: leaves.octets(Leaf::PriorSignedVoucherRequest),
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
    /// Signs it with the registrar's key, in CMS.
    ///
    /// `chain`: the registrar's certificate first, up to what it wants pinned. `at`: the signing time.
    /// In COSE the pledge's IDevID and its issuers follow, since its request carries none
    /// (draft-ietf-anima-constrained-voucher §7).
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        self.sign_as(Encoding::Cms, signer, chain, at)
    }

    /// Signs it as [`sign`](Self::sign) does, in this encoding.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_as(
        &self,
        encoding: Encoding,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let prior = self.prior_signed_voucher_request.clone();
        let leaves = Leaves::default()
            .with(Leaf::Assertion, self.assertion.map(Value::Assertion))
            .with(Leaf::CreatedOn, Some(date(self.created_on)?))
            .with(Leaf::SerialNumber, Some(Value::Text(self.serial_number.to_string())))
            .with(Leaf::IdevidIssuer, Some(Value::Octets(self.idevid_issuer.clone())))
            .with(Leaf::Nonce, self.nonce.clone().map(Value::Nonce))
            .with(Leaf::PriorSignedVoucherRequest, prior.map(Value::Octets));
        super::sign(&leaves, Module::VoucherRequest, encoding, signer, chain, at)
    }
}
