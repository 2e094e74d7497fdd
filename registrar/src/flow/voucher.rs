//! From a pledge's voucher request to the registrar's own (RFC 8995 §5.2–§5.5); [`issuance`](super::issuance) goes on.
//!
//! An exchange is known by the SHA-256 of the pledge's request: a retry gets what is stored, after policy was asked again.
//! The registrar's request is stored before it is sent, so a restarted registrar asks the MASA with the same bytes.

use brski_voucher::artefact::PledgeRequest;
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::MasaUrl;
use brski_voucher::registrar;
use brski_voucher::signature::SignError;
use brski_voucher::verify::{Unverified, Verified};

use super::Visit;
use super::peer::Idevid;
use super::refusal::Refusal;
use crate::clock::unix_time;
use crate::identity::live::Identities;
use crate::policy::admission::Admitted;
use crate::store::model::{
    ApprovalReason, Event, Id, Manufacturer, Millis, Sha256, Verdict, VoucherExchange, VoucherState,
};

/// The most issuers of an IDevID that go to the MASA with it.
const ISSUERS_MOST: usize = 4;
/// Reads a pledge's request and checks everything that RFC 8995 §5.2 and §5.5 ask of it.
///
/// `encoding`: as its media type says. `own`: the certificates of this registrar; the pledge may have seen an earlier
/// one of the same key.
///
/// # Errors
/// The refusal of the first check that fails: syntax, signature, serial number, assertion, proximity.
pub fn read(
    content: &[u8],
    encoding: Encoding,
    idevid: &Idevid,
    own: &Identities,
) -> Result<Verified<PledgeRequest>, Refusal> {
    let strictness = idevid.manufacturer.row.masa.dialect.strictness();
    let request = Unverified::<PledgeRequest>::parse_as(content, encoding, strictness)
        .map_err(|error| Refusal::RequestUnreadable { reason: error.to_string() })?
        .verify_by_key(&idevid.certificate)
        .map_err(|error| Refusal::RequestSignature { reason: error.to_string() })?;
    let seen = own.seen(request.proximity());
    registrar::check_pledge_request(&request, &idevid.serial, seen).map_err(|refusal| {
        let reason = refusal.to_string();
        match refusal {
            registrar::PledgeRequestRefusal::SerialNumberMismatch { .. } => {
                Refusal::RequestSerial { reason }
            }
            _ => Refusal::Proximity { reason },
        }
    })?;
    Ok(request)
}

/// Where the device's MASA lives: what the operator says, else what the IDevID says (RFC 8995 §2.3.2, §2.8).
///
/// # Errors
/// [`Refusal::MasaUnusable`] if neither says anything legal.
pub fn masa_url(idevid: &Idevid) -> Result<MasaUrl, Refusal> {
    masa_url_of(&idevid.manufacturer.row, Some(&idevid.certificate))
}

/// As [`masa_url`], of a device whose IDevID may not have been seen.
///
/// # Errors
/// As [`masa_url`].
pub fn masa_url_of(
    manufacturer: &Manufacturer,
    idevid: Option<&Certificate>,
) -> Result<MasaUrl, Refusal> {
    let text = manufacturer
        .masa_url
        .as_deref()
        .or_else(|| idevid.and_then(Certificate::masa_url_extension))
        .ok_or_else(|| Refusal::MasaUnusable {
            reason:
                "the IDevID names no MASA; set one with 'registrar manufacturer add --masa-url'"
                    .to_owned(),
        })?;
    MasaUrl::parse(text).map_err(|error| Refusal::MasaUnusable { reason: error.to_string() })
}

