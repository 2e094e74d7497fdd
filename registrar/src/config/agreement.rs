//! Which settings must be the same at every registrar on one database, and which keys differ. Pure.
//!
//! A device may meet any node with any request, so whom policy lets in, what a profile gives, and whose certificate the
//! registrar shows must not depend on the node. Addresses, limits, logs and notification are each node's own.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use crate::store::model::{Millis, NodeSettings, Sha256};

/// The keys that must agree, by how they begin.
const SHARED: [&str; 6] = ["danger.", "identity.pin", "issuer.", "policy.", "profile.", "zone."];
/// The last parts of keys that name a file or a program of one machine, whose place may be another one elsewhere.
const PLACES: [&str; 10] = [
    "account_key",
    "ca",
    "certificate",
    "credentials",
    "directory_ca",
    "eab_file",
    "key",
    "program",
    "root",
    "tsig_key",
];
/// The last parts of keys whose values are told as digests alone: what a program is given may be anything.
const UNTOLD: [&str; 1] = ["arguments"];
/// The longest value that is told as it is, in octets; of a longer one a digest is.
const VALUE_OCTETS: usize = 200;
/// What stands for the registrar's key, which is no text of the file.
const KEY: &str = "identity.key";
/// How often a node says again what it said before, in milliseconds.
pub const REPEAT_MILLIS: i64 = 60_000;
/// A node that said nothing for so long does not run, in milliseconds.
const SILENT_MILLIS: i64 = 3 * REPEAT_MILLIS;

/// What a node says of its settings: each key that must agree, with its value as it is written, or a digest of it.
///
/// The configuration holds no secrets; what might hold one all the same is a digest.
pub type Statement = BTreeMap<String, String>;

/// A setting that differs: the own value and the other node's, `None` where it is left to its default.
pub type Difference = (Option<String>, Option<String>);

/// The statement of a configuration. `spki`: the registrar's SubjectPublicKeyInfo, DER.
#[must_use]
pub fn statement(config: &Config, spki: &[u8]) -> Statement {
    let shared = config.written.iter().filter(|(key, _)| is_shared(key));
    let told = shared.map(|(key, value)| (key.clone(), told(key, value)));
    told.chain([(KEY.to_owned(), digest(spki))]).collect()
}

/// The settings whose values differ, or that one of the two leaves to its default.
#[must_use]
pub fn differences(own: &Statement, other: &Statement) -> BTreeMap<String, Difference> {
    let keys: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
    let both = |key: &String| (own.get(key).cloned(), other.get(key).cloned());
    let each = keys.into_iter().map(|key| (key.clone(), both(key)));
    each.filter(|(_, (own, other))| own != other).collect()
}

/// The keys of [`differences`].
#[must_use]
pub fn differing(own: &Statement, other: &Statement) -> BTreeSet<String> {
    differences(own, other).into_keys().collect()
}

/// Of what nodes said, that of the others that run now. `node`: this node's name.
pub fn running<'a>(
    rows: &'a [NodeSettings],
    node: &'a str,
    now: Millis,
) -> impl Iterator<Item = &'a NodeSettings> {
    let is_alive =
        move |row: &&NodeSettings| now.0.abs_diff(row.at.0) < SILENT_MILLIS.unsigned_abs();
    rows.iter().filter(move |row| row.node != node).filter(is_alive)
}

fn told(key: &str, value: &str) -> String {
    let is_untold = UNTOLD.contains(&last_part(key));
    // An address may name a user with a password.
    let is_address_of_a_user = value.contains("://") && value.contains('@');
    match is_untold || is_address_of_a_user || value.len() > VALUE_OCTETS {
        true => digest(value.as_bytes()),
        false => value.to_owned(),
    }
}

fn digest(octets: &[u8]) -> String {
    format!("SHA-256 {}", Sha256::of(octets))
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn is_shared(key: &str) -> bool {
    SHARED.iter().any(|begin| key.starts_with(begin)) && !PLACES.contains(&last_part(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_meets_must_agree_and_what_is_a_machines_own_need_not() {
        for key in ["policy.unexpected", "profile.default.name", "issuer.acme.directory"] {
            assert!(is_shared(key), "{key}");
        }
        for key in [
            "listen.est",
            "store.node",
            "limits.connections",
            "log.level",
            "identity.certificate",
            "issuer.acme.account_key",
            "zone.iot.example.org.tsig_key",
        ] {
            assert!(!is_shared(key), "{key}");
        }
    }

    #[test]
    fn what_may_hold_a_secret_is_told_as_a_digest() {
        assert_eq!(told("policy.unexpected", "\"ask\""), "\"ask\"");
        let directory = "\"https://ca.example/directory\"";
        assert_eq!(told("issuer.acme.directory", directory), directory);
        for (key, value) in [
            ("zone.iot.example.org.arguments", "[\"--password\", \"secret\"]"),
            ("issuer.acme.directory", "\"https://user:secret@ca.example/directory\""),
            ("policy.rule", &"secret".repeat(VALUE_OCTETS)),
        ] {
            let told = told(key, value);
            assert!(told.starts_with("SHA-256 ") && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn a_silent_node_and_this_one_are_not_compared_with() {
        let row = |node: &str, at| NodeSettings {
            node: node.to_owned(),
            at: Millis(at),
            settings: BTreeMap::new(),
        };
        let rows = [row("own", 0), row("alive", 0), row("ahead", 90_000), row("silent", -180_000)];
        let found: Vec<&str> =
            running(&rows, "own", Millis(0)).map(|row| row.node.as_str()).collect();
        assert_eq!(found, ["alive", "ahead"]);
    }

    #[test]
    fn a_value_that_differs_and_a_key_that_is_missing_are_told() {
        let statement = |pairs: &[(&str, &str)]| -> Statement {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let own = statement(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let other = statement(&[("a", "1"), ("b", "4"), ("d", "3")]);
        let keys: BTreeSet<String> = ["b", "c", "d"].map(str::to_owned).into();
        assert_eq!(differing(&own, &other), keys);
        let both = |own: Option<&str>, other: Option<&str>| {
            (own.map(str::to_owned), other.map(str::to_owned))
        };
        let differences = differences(&own, &other);
        assert_eq!(differences["b"], both(Some("2"), Some("4")));
        assert_eq!(differences["c"], both(Some("3"), None));
        assert_eq!(differences["d"], both(None, Some("3")));
        assert_eq!(differing(&other, &own), keys);
        assert!(differing(&own, &own).is_empty());
    }
}
