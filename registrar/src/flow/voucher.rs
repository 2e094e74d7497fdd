//! From a pledge's voucher request to a voucher (RFC 8995 §5.2–§5.6).
//!
//! An exchange is known by the SHA-256 of the pledge's request: a retry gets what is stored, after policy was asked again.
//! The registrar's request is stored before it is sent, so a restarted registrar asks the MASA with the same bytes.

use brski_voucher::artefact::{PledgeRequest, Voucher};
use brski_voucher::idevid::MasaUrl;
use brski_voucher::registrar;
use brski_voucher::signature::SignError;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::{Unverified, Verified};

use super::peer::Idevid;
use super::refusal::Refusal;
use super::{Decision, Visit};
use crate::clock::unix_time;
use crate::identity::live::Identities;
use crate::masa::client::{MasaAnswer, MasaError};
use crate::policy::admission::Admitted;
use crate::store::Change;
use crate::store::model::{
    ApprovalReason, DeviceState, Event, Id, Millis, Sha256, Verdict, VoucherExchange, VoucherState,
};

/// The media type of voucher requests and vouchers (RFC 8366 §8.3).
pub const MEDIA_TYPE: &str = brski_voucher::media_type::VOUCHER_CMS;
/// When a pledge should come back while its MASA cannot be reached, in seconds.
const MASA_RETRY_SECS: u32 = 30;
/// The longest wait that a pledge is asked for, in seconds (RFC 8995 §5.6).
const PLEDGE_WAIT_SECS: u32 = 60;
/// The longest text of a MASA that is passed on, in characters.
const MASA_TEXT_CHARACTERS: usize = 300;

/// Reads a pledge's request and checks everything that RFC 8995 §5.2 and §5.5 ask of it.
///
/// `own`: the certificates of this registrar; the pledge may have seen an earlier one of the same key.
///
/// # Errors
/// The refusal of the first check that fails: syntax, signature, serial number, assertion, proximity.
pub fn read(
    content: &[u8],
    idevid: &Idevid,
    own: &Identities,
) -> Result<Verified<PledgeRequest>, Refusal> {
    let request = Unverified::<PledgeRequest>::parse(content)
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
    let text = idevid
        .manufacturer
        .row
        .masa_url
        .as_deref()
        .or_else(|| idevid.certificate.masa_url_extension())
        .ok_or_else(|| Refusal::MasaUnusable {
            reason:
                "the IDevID names no MASA; set one with 'registrar manufacturer add --masa-url'"
                    .to_owned(),
        })?;
    MasaUrl::parse(text).map_err(|error| Refusal::MasaUnusable { reason: error.to_string() })
}

/// Builds and signs the registrar's own request (RFC 8995 §5.5), with the certificate that the pledge saw.
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
    registrar::registrar_request_fields(request, &idevid.certificate, &idevid.serial, at)
        .sign(identity.signer(), identity.signing_chain(), at)
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
        pledge_request: request.bytes().to_vec(),
        registrar_request,
        state: VoucherState::Asked,
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

/// What becomes of an exchange, and what the pledge gets.
#[derive(Debug)]
pub struct Outcome {
    /// What to write first.
    pub decision: Decision,
    /// The voucher as received, or why there is none.
    pub reply: Result<Vec<u8>, Refusal>,
}

/// Judges the MASA's answer.
#[must_use]
pub fn receive(
    visit: &Visit,
    idevid: &Idevid,
    admitted: &Admitted,
    exchange: &VoucherExchange,
    identities: &Identities,
    answer: Result<MasaAnswer, MasaError>,
) -> Outcome {
    match voucher(answer).and_then(|bytes| check(visit, idevid, exchange, identities, bytes)) {
        Ok(Checked { bytes, events }) => issued(visit, admitted, exchange, bytes, events),
        Err(refusal) if is_end(&refusal) => Outcome {
            decision: Decision {
                changes: vec![Change::SetVoucherState {
                    exchange: exchange.id.clone(),
                    state: VoucherState::Failed { reason: refusal.detail() },
                    at: visit.now,
                }],
                events: Vec::new(),
            },
            reply: Err(refusal),
        },
        Err(refusal) => Outcome { decision: Decision::default(), reply: Err(refusal) },
    }
}

