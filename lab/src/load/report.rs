//! What a run came to: some lines for people, one JSON object for programs.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::engine::{Connections, Ended, Moment, Outcome, Plan};
use super::measure::{Tally, micros};
use super::pace::Arrival;

/// From which share of its threads' time on the generator was the limit.
const BUSY: f64 = 0.9;
/// From which share of all processors on the machine was.
const FULL: f64 = 0.95;
/// From when on requests that a free connection waited for were begun too late, in microseconds.
const LAG_MICROS: u64 = 10_000;

/// What a report says beside what was measured.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The word of the scenario.
    pub scenario: String,
    /// The server.
    pub url: String,
    /// The version of TLS that was asked for.
    pub tls: String,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The word of the scenario.
    pub scenario: String,
    /// The server.
    pub url: String,
    /// The version of TLS that was asked for.
    pub tls: String,
    /// How many connections, or onboardings, at once.
    pub connections: usize,
    /// Whether connections were kept.
    pub keep_alive: bool,
    /// How many requests were due a second, if that was given.
    pub rate: Option<f64>,
    /// How long it took.
    pub seconds: f64,
    /// How it ended: `done`, `stopped` or `gone`.
    pub ended: &'static str,
    /// What was tried last, where the server was gone.
    pub tried: Option<String>,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// How many had no answer when the run ended.
    pub unfinished: u64,
    /// How many were due and never begun, for all connections were waiting.
    pub never_begun: u64,
    /// How many succeeded a second.
    pub per_second: f64,
    /// What the successful ones took, from when they were due.
    pub latency_us: Latency,
    /// How the others failed, the most frequent kind first.
    pub errors: Vec<ErrorReport>,
    /// The generator.
    pub generator: Generator,
    /// The server's process, if it was measured.
    pub server: Option<Server>,
    /// How many requests carried a CSR or voucher request that had been sent before.
    pub sent_again: usize,
    /// The same over time.
    pub series: Vec<SeriesPoint>,
}

/// Latencies, in microseconds; zeros where nothing succeeded.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// 90 of 100 took at most this.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p99_9: u64,
    /// The most.
    pub max: u64,
}

/// A kind of failure.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorReport {
    /// The kind.
    pub kind: String,
    /// How often.
    pub times: u64,
    /// What was said the first time; may be empty.
    pub first: String,
}

/// What the generator took.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Its processor time for a request, in microseconds.
    pub cpu_us_per_request: f64,
    /// The share of its threads' time in which it worked, from 0 to 1.
    pub cpu_share: f64,
    /// How much later than due requests were begun that a free connection waited for: the 99th percentile, in
    /// microseconds.
    pub lag_p99_us: u64,
    /// Why it, and not the server, was the limit.
    pub limit: Option<&'static str>,
}

/// What the server took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// Its processor time for a request, in microseconds.
    pub cpu_us_per_request: f64,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SeriesPoint {
    /// When it ended, in seconds from the beginning.
    pub second: f64,
    /// How many succeeded.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile.
    pub p99_us: u64,
    /// The most.
    pub max_us: u64,
}

