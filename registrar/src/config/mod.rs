//! The configuration as it is meant: every name resolved, every number bounded, every path absolute.
//!
//! All problems are found at once, each with its file, its key and what is allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brski_est::path::Label;

use crate::policy::admission::Unexpected;

pub mod check;
mod raw;
pub mod sample;
mod store;

pub use self::store::{Database, Retention, StoreConfig};

/// The profile of a device that names none.
pub const DEFAULT_PROFILE: &str = "default";

/// The configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The folder of that file; the admin socket and the lock live there.
    pub folder: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// Where everything is kept.
    pub store: StoreConfig,
    /// The registrar's own certificate.
    pub identity: IdentityFiles,
    /// Where certificates come from, by name.
    pub issuers: BTreeMap<String, IssuerConfig>,
    /// The DNS zones that devices are named in, lower case.
    pub zones: Vec<String>,
    /// What devices get, by name; there is always a `default`.
    pub profiles: BTreeMap<String, Profile>,
    /// Which devices may join.
    pub policy: Policy,
    /// How much is too much.
    pub limits: Limits,
    /// What is logged: a filter such as `info` or `registrar=debug`.
    pub log: String,
}

/// Where the daemon listens.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Pledges and EST clients, TCP.
    pub est: SocketAddr,
    /// The DNS responder, UDP and TCP.
    pub dns: Option<SocketAddr>,
}

/// The files of the registrar's identity.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// Its certificate and any intermediates, PEM.
    pub certificate: PathBuf,
    /// Its private key, PKCS#8 PEM, mode 0600.
    pub key: PathBuf,
    /// The domain CA's certificate, PEM.
    pub domain_ca: PathBuf,
    /// What MASAs are offered to pin.
    pub pin: Pin,
}

/// What vouchers shall pin: how much of its chain the registrar shows a MASA (RFC 8995 §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The registrar's own certificate.
    EndEntity,
    /// The CA that issued it.
    IssuingCa,
    /// The domain's root.
    Root,
}

/// A source of certificates.
#[derive(Clone, Debug)]
pub enum IssuerConfig {
    /// An ACME CA.
    Acme(AcmeConfig),
    /// The device CA inside the registrar.
    Local {
        /// Its certificate, PEM.
        certificate: PathBuf,
        /// Its key, PKCS#8 PEM, mode 0600.
        key: PathBuf,
        /// How long its certificates last, in days.
        validity_days: u32,
    },
}

/// An ACME CA.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// Its directory, HTTPS.
    pub directory: String,
    /// Anchors of the directory's TLS certificate; none: the operating system's.
    pub directory_ca: Option<PathBuf>,
    /// The roots that issued chains must end at; none: the operating system's.
    pub root: Option<PathBuf>,
    /// The account's key; made if it is not there.
    pub account_key: PathBuf,
    /// How many orders are driven at once.
    pub orders_in_flight: u32,
}

/// What a device of a profile gets.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The issuer, a key of [`Config::issuers`].
    pub issuer: String,
    /// The zone, one of [`Config::zones`].
    pub zone: String,
    /// The name template.
    pub name: String,
    /// The keys that a CSR may have.
    pub key_types: Vec<KeyType>,
    /// How long a request is held before it is answered with 202.
    pub hold: Duration,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// ECDSA on P-521.
    EcP521,
    /// RSA of 2048 bits and more.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    const ALL: [Self; 5] = [Self::EcP256, Self::EcP384, Self::EcP521, Self::Rsa, Self::Ed25519];
}

impl fmt::Display for KeyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// Which devices may join.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What becomes of genuine devices that no operator expected.
    pub unexpected: Unexpected,
}

/// How much is too much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of pledges and EST clients at once.
    pub connections: usize,
    /// How long one call to a MASA may take.
    pub masa_timeout: Duration,
}

/// Something that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The key, dotted; empty where the whole file is meant.
    pub key: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.file.display())?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.reason)
    }
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Everything that is wrong with what is written in it; what it refers to is [`check`]'s business.
    pub fn load(file: &Path) -> Result<Self, Vec<Problem>> {
        let fatal =
            |reason: String| vec![Problem { file: file.to_owned(), key: String::new(), reason }];
        let text = std::fs::read_to_string(file).map_err(|error| {
            fatal(format!("cannot be read: {error}; 'registrar init' makes one"))
        })?;
        let raw: raw::File =
            toml::from_str(&text).map_err(|error| fatal(with_nearest(&error.to_string())))?;
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Reader {
            folder: file.parent().unwrap_or(Path::new("/")).to_owned(),
            file,
            problems: vec![],
        }
        .read(raw)
    }

    /// The admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }
}

