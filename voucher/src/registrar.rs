//! The registrar's decisions: on a pledge's request, on its own request, on a MASA's voucher.

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::artefact::{Assertion, Nonce, PledgeRequest, RegistrarRequestFields, Voucher};
use crate::certificate::{Certificate, sha256};
use crate::idevid::{self, SerialNumber};
use crate::pledge::{PinError, check_registrar_chain, pinned_certificate};
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
        /// SHA-256 of the certificate in the request.
        request: String,
        /// SHA-256 of the registrar's own.
        own: String,
    },
}

/// Checks a pledge's request against what its TLS session shows.
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
    if request.serial_number() != serial {
        return Err(PledgeRequestRefusal::SerialNumberMismatch {
            request: request.serial_number().to_string(),
            idevid: serial.to_string(),
        });
    }
    if request.assertion() != Some(Assertion::Proximity) {
        let assertion =
            request.assertion().map_or_else(|| "absent".to_owned(), |each| each.to_string());
        return Err(PledgeRequestRefusal::Assertion { assertion });
    }
    match request.proximity_registrar_cert() {
        None => Err(PledgeRequestRefusal::NoProximityCertificate),
        Some(seen) if seen != own.der().as_ref() => {
            Err(PledgeRequestRefusal::ForeignProximityCertificate {
                request: hex(&sha256(seen)),
                own: hex(&own.fingerprint()),
            })
        }
        Some(_) => Ok(()),
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
    if voucher.serial_number() != serial {
        return Err(VoucherRefusal::SerialNumberMismatch {
            voucher: voucher.serial_number().to_string(),
            device: serial.to_string(),
        });
    }
    check_nonce(voucher, nonce)?;
    check_registrar_chain(&pinned_certificate(voucher)?, chain, time)?;
    Ok(())
}

/// A voucher with a nonce answers the request with that nonce; one without answers any (RFC 8366 §5.3).
fn check_nonce(voucher: &Voucher, request: Option<&Nonce>) -> Result<(), VoucherRefusal> {
    match voucher.nonce() {
        Some(nonce) if Some(nonce) != request => Err(VoucherRefusal::NonceMismatch {
            voucher: nonce.to_string(),
            request: request.map_or_else(String::new, Nonce::to_string),
        }),
        _ => Ok(()),
    }
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
