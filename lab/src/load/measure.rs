//! What is measured of each request: how long it took, or in what way it failed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::http::HttpError;
use crate::pledge::PledgeError;

/// How many kinds of failures are told apart; the words of a hostile server are not endless.
const KINDS_MOST: usize = 64;
/// The longest latency that is told apart, in microseconds: an hour.
const LATENCY_MOST_MICROS: u64 = 3_600_000_000;
/// How exact latencies are kept, in decimal digits.
const DIGITS: u8 = 3;

/// In what way a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Failure {
    /// There was no connection, for this reason.
    Connect(String),
    /// TLS failed, for this reason.
    Tls(String),
    /// The connection broke off.
    Broken,
    /// Nothing came in time.
    Timeout,
    /// The server answered with this status.
    Status(u16),
    /// The answer is not what was asked for.
    Answer,
    /// A step of an onboarding failed.
    Step(&'static str, Box<Failure>),
    /// All kinds beyond those that are told apart.
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(reason) => write!(formatter, "no connection: {reason}"),
            Self::Tls(reason) => write!(formatter, "no TLS: {reason}"),
            Self::Broken => formatter.write_str("the connection broke off"),
            Self::Timeout => formatter.write_str("no answer in time"),
            Self::Status(status) => write!(formatter, "status {status}"),
            Self::Answer => formatter.write_str("another answer"),
            Self::Step(step, failure) => write!(formatter, "{step}: {failure}"),
            Self::Other => formatter.write_str("other"),
        }
    }
}

impl Failure {
    /// Whether no connection came about.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Step(_, failure) => failure.is_unreachable(),
            _ => false,
        }
    }
}

/// A failure with what was said about it.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) kind: Failure,
    /// For people; may be empty.
    pub(crate) said: String,
}

impl From<&HttpError> for Failed {
    fn from(error: &HttpError) -> Self {
        let kind = match error {
            HttpError::Connect { source, .. } => Failure::Connect(source.kind().to_string()),
            HttpError::Tls { source, .. } => Failure::Tls(source.to_string()),
            HttpError::Timeout => Failure::Timeout,
            HttpError::Answer | HttpError::Request(_) => Failure::Answer,
            HttpError::Http(_) => Failure::Broken,
        };
        Self { kind, said: error.to_string() }
    }
}

impl From<&PledgeError> for Failed {
    fn from(error: &PledgeError) -> Self {
        let (step, kind) = match error {
            PledgeError::Http { step, source } => (*step, Self::from(source).kind),
            PledgeError::Refused { step, status, .. } => (*step, Failure::Status(*status)),
            PledgeError::Check { step, .. } => (*step, Failure::Answer),
            PledgeError::Patience { step, .. } => (*step, Failure::Timeout),
        };
        Self { kind: Failure::Step(step, Box::new(kind)), said: error.to_string() }
    }
}

/// How often a failure occurred, and what was said the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occurrence {
    /// How often.
    pub times: u64,
    /// What was said the first time; may be empty.
    pub first: String,
}

/// What was measured of many requests.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What the successful ones took, in microseconds.
    pub latencies: Histogram<u64>,
    /// How the others failed.
    pub failures: BTreeMap<Failure, Occurrence>,
    /// How much later than they were due those were begun that a free connection waited for, in microseconds.
    pub lags: Histogram<u64>,
    /// How many had no answer when the run ended.
    pub unfinished: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { latencies: histogram(), failures: BTreeMap::new(), lags: histogram(), unfinished: 0 }
    }

    pub(super) fn succeeded(&mut self, took: Duration) {
        self.latencies.saturating_record(micros(took));
    }

    pub(super) fn failed(&mut self, failed: Failed) {
        let is_known = self.failures.contains_key(&failed.kind);
        let is_told_apart = is_known || self.failures.len() < KINDS_MOST;
        let kind = if is_told_apart { failed.kind } else { Failure::Other };
        let occurrence = self.failures.entry(kind).or_default();
        if occurrence.times == 0 {
            occurrence.first = failed.said;
        }
        occurrence.times += 1;
    }

    pub(super) fn lagged(&mut self, by: Duration) {
        self.lags.saturating_record(micros(by));
    }

    /// How many failed.
    #[must_use]
    pub fn failed_times(&self) -> u64 {
        self.failures.values().map(|each| each.times).sum()
    }

    /// How many came to an end, well or not.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.latencies.len() + self.failed_times()
    }

    /// Takes over what another one has, which is empty from then on.
    pub(super) fn drain(&mut self, other: &mut Self) {
        // Both have the same bounds.
        let _ = self.latencies.add(&other.latencies);
        let _ = self.lags.add(&other.lags);
        for (kind, occurrence) in std::mem::take(&mut other.failures) {
            let own = self.failures.entry(kind).or_default();
            if own.times == 0 {
                own.first = occurrence.first;
            }
            own.times += occurrence.times;
        }
        self.unfinished += other.unfinished;
        other.latencies.reset();
        other.lags.reset();
        other.unfinished = 0;
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, LATENCY_MOST_MICROS, DIGITS);
    // Unwrap safety: the bounds are constants that the library allows.
    #[allow(clippy::unwrap_used)]
    made.unwrap()
}

/// A time in whole microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: Failure) -> Failed {
        Failed { said: kind.to_string(), kind }
    }

    #[test]
    fn failures_are_told_apart_and_only_so_many() {
        let mut tally = Tally::new();
        for status in 0..u16::try_from(KINDS_MOST).unwrap() * 2 {
            tally.failed(failed(Failure::Status(status)));
        }
        tally.failed(Failed { kind: Failure::Status(3), said: "later".to_owned() });
        let third = &tally.failures[&Failure::Status(3)];
        assert_eq!((third.times, third.first.as_str()), (2, "status 3"));
        assert_eq!(tally.failures[&Failure::Other].times, u64::try_from(KINDS_MOST).unwrap());
        assert_eq!(tally.failures.len(), KINDS_MOST + 1);
    }

    #[test]
    fn what_one_has_measured_moves_to_another_once() {
        let (mut all, mut part) = (Tally::new(), Tally::new());
        for millis in [1, 2, 7_200_000] {
            part.succeeded(Duration::from_millis(millis));
        }
        part.failed(failed(Failure::Timeout));
        part.unfinished = 2;
        all.drain(&mut part);
        all.drain(&mut part);
        assert_eq!((all.latencies.len(), all.ended(), all.unfinished), (3, 4, 2));
        assert!(all.latencies.max() < 3_610_000_000, "an hour is the longest that is told apart");
    }

    #[test]
    fn the_step_of_an_onboarding_says_whether_the_server_was_reached() {
        let refused = Failure::Connect("connection refused".to_owned());
        assert!(Failure::Step("TLS", Box::new(refused)).is_unreachable());
        assert!(!Failure::Step("csrattrs", Box::new(Failure::Status(403))).is_unreachable());
    }
}
