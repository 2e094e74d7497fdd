//! The section `[policy]` as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::value::Datetime;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Policy {
    pub(in crate::config) unexpected: String,
    pub(in crate::config) nonceless: String,
    pub(in crate::config) rule: Vec<Rule>,
    pub(in crate::config) approval: Approval,
    pub(in crate::config) quota: Quotas,
    pub(in crate::config) audit_log: AuditLog,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Whoever says nothing is asked.
            unexpected: "ask".to_owned(),
            rule: Vec::new(),
            approval: Approval::default(),
            quota: Quotas::default(),
            nonceless: "accept".to_owned(),
            audit_log: AuditLog::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rule {
    pub(in crate::config) decision: String,
    pub(in crate::config) note: Option<String>,
    pub(in crate::config) devices: Option<String>,
    pub(in crate::config) manufacturer: Option<String>,
    pub(in crate::config) serial: Option<Vec<String>>,
    pub(in crate::config) serial_pattern: Option<String>,
    pub(in crate::config) made_from: Option<Date>,
    pub(in crate::config) made_until: Option<Date>,
    pub(in crate::config) not_before: Option<Date>,
    pub(in crate::config) not_after: Option<Date>,
    pub(in crate::config) profile: Option<String>,
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) site: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Approval {
    pub(in crate::config) waiting_per_manufacturer: u32,
    pub(in crate::config) silent_secs: u32,
}

impl Default for Approval {
    fn default() -> Self {
        Self { waiting_per_manufacturer: 100, silent_secs: 600 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Quotas {
    pub(in crate::config) device_vouchers: Option<Quota>,
    pub(in crate::config) device_enrollments: Option<Quota>,
    pub(in crate::config) manufacturer_vouchers: Option<Quota>,
    pub(in crate::config) manufacturer_enrollments: Option<Quota>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Quota {
    pub(in crate::config) most: u32,
    pub(in crate::config) secs: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AuditLog {
    pub(in crate::config) when: String,
    pub(in crate::config) missing: String,
    pub(in crate::config) domains: Vec<String>,
    pub(in crate::config) nonceless: String,
    pub(in crate::config) assertions: Option<Vec<String>>,
    pub(in crate::config) truncation: String,
    pub(in crate::config) since: Option<Date>,
    pub(in crate::config) bought: BTreeMap<String, Date>,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self {
            when: "after-status".to_owned(),
            missing: "accept".to_owned(),
            domains: Vec::new(),
            nonceless: "own-domain".to_owned(),
            assertions: None,
            truncation: "duplicates".to_owned(),
            since: None,
            bought: BTreeMap::new(),
        }
    }
}

/// A date as TOML has it, or one in quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a date such as 2026-05-01")]
pub(in crate::config) enum Date {
    Bare(Datetime),
    Quoted(String),
}
