//! Vouchers without a nonce, fetched ahead for when a MASA cannot be reached (RFC 8995 §3.1, §5.5, §7.3).
//!
//! Each is asked for by a request of the registrar's alone, kept with its end, and renewed before that by a new request,
//! which carries the old voucher (RFC 8995 §5.5.1, draft-ietf-anima-rfc8366bis §10.1).
//! A voucher that pins the registrar's own certificate would end with it, so with `pin = "ee"` there are none.

use brski_voucher::artefact::{RegistrarRequest, RegistrarRequestFields, Voucher};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::{self, SerialNumber};
use brski_voucher::registrar;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::Unverified;

use super::Visit;
use super::issuance;
use super::refusal::Refusal;
use crate::clock::unix_time;
use crate::identity::RegistrarIdentity;
use crate::masa::client::MasaAnswer;
use crate::masa::error::MasaError;
use crate::policy::manufacturers::KnownManufacturer;
use crate::store::model::{Event, Millis, NoncelessVoucher, Verdict};

/// How long the MASA is left alone after the first failure, and at most, in milliseconds.
const PAUSE_MILLIS: i64 = 60_000;
const PAUSE_MOST_MILLIS: i64 = 3_600_000;
/// The end of times, for what need not be renewed.
const NEVER: Millis = Millis(i64::MAX);

/// The device that a voucher is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its manufacturer.
    pub manufacturer: &'a KnownManufacturer,
    /// Its serial number.
    pub serial: &'a SerialNumber,
    /// Its IDevID, if it was seen.
    pub idevid: Option<&'a Certificate>,
}

/// The idevid-issuer of a device: of its IDevID where that was seen, else the manufacturer's first anchor's key.
///
/// `issuer`: the CA that issues the manufacturer's IDevIDs, where that is not an anchor.
#[must_use]
pub fn idevid_issuer(idevid: Option<&Certificate>, issuer: &Certificate) -> Vec<u8> {
    match idevid {
        Some(idevid) => idevid::issuer(idevid),
        None => idevid::issuer_of(issuer),
    }
}

/// Builds and signs a request without a nonce.
///
/// `prior`: the voucher that is renewed, as received; it tells the MASA that this domain owned the device before.
///
/// # Errors
/// [`Refusal::Internal`] if the registrar's key does not sign.
pub fn request(
    identity: &RegistrarIdentity,
    subject: Subject<'_>,
    idevid_issuer: Vec<u8>,
    encoding: Encoding,
    prior: Option<Vec<u8>>,
    now: Millis,
) -> Result<Vec<u8>, Refusal> {
    let at = unix_time(now);
    let mut chain = identity.signing_chain().to_vec();
    if encoding == Encoding::Cose {
        chain.extend(subject.idevid.cloned());
    }
    let fields = RegistrarRequestFields {
        assertion: None,
        serial_number: subject.serial.clone(),
        nonce: None,
        created_on: at,
        idevid_issuer,
        prior_signed_voucher_request: prior,
    };
    let written = subject.manufacturer.row.masa.dialect.written(encoding);
    fields
        .sign_as(written, identity.signer(), &chain, at)
        .map_err(|error| Refusal::Internal { reason: format!("voucher request: {error}") })
}

/// The idevid-issuer in an earlier request, for the next one.
#[must_use]
pub fn issuer_in(row: &NoncelessVoucher) -> Option<Vec<u8>> {
    last_request(row).and_then(|request| request.content().idevid_issuer().map(<[u8]>::to_vec))
}

/// Whether the MASA is asked once more, without the old voucher.
///
/// RFC 8995 §5.5.5 knows a pledge's request in its place alone: a MASA that goes by that may refuse a renewal
/// for what it carries. What says something of the device, of the registrar, or of the time, is no such refusal.
#[must_use]
pub fn takes_no_prior(row: &NoncelessVoucher, answer: &Result<MasaAnswer, MasaError>) -> bool {
    let is_refused = answer.as_ref().is_ok_and(|answer| {
        (400..500).contains(&answer.status) && !matches!(answer.status, 401 | 404 | 408 | 429)
    });
    is_refused
        && last_request(row)
            .is_some_and(|request| request.content().prior_signed_voucher_request().is_some())
}

