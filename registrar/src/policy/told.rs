//! What was told a moment ago needs not be told again: one event for a state that many requests meet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::model::Millis;

/// For how long something counts as told, in milliseconds.
const WINDOW_MILLIS: i64 = 10 * 60_000;
/// How many things are remembered; above it everything is told.
const THINGS: usize = 10_000;

/// What was told when.
#[derive(Debug, Default)]
pub struct Told {
    when: Mutex<HashMap<String, Millis>>,
}

impl Told {
    /// Whether `thing` was not told within the last ten minutes; from now on it was.
    #[must_use]
    pub fn is_new(&self, thing: &str, now: Millis) -> bool {
        let mut when = self.when.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Millis| now < at.plus(WINDOW_MILLIS);
        if when.get(thing).is_some_and(is_recent) {
            return false;
        }
        if when.len() >= THINGS {
            when.retain(|_, at| is_recent(at));
        }
        if when.len() < THINGS {
            when.insert(thing.to_owned(), now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_thing_once_in_ten_minutes() {
        let told = Told::default();
        assert!(told.is_new("a", Millis(0)));
        assert!(!told.is_new("a", Millis(599_999)));
        assert!(told.is_new("b", Millis(599_999)));
        assert!(told.is_new("a", Millis(600_000)));
        assert!(!told.is_new("a", Millis(600_001)));
    }

    #[test]
    fn remembers_no_more_than_it_may() {
        let told = Told::default();
        for thing in 0..THINGS + 10 {
            assert!(told.is_new(&thing.to_string(), Millis(1)));
        }
        assert_eq!(told.when.lock().unwrap().len(), THINGS);
        // Nothing is kept back for want of room.
        assert!(told.is_new("more", Millis(2)) && told.is_new("more", Millis(3)));
    }
}
