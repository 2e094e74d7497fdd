//! How a MASA feels on an ordinary day: slow, and out of order now and then.

use std::time::Duration;

/// How a MASA feels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mood {
    /// How long each answer takes longer than it must.
    pub latency: Duration,
    /// How many requests of a hundred are answered 503, evenly spread.
    pub failure_percent: u32,
}

impl Mood {
    /// Whether a request is one of those that fail. `number`: from 1.
    pub(super) fn fails(self, number: u32) -> bool {
        let failures = |number: u32| u64::from(number) * u64::from(self.failure_percent) / 100;
        failures(number) > failures(number.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_of_a_hundred_fail_as_was_said() {
        for percent in [0, 1, 30, 50, 100] {
            let mood = Mood { failure_percent: percent, ..Mood::default() };
            let failed = (1..=100).filter(|number| mood.fails(*number)).count();
            assert_eq!(u32::try_from(failed), Ok(percent));
        }
        let mood = Mood { failure_percent: 50, ..Mood::default() };
        let early: Vec<bool> = (1..=4).map(|number| mood.fails(number)).collect();
        assert_eq!(early, [false, true, false, true], "they are evenly spread");
    }
}
