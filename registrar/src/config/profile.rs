//! The sections `[profile.NAME]`: what a device gets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brski_est::csr::KeyKind;
use brski_est::csr_attributes::Linking;
use brski_est::path::Label;

use super::issuer::IssuerConfig;
use super::reader::Reader;
use super::usage::{CLIENT_AUTH, SERVER_AUTH};
use super::{DEFAULT_PROFILE, ZoneConfig, raw};

/// What a device of a profile gets.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The issuer, a key of [`Config::issuers`](super::Config::issuers).
    pub issuer: String,
    /// The zone, one of [`Config::zones`](super::Config::zones).
    pub zone: String,
    /// The name template.
    pub name: String,
    /// The keys that a CSR may have.
    pub key_types: Vec<KeyKind>,
    /// How long a request is held before it is answered with 202.
    pub hold: Duration,
    /// For how many days after its end a certificate can still be renewed with.
    pub renew_expired_days: u32,
    /// Which key a renewed certificate may have.
    pub renew_key: RenewKey,
    /// Whether a CSR must be linked to its TLS session by a challengePassword.
    pub linking: Linking,
    /// The issuer that takes over while the first is down or out of quota.
    pub fallback: Option<String>,
    /// The extended key usages that a CSR may ask for: object identifiers.
    pub allow_eku: Vec<String>,
    /// The extended key usages that a certificate must have: object identifiers.
    pub require_eku: Vec<String>,
    /// How long certificates of the local issuer last, in days, where it is not the issuer's own lifetime.
    pub validity_days: Option<u32>,
    /// Whether the registrar makes keys for devices that cannot.
    pub server_keygen: ServerKeygen,
}

/// Whether the registrar makes keys for devices (RFC 7030 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKeygen {
    /// A device makes its own key, which never leaves it.
    Refused,
    /// A device may have its key made.
    Offered,
}

/// Which key a renewed certificate may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewKey {
    /// The one of the certificate that is renewed, or another.
    Any,
    /// The one of the certificate that is renewed.
    Same,
    /// Another.
    New,
}

/// The kinds of keys that a profile can take.
const KEY_KINDS: [KeyKind; 5] =
    [KeyKind::EcP256, KeyKind::EcP384, KeyKind::EcP521, KeyKind::Rsa, KeyKind::Ed25519];

