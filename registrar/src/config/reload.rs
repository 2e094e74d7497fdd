//! What of a changed configuration a running daemon takes up, and what waits for a restart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, IdentityFiles};

/// Keys that apply at once, by how they begin. All others wait for a restart.
const AT_ONCE: [&str; 16] = [
    "admin.certificate",
    "admin.client",
    "admin.key",
    "admin.openid.roles.",
    "admin.token",
    "admin.client_ca",
    "identity.certificate",
    "identity.domain_ca",
    "identity.old_root_days",
    "identity.pin",
    "identity.renew_before_days",
    "log.level",
    "policy.",
    "profile.",
    "store.keep_events_days",
    "store.keep_orders_days",
];

/// What came of reading the configuration again.
#[derive(Clone, Debug)]
pub struct Reload {
    /// What applies from now on.
    pub config: Config,
    /// The keys whose new value applies now.
    pub applied: Vec<String>,
    /// The keys whose new value applies after a restart.
    pub needs_restart: Vec<String>,
}

/// Takes up what can be taken up.
///
/// A profile that names an issuer or a zone which does not run yet stays as it is, since they start with the daemon.
#[must_use]
pub fn merge(running: &Config, new: Config) -> Reload {
    let mut config = running.clone();
    let mut late = BTreeSet::new();
    let mut profiles = BTreeMap::new();
    for (name, profile) in new.profiles {
        let runs = running.issuers.contains_key(&profile.issuer)
            && running.zones.contains_key(&profile.zone);
        if runs {
            profiles.insert(name, profile);
        } else {
            late.insert(format!("profile.{name}."));
            if let Some(old) = running.profiles.get(&name) {
                profiles.insert(name, old.clone());
            }
        }
    }
    // Rules that name a profile which has to wait, wait with it.
    let mut named = new.policy.rules.rules.iter().filter_map(|rule| rule.profile.as_ref());
    let policy_waits = named.any(|name| !profiles.contains_key(name));
    config.profiles = profiles;
    if policy_waits {
        late.insert("policy.".to_owned());
    } else {
        config.policy = new.policy;
    }
    config.log.level = new.log.level;
    config.store.retention = new.store.retention;
    // The key stays: the trail and MASAs know it.
    config.identity = IdentityFiles { key: running.identity.key.clone(), ..new.identity };
    config.admin.server = new.admin.server;
    config.admin.client_ca = new.admin.client_ca;
    config.admin.clients = new.admin.clients;
    config.admin.tokens = new.admin.tokens;
    if let Some(openid) = &mut config.admin.openid {
        openid.roles = new.admin.openid.map(|new| new.roles).unwrap_or_default();
    }
    let (mut applied, mut needs_restart) = (Vec::new(), Vec::new());
    for key in changed(&running.written, &new.written) {
        let is_late = late.iter().any(|section| key.starts_with(section.as_str()));
        if !is_late && AT_ONCE.iter().any(|begin| key.starts_with(begin)) {
            match new.written.get(&key) {
                Some(value) => config.written.insert(key.clone(), value.clone()),
                None => config.written.remove(&key),
            };
            applied.push(key);
        } else {
            needs_restart.push(key);
        }
    }
    Reload { config, applied, needs_restart }
}

/// The keys whose values differ, or that only one of the two has.
fn changed(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> BTreeSet<String> {
    old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

/// Every key that is written, dotted, with its value as TOML writes it.
pub(super) fn flatten(table: &toml::Table) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut open: Vec<(String, &toml::Value)> =
        table.iter().map(|(key, value)| (key.clone(), value)).collect();
    while let Some((key, value)) = open.pop() {
        match value {
            toml::Value::Table(inner) => {
                open.extend(inner.iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => {
                flat.insert(key, value.to_string());
            }
        }
    }
    flat
}
