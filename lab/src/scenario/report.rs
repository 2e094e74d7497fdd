//! What became of a scenario: a line for each fleet for people, one JSON object for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::life::News;
use super::{Expected, Fleet, Scenario};
use crate::fault::report::{Finding, Verdict};
use crate::load::{Failed, histogram};
use crate::pledge::PledgeError;
use crate::report::{DeviceReport, table};

/// How many reasons of a fleet are told apart.
const REASONS_MOST: usize = 32;
/// How many failures are told one by one.
const ERRORS_MOST: usize = 50;
/// Up to so many devices are shown one by one.
const DEVICES_SHOWN: usize = 20;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Everybody came.
    Done,
    /// Somebody stopped it.
    Interrupted,
    /// Its time was over.
    TimeLimit,
    /// Something that it needs ended by itself.
    ComponentFailed,
}

/// What became of a scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The scenario's title.
    pub scenario: String,
    /// `acme` or `local`.
    pub issuer: &'static str,
    /// How it ended.
    pub ended: Ended,
    /// In words, where it did not end by itself; empty otherwise.
    pub reason: String,
    /// Whether everything came out as the scenario expects.
    pub as_expected: bool,
    /// How many pledges there were.
    pub pledges: u64,
    /// How many got a verified certificate.
    pub enrolled: u64,
    /// How many came out as the scenario does not expect.
    pub failed: u64,
    /// How long all of them took together.
    pub seconds: f64,
    /// Certificates of devices that joined, a second.
    pub per_second: f64,
    /// What became of each fleet.
    pub fleets: Vec<FleetReport>,
    /// What each MASA did.
    pub masas: Vec<MasaReport>,
    /// How much memory the processes had at most.
    pub memory_mib: MemoryReport,
    /// Those that joined.
    pub devices: Vec<DeviceReport>,
    /// Why others did not: the first ones.
    pub errors: Vec<String>,
    /// How many DNS queries of the CA were answered.
    pub dns_queries_answered: u64,
}

/// What became of a fleet.
#[derive(Debug, Serialize)]
pub struct FleetReport {
    /// Its name.
    pub name: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// How many there were.
    pub pledges: u64,
    /// How many got a verified certificate.
    pub onboarded: u64,
    /// How many were refused as the scenario expects.
    pub refused_as_expected: u64,
    /// How many were refused in another way.
    pub refused_otherwise: u64,
    /// How many got no answer that they could use.
    pub failed: u64,
    /// How many were not done when the run ended.
    pub unfinished: u64,
    /// How many further certificates they got.
    pub renewed: u64,
    /// How many renewals failed.
    pub renewals_failed: u64,
    /// How often a broken connection made one begin again.
    pub begun_again: u64,
    /// Whether all that is as the scenario expects.
    pub as_expected: bool,
    /// From when a device was due to when it had its certificate, or had told its lie.
    pub latency_ms: Percentiles,
    /// From the first connection to the accepted voucher.
    pub voucher_ms: Percentiles,
    /// From `/cacerts` to the checked certificate.
    pub enroll_ms: Percentiles,
    /// From when a renewal was due to when its certificate was there.
    pub renewal_ms: Percentiles,
    /// Why devices did not do what was expected, and how often.
    pub reasons: Vec<Reason>,
    /// Why devices began again, and how often.
    pub again_reasons: Vec<Reason>,
}

/// Latencies: half of all, 90, 99 of a hundred, and all are at most this, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// How many were measured.
    pub count: u64,
    /// Half of all.
    pub p50: u64,
    /// 90 of a hundred.
    pub p90: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// All.
    pub max: u64,
}

/// In what way devices failed.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// The way.
    pub reason: String,
    /// How often.
    pub times: u64,
    /// What was said the first time.
    pub first: String,
}

/// What a MASA did.
#[derive(Clone, Debug, Serialize)]
pub struct MasaReport {
    /// Its manufacturer.
    pub manufacturer: String,
    /// How many voucher requests came.
    pub requests: u32,
    /// How many vouchers it signed.
    pub vouchers: u32,
}

