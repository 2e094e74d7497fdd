//! The MASA's decisions: on a registrar's request, and what its voucher says (RFC 8995 §5.5, §5.6).

use std::time::Duration;

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::artefact::{Assertion, Binding, Nonce, PledgeRequest, RegistrarRequest, VoucherFields};
use crate::certificate::{CMC_RA, Certificate};
use crate::idevid::{self, SerialRule};
use crate::registrar::hex;
use crate::trust::{Anchors, ValidityTime, issuer_path};
use crate::verify::{ParseError, Unverified, Verified, VerifyError};

/// Why a MASA refuses a registrar's request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrarRequestRefusal {
    /// The signer is no registrar (RFC 8995 §5.5.4).
    #[error("the request's signer has no extended key usage cmcRA (RFC 8995 §5.5.4)")]
    NotARegistrar,
    /// The pledge's own request is not inside.
    #[error("there is no prior-signed-voucher-request (RFC 8995 §5.5.5)")]
    NoPriorRequest,
    /// The pledge's own request cannot be read.
    #[error("the prior-signed-voucher-request cannot be read: {0}")]
    PriorUnreadable(ParseError),
    /// The pledge's own request is not signed by a device of this manufacturer.
    #[error("the prior-signed-voucher-request is not of a device of this manufacturer: {0}")]
    PriorUntrusted(VerifyError),
    /// The serial numbers differ (RFC 8995 §5.5.5).
    #[error(
        "the request is for serial number {request:?}, the pledge's IDevID is of {idevid:?} (RFC 8995 §5.5.5)"
    )]
    SerialNumberMismatch {
        /// In the registrar's request.
        request: String,
        /// In the pledge's IDevID; empty if it has none.
        idevid: String,
    },
    /// The nonces differ (RFC 8995 §5.5.6).
    #[error("the request has nonce {request:?}, the pledge's has {pledge:?} (RFC 8995 §5.5.6)")]
    NonceMismatch {
        /// In the registrar's request; empty if it has none.
        request: String,
        /// In the pledge's; empty if it has none.
        pledge: String,
    },
    /// The pledge does not say which registrar it saw (RFC 8995 §5.5.5).
    #[error(
        "the prior-signed-voucher-request has no certificate as proximity-registrar-cert (RFC 8995 §5.5.5)"
    )]
    NoProximityCertificate,
    /// The pledge saw another registrar (RFC 8995 §5.5.5).
    #[error(
        "the pledge's proximity-registrar-cert (SHA-256 {seen}) has a key that is not in the chain of the \
         request's signer ({signer}) (RFC 8995 §5.5.5)"
    )]
    ProximityMismatch {
        /// SHA-256 of the certificate that the pledge saw.
        seen: String,
        /// SHA-256 of the signer's certificate.
        signer: String,
    },
    /// The request is for an IDevID of another issuer.
    #[error(
        "the request has idevid-issuer {request}, the pledge's IDevID has {idevid} (hex, RFC 8366 §5.3)"
    )]
    IdevidIssuerMismatch {
        /// In the registrar's request.
        request: String,
        /// Of the pledge's IDevID.
        idevid: String,
    },
}

/// Checks a registrar's request against the pledge's inside it, and gives that one back, verified.
///
/// `request`: verified [by what it carries](Unverified::verify_presented) or by anchors of known domains.
/// `devices`: the anchors of the manufacturer's IDevIDs; `time`: for their chains.
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
    let prior = request.prior_signed_voucher_request().ok_or(Refusal::NoPriorRequest)?;
    let prior = Unverified::<PledgeRequest>::parse(prior)
        .map_err(Refusal::PriorUnreadable)?
        .verify_by_anchors(devices, time)
        .map_err(Refusal::PriorUntrusted)?;
    let device = SerialRule::default().read(prior.signer()).ok();
    if Some(request.serial_number()) != device.as_ref() {
        return Err(Refusal::SerialNumberMismatch {
            request: request.serial_number().to_string(),
            idevid: device.map_or_else(String::new, |serial| serial.to_string()),
        });
    }
    if request.nonce() != prior.nonce() {
        let text = |nonce: Option<&Nonce>| nonce.map_or_else(String::new, Nonce::to_string);
        return Err(Refusal::NonceMismatch {
            request: text(request.nonce()),
            pledge: text(prior.nonce()),
        });
    }
    check_proximity(request, &prior)?;
    match request.idevid_issuer() {
        Some(sent) if !idevid::is_issuer(sent, prior.signer()) => {
            Err(Refusal::IdevidIssuerMismatch {
                request: hex(sent),
                idevid: hex(&idevid::issuer(prior.signer())),
            })
        }
        _ => Ok(prior),
    }
}

/// The key that the pledge saw must be in the signer's chain, or in a certificate carried that leads to the same top.
///
/// A certificate that is merely carried proves nothing: anybody could carry another registrar's.
fn check_proximity(
    request: &Verified<RegistrarRequest>,
    prior: &Verified<PledgeRequest>,
) -> Result<(), RegistrarRequestRefusal> {
    let seen = prior
        .proximity_registrar_cert()
        .and_then(|der| Certificate::from_der(der).ok())
        .ok_or(RegistrarRequestRefusal::NoProximityCertificate)?;
    let is_of_key = |certificate: &&Certificate| certificate.spki_der() == seen.spki_der();
    let leads_to_top = |certificate: &Certificate| {
        issuer_path(certificate, request.certificates()).last() == request.signer_chain().last()
    };
    // The first of the key alone is followed up, so that hostile certificates cannot cost much.
    let is_there = request.signer_chain().iter().any(|each| is_of_key(&each))
        || request.certificates().iter().find(is_of_key).is_some_and(leads_to_top);
    if is_there {
        return Ok(());
    }
    Err(RegistrarRequestRefusal::ProximityMismatch {
        seen: hex(&seen.fingerprint()),
        signer: hex(&request.signer().fingerprint()),
    })
}

/// Makes the voucher that answers a checked request.
///
/// `assertion`: by policy; proximity after [`check_registrar_request`].
/// `pinned`: a certificate of [`Verified::signer_chain`], by policy.
/// `lifetime`: how long the voucher holds if the request has no nonce. `now`: becomes created-on.
///
/// RFC 8995 §5.6.
#[must_use]
pub fn voucher_fields(
    request: &Verified<RegistrarRequest>,
    assertion: Assertion,
    pinned: &Certificate,
    lifetime: Duration,
    now: UnixTime,
) -> VoucherFields {
    let expires_on = Duration::from_secs(now.as_secs()).saturating_add(lifetime);
    let binding = match request.nonce() {
        Some(nonce) => Binding::Nonce(nonce.clone()),
        None => Binding::ExpiresOn(UnixTime::since_unix_epoch(expires_on)),
    };
    VoucherFields {
        assertion,
        serial_number: request.serial_number().clone(),
        binding,
        created_on: now,
        idevid_issuer: request.idevid_issuer().map(<[u8]>::to_vec),
        pinned_domain_cert: pinned.der().clone(),
        domain_cert_revocation_checks: Some(false),
    }
}
