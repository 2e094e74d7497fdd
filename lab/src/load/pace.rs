//! When requests are due: as soon as a connection is free, or at a rate that waits for nobody.
//!
//! A generator that waits for answers before it asks again asks less of a slow server, and so hides how long everybody
//! else would have waited. With a rate each request has its time beforehand, and what it takes is counted from there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

/// The highest rate, in requests a second.
pub const RATE_MOST: f64 = 1_000_000.0;
/// The lowest rate: one a day.
const RATE_LEAST: f64 = 1.0 / 86_400.0;

/// Why a rate is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a rate is a number of requests a second, from one a day to {RATE_MOST}")]
pub struct RateError;

/// How many requests are due a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
    interval_nanos: u64,
}

impl Rate {
    /// So many a second.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn per_second(number: f64) -> Result<Self, RateError> {
        if !(RATE_LEAST..=RATE_MOST).contains(&number) {
            return Err(RateError);
        }
        let interval = Duration::from_secs_f64(1.0 / number);
        let interval_nanos = u64::try_from(interval.as_nanos()).map_err(|_| RateError)?;
        Ok(Self { per_second: number, interval_nanos })
    }

    /// How many a second.
    #[must_use]
    pub fn number(self) -> f64 {
        self.per_second
    }

    /// How long after the first one the `number`th request is due, counted from 0.
    fn offset(self, number: u64) -> Duration {
        Duration::from_nanos(self.interval_nanos.saturating_mul(number))
    }

    /// How many are due within a time.
    fn within(self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        nanos.div_ceil(self.interval_nanos.max(1))
    }
}

impl std::str::FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map_err(|_| RateError).and_then(Self::per_second)
    }
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrival {
    /// The next one as soon as a connection has its answer.
    AsAnswered,
    /// At a rate, whatever the server does.
    At(Rate),
}

/// When it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After so many requests.
    Requests(u64),
    /// After this time.
    After(Duration),
    /// After so many requests or this time, whichever is first.
    Either(u64, Duration),
}

impl End {
    /// How many requests there are at most.
    #[must_use]
    pub fn requests(self) -> Option<u64> {
        match self {
            Self::Requests(most) | Self::Either(most, _) => Some(most),
            Self::After(_) => None,
        }
    }

    /// How long it takes at most.
    #[must_use]
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::After(time) | Self::Either(_, time) => Some(time),
            Self::Requests(_) => None,
        }
    }
}

/// The requests of a run, handed out one by one.
#[derive(Debug)]
pub(super) struct Pace {
    begin: Instant,
    arrival: Arrival,
    end: End,
    taken: AtomicU64,
    is_stopped: AtomicBool,
}

impl Pace {
    pub(super) fn new(begin: Instant, arrival: Arrival, end: End) -> Self {
        Self { begin, arrival, end, taken: AtomicU64::new(0), is_stopped: AtomicBool::new(false) }
    }

    /// The next request's number and when it is due; nothing once the run is over. It may be due in the past.
    pub(super) fn take(&self, now: Instant) -> Option<(u64, Instant)> {
        if self.is_stopped.load(Ordering::Relaxed) || self.is_past(now) {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let is_one_more = self.end.requests().is_none_or(|most| number < most);
        let due = match self.arrival {
            Arrival::AsAnswered => now,
            Arrival::At(rate) => self.begin + rate.offset(number),
        };
        if is_one_more && !self.is_past(due) {
            return Some((number, due));
        }
        self.taken.fetch_sub(1, Ordering::Relaxed);
        None
    }

    fn is_past(&self, moment: Instant) -> bool {
        self.end.time().is_some_and(|time| moment >= self.begin + time)
    }

    /// No more are handed out.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// When the last one is handed out at the latest.
    pub(super) fn last(&self) -> Option<Instant> {
        self.end.time().map(|time| self.begin + time)
    }

    /// How many were due until `now` and were not handed out: no connection was free for them.
    pub(super) fn missed(&self, now: Instant) -> u64 {
        let Arrival::At(rate) = self.arrival else {
            return 0;
        };
        let until = self.last().map_or(now, |last| last.min(now));
        let due = rate.within(until.saturating_duration_since(self.begin));
        let due = self.end.requests().map_or(due, |most| due.min(most));
        due.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(arrival: Arrival, end: End) -> Pace {
        Pace::new(Instant::now(), arrival, end)
    }

    fn rate(number: f64) -> Arrival {
        Arrival::At(Rate::per_second(number).unwrap())
    }

    #[test]
    fn rates_are_numbers_that_a_clock_can_tell() {
        for wrong in ["0", "-1", "nan", "inf", "1000001", "1e-9", "fast", ""] {
            assert_eq!(wrong.parse::<Rate>(), Err(RateError), "{wrong:?}");
        }
        assert_eq!("0.5".parse::<Rate>().unwrap().offset(3), Duration::from_secs(6));
        assert_eq!("1000000".parse::<Rate>().unwrap().offset(1), Duration::from_micros(1));
    }

    const fn after_millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn at_a_rate_requests_are_due_whether_or_not_anybody_takes_them() {
        let pace = pace(rate(10.0), End::After(Duration::from_secs(1)));
        let begin = pace.begin;
        assert_eq!(pace.take(begin), Some((0, begin)));
        let later = begin + after_millis(450);
        assert_eq!(pace.take(later), Some((1, begin + after_millis(100))), "due in the past");
        assert_eq!(pace.missed(later), 3, "those of 200, 300 and 400 ms");
        let end = begin + after_millis(9450);
        assert_eq!(pace.take(end), None);
        assert_eq!(pace.missed(end), 8, "nothing is due after the end");
    }

    #[test]
    fn no_more_are_handed_out_than_were_asked_for() {
        let end = End::Either(2, Duration::from_secs(60));
        for pace in [pace(Arrival::AsAnswered, end), pace(rate(1000.0), end)] {
            let begin = pace.begin;
            assert!(pace.take(begin).is_some() && pace.take(begin).is_some());
            assert!(pace.take(begin).is_none() && pace.take(begin).is_none());
            assert_eq!(pace.missed(begin + after_millis(5000)), 0);
        }
    }

    #[test]
    fn a_run_ends_in_time_or_when_it_is_stopped() {
        let timed = pace(Arrival::AsAnswered, End::After(Duration::from_secs(1)));
        assert!(timed.take(timed.begin + after_millis(999)).is_some());
        assert!(timed.take(timed.begin + after_millis(1000)).is_none());
        let endless = pace(Arrival::AsAnswered, End::Requests(u64::MAX));
        assert!(endless.take(endless.begin).is_some());
        endless.stop();
        assert!(endless.take(endless.begin).is_none());
    }
}