/// How much memory processes had at most, in MiB; 0 where the system does not say.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct MemoryReport {
    /// This one: all pledges and MASAs.
    pub lab: u64,
    /// The registrar.
    pub registrar: u64,
}

/// Collects what is heard of a fleet.
struct FleetTally {
    expected: Expected,
    renewals: u32,
    pledges: u64,
    onboarded: u64,
    refused_as_expected: u64,
    refused_otherwise: u64,
    failed: u64,
    renewed: u64,
    renewals_failed: u64,
    begun_again: u64,
    latency: Histogram<u64>,
    voucher: Histogram<u64>,
    enroll: Histogram<u64>,
    renewal: Histogram<u64>,
    reasons: Reasons,
    again_reasons: Reasons,
}

/// How often something was said, and the words of the first time.
type Reasons = BTreeMap<String, (u64, String)>;

fn note(reasons: &mut Reasons, reason: String, said: String) {
    let is_told_apart = reasons.contains_key(&reason) || reasons.len() < REASONS_MOST;
    let reason = if is_told_apart { reason } else { "other".to_owned() };
    reasons.entry(reason).or_insert((0, said)).0 += 1;
}

fn listed(reasons: Reasons) -> Vec<Reason> {
    let each = |(reason, (times, first))| Reason { reason, times, first };
    reasons.into_iter().map(each).collect()
}

impl FleetTally {
    fn new(fleet: &Fleet, pledges: u64) -> Self {
        Self {
            expected: fleet.expected,
            renewals: fleet.renewal.map_or(0, |renewal| renewal.times),
            pledges,
            onboarded: 0,
            refused_as_expected: 0,
            refused_otherwise: 0,
            failed: 0,
            renewed: 0,
            renewals_failed: 0,
            begun_again: 0,
            latency: histogram(),
            voucher: histogram(),
            enroll: histogram(),
            renewal: histogram(),
            reasons: Reasons::new(),
            again_reasons: Reasons::new(),
        }
    }

    /// Says whether that was expected.
    fn gave_up(&mut self, error: &PledgeError) -> bool {
        let expected = match self.expected {
            Expected::Refused { status } => status,
            Expected::Onboarded { .. } => None,
        };
        match error {
            PledgeError::Refused { status, .. } if expected == Some(*status) => {
                self.refused_as_expected += 1;
                return true;
            }
            PledgeError::Refused { .. } => self.refused_otherwise += 1,
            _ => self.failed += 1,
        }
        let failed = Failed::from(error);
        note(&mut self.reasons, failed.kind.to_string(), failed.said);
        false
    }

    /// What is to be told of a lie that did not meet what it must.
    fn lied(&mut self, finding: Finding) -> Option<String> {
        match finding.verdict {
            Verdict::Passed => self.refused_as_expected += 1,
            Verdict::Differs => self.refused_otherwise += 1,
            Verdict::Failed => self.failed += 1,
        }
        let (name, reason) = (finding.listed.name, finding.reason?);
        note(&mut self.reasons, name.to_owned(), reason.clone());
        Some(format!("{name}: {reason}"))
    }

    fn unfinished(&self) -> u64 {
        let done = self.onboarded + self.refused_as_expected + self.refused_otherwise + self.failed;
        self.pledges.saturating_sub(done)
    }

    fn is_as_expected(&self) -> bool {
        match self.expected {
            Expected::Onboarded { at_least_percent } => {
                let is_enough = |done: u64, all: u64| {
                    done.saturating_mul(100) >= all.saturating_mul(at_least_percent.into())
                };
                let renewals = self.pledges.saturating_mul(self.renewals.into());
                is_enough(self.onboarded, self.pledges) && is_enough(self.renewed, renewals)
            }
            Expected::Refused { .. } => self.refused_as_expected == self.pledges,
        }
    }

    /// How many came out as is not expected.
    fn unexpected(&self) -> u64 {
        match self.expected {
            Expected::Onboarded { .. } => {
                self.pledges.saturating_sub(self.onboarded) + self.renewals_failed
            }
            Expected::Refused { .. } => self.pledges.saturating_sub(self.refused_as_expected),
        }
    }