/// Adds the nearest known key to serde's message about an unknown one: "unknown field `x`, expected `a` or `b`".
fn with_nearest(message: &str) -> String {
    let message = message.trim_end();
    let quoted: Vec<&str> = message
        .find("unknown field")
        .and_then(|at| message.get(at..))
        .map(|about| about.split('`').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let nearest = quoted.split_first().and_then(|(unknown, known)| {
        let likeness = |key: &&&str| strsim::jaro_winkler(unknown, key);
        known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
    });
    match nearest {
        Some(key) => format!("{message}\ndid you mean '{key}'?"),
        None => message.to_owned(),
    }
}

/// Turns what is written into what is meant, and collects what is wrong.
struct Reader {
    file: PathBuf,
    folder: PathBuf,
    problems: Vec<Problem>,
}

impl Reader {
    fn read(mut self, raw: raw::File) -> Result<Config, Vec<Problem>> {
        let est = self.address("listen.est", &raw.listen.est);
        let dns = raw.listen.dns.as_deref().and_then(|text| self.address("listen.dns", text));
        let zones = self.zones(&raw.zone);
        let issuers = self.issuers(raw.issuer, dns.is_some());
        let profiles = self.profiles(raw.profile, &issuers, &zones);
        let pin = self.choose(
            "identity.pin",
            &raw.identity.pin,
            &[("root", Pin::Root), ("issuing-ca", Pin::IssuingCa), ("ee", Pin::EndEntity)],
        );
        let unexpected = self.choose(
            "policy.unexpected",
            &raw.policy.unexpected,
            &[
                ("admit", Unexpected::Admit),
                ("ask", Unexpected::Ask),
                ("refuse", Unexpected::Refuse),
            ],
        );
        let store = self.store(&raw.store);
        let connections = self.bounded("limits.connections", raw.limits.connections, 1, 100_000);
        let timeout =
            self.bounded("limits.masa_timeout_secs", raw.limits.masa_timeout_secs, 1, 300);
        let (Some(est), Some(pin), Some(unexpected), true) =
            (est, pin, unexpected, self.problems.is_empty())
        else {
            return Err(self.problems);
        };
        Ok(Config {
            listen: Listen { est, dns },
            store,
            identity: IdentityFiles {
                certificate: self.path(&raw.identity.certificate),
                key: self.path(&raw.identity.key),
                domain_ca: self.path(&raw.identity.domain_ca),
                pin,
            },
            issuers,
            zones,
            profiles,
            policy: Policy { unexpected },
            limits: Limits {
                connections: usize::try_from(connections).unwrap_or(usize::MAX),
                masa_timeout: Duration::from_secs(u64::from(timeout)),
            },
            log: raw.log.level,
            file: self.file,
            folder: self.folder,
        })
    }

    fn problem(&mut self, key: &str, reason: String) {
        self.problems.push(Problem { file: self.file.clone(), key: key.to_owned(), reason });
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn address(&mut self, key: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.problem(key, format!("{text:?} is not ADDRESS:PORT, such as \"0.0.0.0:8443\""));
        }
        address
    }

    fn bounded(&mut self, key: &str, value: u32, least: u32, most: u32) -> u32 {
        if !(least..=most).contains(&value) {
            self.problem(key, format!("{value} is not between {least} and {most}"));
        }
        value
    }

    fn choose<T: Copy>(&mut self, key: &str, text: &str, choices: &[(&str, T)]) -> Option<T> {
        let choice = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if choice.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.problem(key, format!("{text:?} is none of {}", words.join(", ")));
        }
        choice
    }

    fn zones(&mut self, zones: &BTreeMap<String, raw::Zone>) -> Vec<String> {
        for (name, zone) in zones {
            let key = format!("zone.{name:?}");
            if let Err(reason) = dns_name(name) {
                self.problem(&key, reason);
            }
            self.choose(&format!("{key}.challenge"), &zone.challenge, &[("dns-01", ())]);
            self.choose(&format!("{key}.solver"), &zone.solver, &[("built-in", ())]);
        }
        zones.keys().map(|name| name.to_ascii_lowercase()).collect()
    }

    fn issuers(
        &mut self,
        issuers: BTreeMap<String, raw::Issuer>,
        has_dns: bool,
    ) -> BTreeMap<String, IssuerConfig> {
        let mut read = BTreeMap::new();
        for (name, issuer) in issuers {
            let key = format!("issuer.{name}");
            let issuer = match issuer {
                raw::Issuer::Local { certificate, key: file, validity_days } => {
                    let days = format!("{key}.validity_days");
                    IssuerConfig::Local {
                        certificate: self.path(&certificate),
                        key: self.path(&file),
                        validity_days: self.bounded(&days, validity_days.unwrap_or(365), 1, 3650),
                    }
                }
                raw::Issuer::Acme {
                    directory,
                    directory_ca,
                    root,
                    account_key,
                    accept_terms,
                    orders_in_flight,
                } => {
                    if !directory.starts_with("https://") {
                        let reason = format!("{directory:?} does not begin with https://");
                        self.problem(&format!("{key}.directory"), reason);
                    }
                    if !accept_terms {
                        let reason = "must be true: the CA makes an account only for those who agree \
                                      to its terms of service; read them first";
                        self.problem(&format!("{key}.accept_terms"), reason.to_owned());
                    }
                    if !has_dns {
                        let reason = "is needed: the CA asks the registrar's own DNS responder";
                        self.problem("listen.dns", reason.to_owned());
                    }
                    let in_flight = format!("{key}.orders_in_flight");
                    IssuerConfig::Acme(AcmeConfig {
                        directory,
                        directory_ca: directory_ca.map(|path| self.path(&path)),
                        root: root.map(|path| self.path(&path)),
                        account_key: self.path(&account_key),
                        orders_in_flight: self.bounded(
                            &in_flight,
                            orders_in_flight.unwrap_or(8),
                            1,
                            1000,
                        ),
                    })
                }
            };
            read.insert(name, issuer);
        }
        read
    }

    fn profiles(
        &mut self,
        profiles: BTreeMap<String, raw::Profile>,
        issuers: &BTreeMap<String, IssuerConfig>,
        zones: &[String],
    ) -> BTreeMap<String, Profile> {
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
            if !zones.contains(&zone) {
                let reason = format!("there is no [zone.\"{zone}\"]");
                self.problem(&format!("{key}.zone"), reason);
            }
            self.template(&format!("{key}.name"), &profile.name);
            let key_types = self.key_types(&key, profile.key_types);
            let hold =
                self.bounded(&format!("{key}.hold_secs"), profile.hold_secs.unwrap_or(10), 0, 60);
            let hold = Duration::from_secs(u64::from(hold));
            let (issuer, template) = (profile.issuer, profile.name);
            read.insert(name, Profile { issuer, zone, name: template, key_types, hold });
        }
        read
    }

    fn template(&mut self, key: &str, template: &str) {
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

    fn key_types(&mut self, key: &str, words: Option<Vec<String>>) -> Vec<KeyType> {
        let key = format!("{key}.key_types");
        let Some(words) = words else {
            return vec![KeyType::EcP256, KeyType::EcP384];
        };
        if words.is_empty() {
            self.problem(&key, "is empty: no CSR would fit".to_owned());
        }
        let choices: Vec<(String, KeyType)> =
            KeyType::ALL.iter().map(|kind| (kind.to_string(), *kind)).collect();
        let choices: Vec<(&str, KeyType)> =
            choices.iter().map(|(word, kind)| (word.as_str(), *kind)).collect();
        words.iter().filter_map(|word| self.choose(&key, word, &choices)).collect()
    }
}

/// Checks that `text` is a DNS name of at least two labels.
///
/// # Errors
/// What is wrong with it.
pub fn dns_name(text: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|each| each.is_ascii_alphanumeric() || each == b'-')
    };
    // Below it there must be room for a label of 63 octets and its dot.
    if text.len() > 253 - 64 || text.split('.').count() < 2 || !text.split('.').all(is_label) {
        return Err(format!("{text:?} is not a DNS name such as iot.example.org"));
    }
    Ok(())
}
