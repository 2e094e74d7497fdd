//! An event as whoever is told of it gets it.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::store::model::{Id, KnownDevice, Millis, StoredEvent};

/// The JSON object. `node` and `seq` together name an event once and for all, so that a receiver can tell a repetition.
#[derive(Debug, Serialize)]
struct Message<'a> {
    node: &'a str,
    seq: i64,
    time: String,
    kind: &'a str,
    verdict: &'a str,
    device: Option<&'a str>,
    device_name: Option<&'a str>,
    device_serial: Option<&'a str>,
    peer: &'a str,
    clause: &'a str,
    detail: &'a str,
    correlation: &'a str,
}

/// The message of an event. `known`: its device, where it has one.
pub(super) fn text(event: &StoredEvent, known: Option<&KnownDevice>) -> String {
    let message = Message {
        node: &event.node,
        seq: event.seq,
        time: moment(event.time),
        kind: &event.kind,
        verdict: &event.verdict,
        device: event.device.as_ref().map(Id::as_str),
        device_name: known.and_then(|known| known.device.name.as_deref()),
        device_serial: known.and_then(|known| known.identity.serial()),
        peer: &event.peer,
        clause: &event.clause,
        detail: &event.detail,
        correlation: &event.correlation,
    };
    // Texts and numbers alone always become JSON.
    serde_json::to_string(&message).unwrap_or_default()
}

/// RFC 3339 in UTC, to the millisecond.
fn moment(at: Millis) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0).saturating_mul(1_000_000))
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.0.to_string())
}
