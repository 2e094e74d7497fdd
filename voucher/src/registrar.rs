//! The registrar's decisions: on a pledge's request, on its own request, on a MASA's voucher.

use aws_lc_rs::digest;
use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::artefact::{Assertion, Nonce, PledgeRequest, RegistrarRequest, Timestamp, Voucher};
use crate::certificate::Certificate;
use crate::cms::write::tagged;
use crate::idevid::SerialNumber;
use crate::pledge::{PinError, check_pin};
use crate::signature::SignError;
use crate::tlv::{BIT_STRING, OCTET_STRING, SEQUENCE, only};
use crate::trust::ValidityTime;
use crate::verify::Verified;

/// Why a registrar refuses a pledge's request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PledgeRequestRefusal {
    /// The serial number is not the IDevID's (RFC 8995 §5.5).
    #[error("the request is for serial number {request:?}, the IDevID is of {idevid:?}")]
    SerialNumberMismatch {
        /// In the request.
        request: String,
        /// In the IDevID.
        idevid: String,
    },
    /// The assertion is not proximity (RFC 8995 §5.2).
    #[error("the assertion is {assertion}, not proximity")]
    Assertion {
        /// What it is.
        assertion: String,
    },
    /// It does not say which registrar it saw (RFC 8995 §5.2).
    #[error("there is no proximity-registrar-cert")]
    NoProximityCertificate,
    /// It saw another registrar (RFC 8995 §5.2).
    #[error(
        "the proximity-registrar-cert (SHA-256 {request}) is not this registrar's certificate ({own})"
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
    if request.serial_number != *serial {
        return Err(PledgeRequestRefusal::SerialNumberMismatch {
            request: request.serial_number.to_string(),
            idevid: serial.to_string(),
        });
    }
    if request.assertion != Some(Assertion::Proximity) {
        let assertion =
            request.assertion.map_or_else(|| "absent".to_owned(), |each| each.to_string());
        return Err(PledgeRequestRefusal::Assertion { assertion });
    }
    match &request.proximity_registrar_cert {
        None => Err(PledgeRequestRefusal::NoProximityCertificate),
        Some(seen) if seen.as_slice() != own.der().as_ref() => {
            Err(PledgeRequestRefusal::ForeignProximityCertificate {
                request: hex(&crate::certificate::sha256(seen)),
                own: hex(&own.fingerprint()),
            })
        }
        Some(_) => Ok(()),
    }
}

/// Makes the registrar's own request: nonce and assertion carried forward, the pledge's request inside as received.
///
/// # Errors
/// [`SignError::Encoding`] if `at` is beyond the year 9999.
///
/// RFC 8995 §5.5; idevid-issuer as draft-ietf-anima-rfc8366bis §6.1 says.
pub fn registrar_request(
    request: &Verified<PledgeRequest>,
    idevid: &Certificate,
    serial: &SerialNumber,
    at: UnixTime,
) -> Result<RegistrarRequest, SignError> {
    Ok(RegistrarRequest {
        assertion: request.assertion,
        serial_number: serial.clone(),
        nonce: request.nonce.clone(),
        created_on: Some(Timestamp::at(at)?),
        idevid_issuer: Some(idevid_issuer(idevid)),
        prior_signed_voucher_request: Some(request.bytes().to_vec()),
    })
}

/// The idevid-issuer of an IDevID: its authority key identifier, with the OCTET STRING around it, verbatim;
/// where it has none, one made of the SHA-1 of its own public key.
#[must_use]
pub fn idevid_issuer(idevid: &Certificate) -> Vec<u8> {
    if let Some(identifier) = idevid.authority_key_identifier() {
        return tagged(OCTET_STRING, identifier);
    }
    let key = only(idevid.spki_der(), SEQUENCE)
        .and_then(|spki| {
            let mut fields = spki.inside();
            fields.expect(SEQUENCE)?;
            fields.expect(BIT_STRING)
        })
        .map(|bits| bits.contents.get(1..).unwrap_or_default())
        .unwrap_or_default();
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key);
    tagged(OCTET_STRING, &tagged(SEQUENCE, &tagged(0x80, sha1.as_ref())))
}

/// Why a registrar does not forward a voucher.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VoucherRefusal {
    /// It is for another device.
    #[error("the voucher is for serial number {voucher:?}, the device is {device:?}")]
    SerialNumberMismatch {
        /// In the voucher.
        voucher: String,
        /// The device's.
        device: String,
    },
    /// It answers another request.
    #[error("the voucher has nonce {voucher:?}, the request has {request:?}")]
    NonceMismatch {
        /// In the voucher.
        voucher: String,
        /// In the request.
        request: String,
    },
    /// The pledge could not trust this registrar by it.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Checks a voucher before it is forwarded. Its signature is another matter: the signer may be unknown here.
///
/// `chain`: the registrar's own certificates, its TLS certificate first.
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
    if voucher.serial_number != *serial {
        return Err(VoucherRefusal::SerialNumberMismatch {
            voucher: voucher.serial_number.to_string(),
            device: serial.to_string(),
        });
    }
    check_nonce(voucher, nonce)?;
    check_pin(voucher, chain, time)?;
    Ok(())
}

/// A voucher with a nonce answers the request with that nonce; one without answers any (RFC 8366 §5.3).
fn check_nonce(voucher: &Voucher, request: Option<&Nonce>) -> Result<(), VoucherRefusal> {
    match &voucher.nonce {
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