impl Report {
    /// The report of a run.
    #[must_use]
    pub fn new(facts: Facts, plan: &Plan, outcome: &Outcome) -> Self {
        let tally = &outcome.tally;
        let (ended, tried) = match &outcome.ended {
            Ended::Done => ("done", None),
            Ended::Stopped => ("stopped", None),
            Ended::Gone { tried } => ("gone", Some(tried.clone())),
        };
        let server_time = plan.server_pid.zip(outcome.server_time);
        Self {
            scenario: facts.scenario,
            url: facts.url,
            tls: facts.tls,
            connections: plan.connections,
            keep_alive: plan.reuse == Connections::Kept,
            rate: match plan.arrival {
                Arrival::AsAnswered => None,
                Arrival::At(rate) => Some(rate.number()),
            },
            seconds: outcome.took.as_secs_f64(),
            ended,
            tried,
            succeeded: tally.latencies.len(),
            failed: tally.failed_times(),
            unfinished: tally.unfinished,
            never_begun: outcome.missed,
            per_second: real(tally.latencies.len()) / outcome.took.as_secs_f64().max(1e-9),
            latency_us: Latency::of(&tally.latencies),
            errors: errors(tally),
            generator: Generator::of(plan, outcome),
            server: server_time
                .map(|(pid, time)| Server { pid, cpu_us_per_request: per_request(time, tally) }),
            sent_again: outcome.sent_again,
            series: outcome.moments.iter().map(SeriesPoint::of).collect(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let how = if self.keep_alive { "kept" } else { "one for each request" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} at {}: {} connections, {how}, TLS {}",
            self.scenario, self.url, self.connections, self.tls
        );
        let _ = writeln!(
            text,
            "requests   {} succeeded, {} failed in {:.1} s: {:.1} a second",
            self.succeeded, self.failed, self.seconds, self.per_second
        );
        let latency = &self.latency_us;
        let of = |micros: u64| milliseconds(micros);
        let _ = writeln!(
            text,
            "latency    p50 {}, p90 {}, p99 {}, p99.9 {}, most {}",
            of(latency.p50),
            of(latency.p90),
            of(latency.p99),
            of(latency.p99_9),
            of(latency.max)
        );
        for error in &self.errors {
            let _ = writeln!(text, "failed     {} × {} ({})", error.times, error.kind, error.first);
        }
        if let Some(rate) = self.rate {
            let _ = writeln!(
                text,
                "rate       {rate} a second wanted; {} of those due were never begun",
                self.never_begun
            );
        }
        if self.unfinished > 0 {
            let _ = writeln!(text, "unfinished {} had no answer at the end", self.unfinished);
        }
        if self.sent_again > 0 {
            let _ = writeln!(
                text,
                "messages   {} requests carried one that was sent before: a server that remembers had less to do (--messages)",
                self.sent_again
            );
        }
        let generator = &self.generator;
        let _ = writeln!(
            text,
            "generator  {:.0} µs of processor time a request, {:.0} % of its threads' time",
            generator.cpu_us_per_request,
            generator.cpu_share * 100.0
        );
        if let Some(why) = generator.limit {
            let _ = writeln!(text, "generator  WAS THE LIMIT: {why}");
        }
        if let Some(server) = &self.server {
            let (time, pid) = (server.cpu_us_per_request, server.pid);
            let _ = writeln!(
                text,
                "server     {time:.0} µs of processor time a request (process {pid})"
            );
        }
        match &self.tried {
            Some(tried) => {
                let _ = writeln!(text, "the server was gone; tried last: {tried}");
            }
            None if self.ended == "stopped" => text.push_str("stopped before its end\n"),
            None => {}
        }
        text
    }
}

fn errors(tally: &Tally) -> Vec<ErrorReport> {
    let mut all: Vec<ErrorReport> = (tally.failures.iter())
        .map(|(kind, occurrence)| ErrorReport {
            kind: kind.to_string(),
            times: occurrence.times,
            first: occurrence.first.clone(),
        })
        .collect();
    all.sort_by_key(|error| std::cmp::Reverse(error.times));
    all
}

impl Latency {
    fn of(latencies: &Histogram<u64>) -> Self {
        let at = |quantile| latencies.value_at_quantile(quantile);
        Self {
            mean: latencies.mean(),
            min: latencies.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: latencies.max(),
        }
    }
}

impl Generator {
    fn of(plan: &Plan, outcome: &Outcome) -> Self {
        let threads = u32::try_from(plan.threads).unwrap_or(u32::MAX).max(1);
        let seconds = outcome.took.as_secs_f64().max(1e-9);
        let cpu_share = outcome.own_time.as_secs_f64() / seconds / f64::from(threads);
        let lag_p99_us = outcome.tally.lags.value_at_quantile(0.99);
        let is_most = outcome
            .server_time
            .is_none_or(|server| outcome.own_time.as_secs_f64() > server.as_secs_f64());
        let limit = if cpu_share >= BUSY {
            Some("its threads worked nearly all the time; give it more with --threads")
        } else if outcome.machine_share.is_some_and(|share| share >= FULL) && is_most {
            Some(
                "all processors of this machine were busy, the most with the generator or with others",
            )
        } else if lag_p99_us > LAG_MICROS {
            Some("it began requests late, though connections were free for them")
        } else {
            None
        };
        let cpu_us_per_request = per_request(outcome.own_time, &outcome.tally);
        Self { cpu_us_per_request, cpu_share, lag_p99_us, limit }
    }
}

impl SeriesPoint {
    fn of(moment: &Moment) -> Self {
        Self {
            second: moment.at.as_secs_f64(),
            succeeded: moment.succeeded,
            failed: moment.failed,
            p50_us: moment.p50_micros,
            p99_us: moment.p99_micros,
            max_us: moment.most_micros,
        }
    }
}

/// Microseconds for each of all requests that came to an end.
fn per_request(time: Duration, tally: &Tally) -> f64 {
    ratio(micros(time), tally.ended().max(1))
}

fn ratio(part: u64, whole: u64) -> f64 {
    real(part) / real(whole).max(1.0)
}

/// Exact for as many requests as a run makes.
pub(crate) fn real(number: u64) -> f64 {
    let high = u32::try_from(number >> 32).map_or(0.0, f64::from);
    let low = u32::try_from(number & u64::from(u32::MAX)).map_or(0.0, f64::from);
    high * 4_294_967_296.0 + low
}

/// Microseconds as milliseconds, for people.
pub(super) fn milliseconds(micros: u64) -> String {
    format!("{:.2} ms", real(micros) / 1000.0)
}

impl std::fmt::Display for Moment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = real(self.succeeded) / self.length.as_secs_f64().max(1e-9);
        write!(
            formatter,
            "{:6.1} s  {rate:8.1} a second  p50 {}  p99 {}  most {}  {} failed",
            self.at.as_secs_f64(),
            milliseconds(self.p50_micros),
            milliseconds(self.p99_micros),
            milliseconds(self.most_micros),
            self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::{Failed, Failure};
    use super::super::pace::End;
    use super::*;

    fn plan() -> Plan {
        Plan {
            connections: 4,
            reuse: Connections::Kept,
            arrival: Arrival::AsAnswered,
            end: End::Requests(100),
            threads: 2,
            server_pid: Some(7),
        }
    }

    fn outcome() -> Outcome {
        let mut tally = Tally::new();
        for millis in 1..=100 {
            tally.succeeded(Duration::from_millis(millis));
        }
        for _ in 0..3 {
            let said = "busy".to_owned();
            tally.failed(Failed { kind: Failure::Status(503), said });
        }
        tally.failed(Failed { kind: Failure::Broken, said: String::new() });
        Outcome {
            tally,
            moments: Vec::new(),
            took: Duration::from_secs(2),
            missed: 0,
            ended: Ended::Done,
            own_time: Duration::from_millis(104),
            machine_share: Some(0.5),
            server_time: Some(Duration::from_millis(208)),
            sent_again: 52,
            credentials: Vec::new(),
        }
    }

    fn report(outcome: &Outcome) -> Report {
        let facts = Facts {
            scenario: "simpleenroll".to_owned(),
            url: "https://est.example.org".to_owned(),
            tls: "1.3".to_owned(),
        };
        Report::new(facts, &plan(), outcome)
    }

    #[test]
    fn figures_are_for_each_request() {
        let report = report(&outcome());
        assert_eq!((report.succeeded, report.failed), (100, 4));
        assert!((report.per_second - 50.0).abs() < 1e-9);
        assert!((report.generator.cpu_us_per_request - 1000.0).abs() < 1e-9);
        assert!((report.server.unwrap().cpu_us_per_request - 2000.0).abs() < 1e-9);
        assert!(report.latency_us.p50.abs_diff(50_000) < 100);
        assert_eq!(report.errors.first().map(|error| error.times), Some(3), "the most frequent");
        assert!(report.text().contains("52 requests carried one that was sent before"));
        let text = report.text();
        assert!(text.contains("3 × status 503 (busy)") && text.contains("p50 50.0"), "{text}");
        assert!(!text.contains("LIMIT"), "{text}");
    }

    #[test]
    fn a_generator_that_was_the_limit_says_so() {
        let busy = Outcome { own_time: Duration::from_millis(3700), ..outcome() };
        assert!(report(&busy).generator.limit.unwrap().contains("--threads"));
        let full = Outcome { machine_share: Some(0.99), server_time: None, ..outcome() };
        assert!(report(&full).text().contains("WAS THE LIMIT: all processors"));
        let mut late = outcome();
        late.tally.lagged(Duration::from_millis(50));
        assert!(report(&late).generator.limit.unwrap().contains("late"));
        // The machine is full of the server's work: that is what is measured.
        let served = Outcome { machine_share: Some(0.99), ..outcome() };
        assert_eq!(report(&served).generator.limit, None);
    }

    #[test]
    fn a_server_that_is_gone_is_told_with_what_was_tried() {
        let tried = "cannot connect to 127.0.0.1:1".to_owned();
        let report = report(&Outcome { ended: Ended::Gone { tried }, ..outcome() });
        assert_eq!(report.ended, "gone");
        assert!(report.text().contains("tried last: cannot connect"));
    }

    #[test]
    fn large_numbers_stay_exact() {
        assert!((real((1 << 40) + 5) - 1_099_511_627_781.0).abs() < 0.5);
        assert!((real(0)).abs() < f64::EPSILON);
    }
}