fn last_request(row: &NoncelessVoucher) -> Option<Unverified<RegistrarRequest>> {
    let request = &row.registrar_request;
    Unverified::<RegistrarRequest>::parse_as(request, row.encoding, Strictness::Standard).ok()
}

/// Judges what the MASA gave: the row as it is from now on, and what the trail says.
///
/// `answer`: or why it could not be asked.
#[must_use]
pub fn receive(
    visit: &Visit,
    row: NoncelessVoucher,
    subject: Subject<'_>,
    identity: &RegistrarIdentity,
    answer: Result<Result<MasaAnswer, MasaError>, Refusal>,
) -> (NoncelessVoucher, Event) {
    let now = visit.now;
    let device = row.device.clone();
    let checked = answer
        .and_then(|answer| issuance::voucher(answer, row.encoding))
        .and_then(|bytes| check(now, &row, subject, identity, bytes));
    match checked {
        Ok((voucher, expires_at)) => {
            let detail = match expires_at {
                Some(end) => format!("it holds for {} seconds", (end.0 - now.0) / 1000),
                None => "it does not end".to_owned(),
            };
            let due = expires_at.map_or(NEVER, |end| now.plus((end.0 - now.0) / 3 * 2));
            let row = NoncelessVoucher {
                voucher: Some(voucher),
                expires_at,
                attempts: 0,
                due,
                problem: None,
                updated_at: now,
                ..row
            };
            let kind = "voucher-fetched-ahead";
            (row, visit.event(kind, Verdict::Done, "RFC 8995 §5.5.4", Some(&device), detail))
        }
        Err(refusal) => {
            let problem = refusal.detail();
            let attempts = row.attempts.saturating_add(1);
            let row = NoncelessVoucher {
                attempts,
                due: now.plus(pause(&refusal, attempts)),
                problem: Some(problem.clone()),
                updated_at: now,
                ..row
            };
            let (kind, verdict) = ("voucher-not-fetched", Verdict::Failed);
            (row, visit.event(kind, verdict, "RFC 8995 §5.5.4", Some(&device), problem))
        }
    }
}

/// How long the MASA is left alone: as long as it asks, else longer each time.
fn pause(refusal: &Refusal, attempts: u32) -> i64 {
    match refusal {
        Refusal::MasaWaiting { retry_after_secs } => i64::from(*retry_after_secs) * 1000,
        _ => {
            let doubled = 1_i64.checked_shl(attempts.saturating_sub(1)).unwrap_or(i64::MAX);
            PAUSE_MILLIS.saturating_mul(doubled).clamp(PAUSE_MILLIS, PAUSE_MOST_MILLIS)
        }
    }
}

/// Checks a voucher without a nonce; gives it with its end.
fn check(
    now: Millis,
    row: &NoncelessVoucher,
    subject: Subject<'_>,
    identity: &RegistrarIdentity,
    bytes: Vec<u8>,
) -> Result<(Vec<u8>, Option<Millis>), Refusal> {
    let unusable = |reason: String| Refusal::VoucherUnusable { reason };
    let time = ValidityTime::At(unix_time(now));
    let strictness = subject.manufacturer.row.masa.dialect.strictness();
    let voucher = Unverified::<Voucher>::parse_as(&bytes, row.encoding, strictness)
        .map_err(|error| unusable(error.to_string()))?;
    registrar::check_voucher(voucher.content(), subject.serial, None, identity.chain(), time)
        .map_err(|refusal| unusable(refusal.to_string()))?;
    let end = voucher.content().expires_on().map(|end| Millis(end.seconds().saturating_mul(1000)));
    if end.is_some_and(|end| end <= now) {
        return Err(unusable("it has ended already".to_owned()));
    }
    if let Some(anchors) = &subject.manufacturer.voucher_anchors {
        voucher.verify_by_anchors(anchors, time).map_err(|error| unusable(error.to_string()))?;
    }
    Ok((bytes, end))
}