/// Builds and signs the registrar's own request, in the encoding of the pledge's, with the certificate that
/// the pledge saw (RFC 8995 §5.5).
///
/// In COSE the pledge's request carries no certificates, so its IDevID goes beside the registrar's
/// (draft-ietf-anima-constrained-voucher §7).
///
/// # Errors
/// [`Refusal::KeyUnavailable`] if the registrar's key does not sign; [`Refusal::Internal`] if nothing can be built.
pub fn registrar_request(
    identities: &Identities,
    request: &Verified<PledgeRequest>,
    idevid: &Idevid,
    now: Millis,
) -> Result<Vec<u8>, Refusal> {
    let at = unix_time(now);
    let identity = identities.answering(request.proximity());
    let mut chain = identity.signing_chain().to_vec();
    if request.encoding() == Encoding::Cose {
        chain.push(idevid.certificate.clone());
        chain.extend(idevid.intermediates.iter().take(ISSUERS_MOST).cloned());
    }
    let encoding = idevid.manufacturer.row.masa.dialect.written(request.encoding());
    registrar::registrar_request_fields(request, &idevid.certificate, &idevid.serial, at)
        .sign_as(encoding, identity.signer(), &chain, at)
        .map_err(|error| {
            let reason = format!("voucher request: {error}");
            match error {
                SignError::Signing => Refusal::KeyUnavailable { reason },
                _ => Refusal::Internal { reason },
            }
        })
}

/// Makes the exchange of a request.
#[must_use]
pub fn begin(
    visit: &Visit,
    admitted: &Admitted,
    request: &Verified<PledgeRequest>,
    registrar_request: Vec<u8>,
    id: Id,
) -> VoucherExchange {
    VoucherExchange {
        id,
        request_sha256: Sha256::of(request.bytes()),
        device: admitted.device().id.clone(),
        encoding: request.encoding(),
        pledge_request: request.bytes().to_vec(),
        registrar_request,
        state: VoucherState::Asked,
        audit: None,
        created_at: visit.now,
        updated_at: visit.now,
    }
}

/// The event of a device that was let in.
#[must_use]
pub fn admitted_event(visit: &Visit, admitted: &Admitted) -> Event {
    let device = admitted.device();
    let identity = admitted.known().identity.describe();
    let detail = format!("{identity} is {}", admitted.name());
    visit.event("device-admitted", Verdict::Done, "RFC 8995 §5.3", Some(&device.id), detail)
}

/// The event of a device that a person is asked about.
#[must_use]
pub fn approval_event(
    visit: &Visit,
    device: &Id,
    idevid: &Idevid,
    reason: ApprovalReason,
) -> Event {
    let serial = &idevid.serial;
    let detail = match reason {
        ApprovalReason::Unexpected => format!("serial number {serial} is not expected"),
        ApprovalReason::KeyChanged => {
            format!("serial number {serial} came with another key than before")
        }
    };
    visit.event("approval-asked", Verdict::Waiting, "RFC 8995 §5.3", Some(device), detail)
}

/// The event of a voucher that is asked for.
#[must_use]
pub fn asked_event(visit: &Visit, exchange: &VoucherExchange) -> Event {
    let detail = format!("pledge request {}", exchange.request_sha256);
    let device = Some(&exchange.device);
    visit.event("voucher-asked", Verdict::Done, "RFC 8995 §5.5", device, detail)
}

/// What to do about an exchange.
#[derive(Debug)]
pub enum Standing<'a> {
    /// Its voucher is here.
    Voucher(&'a [u8]),
    /// The MASA must be asked, for the first time or again.
    Ask,
}

/// Judges an exchange.
///
/// # Errors
/// [`Refusal::RequestEnded`] if the pledge rejected what came of it.
pub fn standing(exchange: &VoucherExchange) -> Result<Standing<'_>, Refusal> {
    match &exchange.state {
        VoucherState::Issued { voucher } | VoucherState::Accepted { voucher } => {
            Ok(Standing::Voucher(voucher))
        }
        // What failed may have been changed by an operator of either side since.
        VoucherState::Asked | VoucherState::Failed { .. } => Ok(Standing::Ask),
        VoucherState::Rejected { .. } => Err(Refusal::RequestEnded),
    }
}
