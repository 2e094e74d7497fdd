//! The one line of the log that each decision gets.

use tracing::{debug, info};

use crate::store::model::{Event, Id, Verdict};

/// Tells a decision that was written.
pub fn tell(event: &Event) {
    info!(
        kind = event.kind,
        verdict = event.verdict.as_str(),
        device = event.device.as_ref().map(Id::as_str),
        peer = event.peer.as_str(),
        clause = event.clause,
        detail = event.detail.as_str(),
        correlation = event.correlation.as_str(),
        "decision",
    );
}

/// Tells a decision that leaves no event: a client waits on, or a scanner knocks, which is worth no operator's time.
pub fn tell_unwritten(event: &Event) {
    if event.verdict == Verdict::Waiting {
        return tell(event);
    }
    debug!(
        kind = event.kind,
        verdict = event.verdict.as_str(),
        peer = event.peer.as_str(),
        detail = event.detail.as_str(),
        correlation = event.correlation.as_str(),
        "decision without an event",
    );
}
