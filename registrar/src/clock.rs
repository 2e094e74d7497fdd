//! The one caller of the clock in this program; everything else is told the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acme_bridge::Clock;
use rustls_pki_types::UnixTime;

use crate::store::model::Millis;

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
            .unwrap_or(0)
    }
}

/// The same point in time as certificate verification wants it; a time before 1970 counts as 1970.
#[must_use]
pub fn unix_time(at: Millis) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.seconds()).unwrap_or(0)))
}
