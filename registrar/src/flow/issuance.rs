//! From a MASA's answer to a voucher that may go to the pledge (RFC 8995 §5.6).
//!
//! A voucher that the pledge would refuse is not forwarded: the pledge could say less about it than is known here.
//! A failed voucher closes EST until a new one succeeds.

use brski_voucher::artefact::{PledgeRequest, Voucher};
use brski_voucher::encoding::Encoding;
use brski_voucher::registrar;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;

use super::peer::Idevid;
use super::refusal::Refusal;
use super::{Decision, Visit};
use crate::clock::unix_time;
use crate::identity::live::Identities;
use crate::masa::client::MasaAnswer;
use crate::masa::error::{MasaError, Remedy};
use crate::observe::log::with_sources;
use crate::policy::admission::Admitted;
use crate::policy::audit::NoncelessVouchers;
use crate::store::Change;
use crate::store::model::{
    AuditTiming, Device, DeviceState, Event, Millis, Verdict, VoucherExchange, VoucherState,
};

/// When a pledge should come back while its MASA cannot be reached, in seconds.
pub const MASA_RETRY_SECS: u32 = 30;
/// The longest wait that a pledge is asked for, in seconds (RFC 8995 §5.6).
const PLEDGE_WAIT_SECS: u32 = 60;
/// The longest text of a MASA that is passed on, in characters.
const MASA_TEXT_CHARACTERS: usize = 300;

/// What becomes of an exchange, and what the pledge gets.
#[derive(Debug)]
pub struct Outcome {
    /// What to write first.
    pub decision: Decision,
    /// The voucher as received, or why there is none.
    pub reply: Result<Vec<u8>, Refusal>,
}

/// What a voucher is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The pledge.
    pub idevid: &'a Idevid,
    /// This registrar, which the voucher must pin.
    pub identities: &'a Identities,
    /// Whether it may be one without a nonce.
    pub nonceless: NoncelessVouchers,
    /// When the device's audit log is judged: before that the voucher opens nothing.
    pub timing: AuditTiming,
}

impl Terms<'_> {
    /// Judges the MASA's answer.
    #[must_use]
    pub fn receive(
        &self,
        visit: &Visit,
        admitted: &Admitted,
        exchange: &VoucherExchange,
        answer: Result<MasaAnswer, MasaError>,
    ) -> Outcome {
        let checked =
            voucher(answer, exchange.encoding).and_then(|bytes| self.check(visit, exchange, bytes));
        match checked {
            Ok(checked) => self.issued(visit, admitted, exchange, checked),
            Err(refusal) if is_end(&refusal) => {
                let decision = failed(visit, admitted.device(), exchange, refusal.detail());
                Outcome { decision, reply: Err(refusal) }
            }
            Err(refusal) => Outcome { decision: Decision::default(), reply: Err(refusal) },
        }
    }

    /// Takes a voucher without a nonce that was fetched before, if it still passes every check.
    #[must_use]
    pub fn fetched_ahead(
        &self,
        visit: &Visit,
        admitted: &Admitted,
        exchange: &VoucherExchange,
        voucher: &[u8],
    ) -> Option<Outcome> {
        let mut checked = self.check(visit, exchange, voucher.to_vec()).ok()?;
        checked.events.push(visit.event(
            "voucher-from-store",
            Verdict::Done,
            "RFC 8995 §5.5.4",
            Some(&exchange.device),
            "the MASA is away; the voucher was fetched ahead".to_owned(),
        ));
        Some(self.issued(visit, admitted, exchange, checked))
    }

    /// Checks a voucher before it is forwarded (RFC 8995 §5.6, transparency).
    fn check(
        &self,
        visit: &Visit,
        exchange: &VoucherExchange,
        bytes: Vec<u8>,
    ) -> Result<Checked, Refusal> {
        let Self { idevid, identities, .. } = self;
        let unusable = |reason: String| Refusal::VoucherUnusable { reason };
        let time = ValidityTime::At(unix_time(visit.now));
        let (encoding, strictness) =
            (exchange.encoding, idevid.manufacturer.row.masa.dialect.strictness());
        let request =
            Unverified::<PledgeRequest>::parse_as(&exchange.pledge_request, encoding, strictness)
                .map_err(|error| unusable(error.to_string()))?;
        let voucher = Unverified::<Voucher>::parse_as(&bytes, encoding, strictness)
            .map_err(|error| unusable(error.to_string()))?;
        let nonce = request.content().nonce();
        let identity = identities.answering(request.content().proximity());
        registrar::check_voucher(voucher.content(), &idevid.serial, nonce, identity.chain(), time)
            .map_err(|refusal| unusable(refusal.to_string()))?;
        if voucher.content().nonce().is_none() {
            self.check_nonceless(voucher.content(), visit.now)?;
        }
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

    /// A voucher without a nonce answers any request, so it must be one that the operator takes, and not be over.
    fn check_nonceless(&self, voucher: &Voucher, now: Millis) -> Result<(), Refusal> {
        let unusable = |reason: &str| Refusal::VoucherUnusable { reason: reason.to_owned() };
        if self.nonceless == NoncelessVouchers::Refuse {
            return Err(unusable("it has no nonce, and policy.nonceless is \"refuse\""));
        }
        match voucher.expires_on() {
            Some(end) if end.seconds() <= now.seconds() => Err(unusable("it has ended already")),
            _ => Ok(()),
        }
    }

    fn issued(
        &self,
        visit: &Visit,
        admitted: &Admitted,
        exchange: &VoucherExchange,
        checked: Checked,
    ) -> Outcome {
        let Checked { bytes, mut events } = checked;
        let device = admitted.device();
        let mut changes = vec![Change::SetVoucherState {
            exchange: exchange.id.clone(),
            state: VoucherState::Issued { voucher: bytes.clone() },
            at: visit.now,
        }];
        // Where the audit log comes first, it opens EST, and it says that the voucher goes out.
        if self.timing != AuditTiming::BeforeVoucher {
            changes.extend(open(visit, device));
            events.push(issued_event(visit, exchange, &bytes));
        }
        Outcome { decision: Decision { changes, events }, reply: Ok(bytes) }
    }
}

