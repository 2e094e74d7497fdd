//! Which settings must be the same at every registrar on one database, and which keys differ. Pure.
//!
//! A device may meet any node with any request, so whom policy lets in, what a profile gives, and whose certificate the
//! registrar shows must not depend on the node. Addresses, limits, logs and notification are each node's own.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use crate::store::model::Sha256;

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
/// What stands for the registrar's key, which is no text of the file.
const KEY: &str = "identity.key";

/// What a node says of its settings: each key that must agree, with a digest of its value as it is written.
pub type Statement = BTreeMap<String, String>;

/// The statement of a configuration. `spki`: the registrar's SubjectPublicKeyInfo, DER.
#[must_use]
pub fn statement(config: &Config, spki: &[u8]) -> Statement {
    let shared = config.written.iter().filter(|(key, _)| is_shared(key));
    let digests = shared.map(|(key, value)| (key.clone(), Sha256::of(value.as_bytes())));
    let own = (KEY.to_owned(), Sha256::of(spki));
    digests.chain([own]).map(|(key, digest)| (key, digest.to_string())).collect()
}

/// The keys whose values differ, or that one of the two leaves to its default.
#[must_use]
pub fn differing(own: &Statement, other: &Statement) -> BTreeSet<String> {
    let keys = own.keys().chain(other.keys());
    keys.filter(|key| own.get(*key) != other.get(*key)).cloned().collect()
}

fn is_shared(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    SHARED.iter().any(|begin| key.starts_with(begin)) && !PLACES.contains(&last)
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
    fn a_value_that_differs_and_a_key_that_is_missing_are_told() {
        let statement = |pairs: &[(&str, &str)]| -> Statement {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let own = statement(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let other = statement(&[("a", "1"), ("b", "4"), ("d", "3")]);
        let keys = ["b", "c", "d"].map(str::to_owned).into_iter().collect();
        assert_eq!(differing(&own, &other), keys);
        assert_eq!(differing(&other, &own), keys);
        assert!(differing(&own, &own).is_empty());
    }
}
