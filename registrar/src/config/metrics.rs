//! The section `[metrics]`: how often what is counted in the store.

use std::time::Duration;

use super::raw;
use super::reader::Reader;
use crate::observe::survey::Intervals;

/// The longest time between two counts, in seconds.
const LONGEST_SECS: u32 = 24 * 3600;

impl Reader {
    pub(super) fn metrics(&mut self, metrics: &raw::Metrics) -> Intervals {
        let mut seconds = |key: &str, value: u32| {
            let seconds = self.bounded(&format!("metrics.{key}"), value, 1, LONGEST_SECS);
            Duration::from_secs(u64::from(seconds))
        };
        Intervals {
            queues: seconds("queues_secs", metrics.queues_secs),
            certificates: seconds("certificates_secs", metrics.certificates_secs),
        }
    }
}
