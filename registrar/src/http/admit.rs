//! Asks policy about a device that wants to join: brings it the facts, and puts the question to a person where it says so.

use super::app::{App, Refused};
use crate::config::DEFAULT_PROFILE;
use crate::entropy::random_id;
use crate::flow::peer::Idevid;
use crate::flow::{Decision, Visit, voucher};
use crate::policy::admission::{
    Admission, Applicant, Entry, Placement, Unexpected, decide, key_digest,
};
use crate::store::model::KnownDevice;

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
    unexpected: Unexpected,
) -> Result<Entries, Refused> {
    match admission(app, visit, idevid, known, unexpected).await? {
        Admission::Known(admitted) => {
            let entry = Entry { admitted: *admitted, changes: Vec::new() };
            Ok(Entries { entries: vec![entry], is_new: false })
        }
        Admission::New(entries) => Ok(Entries { entries, is_new: true }),
        Admission::Ask { device, changes, reason, refusal } => {
            let event =
                reason.map(|reason| voucher::approval_event(visit, &device, idevid, reason));
            app.commit(Decision { changes, events: event.into_iter().collect() }).await?;
            Err(Refused::of(&device, refusal))
        }
    }
}

/// Brings policy the facts that it needs.
async fn admission(
    app: &App,
    visit: &Visit,
    idevid: &Idevid,
    known: Option<KnownDevice>,
    unexpected: Unexpected,
) -> Result<Admission, Refused> {
    let question = match &known {
        None => None,
        Some(known) => {
            let key = key_digest(&idevid.certificate);
            app.store.latest_approval(&known.device.id, &key).await?
        }
    };
    let name = known.as_ref().map_or(DEFAULT_PROFILE, |known| &known.device.profile).to_owned();
    let profile = &*app.profile(&name)?;
    let placement = Placement { profile: &name, template: &profile.name, zone: &profile.zone };
    let applicant = Applicant { idevid, peer: &visit.peer, now: visit.now };
    Ok(decide(applicant, known, question, unexpected, placement, &random_id())?)
}
