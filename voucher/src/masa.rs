//! The MASA's decisions: on a registrar's request, and what its voucher says (RFC 8995 §5.5, §5.6).

use std::time::Duration;

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::artefact::{Assertion, Binding, Nonce, PledgeRequest, RegistrarRequest, VoucherFields};
use crate::certificate::{CMC_RA, Certificate, hex};
use crate::encoding::Strictness;
use crate::idevid::{self, SerialNumber, SerialRules};
use crate::trust::{Anchors, ChainError, ValidityTime, issuer_path, verify_chain};
use crate::verify::{ParseError, Unverified, Verified, VerifyError};

/// Why a MASA refuses a registrar's request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrarRequestRefusal {
    /// The signer is no registrar (RFC 8995 §5.5.4).
    #[error(
        "the request's signer {signer:?} has the extended key usages [{found}], and not \
         1.3.6.1.5.5.7.3.28 (cmcRA) (RFC 8995 §5.5.4)"
    )]
    NotARegistrar {
        /// The subject of its certificate.
        signer: String,
        /// The extended key usages of its certificate.
        found: String,
    },
    /// A request without a nonce is only for registrars that the MASA knows (RFC 8995 §5.5.4).
    #[error(
        "the request has no nonce, and its signer is no registrar of a known domain (RFC 8995 §5.5.4): {0}"
    )]
    UnknownDomain(ChainError),
    /// A nonceless request has a nonce.
    #[error("the request has nonce {nonce:?}, and none was expected (RFC 8995 §3.1)")]
    UnexpectedNonce {
        /// The nonce.
        nonce: String,
    },
    /// The pledge's own request is not inside.
    #[error("there is no prior-signed-voucher-request (RFC 8995 §5.5.5)")]
    NoPriorRequest,
    /// The pledge's own request cannot be read.
    #[error("the prior-signed-voucher-request cannot be read (RFC 8995 §5.5.5): {0}")]
    PriorUnreadable(ParseError),
    /// The pledge's own request is not signed by a device of this manufacturer.
    #[error(
        "the prior-signed-voucher-request is not of a device of this manufacturer (RFC 8995 §5.5.5): {0}"
    )]
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
    #[error("the prior-signed-voucher-request has no proximity-registrar-cert (RFC 8995 §5.5.5)")]
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

/// What a MASA knows of the devices of its manufacturer.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// The anchors of their IDevIDs.
    pub anchors: Anchors,
    /// Where an IDevID has the serial number.
    pub serial_rules: SerialRules,
    /// How strictly their requests are read.
    pub strictness: Strictness,
}

/// Checks a registrar's request against the pledge's inside it, and gives that one back, verified.
///
/// `request`: verified [by what it carries](Unverified::verify_presented) or by anchors of known domains.
/// `devices`: the anchors of the manufacturer's IDevIDs, which have their serial number where RFC 8995 puts it;
/// see [`check_registrar_request_for`] for others. `time`: for their chains.
/// The pledge's request is in the encoding of the registrar's; in COSE its signer's chain stands beside it
/// in the registrar's (draft-ietf-anima-constrained-voucher §7).
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
    check_both(request, devices, &SerialRules::default(), Strictness::Standard, time)
}

/// As [`check_registrar_request`], for devices that differ from what RFC 8995 says.
///
/// # Errors
/// [`RegistrarRequestRefusal`].
pub fn check_registrar_request_for(
    request: &Verified<RegistrarRequest>,
    devices: &Devices,
    time: ValidityTime,
) -> Result<Verified<PledgeRequest>, RegistrarRequestRefusal> {
    check_both(request, &devices.anchors, &devices.serial_rules, devices.strictness, time)
}

fn check_both(
    request: &Verified<RegistrarRequest>,
    anchors: &Anchors,
    rules: &SerialRules,
    strictness: Strictness,
    time: ValidityTime,
) -> Result<Verified<PledgeRequest>, RegistrarRequestRefusal> {
    use RegistrarRequestRefusal as Refusal;

    check_purpose(request.signer())?;
    let prior = request.prior_signed_voucher_request().ok_or(Refusal::NoPriorRequest)?;
    let prior = Unverified::<PledgeRequest>::parse_as(prior, request.encoding(), strictness)
        .map_err(Refusal::PriorUnreadable)?
        .verify_by_anchors_among(anchors, request.certificates(), time)
        .map_err(Refusal::PriorUntrusted)?;
    check_serial_number(request.serial_number(), prior.signer(), rules)?;
    check_nonce(request.nonce(), prior.nonce())?;
    check_proximity(request, &prior)?;
    check_idevid_issuer(request, prior.signer())?;
    Ok(prior)
}

