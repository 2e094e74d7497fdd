//! The registrar's decisions: on a pledge's request, on its own request, on a MASA's voucher.

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::artefact::{
    Assertion, Nonce, PledgeRequest, Proximity, RegistrarRequestFields, Voucher,
};
use crate::certificate::{Certificate, hex};
use crate::idevid::{self, SerialNumber};
use crate::pledge::{Pin, PinError};
use crate::trust::ValidityTime;
use crate::verify::Verified;

/// Why a registrar refuses a pledge's request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PledgeRequestRefusal {
    /// The serial number is not the IDevID's (RFC 8995 §5.5).
    #[error(
        "the request is for serial number {request:?}, the IDevID is of {idevid:?} (RFC 8995 §5.5)"
    )]
    SerialNumberMismatch {
        /// In the request.
        request: String,
        /// In the IDevID.
        idevid: String,
    },
    /// The assertion is not proximity (RFC 8995 §5.2).
    #[error("the assertion is {assertion}, not proximity (RFC 8995 §5.2)")]
    Assertion {
        /// What it is.
        assertion: String,
    },
    /// It does not say which registrar it saw (RFC 8995 §5.2).
    #[error("there is no proximity-registrar-cert (RFC 8995 §5.2)")]
    NoProximityCertificate,
    /// It saw another registrar (RFC 8995 §5.2).
    #[error(
        "the proximity-registrar-cert (SHA-256 {request}) is not this registrar's certificate ({own}) (RFC 8995 §5.2)"
    )]
    ForeignProximityCertificate {
        /// SHA-256 of the certificate in the request; of the key, or of its digest, where it names that instead.
        request: String,
        /// SHA-256 of the registrar's own certificate.
        own: String,
    },
}

/// Checks a pledge's request against what its TLS session shows, clause by clause.
///
/// `serial`: read from the IDevID by the registrar itself. `own`: the certificate that the registrar serves.
///
/// # Errors
/// [`PledgeRequestRefusal`].
///
/// RFC 8995 §5.2, §5.5.
pub fn check_pledge_request(
    request: &Verified<PledgeRequest>,
    serial: &SerialNumber,
    own: &Certificate,
) -> Result<(), PledgeRequestRefusal> {
    check_request_serial_number(request.serial_number(), serial)?;
    check_assertion(request.assertion())?;
    check_proximity(request.proximity(), own)
}

/// Checks that the pledge asks for itself.
///
/// # Errors
/// [`PledgeRequestRefusal::SerialNumberMismatch`].
///
/// RFC 8995 §5.5.
pub fn check_request_serial_number(
    request: &SerialNumber,
    idevid: &SerialNumber,
) -> Result<(), PledgeRequestRefusal> {
    if request == idevid {
        return Ok(());
    }
    Err(PledgeRequestRefusal::SerialNumberMismatch {
        request: request.to_string(),
        idevid: idevid.to_string(),
    })
}

/// Checks that the pledge asserts proximity.
///
/// # Errors
/// [`PledgeRequestRefusal::Assertion`].
///
/// RFC 8995 §5.2.
pub fn check_assertion(assertion: Option<Assertion>) -> Result<(), PledgeRequestRefusal> {
    match assertion {
        Some(Assertion::Proximity) => Ok(()),
        other => Err(PledgeRequestRefusal::Assertion {
            assertion: other.map_or("absent", Assertion::as_str).to_owned(),
        }),
    }
}

/// Checks that the pledge saw this registrar and not one in the middle.
///
/// # Errors
/// [`PledgeRequestRefusal::NoProximityCertificate`], [`PledgeRequestRefusal::ForeignProximityCertificate`].
///
/// RFC 8995 §5.2.
pub fn check_proximity(
    seen: Option<&Proximity>,
    own: &Certificate,
) -> Result<(), PledgeRequestRefusal> {
    match seen {
        None => Err(PledgeRequestRefusal::NoProximityCertificate),
        Some(seen) if seen.is_of(own) => Ok(()),
        Some(seen) => Err(PledgeRequestRefusal::ForeignProximityCertificate {
            request: hex(&crate::certificate::sha256(seen.octets())),
            own: hex(&own.fingerprint()),
        }),
    }
}

/// Makes the registrar's own request: nonce and assertion carried forward, the pledge's request inside as received.
///
/// `idevid`: the certificate of the pledge's TLS session. `serial`: read from it. `now`: becomes created-on.
///
/// RFC 8995 §5.5; idevid-issuer as draft-ietf-anima-rfc8366bis §6.1 says.
#[must_use]
pub fn registrar_request_fields(
    request: &Verified<PledgeRequest>,
    idevid: &Certificate,
    serial: &SerialNumber,
    now: UnixTime,
) -> RegistrarRequestFields {
    RegistrarRequestFields {
        assertion: request.assertion(),
        serial_number: serial.clone(),
        nonce: request.nonce().cloned(),
        created_on: now,
        idevid_issuer: idevid::issuer(idevid),
        prior_signed_voucher_request: Some(request.bytes().to_vec()),
    }
}

/// Why a registrar does not forward a voucher.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VoucherRefusal {
    /// It is for another device.
    #[error(
        "the voucher is for serial number {voucher:?}, the device is {device:?} (RFC 8995 §5.6)"
    )]
    SerialNumberMismatch {
        /// In the voucher.
        voucher: String,
        /// The device's.
        device: String,
    },
    /// It answers another request.
    #[error("the voucher has nonce {voucher:?}, the request has {request:?} (RFC 8995 §5.6)")]
    NonceMismatch {
        /// In the voucher.
        voucher: String,
        /// In the request; empty if it has none.
        request: String,
    },
    /// The pledge could not trust this registrar by it.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Checks what a voucher says before it is forwarded.
///
/// Its signature is another matter, since the signer may be unknown here: pass
/// [`Unverified::content`](crate::verify::Unverified::content) or a [`Verified`] voucher.
/// `nonce`: of the pledge's request. `chain`: the registrar's own certificates, its TLS certificate first.
///
/// # Errors
/// [`VoucherRefusal`].
///
/// RFC 8995 §5.6.
pub fn check_voucher(
    voucher: &Voucher,
    serial: &SerialNumber,
    nonce: Option<&Nonce>,
    chain: &[Certificate],
    time: ValidityTime,
) -> Result<(), VoucherRefusal> {
    check_voucher_serial_number(voucher, serial)?;
    check_nonce(voucher, nonce)?;
    Pin::of(voucher)?.check(chain, time)?;
    Ok(())
}

/// Checks that a voucher is for this device.
///
/// # Errors
/// [`VoucherRefusal::SerialNumberMismatch`].
///
/// RFC 8995 §5.6.
pub fn check_voucher_serial_number(
    voucher: &Voucher,
    serial: &SerialNumber,
) -> Result<(), VoucherRefusal> {
    if voucher.serial_number() == serial {
        return Ok(());
    }
    Err(VoucherRefusal::SerialNumberMismatch {
        voucher: voucher.serial_number().to_string(),
        device: serial.to_string(),
    })
}

/// Checks that a voucher with a nonce answers the request with that nonce; one without answers any.
///
/// # Errors
/// [`VoucherRefusal::NonceMismatch`].
///
/// RFC 8366 §5.3.
pub fn check_nonce(voucher: &Voucher, request: Option<&Nonce>) -> Result<(), VoucherRefusal> {
    match voucher.nonce() {
        Some(nonce) if Some(nonce) != request => Err(VoucherRefusal::NonceMismatch {
            voucher: nonce.to_string(),
            request: request.map_or_else(String::new, Nonce::to_string),
        }),
        _ => Ok(()),
    }
}
