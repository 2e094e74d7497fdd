//! The pledge's decisions: on a voucher, and on the registrar whose TLS certificate it kept (RFC 8995 §5.6).

use thiserror::Error;

use crate::artefact::{Nonce, Voucher};
use crate::certificate::Certificate;
use crate::idevid::SerialNumber;
use crate::trust::{Anchors, ChainError, ValidityTime, verify_chain};
use crate::verify::Verified;

/// Why a chain does not fit a voucher's pin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PinError {
    /// The voucher pins nothing.
    #[error("the voucher has no pinned-domain-cert")]
    NoPin,
    /// What it pins is no certificate.
    #[error("the pinned-domain-cert is no certificate")]
    Unreadable,
    /// There is no chain.
    #[error("there is no certificate of the registrar")]
    NoChain,
    /// The registrar's certificate does not lead to what is pinned.
    #[error("the registrar's certificate does not lead to the pinned-domain-cert: {0}")]
    Chain(ChainError),
}

/// Checks that the registrar's certificate chains to what the voucher pins; pinning the certificate itself will do.
///
/// `chain`: as kept from TLS, the registrar's certificate first.
///
/// # Errors
/// [`PinError`].
///
/// RFC 8995 §5.6.2.
pub fn check_pin(
    voucher: &Voucher,
    chain: &[Certificate],
    time: ValidityTime,
) -> Result<Certificate, PinError> {
    let pinned = voucher.pinned_domain_cert.as_deref().ok_or(PinError::NoPin)?;
    let pinned = Certificate::from_der(pinned).map_err(|_| PinError::Unreadable)?;
    let (own, above) = chain.split_first().ok_or(PinError::NoChain)?;
    let anchors = Anchors::new(&[pinned.der().clone()]).map_err(|_| PinError::Unreadable)?;
    verify_chain(own, above, &anchors, time).map_err(PinError::Chain)?;
    Ok(pinned)
}

/// Why a pledge refuses a voucher.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VoucherRefusal {
    /// It is for another device.
    #[error("the voucher is for serial number {voucher:?}, this device is {own:?}")]
    SerialNumberMismatch {
        /// In the voucher.
        voucher: String,
        /// The pledge's own.
        own: String,
    },
    /// It answers another request.
    #[error("the voucher has nonce {voucher:?}, the request had {request:?}")]
    NonceMismatch {
        /// In the voucher; empty if it has none.
        voucher: String,
        /// In the request.
        request: String,
    },
    /// It is for an IDevID of another issuer.
    #[error(
        "the voucher's idevid-issuer is not the authority key identifier of this device's IDevID"
    )]
    IdevidIssuerMismatch,
    /// It is over.
    #[error("the voucher expired at {expired}, it is {now} (Unix seconds)")]
    Expired {
        /// Its expires-on.
        expired: i64,
        /// The pledge's time.
        now: i64,
    },
}

/// Checks a verified voucher against the request that it answers.
///
/// `now`: Unix seconds, of a pledge that has a clock.
///
/// # Errors
/// [`VoucherRefusal`].
///
/// RFC 8995 §5.6.1, RFC 8366 §5.3.
pub fn check_voucher(
    voucher: &Verified<Voucher>,
    serial: &SerialNumber,
    nonce: &Nonce,
    idevid: &Certificate,
    now: i64,
) -> Result<(), VoucherRefusal> {
    if voucher.serial_number != *serial {
        return Err(VoucherRefusal::SerialNumberMismatch {
            voucher: voucher.serial_number.to_string(),
            own: serial.to_string(),
        });
    }
    if voucher.nonce.as_ref() != Some(nonce) {
        return Err(VoucherRefusal::NonceMismatch {
            voucher: voucher.nonce.as_ref().map_or_else(String::new, Nonce::to_string),
            request: nonce.to_string(),
        });
    }
    if let Some(issuer) = &voucher.idevid_issuer
        && *issuer != crate::registrar::idevid_issuer(idevid)
    {
        return Err(VoucherRefusal::IdevidIssuerMismatch);
    }
    match &voucher.expires_on {
        Some(expires) if expires.seconds() < now => {
            Err(VoucherRefusal::Expired { expired: expires.seconds(), now })
        }
        _ => Ok(()),
    }
}