/// Whether the exchange is over with this refusal, as opposed to: the MASA was not heard.
fn is_end(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::MasaRefused { .. } | Refusal::VoucherUnusable { .. })
}

/// The voucher in an answer; else the refusal that the answer means for the pledge.
fn voucher(answer: Result<MasaAnswer, MasaError>) -> Result<Vec<u8>, Refusal> {
    let answer = answer.map_err(|error| match error.is_permanent() {
        true => Refusal::MasaUnusable { reason: error.to_string() },
        false => unavailable(error.to_string()),
    })?;
    let text = || {
        let text = String::from_utf8_lossy(&answer.body);
        let cleaned = text.chars().map(|each| if each.is_control() { ' ' } else { each });
        cleaned.take(MASA_TEXT_CHARACTERS).collect::<String>().trim().to_owned()
    };
    match answer.status {
        200 => Ok(answer.body.to_vec()),
        202 => {
            let wanted = answer.retry_after_secs.unwrap_or(MASA_RETRY_SECS);
            Err(Refusal::MasaWaiting { retry_after_secs: wanted.clamp(1, PLEDGE_WAIT_SECS) })
        }
        401 => Err(Refusal::MasaUnauthorized { text: text() }),
        500.. => Err(unavailable(format!("it answered {}: {}", answer.status, text()))),
        status => Err(Refusal::MasaRefused { status, text: text() }),
    }
}

fn unavailable(reason: String) -> Refusal {
    Refusal::MasaUnavailable { reason, retry_after_secs: MASA_RETRY_SECS }
}

struct Checked {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// Checks a voucher before it is forwarded: a pledge would refuse it with less to say (RFC 8995 §5.6, transparency).
fn check(
    visit: &Visit,
    idevid: &Idevid,
    exchange: &VoucherExchange,
    identities: &Identities,
    bytes: Vec<u8>,
) -> Result<Checked, Refusal> {
    let unusable = |reason: String| Refusal::VoucherUnusable { reason };
    let time = ValidityTime::At(unix_time(visit.now));
    let request = Unverified::<PledgeRequest>::parse(&exchange.pledge_request)
        .map_err(|error| unusable(error.to_string()))?;
    let voucher =
        Unverified::<Voucher>::parse(&bytes).map_err(|error| unusable(error.to_string()))?;
    let nonce = request.content().nonce();
    let identity = identities.answering(request.content().proximity());
    registrar::check_voucher(voucher.content(), &idevid.serial, nonce, identity.chain(), time)
        .map_err(|refusal| unusable(refusal.to_string()))?;
    let mut events = Vec::new();
    match &idevid.manufacturer.voucher_anchors {
        Some(anchors) => {
            voucher
                .verify_by_anchors(anchors, time)
                .map_err(|error| unusable(error.to_string()))?;
        }
        // The pledge knows its manufacturer's anchor; the registrar need not (RFC 8995 §5.6).
        None => events.push(visit.event(
            "voucher-signer-unknown",
            Verdict::Done,
            "RFC 8995 §5.6",
            Some(&exchange.device),
            "no anchor of the voucher's signer is known; forwarded as received".to_owned(),
        )),
    }
    Ok(Checked { bytes, events })
}

fn issued(
    visit: &Visit,
    admitted: &Admitted,
    exchange: &VoucherExchange,
    bytes: Vec<u8>,
    mut events: Vec<Event>,
) -> Outcome {
    let device = admitted.device();
    let mut changes = vec![Change::SetVoucherState {
        exchange: exchange.id.clone(),
        state: VoucherState::Issued { voucher: bytes.clone() },
        at: visit.now,
    }];
    if device.state == DeviceState::Admitted {
        changes.push(Change::MoveDevice {
            device: device.id.clone(),
            state: DeviceState::Vouchered,
            at: visit.now,
        });
    }
    let detail = format!("voucher of {} octets", bytes.len());
    let clause = "RFC 8995 §5.6";
    events.push(visit.event("voucher-issued", Verdict::Done, clause, Some(&device.id), detail));
    Outcome { decision: Decision { changes, events }, reply: Ok(bytes) }
}
