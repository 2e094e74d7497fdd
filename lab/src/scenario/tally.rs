//! Counts what is heard of devices, and judges it by what the scenario expects.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::life::News;
use super::report::{Ended, FleetReport, MemoryReport, Percentiles, Reason, Report};
use super::{Expected, Fleet, Scenario};
use crate::fault::report::{Finding, Verdict};
use crate::load::{Failed, histogram};
use crate::pledge::PledgeError;
use crate::report::DeviceReport;

/// How many reasons of a fleet are told apart.
const REASONS_MOST: usize = 32;
/// How many failures are told one by one.
const ERRORS_MOST: usize = 50;

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

#[cfg(test)]
mod tests {
    use super::super::words::IssuerKind;
    use super::*;
    use crate::pledge::journey::Phases;

    fn joined(serial: &str) -> News {
        let device = DeviceReport {
            serial: serial.to_owned(),
            name: String::new(),
            san: Vec::new(),
            issuer: String::new(),
            certificate_serial: String::new(),
            not_before: String::new(),
            not_after: String::new(),
            phases_ms: crate::report::PhasesReport { voucher: 1, enroll: 1, status: 1 },
        };
        let took = Duration::from_millis(70);
        News::Joined { fleet: 0, device: Box::new(device), phases: Phases::default(), took }
    }

    fn refused(status: u16) -> News {
        let error = PledgeError::Refused { step: "simpleenroll", status, reason: String::new() };
        News::GaveUp { fleet: 0, serial: "S".to_owned(), error }
    }

    /// What two devices come to, of whom this is expected.
    fn report(expected: Expected, heard: Vec<News>, ended: Ended) -> Report {
        let mut scenario = Scenario::usual(2, 1, IssuerKind::Local);
        for fleet in &mut scenario.fleets {
            fleet.expected = expected;
        }
        let mut tally = Tally::new(&scenario, &[2]);
        for news in heard {
            tally.hear(news);
        }
        tally.report(&scenario, (ended, String::new()), Duration::from_secs(1))
    }

    #[test]
    fn as_many_must_join_as_the_scenario_says() {
        for (percent, is_expected) in [(50, true), (51, false)] {
            let expected = Expected::Onboarded { at_least_percent: percent };
            let report = report(expected, vec![joined("A"), refused(403)], Ended::Done);
            assert_eq!(report.as_expected, is_expected, "{percent}");
            assert_eq!((report.enrolled, report.failed), (1, 1));
            assert_eq!(report.fleets[0].latency_ms.p50, 70);
            assert_eq!(report.errors, ["S: simpleenroll: the registrar answered 403: "]);
        }
    }

    #[test]
    fn who_must_be_refused_must_be_so_with_that_status() {
        let expected = Expected::Refused { status: Some(403) };
        let good = report(expected, vec![refused(403), refused(403)], Ended::Done);
        assert!(good.as_expected && good.errors.is_empty());
        let other = report(expected, vec![refused(403), refused(404)], Ended::Done);
        assert!(!other.as_expected);
        assert_eq!(other.fleets[0].refused_otherwise, 1);
        let joins = report(expected, vec![refused(403), joined("A")], Ended::Done);
        assert!(!joins.as_expected);
    }

    #[test]
    fn an_early_end_is_never_as_expected_and_keeps_what_was_measured() {
        let expected = Expected::Onboarded { at_least_percent: 50 };
        let report = report(expected, vec![joined("A")], Ended::Interrupted);
        assert!(!report.as_expected);
        assert_eq!((report.fleets[0].onboarded, report.fleets[0].unfinished), (1, 1));
        assert!(report.text().contains("NOT everything"));
    }

    #[test]
    fn reasons_of_a_hostile_server_are_not_endless() {
        let mut reasons = Reasons::new();
        for number in 0..1000 {
            note(&mut reasons, number.to_string(), String::new());
        }
        assert_eq!(reasons.len(), REASONS_MOST + 1);
        assert_eq!(reasons.values().map(|(times, _)| times).sum::<u64>(), 1000);
    }
}
