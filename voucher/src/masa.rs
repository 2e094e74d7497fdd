//! The MASA's decisions: on a registrar's request, and what its voucher says (RFC 8995 §5.5).

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::artefact::{Assertion, PledgeRequest, RegistrarRequest, Timestamp, Voucher};
use crate::certificate::{CMC_RA, Certificate};
use crate::registrar::idevid_issuer;
use crate::signature::SignError;
use crate::trust::{Anchors, ValidityTime};
use crate::verify::{ParseError, Unverified, Verified, VerifyError};

/// Why a MASA refuses a registrar's request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrarRequestRefusal {
    /// The signer is no registrar (RFC 8995 §5.5.4).
    #[error("the request's signer has no extended key usage cmcRA")]
    NotARegistrar,
    /// The pledge's own request is not inside.
    #[error("there is no prior-signed-voucher-request")]
    NoPriorRequest,
    /// The pledge's own request cannot be read.
    #[error("the prior-signed-voucher-request: {0}")]
    PriorUnreadable(#[from] ParseError),
    /// The pledge's own request is not signed by a device of this manufacturer.
    #[error("the prior-signed-voucher-request: {0}")]
    PriorUntrusted(#[from] VerifyError),
    /// The serial numbers differ (RFC 8995 §5.5.5).
    #[error("the request is for serial number {request:?}, the pledge's IDevID is of {idevid:?}")]
    SerialNumberMismatch {
        /// In the registrar's request.
        request: String,
        /// In the pledge's IDevID; empty if it has none.
        idevid: String,
    },
    /// The nonces differ (RFC 8995 §5.5.6).
    #[error("the request has nonce {request:?}, the pledge's has {pledge:?}")]
    NonceMismatch {
        /// In the registrar's request.
        request: String,
        /// In the pledge's.
        pledge: String,
    },
    /// The pledge saw another registrar (RFC 8995 §5.5.5).
    #[error("the pledge's proximity-registrar-cert has a key that is not in the request's chain")]
    ProximityMismatch,
    /// The request is for an IDevID of another issuer.
    #[error("the request's idevid-issuer is not that of the pledge's IDevID")]
    IdevidIssuerMismatch,
}

/// Checks a registrar's request against the pledge's inside it, and gives that one back, verified.
///
/// `devices`: the anchors of the manufacturer's IDevIDs.
///
/// # Errors
/// [`RegistrarRequestRefusal`].
///
/// RFC 8995 §5.5.3 to §5.5.6.
pub fn check_registrar_request(
    request: &Verified<RegistrarRequest>,
    devices: &Anchors,
    time: ValidityTime,
) -> Result<Verified<PledgeRequest>, RegistrarRequestRefusal> {
    use RegistrarRequestRefusal as Refusal;

    if !request.signer().has_extended_key_usage(CMC_RA) {
        return Err(Refusal::NotARegistrar);
    }
    let prior = request.prior_signed_voucher_request.as_deref().ok_or(Refusal::NoPriorRequest)?;
    let prior = Unverified::<PledgeRequest>::parse(prior)?.verify_by_anchors(devices, time)?;
    let idevid = prior.signer();
    let device = idevid.subject_serial_number().unwrap_or_default();
    if request.serial_number.as_str() != device {
        return Err(Refusal::SerialNumberMismatch {
            request: request.serial_number.to_string(),
            idevid: device.to_owned(),
        });
    }
    if request.nonce != prior.nonce {
        let text = |nonce: &Option<_>| nonce.as_ref().map_or_else(String::new, ToString::to_string);
        return Err(Refusal::NonceMismatch {
            request: text(&request.nonce),
            pledge: text(&prior.nonce),
        });
    }
    check_proximity(request, &prior)?;
    match &request.idevid_issuer {
        Some(issuer) if *issuer != idevid_issuer(idevid) => Err(Refusal::IdevidIssuerMismatch),
        _ => Ok(prior),
    }
}

fn check_proximity(
    request: &Verified<RegistrarRequest>,
    prior: &Verified<PledgeRequest>,
) -> Result<(), RegistrarRequestRefusal> {
    let seen = prior
        .proximity_registrar_cert
        .as_deref()
        .and_then(|der| Certificate::from_der(der).ok())
        .ok_or(RegistrarRequestRefusal::ProximityMismatch)?;
    let is_there = request
        .certificates()
        .iter()
        .chain([request.signer()])
        .any(|certificate| certificate.spki_der() == seen.spki_der());
    is_there.then_some(()).ok_or(RegistrarRequestRefusal::ProximityMismatch)
}

/// Makes the voucher that answers a checked request, pinning `pinned`.
///
/// # Errors
/// [`SignError::Encoding`] if `at` is beyond the year 9999.
///
/// RFC 8995 §5.6.
pub fn voucher(
    request: &Verified<RegistrarRequest>,
    pinned: &Certificate,
    at: UnixTime,
) -> Result<Voucher, SignError> {
    Ok(Voucher {
        assertion: Some(Assertion::Proximity),
        serial_number: request.serial_number.clone(),
        nonce: request.nonce.clone(),
        created_on: Some(Timestamp::at(at)?),
        expires_on: None,
        idevid_issuer: request.idevid_issuer.clone(),
        pinned_domain_cert: Some(pinned.der().to_vec()),
        domain_cert_revocation_checks: Some(false),
    })
}