impl Reader {
    pub(super) fn profiles(
        &mut self,
        profiles: BTreeMap<String, raw::Profile>,
        issuers: &BTreeMap<String, IssuerConfig>,
        zones: &BTreeMap<String, ZoneConfig>,
    ) -> BTreeMap<String, Arc<Profile>> {
        if !profiles.contains_key(DEFAULT_PROFILE) {
            let reason = "is needed: it is what devices get that name no other".to_owned();
            self.problem("profile.default", reason);
        }
        let mut read = BTreeMap::new();
        for (name, profile) in profiles {
            let key = format!("profile.{name}");
            if Label::parse(&name).is_err() {
                let reason = "is no EST label: letters, digits, '.', '_' and '-', and no operation";
                self.problem(&key, reason.to_owned());
            }
            if !issuers.contains_key(&profile.issuer) {
                let known: Vec<&str> = issuers.keys().map(String::as_str).collect();
                let reason = format!(
                    "there is no [issuer.{}]; there is {}",
                    profile.issuer,
                    known.join(", ")
                );
                self.problem(&format!("{key}.issuer"), reason);
            }
            let zone = profile.zone.to_ascii_lowercase();
            if !zones.contains_key(&zone) {
                let reason = format!("there is no [zone.\"{zone}\"]");
                self.problem(&format!("{key}.zone"), reason);
            }
            self.template(&format!("{key}.name"), &profile.name);
            let key_types = self.key_types(&key, profile.key_types);
            let hold =
                self.bounded(&format!("{key}.hold_secs"), profile.hold_secs.unwrap_or(10), 0, 60);
            let hold = Duration::from_secs(u64::from(hold));
            if let Some(fallback) = &profile.fallback {
                self.fallback(&key, &profile.issuer, fallback, issuers);
            }
            let allow_eku = match &profile.allow_eku {
                None => vec![SERVER_AUTH.to_owned(), CLIENT_AUTH.to_owned()],
                Some(words) => self.usages(&format!("{key}.allow_eku"), words),
            };
            let require_eku = self.usages(&format!("{key}.require_eku"), &profile.require_eku);
            let validity_days = profile
                .validity_days
                .map(|days| self.bounded(&format!("{key}.validity_days"), days, 1, 3650));
            let (issuer, template) = (profile.issuer, profile.name);
            let grace = format!("{key}.renew_expired_days");
            let renew_expired_days = self.bounded(&grace, profile.renew_expired_days, 0, 3650);
            let renew_key = self.choose(
                &format!("{key}.renew_key"),
                profile.renew_key.as_deref().unwrap_or("any"),
                &[("any", RenewKey::Any), ("same", RenewKey::Same), ("new", RenewKey::New)],
            );
            let linking = match profile.require_linking {
                true => Linking::Required,
                false => Linking::NotAsked,
            };
            let server_keygen = match profile.server_keygen {
                true => ServerKeygen::Offered,
                false => ServerKeygen::Refused,
            };
            let profile = Profile {
                issuer,
                zone,
                name: template,
                key_types,
                hold,
                renew_expired_days,
                renew_key: renew_key.unwrap_or(RenewKey::Any),
                linking,
                fallback: profile.fallback,
                allow_eku,
                require_eku,
                validity_days,
                server_keygen,
            };
            read.insert(name, Arc::new(profile));
        }
        read
    }

    /// Only an ACME CA can be down, and only another one has its orders.
    fn fallback(
        &mut self,
        key: &str,
        issuer: &str,
        fallback: &str,
        issuers: &BTreeMap<String, IssuerConfig>,
    ) {
        let key = format!("{key}.fallback");
        let is_acme = |name: &str| matches!(issuers.get(name), Some(IssuerConfig::Acme(_)));
        if fallback == issuer {
            self.problem(&key, "is the issuer itself".to_owned());
        } else if !is_acme(fallback) || !is_acme(issuer) {
            let reason =
                format!("{fallback:?} and {issuer:?} must both be issuers of kind \"acme\"");
            self.problem(&key, reason);
        }
    }

    pub(super) fn template(&mut self, key: &str, template: &str) {
        let plain = ["{serial}", "{manufacturer}", "{opaque}"]
            .iter()
            .fold(template.to_owned(), |text, placeholder| text.replace(placeholder, ""));
        let tells_apart = template.contains("{serial}") || template.contains("{opaque}");
        let is_legal = plain.bytes().all(|each| each.is_ascii_alphanumeric() || each == b'-');
        if !tells_apart || !is_legal {
            let reason = format!(
                "{template:?} must hold {{serial}} or {{opaque}}, may hold {{manufacturer}}, \
                 and beside them letters, digits and '-' only"
            );
            self.problem(key, reason);
        }
    }

    fn key_types(&mut self, key: &str, words: Option<Vec<String>>) -> Vec<KeyKind> {
        let key = format!("{key}.key_types");
        let Some(words) = words else {
            return vec![KeyKind::EcP256, KeyKind::EcP384];
        };
        if words.is_empty() {
            self.problem(&key, "is empty: no CSR would fit".to_owned());
        }
        let choices: Vec<(String, KeyKind)> =
            KEY_KINDS.iter().map(|kind| (kind.to_string(), *kind)).collect();
        let choices: Vec<(&str, KeyKind)> =
            choices.iter().map(|(word, kind)| (word.as_str(), *kind)).collect();
        words.iter().filter_map(|word| self.choose(&key, word, &choices)).collect()
    }
}