    fn report(self, fleet: &Fleet, manufacturer: String) -> FleetReport {
        FleetReport {
            name: fleet.name.clone(),
            manufacturer,
            pledges: self.pledges,
            unfinished: self.unfinished(),
            as_expected: self.is_as_expected(),
            onboarded: self.onboarded,
            refused_as_expected: self.refused_as_expected,
            refused_otherwise: self.refused_otherwise,
            failed: self.failed,
            renewed: self.renewed,
            renewals_failed: self.renewals_failed,
            begun_again: self.begun_again,
            latency_ms: percentiles(&self.latency),
            voucher_ms: percentiles(&self.voucher),
            enroll_ms: percentiles(&self.enroll),
            renewal_ms: percentiles(&self.renewal),
            reasons: listed(self.reasons),
            again_reasons: listed(self.again_reasons),
        }
    }
}

/// Collects what is heard of all fleets.
pub(super) struct Tally {
    fleets: Vec<FleetTally>,
    devices: Vec<DeviceReport>,
    errors: Vec<String>,
}

impl Tally {
    /// `pledges`: how many of each fleet come.
    pub(super) fn new(scenario: &Scenario, pledges: &[u64]) -> Self {
        let fleets = scenario.fleets.iter().zip(pledges);
        Self {
            fleets: fleets.map(|(fleet, pledges)| FleetTally::new(fleet, *pledges)).collect(),
            devices: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Takes what was heard; says whether a device is done with joining or lying.
    pub(super) fn hear(&mut self, news: News) -> bool {
        let (place, is_done) = match &news {
            News::Joined { fleet, .. } | News::GaveUp { fleet, .. } | News::Lied { fleet, .. } => {
                (*fleet, true)
            }
            News::Renewed { fleet, .. }
            | News::RenewalFailed { fleet, .. }
            | News::BeginsAgain { fleet, .. } => (*fleet, false),
        };
        let Some(fleet) = self.fleets.get_mut(place) else {
            return is_done;
        };
        let error = match news {
            News::Joined { device, phases, took, .. } => {
                fleet.onboarded += 1;
                record(&mut fleet.latency, took);
                record(&mut fleet.voucher, phases.voucher);
                record(&mut fleet.enroll, phases.enroll);
                self.devices.push(*device);
                None
            }
            News::BeginsAgain { error, .. } => {
                fleet.begun_again += 1;
                let failed = Failed::from(&error);
                note(&mut fleet.again_reasons, failed.kind.to_string(), failed.said);
                None
            }
            News::GaveUp { serial, error, .. } => {
                let is_expected = fleet.gave_up(&error);
                (!is_expected).then(|| format!("{serial}: {error}"))
            }
            News::Lied { finding, took, .. } => {
                record(&mut fleet.latency, took);
                fleet.lied(*finding)
            }
            News::Renewed { took, .. } => {
                fleet.renewed += 1;
                record(&mut fleet.renewal, took);
                None
            }
            News::RenewalFailed { serial, error, .. } => {
                fleet.renewals_failed += 1;
                let failed = Failed::from(&error);
                note(&mut fleet.reasons, format!("renewal: {}", failed.kind), failed.said);
                Some(format!("{serial}: its renewal: {error}"))
            }
        };
        self.errors.extend(error.filter(|_| self.errors.len() < ERRORS_MOST));
        is_done
    }

    /// The report, where nothing is yet said of the site.
    pub(super) fn report(
        self,
        scenario: &Scenario,
        (ended, reason): (Ended, String),
        took: Duration,
    ) -> Report {
        let sum = |count: fn(&FleetTally) -> u64| self.fleets.iter().map(count).sum::<u64>();
        let enrolled = sum(|fleet| fleet.onboarded);
        let (pledges, failed) = (sum(|fleet| fleet.pledges), sum(FleetTally::unexpected));
        let is_expected = self.fleets.iter().all(FleetTally::is_as_expected);
        let seconds = took.as_secs_f64();
        let named = |fleet: &Fleet| {
            let maker = scenario.manufacturers.get(fleet.maker);
            maker.map_or_else(String::new, |maker| maker.name.clone())
        };
        let fleets = scenario.fleets.iter().zip(self.fleets);
        let mut devices = self.devices;
        devices.sort_by(|one, other| one.serial.cmp(&other.serial));
        Report {
            scenario: scenario.title.clone(),
            issuer: scenario.issuer.kind.reported(),
            as_expected: is_expected && ended == Ended::Done,
            ended,
            reason,
            pledges,
            enrolled,
            failed,
            seconds,
            per_second: crate::load::real(enrolled) / seconds.max(0.001),
            fleets: fleets.map(|(fleet, tally)| tally.report(fleet, named(fleet))).collect(),
            masas: Vec::new(),
            memory_mib: MemoryReport::default(),
            devices,
            errors: self.errors,
            dns_queries_answered: 0,
        }
    }
}

fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
}

fn percentiles(latencies: &Histogram<u64>) -> Percentiles {
    let at = |quantile: f64| latencies.value_at_quantile(quantile);
    Percentiles {
        count: latencies.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        max: latencies.max(),
    }
}

impl Report {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.devices.len() <= DEVICES_SHOWN && !self.devices.is_empty() {
            text.push_str(&crate::report::devices(&self.devices));
            text.push('\n');
        }
        text.push_str(&self.fleets_table());
        for fleet in &self.fleets {
            for Reason { reason, times, first } in &fleet.reasons {
                text.push_str(&format!("\n{}: {times} × {reason}\n  {first}\n", fleet.name));
            }
            for Reason { reason, times, .. } in &fleet.again_reasons {
                text.push_str(&format!("{}: begun again {times} × {reason}\n", fleet.name));
            }
        }
        text.push_str(&format!(
            "\n{} of {} pledges hold a verified certificate, after {:.1} s ({:.1} a second).\n",
            self.enrolled, self.pledges, self.seconds, self.per_second
        ));
        for MasaReport { manufacturer, requests, vouchers } in &self.masas {
            text.push_str(&format!(
                "The MASA of {manufacturer} signed {vouchers} vouchers for {requests} requests.\n"
            ));
        }
        if self.issuer == "acme" {
            text.push_str(&format!(
                "{} DNS queries of the CA were answered: each name was proven, none was waved through.\n",
                self.dns_queries_answered
            ));
        }
        let MemoryReport { lab, registrar } = self.memory_mib;
        text.push_str(&format!(
            "Memory at most: {registrar} MiB in the registrar, {lab} MiB in the lab.\n"
        ));
        if !self.reason.is_empty() {
            text.push_str(&format!("\nThe run ended early: {}\n", self.reason));
        }
        text.push_str(match self.as_expected {
            true => "Everything came out as the scenario expects.\n",
            false => "NOT everything came out as the scenario expects.\n",
        });
        text
    }

    fn fleets_table(&self) -> String {
        let header = [
            "FLEET",
            "PLEDGES",
            "ONBOARDED",
            "REFUSED",
            "OTHERWISE",
            "FAILED",
            "UNFINISHED",
            "RENEWED",
            "AGAIN",
            "P50",
            "P90",
            "P99",
            "MAX",
            "",
        ];
        let rows: Vec<Vec<String>> = self
            .fleets
            .iter()
            .map(|fleet| {
                let numbers = [
                    fleet.pledges,
                    fleet.onboarded,
                    fleet.refused_as_expected,
                    fleet.refused_otherwise,
                    fleet.failed,
                    fleet.unfinished,
                    fleet.renewed,
                    fleet.begun_again,
                ];
                let latency = fleet.latency_ms;
                let latencies = [latency.p50, latency.p90, latency.p99, latency.max];
                let verdict = if fleet.as_expected { "as expected" } else { "NOT AS EXPECTED" };
                [fleet.name.clone()]
                    .into_iter()
                    .chain(numbers.map(|number| number.to_string()))
                    .chain(latencies.map(|millis| format!("{millis} ms")))
                    .chain([verdict.to_owned()])
                    .collect()
            })
            .collect();
        table(&header, &rows)
    }
}
