//! The section `[policy]` as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::value::Datetime;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Policy {
    pub(in crate::config) unexpected: String,
    pub(in crate::config) audit_log: AuditLog,
}

impl Default for Policy {
    fn default() -> Self {
        Self { unexpected: "admit".to_owned(), audit_log: AuditLog::default() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AuditLog {
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
