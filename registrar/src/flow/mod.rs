//! What happens when a device asks: facts, a request and the time go in; changes, events and an answer come out.
//!
//! Nothing here waits, reads a clock or touches the store; [`http`](crate::http) brings the facts and carries out
//! what is decided: it commits changes and events together, before any effect and any answer.
//!
//! Order of a bootstrap: [`peer`] → [`voucher`] → [`issuance`] → [`audit`] → [`telemetry`] → [`distribution`] → [`enroll`] → [`telemetry`].

use crate::store::Change;
use crate::store::model::{Event, Id, Millis, Verdict};

pub mod audit;
pub mod distribution;
pub mod enroll;
pub mod fault;
pub mod gate;
pub mod issuance;
pub mod keygen;
pub mod nonceless;
pub mod operator;
pub mod peer;
pub mod refusal;
pub mod telemetry;
pub mod voucher;

/// One request as the trail knows it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When it came.
    pub now: Millis,
    /// The peer: its address, and what it proved.
    pub peer: String,
    /// Ties the events of the request together.
    pub correlation: String,
}

impl Visit {
    /// An event of this visit.
    #[must_use]
    pub fn event(
        &self,
        kind: &'static str,
        verdict: Verdict,
        clause: &'static str,
        device: Option<&Id>,
        detail: String,
    ) -> Event {
        Event {
            time: self.now,
            kind,
            verdict,
            device: device.cloned(),
            peer: self.peer.clone(),
            clause,
            detail,
            correlation: self.correlation.clone(),
        }
    }

    /// The event of a refusal.
    #[must_use]
    pub fn refused(&self, refusal: &refusal::Refusal, device: Option<&Id>) -> Event {
        let (kind, verdict, clause) = (refusal.kind(), refusal.verdict(), refusal.clause());
        self.event(kind, verdict, clause, device, refusal.detail())
    }
}

/// What a step decided: to be committed in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The rows that change.
    pub changes: Vec<Change>,
    /// What the trail says of it.
    pub events: Vec<Event>,
}
