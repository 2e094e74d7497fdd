//! Asks policy about a device that wants to join: brings it the facts, and puts the question to a person where it says so.

use std::ops::ControlFlow;

use tokio::sync::OwnedMutexGuard;
use tracing::debug;

use super::app::{App, Refused};
use crate::config::DEFAULT_PROFILE;
use crate::entropy::row_id;
use crate::flow::peer::Idevid;
use crate::flow::refusal::Refusal;
use crate::flow::{Decision, Visit, voucher};
use crate::policy::admission::{
    Admission, Applicant, Case, Entry, Placement, decide, key_digest, still_allowed,
    still_allowed_to_renew,
};
use crate::policy::quota::{Holder, Spent, Wish};
use crate::policy::waiting::{Room, forget, room};
use crate::store::model::{KnownDevice, Sha256, Verdict};
use crate::store::{Change, Conflict, StoreError};

/// How often a request is decided that others overtake: another one of the same device, or of another node.
const ATTEMPTS: u32 = 8;
/// When a device should come back for which there is no room among those that wait, in seconds.
const FULL_RETRY_SECS: u32 = 60;

/// How often a request was decided, since another one was quicker: the store takes what was decided only while that
/// still fits.
#[derive(Debug)]
pub(super) struct Attempts {
    wish: Wish,
    done: u32,
}

impl Attempts {
    /// None yet for this wish.
    pub(super) fn new(wish: Wish) -> Self {
        Self { wish, done: 0 }
    }

    /// Whether what came of an attempt is the end of it, or to look again at what is known and to decide anew.
    pub(super) fn judge<T>(
        &mut self,
        outcome: Result<T, Refused>,
    ) -> ControlFlow<Result<T, Refused>> {
        let Err(Refused { refusal: Refusal::Store(StoreError::Conflict(conflict)), .. }) = &outcome
        else {
            return ControlFlow::Break(outcome);
        };
        self.done += 1;
        debug!(?conflict, attempt = self.done, "another request was quicker");
        match conflict {
            _ if self.done < ATTEMPTS => ControlFlow::Continue(()),
            Conflict::Quota => ControlFlow::Break(Err(overtaken(self.wish).into())),
            _ => ControlFlow::Break(outcome),
        }
    }
}

/// Looks whether a device is still what a decision stood on that came to nothing.
///
/// `known`: the device as it was when that was decided; a name that is not free, say, may be its own by now.
///
/// # Errors
/// [`Refusal::Store`] with this conflict, if another request let the device in meanwhile.
pub(super) async fn expect_same(
    app: &App,
    idevid: &Idevid,
    known: Option<&KnownDevice>,
    conflict: Conflict,
) -> Result<(), Refused> {
    match stored(app, idevid).await?.as_ref() == known {
        true => Ok(()),
        false => Err(StoreError::Conflict(conflict).into()),
    }
}

/// The stored device of an IDevID.
pub(super) async fn stored(app: &App, idevid: &Idevid) -> Result<Option<KnownDevice>, StoreError> {
    let manufacturer = &idevid.manufacturer.row.id;
    app.store.device_by_serial(manufacturer, idevid.serial.as_str()).await
}

/// The ways in which a device may be let in now: the first one whose name is free.
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    /// Whether it was never let in before.
    pub(super) is_new: bool,
}

/// Asks whether a device may join. Where a person must say so, the question is written, and the device told to wait.
pub(super) async fn entries(
    app: &App,
    visit: &Visit,
    idevid: &Idevid,
    known: Option<KnownDevice>,
) -> Result<Entries, Refused> {
    match admission(app, visit, idevid, known).await? {
        Admission::Known(admitted) => {
            let entry = Entry { admitted: *admitted, changes: Vec::new() };
            Ok(Entries { entries: vec![entry], is_new: false })
        }
        Admission::New(entries) => Ok(Entries { entries, is_new: true }),
        Admission::Ask { device, changes, reason, refusal } => {
            match reason {
                None => app.commit(Decision { changes, events: Vec::new() }).await?,
                Some(reason) => {
                    let event = voucher::approval_event(visit, &device, idevid, reason);
                    ask(app, visit, idevid, Decision { changes, events: vec![event] }).await?;
                }
            }
            Err(Refused::of(&device, refusal))
        }
    }
}

/// Puts a new question to a person, if there is room for one; whoever stopped asking makes room.
async fn ask(
    app: &App,
    visit: &Visit,
    idevid: &Idevid,
    mut decision: Decision,
) -> Result<(), Refused> {
    let manufacturer = &idevid.manufacturer.row.id;
    let thing = format!("approvals of manufacturer {manufacturer}");
    // Counted and written by one request at a time, so that no more wait than may.
    let _one_at_a_time = app.locks.lock(Sha256::of(thing.as_bytes())).await;
    let waiting = app.store.waiting_devices(manufacturer).await?;
    let number = waiting.number;
    let full = Refusal::TooManyWaiting { waiting: number, retry_after_secs: FULL_RETRY_SECS };
    let limits = app.config.load().policy.approval;
    match room(waiting, limits, visit.now) {
        Room::Free => {}
        Room::InsteadOf(silent) => {
            // Last of all: a device that asks with another key as well is still asked about.
            decision.changes.push(forget(&silent));
            let device = Some(&silent.device);
            let detail = "it stopped asking, and others ask".to_owned();
            let clause = "RFC 8995 §5.3";
            decision.events.insert(
                0,
                visit.event("approval-forgotten", Verdict::Done, clause, device, detail),
            );
        }
        Room::None => return Err(app.refused_once(visit, &thing, full)),
    }
    // Counted again where it is written, since other nodes ask as well. A limit that was lowered pushes nobody out.
    let most = number.max(limits.waiting);
    let manufacturer = manufacturer.clone();
    decision.changes.push(Change::ExpectRoomToWait { manufacturer, most });
    match app.commit(decision).await {
        // The same device asked a moment ago, by another connection or another node.
        Ok(()) | Err(StoreError::Conflict(Conflict::SerialNumber(_) | Conflict::Approval)) => {
            Ok(())
        }
        Err(StoreError::Conflict(Conflict::Waiting)) => Err(app.refused_once(visit, &thing, full)),
        // The silent one spoke again.
        Err(StoreError::Conflict(Conflict::Missing)) => Err(full.into()),
        Err(error) => Err(error.into()),
    }
}

