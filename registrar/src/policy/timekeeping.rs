//! Whether this node's clock can be right: a clock that is earlier than what the trail already holds is not. Pure.
//!
//! Certificates of a wrong time end too early or are refused by everybody, and what is due, over or fresh is judged
//! wrongly. So nothing is issued while the clock is earlier than the newest event of any node on the database; as soon as
//! it is right again, everything goes on.

use thiserror::Error;

use crate::store::model::Millis;

/// By how much the clocks of nodes may differ that are both right, in milliseconds.
pub const TOLERANCE_MILLIS: i64 = 10_000;
/// The reader whose cursors say up to which event of each node an operator vouched for this node's clock.
pub const READER: &str = "clock";

/// The clock is earlier than the newest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "this node's clock says {} ms since 1970, and the newest event is of {} ms: {} s later",
    .now.0, .newest.0, self.seconds()
)]
pub struct ClockBehind {
    /// What the clock says.
    pub now: Millis,
    /// When the newest event was.
    pub newest: Millis,
}

impl ClockBehind {
    /// By how much the clock is behind, in whole seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.newest.0.saturating_sub(self.now.0) / 1000
    }
}

/// Compares the clock with the newest event of all nodes, if there is one.
///
/// # Errors
/// [`ClockBehind`] if the clock is earlier by more than [`TOLERANCE_MILLIS`].
pub fn judge(now: Millis, newest: Option<Millis>) -> Result<(), ClockBehind> {
    match newest {
        Some(newest) if now.plus(TOLERANCE_MILLIS) < newest => Err(ClockBehind { now, newest }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_behind_by_the_tolerance_and_no_more() {
        let newest = Some(Millis(1_000_000));
        for now in [1_000_000 - TOLERANCE_MILLIS, 1_000_000, 2_000_000] {
            assert_eq!(judge(Millis(now), newest), Ok(()), "{now}");
        }
        let behind = judge(Millis(1_000_000 - TOLERANCE_MILLIS - 1), newest).unwrap_err();
        assert_eq!(behind.newest, Millis(1_000_000));
        assert_eq!(behind.seconds(), 10);
    }

    #[test]
    fn before_the_first_event_every_clock_is_right() {
        assert_eq!(judge(Millis(0), None), Ok(()));
    }

    #[test]
    fn no_time_is_too_far_away() {
        assert!(judge(Millis(i64::MIN), Some(Millis(i64::MAX))).is_err());
        assert!(judge(Millis(i64::MAX), Some(Millis(i64::MIN))).is_ok());
    }
}
