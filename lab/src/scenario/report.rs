//! What became of a scenario: a line for each fleet for people, one JSON object for programs.

use serde::Serialize;

use crate::report::{DeviceReport, table};

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
    /// `acme`, `local` or `lying`.
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
        // A registrar that was stopped says nothing of it.
        if self.issuer == "acme" && self.dns_queries_answered > 0 {
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
