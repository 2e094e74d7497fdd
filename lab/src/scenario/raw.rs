//! A scenario file as it is written; `read` turns it into what is meant.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    pub(super) title: Option<String>,
    pub(super) limit_secs: Option<f64>,
    pub(super) at_once: Option<i64>,
    #[serde(default)]
    pub(super) issuer: Issuer,
    #[serde(default)]
    pub(super) registrar: Registrar,
    #[serde(default)]
    pub(super) manufacturer: Vec<Manufacturer>,
    #[serde(default)]
    pub(super) fleet: Vec<Fleet>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Issuer {
    pub(super) kind: Option<String>,
    pub(super) validation_secs: Option<i64>,
    pub(super) nonces_rejected_percent: Option<i64>,
    pub(super) orders_in_flight: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Registrar {
    pub(super) hold_secs: Option<i64>,
    pub(super) connections: Option<i64>,
    pub(super) handshake_timeout_secs: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manufacturer {
    pub(super) name: String,
    pub(super) key: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) masa_url: Option<String>,
    pub(super) lifetime_days: Option<i64>,
    #[serde(default)]
    pub(super) odd: Vec<String>,
    #[serde(default)]
    pub(super) masa: Masa,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Masa {
    pub(super) policy: Option<String>,
    pub(super) pin: Option<String>,
    pub(super) login: Option<String>,
    pub(super) client_certificate: Option<String>,
    pub(super) latency_ms: Option<i64>,
    pub(super) failure_percent: Option<i64>,
    pub(super) log: Option<String>,
    pub(super) log_numbers: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    pub(super) name: String,
    pub(super) manufacturer: Option<String>,
    pub(super) count: Option<i64>,
    #[serde(default)]
    pub(super) arrival: Arrival,
    pub(super) encoding: Option<String>,
    pub(super) tls: Option<String>,
    pub(super) label: Option<String>,
    pub(super) addresses: Option<String>,
    pub(super) renew_after_secs: Option<f64>,
    pub(super) renewals: Option<i64>,
    pub(super) faults: Option<Vec<String>>,
    #[serde(default)]
    pub(super) expect: Expect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Arrival {
    pub(super) kind: Option<String>,
    pub(super) after_secs: Option<f64>,
    pub(super) within_secs: Option<f64>,
    pub(super) per_second: Option<f64>,
    pub(super) from_per_second: Option<f64>,
    pub(super) to_per_second: Option<f64>,
    pub(super) ramp_secs: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) outcome: Option<String>,
    pub(super) status: Option<i64>,
    pub(super) at_least_percent: Option<i64>,
}