/// What is taken from quotas for one wish; nobody else of this node takes from them while it is held.
pub(super) struct Taken {
    /// What is written together with what was wished for.
    pub(super) changes: Vec<Change>,
    _one_at_a_time: Option<OwnedMutexGuard<()>>,
}

/// Takes one voucher or enrollment from the quotas of a device and its manufacturer.
///
/// # Errors
/// [`Refusal::QuotaSpent`].
pub(super) async fn take(
    app: &App,
    visit: &Visit,
    wish: Wish,
    device: &KnownDevice,
) -> Result<Taken, Refused> {
    let quotas = app.config.load().policy.quotas;
    let id = &device.device.id;
    let buckets = quotas.buckets(wish, id, device.identity.manufacturer());
    let Some(widest) = buckets.widest() else {
        return Ok(Taken { changes: Vec::new(), _one_at_a_time: None });
    };
    let guard = app.locks.lock(Sha256::of(widest.as_bytes())).await;
    let before = app.store.quotas(&buckets.names()).await?;
    match buckets.take(wish, &before, app.now()) {
        Ok(changes) => Ok(Taken { changes, _one_at_a_time: Some(guard) }),
        Err(spent) => {
            let whose = match spent.holder {
                Holder::Device => id.as_str(),
                Holder::Manufacturer => widest,
            };
            let thing = format!("quota of {} for {whose}", wish.plural());
            Err(app.refused_once(visit, &thing, Refusal::QuotaSpent(spent)).about(Some(id)))
        }
    }
}

/// The refusal of a wish whose quota other nodes took from at each attempt.
fn overtaken(wish: Wish) -> Refusal {
    Refusal::QuotaSpent(Spent { holder: Holder::Manufacturer, wish, retry_after_secs: 1 })
}

/// Brings policy the facts that it needs.
async fn admission(
    app: &App,
    visit: &Visit,
    idevid: &Idevid,
    known: Option<KnownDevice>,
) -> Result<Admission, Refused> {
    let question = match &known {
        None => None,
        Some(known) => {
            let key = key_digest(&idevid.certificate);
            app.store.latest_approval(&known.device.id, &key).await?
        }
    };
    let config = app.config.load();
    let applicant = Applicant { idevid, peer: &visit.peer, now: visit.now };
    let case = Case { applicant, known, question };
    let judgement = case.judge(&config.policy.rules);
    let own = case.known.as_ref().map(|known| known.device.profile.as_str());
    let ruled = judgement.rule.and_then(|rule| rule.profile.as_deref());
    // What an operator chose for this very device comes before what a rule says of many.
    let name = own.filter(|name| *name != DEFAULT_PROFILE).or(ruled).or(own);
    let name = name.unwrap_or(DEFAULT_PROFILE).to_owned();
    let profile = &*app.profile(&name)?;
    let template = judgement.rule.and_then(|rule| rule.template.as_deref());
    let placement = Placement {
        profile: &name,
        template: template.unwrap_or(&profile.name),
        zone: &profile.zone,
        site: judgement.rule.and_then(|rule| rule.site.as_deref()),
    };
    Ok(decide(case, judgement, placement, &row_id(visit.now))?)
}

/// Asks the rules about a device that was let in before.
///
/// # Errors
/// The refusal of the rule that keeps it out now.
pub(super) fn ask_again(
    app: &App,
    visit: &Visit,
    idevid: &Idevid,
    known: &KnownDevice,
) -> Result<(), Refused> {
    let applicant = Applicant { idevid, peer: &visit.peer, now: visit.now };
    still_allowed(applicant, known, &app.config.load().policy.rules)
        .map_err(|refusal| Refused::of(&known.device.id, refusal))
}

/// Asks the rules about a device that comes with a certificate of ours, by what is stored of its IDevID.
///
/// # Errors
/// The refusal of the rule that keeps it out now.
pub(super) fn ask_about_renewal(
    app: &App,
    visit: &Visit,
    known: &KnownDevice,
) -> Result<(), Refused> {
    let manufacturers = app.manufacturers.load();
    let manufacturer = known.identity.manufacturer().and_then(|id| manufacturers.by_id(id));
    // A device with a credential has no manufacturer, and no rule speaks of it.
    let Some(manufacturer) = manufacturer else {
        return Ok(());
    };
    let rules = &app.config.load().policy.rules;
    still_allowed_to_renew(known, &manufacturer.row.name, rules, visit.now)
        .map_err(|refusal| Refused::of(&known.device.id, refusal))
}
