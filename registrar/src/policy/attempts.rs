//! How often somebody may fail to prove who they are before nobody listens for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use crate::store::model::Millis;

/// How many failures bar somebody.
const MOST: u32 = 10;
/// For how long failures are remembered, in milliseconds.
const WINDOW_MILLIS: i64 = 60_000;
/// How many that failed are remembered; above it the oldest are forgotten first.
const KEYS: usize = 10_000;

/// Failures by whoever failed: an address, or a name and an address.
#[derive(Debug)]
pub struct Attempts<K> {
    failures: Mutex<HashMap<K, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    number: u32,
    since: Millis,
}

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Self { failures: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone> Attempts<K> {
    /// Whether `key` failed too often within the last minute.
    #[must_use]
    pub fn is_barred(&self, key: &K, now: Millis) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(key).is_some_and(|each| each.number >= MOST && is_recent(each, now))
    }

    /// Notes that `key` failed.
    pub fn failed(&self, key: K, now: Millis) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= KEYS && !failures.contains_key(&key) {
            failures.retain(|_, each| is_recent(each, now));
            let oldest = failures.iter().min_by_key(|(_, each)| each.since);
            let oldest = oldest.map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| failures.len() >= KEYS) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(key).or_insert(Failures { number: 0, since: now });
        if !is_recent(entry, now) {
            *entry = Failures { number: 0, since: now };
        }
        entry.number = entry.number.saturating_add(1);
    }
}

fn is_recent(failures: &Failures, now: Millis) -> bool {
    now < failures.since.plus(WINDOW_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_after_ten_failures_and_for_a_minute() {
        let attempts = Attempts::default();
        for _ in 0..9 {
            attempts.failed("a", Millis(0));
        }
        assert!(!attempts.is_barred(&"a", Millis(1)));
        attempts.failed("a", Millis(10));
        assert!(attempts.is_barred(&"a", Millis(59_999)));
        assert!(!attempts.is_barred(&"b", Millis(59_999)));
        assert!(!attempts.is_barred(&"a", Millis(60_000)));
        attempts.failed("a", Millis(60_000));
        assert!(!attempts.is_barred(&"a", Millis(60_001)));
    }

    #[test]
    fn remembers_no_more_than_it_may() {
        let attempts = Attempts::default();
        for key in 0..KEYS + 100 {
            attempts.failed(key, Millis(1));
        }
        assert!(attempts.failures.lock().unwrap().len() <= KEYS);
    }
}
