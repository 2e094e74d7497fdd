//! Whether a CA can be asked now. Pure.
//!
//! A CA that cannot be reached, or that says "too many requests" to whoever asks, is left alone as a whole: one request finds
//! out what a thousand would. A single answer of 500 is not that: it may be about one order, and others go on.

/// The first pause after a failure, in milliseconds; it doubles with each further one.
const FIRST_PAUSE: i64 = 1_000;
/// After how many answers of the kind "this failed", without another one between them, the whole CA is left alone.
const STUMBLES: u32 = 3;
/// The longest pause that we choose ourselves, in milliseconds.
const LONGEST_PAUSE: i64 = 60_000;

/// How a CA does, as far as this node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    failures: u32,
    stumbles: u32,
    /// Since when it fails: Unix milliseconds.
    since: Option<i64>,
    until: i64,
}

impl Health {
    /// It answered.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It failed; gives when it is asked again.
    ///
    /// `wait_secs`: what it asked for, if it did.
    pub(crate) fn failed(&mut self, now: i64, wait_secs: Option<u32>) -> i64 {
        let chosen = FIRST_PAUSE << self.failures.min(16);
        let pause = wait_secs.map_or(chosen.min(LONGEST_PAUSE), |secs| i64::from(secs) * 1000);
        // Several orders fail at once where several were in flight: that is one failure.
        if now >= self.until {
            self.failures = self.failures.saturating_add(1);
        }
        self.since.get_or_insert(now);
        self.until = self.until.max(now.saturating_add(pause));
        self.until
    }

    /// It answered one request with a failure of its own, and did not ask to be left alone: that may be about this
    /// request, so its order alone waits; gives until when. Several in a row are about the CA.
    pub(crate) fn stumbled(&mut self, now: i64) -> i64 {
        self.stumbles = self.stumbles.saturating_add(1);
        self.since.get_or_insert(now);
        match self.stumbles < STUMBLES {
            true => now.saturating_add(FIRST_PAUSE << self.stumbles.min(16)),
            false => self.failed(now, None),
        }
    }

    /// When it is asked again; none if it can be asked now.
    pub(crate) fn paused_until(&self, now: i64) -> Option<i64> {
        (self.until > now).then_some(self.until)
    }

    /// For how long it has failed, in milliseconds; 0 if it does not.
    pub(crate) fn down_for(&self, now: i64) -> i64 {
        self.since.map_or(0, |since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_end_with_an_answer() {
        let mut health = Health::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let until = health.failed(now, None);
            pauses.push((until - now) / 1000);
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(health.down_for(now), now);
        health.answered();
        assert_eq!((health.paused_until(now), health.down_for(now)), (None, 0));
    }

    #[test]
    fn one_failed_request_is_its_own_and_the_third_in_a_row_is_the_cas() {
        let mut health = Health::default();
        assert_eq!(health.stumbled(0), 2_000);
        assert_eq!(health.stumbled(10), 4_010);
        assert_eq!(health.paused_until(10), None, "others go on");
        assert_eq!(health.down_for(10), 10, "a fallback's patience runs from the first");
        let until = health.stumbled(20);
        assert_eq!(health.paused_until(20), Some(until));
        health.answered();
        assert_eq!(health.stumbled(30), 2_030, "an answer ends the row");
        assert_eq!(health.paused_until(30), None);
    }

    #[test]
    fn what_the_ca_asks_for_is_obeyed() {
        let mut health = Health::default();
        assert_eq!(health.failed(0, Some(600)), 600_000);
        assert_eq!(health.paused_until(599_999), Some(600_000));
        assert_eq!(health.paused_until(600_000), None);
    }

    #[test]
    fn failures_at_the_same_time_are_one() {
        let mut health = Health::default();
        for _ in 0..100 {
            health.failed(0, None);
        }
        assert_eq!(health.failures, 1);
        assert!(health.paused_until(0).unwrap() <= 2_000);
    }
}
