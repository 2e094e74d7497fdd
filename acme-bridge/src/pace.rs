//! When a CA is looked at again while it works: the first look comes when it is usually done. Pure.
//!
//! A CA that validates at once is not waited for, and one that takes seconds is not asked a hundred times meanwhile.
//! Where the CA says when to come back, that is obeyed instead (RFC 8555 §7.5.1, §7.4: Retry-After).

use std::time::Duration;

use crate::order::OrderState;

/// When the first look comes at a CA that nothing is known of.
const UNKNOWN: Duration = Duration::from_millis(10);
/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_secs(3);
/// The shortest pause after a look that came too early.
const AGAIN: Duration = Duration::from_millis(2);
/// What is shorter is no pause: timers know no smaller part of a second.
const SHORTEST: Duration = Duration::from_millis(1);

/// How long a CA usually takes for one kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(UNKNOWN)
    }
}

impl Pace {
    /// The pause before the look with this number, the first one being 0; `last` is the pause before that.
    pub(crate) fn pause(self, look: u32, last: Duration) -> Duration {
        match look {
            0 if self.0 < SHORTEST => Duration::ZERO,
            0 => self.0,
            1 => (self.0 / 2).clamp(AGAIN, LONGEST),
            _ => (last * 3 / 2).clamp(AGAIN, LONGEST),
        }
    }

    /// Learns from work that was found done by the look with this number, so long after it began.
    pub(crate) fn learn(&mut self, look: u32, took: Duration) {
        self.0 = match look {
            // It may have been done for a while: about one look in five should come too early.
            0 => self.0 * 9 / 10,
            _ => (self.0 * 3 / 2).max(took / 2).clamp(SHORTEST, LONGEST),
        };
    }
}

/// The paces of one CA.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    validating: Pace,
    issuing: Pace,
    other: Pace,
}

impl Paces {
    /// That of the work that the CA does on an order in this state.
    pub(crate) fn of(&mut self, state: &OrderState) -> &mut Pace {
        match state {
            OrderState::Authorizing { .. } => &mut self.validating,
            OrderState::Finalizing { .. } => &mut self.issuing,
            _ => &mut self.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a CA that takes so long, and gives the number of looks and the time until it was seen.
    fn watch(pace: &mut Pace, takes: Duration) -> (u32, Duration) {
        let (mut looks, mut now, mut pause) = (0, Duration::ZERO, Duration::ZERO);
        loop {
            pause = pace.pause(looks, pause);
            now += pause;
            if now >= takes {
                pace.learn(looks, now);
                return (looks + 1, now);
            }
            looks += 1;
        }
    }

    #[test]
    fn a_ca_is_found_done_soon_and_with_few_looks() {
        for millis in [0, 1, 4, 15, 200, 1_000, 2_500] {
            let takes = Duration::from_millis(millis);
            let mut pace = Pace::default();
            for _ in 0..100 {
                watch(&mut pace, takes);
            }
            let watched: Vec<_> = (0..100).map(|_| watch(&mut pace, takes)).collect();
            let looks: u32 = watched.iter().map(|(looks, _)| looks).sum();
            let late: Duration = watched.iter().map(|(_, now)| *now - takes).sum();
            assert!(looks <= 150, "{millis} ms: {looks} looks for a hundred orders");
            let allowed = takes / 2 + Duration::from_millis(2);
            assert!(late / 100 <= allowed, "{millis} ms: {:?} late", late / 100);
        }
    }

    #[test]
    fn a_ca_that_never_ends_is_asked_ever_less_often() {
        let (mut pause, pace) = (Duration::ZERO, Pace::default());
        let pauses: Vec<_> = (0..30)
            .map(|look| {
                pause = pace.pause(look, pause);
                pause
            })
            .collect();
        assert!(pauses.iter().skip(2).is_sorted());
        assert_eq!(pauses.last(), Some(&LONGEST));
    }

    #[test]
    fn a_ca_that_became_slow_is_learned_at_once_and_bounded() {
        let mut pace = Pace::default();
        pace.learn(5, Duration::from_secs(3600));
        assert_eq!(pace.pause(0, Duration::ZERO), LONGEST);
        for _ in 0..1000 {
            pace.learn(0, Duration::ZERO);
        }
        assert_eq!(pace.pause(0, Duration::ZERO), Duration::ZERO);
    }
}
