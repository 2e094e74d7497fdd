//! The MASA's audit log: one event for each voucher that it signed (RFC 8995 §5.8).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use brski_voucher::audit::DomainId;
use brski_voucher::certificate::Certificate;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::options::LogNumbers;

/// What was signed, by serial number.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: Mutex<HashMap<String, Vec<Value>>>,
}

impl Log {
    /// Notes a voucher.
    pub(super) fn note(
        &self,
        serial: &str,
        pinned: &Certificate,
        nonce: Option<String>,
        assertion: &str,
        at: UnixTime,
    ) {
        let event = json!({
            "date": date(at),
            "domainID": DomainId::of(pinned).to_string(),
            "nonce": nonce,
            "assertion": assertion,
        });
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.entry(serial.to_owned()).or_default().push(event);
    }

    /// The log of a device, if it ever had an owner.
    pub(super) fn of(&self, serial: &str, numbers: LogNumbers) -> Option<Value> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let events = events.get(serial)?;
        // The RFC's own example has numbers as strings; its grammar has numbers.
        let version = match numbers {
            LogNumbers::Strings => json!("1"),
            LogNumbers::Numbers => json!(1),
        };
        Some(json!({ "version": version, "events": events, "truncation": { "arbitrary": 0 } }))
    }
}

fn date(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}