/// Whether the exchange is over with this refusal, as opposed to: the MASA was not heard.
fn is_end(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::MasaRefused { .. } | Refusal::VoucherUnusable { .. })
}

/// Ends an exchange without a voucher, and closes EST.
#[must_use]
pub fn failed(
    visit: &Visit,
    device: &Device,
    exchange: &VoucherExchange,
    reason: String,
) -> Decision {
    let mut changes = vec![Change::SetVoucherState {
        exchange: exchange.id.clone(),
        state: VoucherState::Failed { reason },
        at: visit.now,
    }];
    changes.extend(close(visit, device));
    Decision { changes, events: Vec::new() }
}

/// Closes EST to a device until a new voucher succeeds.
#[must_use]
pub fn close(visit: &Visit, device: &Device) -> Option<Change> {
    let is_open = matches!(device.state, DeviceState::Vouchered | DeviceState::Enrolled);
    let state = DeviceState::Admitted;
    is_open.then(|| Change::MoveDevice { device: device.id.clone(), state, at: visit.now })
}

/// Opens EST to a device, since its voucher succeeded.
#[must_use]
pub fn open(visit: &Visit, device: &Device) -> Option<Change> {
    let state = DeviceState::Vouchered;
    let is_closed = device.state == DeviceState::Admitted;
    is_closed.then(|| Change::MoveDevice { device: device.id.clone(), state, at: visit.now })
}

/// The body of an answer with the status 200; else the refusal that the answer means for the pledge.
///
/// # Errors
/// [`Refusal::MasaUnusable`], [`Refusal::MasaUnavailable`], [`Refusal::MasaWaiting`], [`Refusal::MasaUnauthorized`],
/// [`Refusal::MasaRefused`], [`Refusal::VoucherUnusable`], [`Refusal::Internal`].
pub fn success(answer: Result<MasaAnswer, MasaError>) -> Result<MasaAnswer, Refusal> {
    let answer = answer.map_err(|error| {
        let reason = with_sources(&error);
        match error.remedy() {
            Remedy::Time => unavailable(reason),
            Remedy::Operator => Refusal::MasaUnusable { reason },
            // Where our files are is nobody's business.
            Remedy::Administrator => Refusal::Internal { reason },
            Remedy::Masa => Refusal::VoucherUnusable { reason },
        }
    })?;
    match answer.status {
        200 => Ok(answer),
        202 => {
            let wanted = answer.retry_after_secs.unwrap_or(MASA_RETRY_SECS);
            Err(Refusal::MasaWaiting { retry_after_secs: wanted.clamp(1, PLEDGE_WAIT_SECS) })
        }
        401 => Err(Refusal::MasaUnauthorized { text: text(&answer) }),
        500.. => Err(unavailable(format!("it answered {}: {}", answer.status, text(&answer)))),
        status => Err(Refusal::MasaRefused { status, text: text(&answer) }),
    }
}

/// What the MASA says in words, cut and cleaned.
fn text(answer: &MasaAnswer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let cleaned = text.chars().map(|each| if each.is_control() { ' ' } else { each });
    cleaned.take(MASA_TEXT_CHARACTERS).collect::<String>().trim().to_owned()
}

fn unavailable(reason: String) -> Refusal {
    Refusal::MasaUnavailable { reason, retry_after_secs: MASA_RETRY_SECS }
}

/// The voucher in an answer, which must be of the media type that was asked for.
pub(super) fn voucher(
    answer: Result<MasaAnswer, MasaError>,
    encoding: Encoding,
) -> Result<Vec<u8>, Refusal> {
    let answer = success(answer)?;
    // Of CMS there are two kinds, and one media type.
    let media_type = Encoding::of_media_type(&answer.content_type).map(Encoding::media_type);
    if media_type != Some(encoding.media_type()) {
        let received: String = answer.content_type.chars().take(MASA_TEXT_CHARACTERS).collect();
        let reason = format!("it came as {received:?}, not as {:?}", encoding.media_type());
        return Err(Refusal::VoucherUnusable { reason });
    }
    Ok(answer.body.to_vec())
}

struct Checked {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// The event of a voucher that goes to the pledge.
pub(super) fn issued_event(visit: &Visit, exchange: &VoucherExchange, voucher: &[u8]) -> Event {
    let detail = format!("voucher of {} octets in {}", voucher.len(), exchange.encoding.as_str());
    let device = Some(&exchange.device);
    visit.event("voucher-issued", Verdict::Done, "RFC 8995 §5.6", device, detail)
}

/// The voucher as the pledge must get it: as received, but for COSE without the certificates beside the signature
/// (draft-ietf-anima-constrained-voucher §6.8).
///
/// # Errors
/// [`Refusal::Internal`] if what is stored cannot be read any more.
pub fn for_pledge(
    bytes: &[u8],
    exchange: &VoucherExchange,
    idevid: &Idevid,
) -> Result<Vec<u8>, Refusal> {
    if exchange.encoding != Encoding::Cose {
        return Ok(bytes.to_vec());
    }
    let strictness = idevid.manufacturer.row.masa.dialect.strictness();
    Unverified::<Voucher>::parse_as(bytes, exchange.encoding, strictness)
        .map(|voucher| voucher.for_pledge())
        .map_err(|error| Refusal::Internal { reason: format!("the stored voucher: {error}") })
}