/// Checks a registrar's request that is made ahead of a pledge: without a nonce, by a registrar of a known domain.
///
/// `domains`: the anchors of the domains that own devices of this manufacturer.
///
/// # Errors
/// [`RegistrarRequestRefusal`].
///
/// RFC 8995 §3.1, §5.5.4.
pub fn check_nonceless_request(
    request: &Verified<RegistrarRequest>,
    domains: &Anchors,
    time: ValidityTime,
) -> Result<(), RegistrarRequestRefusal> {
    check_purpose(request.signer())?;
    if let Some(nonce) = request.nonce() {
        return Err(RegistrarRequestRefusal::UnexpectedNonce { nonce: nonce.to_string() });
    }
    verify_chain(request.signer(), request.certificates(), domains, time)
        .map_err(RegistrarRequestRefusal::UnknownDomain)
}

/// Checks that the signer is a registrar.
///
/// # Errors
/// [`RegistrarRequestRefusal::NotARegistrar`].
///
/// RFC 8995 §5.5.4.
pub fn check_purpose(signer: &Certificate) -> Result<(), RegistrarRequestRefusal> {
    if signer.has_extended_key_usage(CMC_RA) {
        return Ok(());
    }
    Err(RegistrarRequestRefusal::NotARegistrar {
        signer: signer.subject_text(),
        found: signer.extended_key_usages().join(", "),
    })
}

/// Checks that the registrar asks for the device that asked it. `rules`: where its IDevID has the serial number.
///
/// # Errors
/// [`RegistrarRequestRefusal::SerialNumberMismatch`].
///
/// RFC 8995 §5.5.5.
pub fn check_serial_number(
    request: &SerialNumber,
    idevid: &Certificate,
    rules: &SerialRules,
) -> Result<(), RegistrarRequestRefusal> {
    let device = rules.read(idevid).ok();
    if device.as_ref() == Some(request) {
        return Ok(());
    }
    Err(RegistrarRequestRefusal::SerialNumberMismatch {
        request: request.to_string(),
        idevid: device.map_or_else(String::new, |serial| serial.to_string()),
    })
}

/// Checks that the registrar carried the pledge's nonce forward.
///
/// # Errors
/// [`RegistrarRequestRefusal::NonceMismatch`].
///
/// RFC 8995 §5.5.6.
pub fn check_nonce(
    request: Option<&Nonce>,
    pledge: Option<&Nonce>,
) -> Result<(), RegistrarRequestRefusal> {
    if request == pledge {
        return Ok(());
    }
    let text = |nonce: Option<&Nonce>| nonce.map_or_else(String::new, Nonce::to_string);
    Err(RegistrarRequestRefusal::NonceMismatch { request: text(request), pledge: text(pledge) })
}

/// Checks that the registrar means the IDevID's issuer, if it names one.
///
/// # Errors
/// [`RegistrarRequestRefusal::IdevidIssuerMismatch`].
///
/// RFC 8366 §5.3.
pub fn check_idevid_issuer(
    request: &RegistrarRequest,
    idevid: &Certificate,
) -> Result<(), RegistrarRequestRefusal> {
    match request.idevid_issuer() {
        Some(sent) if idevid::issuer_form(sent, idevid).is_none() => {
            Err(RegistrarRequestRefusal::IdevidIssuerMismatch {
                request: hex(sent),
                idevid: hex(&idevid::issuer(idevid)),
            })
        }
        _ => Ok(()),
    }
}

/// Checks that the pledge saw the registrar that asks.
///
/// The key that the pledge saw must be in the signer's chain, or in a certificate carried that leads to the same top.
/// A certificate that is merely carried proves nothing: anybody could carry another registrar's.
///
/// # Errors
/// [`RegistrarRequestRefusal::NoProximityCertificate`], [`RegistrarRequestRefusal::ProximityMismatch`].
///
/// RFC 8995 §5.5.5.
pub fn check_proximity(
    request: &Verified<RegistrarRequest>,
    prior: &Verified<PledgeRequest>,
) -> Result<(), RegistrarRequestRefusal> {
    let seen = prior.proximity().ok_or(RegistrarRequestRefusal::NoProximityCertificate)?;
    let is_of_key = |certificate: &&Certificate| seen.is_key_of(certificate);
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
        seen: hex(&crate::certificate::sha256(seen.octets())),
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
