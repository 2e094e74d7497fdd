//! The configuration file as it is written: TOML, every key known, nothing judged.

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use self::policy::{Approval, AuditLog, Date, Policy, Quota, Quotas, Rule};

mod policy;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Listen,
    pub(super) discovery: Option<Discovery>,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) store: Store,
    pub(super) identity: Identity,
    #[serde(default)]
    pub(super) issuer: BTreeMap<String, Issuer>,
    #[serde(default)]
    pub(super) zone: BTreeMap<String, Zone>,
    #[serde(default)]
    pub(super) profile: BTreeMap<String, Profile>,
    #[serde(default)]
    pub(super) policy: Policy,
    #[serde(default)]
    pub(super) danger: Danger,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) log: Log,
    #[serde(default)]
    pub(super) metrics: Metrics,
    #[serde(default)]
    pub(super) notify: Notify,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) est: String,
    pub(super) dns: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) metrics: Option<String>,
    pub(super) http01: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discovery {
    pub(super) interfaces: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) console: bool,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) client: BTreeMap<String, AdminClient>,
    pub(super) token: BTreeMap<String, AdminToken>,
    pub(super) openid: Option<AdminOpenid>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminClient {
    pub(super) role: String,
    pub(super) sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminToken {
    pub(super) role: String,
    pub(super) file: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminOpenid {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret_file: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) console_url: String,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    pub(super) claim: Option<String>,
    #[serde(default)]
    pub(super) roles: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) path: Option<String>,
    pub(super) url_file: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) node: Option<String>,
    pub(super) keep_events_days: u32,
    pub(super) keep_orders_days: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: None,
            url_file: None,
            ca: None,
            node: None,
            keep_events_days: 400,
            keep_orders_days: 30,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) domain_ca: String,
    pub(super) domain_ca_key: Option<String>,
    #[serde(default = "root")]
    pub(super) pin: String,
    #[serde(default = "renew_before")]
    pub(super) renew_before_days: u32,
    #[serde(default = "old_root")]
    pub(super) old_root_days: u32,
}

fn renew_before() -> u32 {
    90
}

fn old_root() -> u32 {
    30
}

fn root() -> String {
    "root".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(super) enum Issuer {
    Acme {
        directory: String,
        directory_ca: Option<String>,
        root: Option<String>,
        account_key: String,
        #[serde(default)]
        accept_terms: bool,
        #[serde(default)]
        contact: Vec<String>,
        orders_in_flight: Option<u32>,
        eab_file: Option<String>,
        profile: Option<String>,
        #[serde(default)]
        registered_domains: Vec<String>,
        fallback_after_secs: Option<u32>,
        lease_secs: Option<u32>,
        limits: Option<AcmeLimits>,
    },
    Local {
        certificate: String,
        key: String,
        validity_days: Option<u32>,
        crl_url: Option<String>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcmeLimits {
    pub(super) account: Option<AcmeLimit>,
    pub(super) registered_domain: Option<AcmeLimit>,
    pub(super) names: Option<AcmeLimit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcmeLimit {
    pub(super) orders: u32,
    pub(super) secs: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Zone {
    pub(super) challenge: Words,
    pub(super) solver: String,
    pub(super) challenge_alias: Option<String>,
    pub(super) records: Option<Vec<String>>,
    pub(super) server: Option<String>,
    pub(super) update_zone: Option<String>,
    pub(super) tsig_key: Option<String>,
    pub(super) name_servers: Option<Vec<String>>,
    pub(super) propagation_secs: Option<u32>,
    pub(super) program: Option<String>,
    pub(super) arguments: Option<Vec<String>>,
    pub(super) timeout_secs: Option<u32>,
    pub(super) url: Option<String>,
    pub(super) credentials: Option<String>,
    pub(super) ca: Option<String>,
}

/// One word, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a word or a list of words")]
pub(super) enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    pub(super) fn list(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) issuer: String,
    pub(super) zone: String,
    #[serde(default = "serial")]
    pub(super) name: String,
    pub(super) key_types: Option<Vec<String>>,
    pub(super) hold_secs: Option<u32>,
    #[serde(default)]
    pub(super) renew_expired_days: u32,
    pub(super) renew_key: Option<String>,
    #[serde(default)]
    pub(super) require_linking: bool,
    pub(super) fallback: Option<String>,
    pub(super) allow_eku: Option<Vec<String>>,
    #[serde(default)]
    pub(super) require_eku: Vec<String>,
    pub(super) validity_days: Option<u32>,
    #[serde(default)]
    pub(super) server_keygen: bool,
}

fn serial() -> String {
    "{serial}".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Danger {
    pub(super) allow_lab_anchors: bool,
    pub(super) accept_any_device_as: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) connections: u32,
    pub(super) connections_per_address: Option<u32>,
    pub(super) handshakes: Option<u32>,
    pub(super) masa_timeout_secs: u32,
    pub(super) dns_answers_per_second: u32,
    pub(super) handshake_timeout_secs: u32,
    pub(super) header_timeout_secs: u32,
    pub(super) body_timeout_secs: u32,
    pub(super) body_octets: u32,
    pub(super) shutdown_secs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_address: None,
            handshakes: None,
            masa_timeout_secs: 10,
            dns_answers_per_second: 1000,
            handshake_timeout_secs: 10,
            header_timeout_secs: 30,
            body_timeout_secs: 30,
            body_octets: super::limits::BODY_OCTETS_MOST,
            shutdown_secs: 20,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: String,
    pub(super) format: String,
    pub(super) otlp_endpoint: Option<String>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: "text".to_owned(), otlp_endpoint: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) queues_secs: u32,
    pub(super) certificates_secs: u32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { queues_secs: 15, certificates_secs: 300 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Notify {
    pub(super) events: Vec<String>,
    pub(super) program: Option<Vec<String>>,
    pub(super) url: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) token_file: Option<String>,
    pub(super) timeout_secs: u32,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            program: None,
            url: None,
            ca: None,
            token_file: None,
            timeout_secs: 10,
        }
    }
}
