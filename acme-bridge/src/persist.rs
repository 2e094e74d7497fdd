//! What a dns-persist-01 challenge says that the ACME library does not read: the names by which a CA knows itself.
//!
//! They stand in the authorization, which the library fetches by way of our HTTP client; so they are noted there.
//! draft-ietf-acme-dns-persist §3.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::challenge::ChallengeType;

/// How many names a challenge may list (draft-ietf-acme-dns-persist §3), and how long one may be.
const NAMES: usize = 10;
const NAME_OCTETS: usize = 253;
/// How many authorizations are remembered.
const AUTHORIZATIONS: usize = 1024;

#[derive(Deserialize)]
struct Authorization {
    challenges: Vec<Challenge>,
}

#[derive(Deserialize)]
struct Challenge {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, rename = "issuer-domain-names")]
    names: Vec<String>,
}

/// The names in authorizations that were fetched, by the authorization's URL.
#[derive(Default)]
pub(crate) struct IssuerNames(Mutex<HashMap<String, Vec<String>>>);

impl IssuerNames {
    /// Notes the names in an answer of the CA, if it is an authorization that has some.
    pub(crate) fn note(&self, url: &str, body: &[u8]) {
        let word = ChallengeType::DnsPersist01.as_str();
        // Most answers are none, and are not read twice for it.
        if !body.windows(word.len()).any(|window| window == word.as_bytes()) {
            return;
        }
        let Ok(Authorization { challenges }) = serde_json::from_slice(body) else {
            return;
        };
        let challenge = challenges.into_iter().find(|challenge| challenge.kind == word);
        let mut names = challenge.map(|challenge| challenge.names).unwrap_or_default();
        names.truncate(NAMES);
        names.retain(|name| is_name(name));
        if names.is_empty() {
            return;
        }
        let mut noted = self.noted();
        if noted.len() >= AUTHORIZATIONS {
            // They are fetched again when they are asked for.
            noted.clear();
        }
        noted.insert(url.to_owned(), names);
    }

    /// The names that were noted for an authorization; none if it has no such challenge.
    pub(crate) fn take(&self, url: &str) -> Vec<String> {
        self.noted().remove(url).unwrap_or_default()
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that a TXT record may begin with: hostile text would change what the record says.
fn is_name(name: &str) -> bool {
    (1..=NAME_OCTETS).contains(&name.len())
        && name.bytes().all(|each| each.is_ascii_alphanumeric() || b"-.".contains(&each))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(body: &str) -> Vec<String> {
        let names = IssuerNames::default();
        names.note("url", body.as_bytes());
        names.take("url")
    }

    #[test]
    fn the_names_are_those_of_the_challenge() {
        let body = r#"{"status": "pending", "challenges": [{"type": "dns-01", "token": "x"},
            {"type": "dns-persist-01", "issuer-domain-names": ["a.example", "b.example"]}]}"#;
        assert_eq!(noted(body), ["a.example", "b.example"]);
        let names = IssuerNames::default();
        names.note("url", body.as_bytes());
        assert!(names.take("other").is_empty());
        assert_eq!((names.take("url").len(), names.take("url").len()), (2, 0));
    }

    #[test]
    fn hostile_names_and_other_answers_are_passed_over() {
        for body in [
            "",
            "dns-persist-01",
            r#"{"challenges": [{"type": "dns-persist-01"}]}"#,
            r#"{"challenges": [{"type": "dns-01", "issuer-domain-names": ["dns-persist-01"]}]}"#,
            r#"{"challenges": [{"type": "dns-persist-01", "issuer-domain-names": "a.example"}]}"#,
            r#"{"challenges": [{"type": "dns-persist-01",
                "issuer-domain-names": ["", "a; accounturi=b", "a\u0000", "a\n"]}]}"#,
        ] {
            assert!(noted(body).is_empty(), "{body}");
        }
        let many = vec!["\"a.example\""; 50].join(",");
        let body = format!(
            r#"{{"challenges": [{{"type": "dns-persist-01", "issuer-domain-names": [{many}]}}]}}"#
        );
        assert_eq!(noted(&body).len(), NAMES);
        let long = "a".repeat(300);
        let body = format!(
            r#"{{"challenges": [{{"type": "dns-persist-01", "issuer-domain-names": ["{long}"]}}]}}"#
        );
        assert!(noted(&body).is_empty());
    }
}
