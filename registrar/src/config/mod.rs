//! The configuration as it is meant: every name resolved, every number bounded, every path absolute.
//!
//! All problems are found at once, each with its file, its key and what is allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::reader::{Reader, with_nearest};
use crate::observe::survey::Intervals;

mod admin;
pub mod agreement;
pub mod check;
pub mod danger;
mod discovery;
mod identity;
mod issuer;
pub mod limits;
mod listen;
mod log;
mod metrics;
mod notify;
mod openid;
mod place;
mod policy;
mod profile;
mod raw;
mod reader;
pub mod reload;
pub mod sample;
mod store;
pub mod usage;
mod zone;

pub use self::admin::{Admin, AdminClient, AdminToken, Recognised, ServerFiles};
pub use self::danger::{Danger, LabAnchors};
pub use self::discovery::DiscoveryConfig;
pub use self::identity::{IdentityFiles, Pin};
pub use self::issuer::{AcmeConfig, IssuerConfig, LocalConfig};
pub use self::limits::{BodyLimits, ConnectionLimits, Limits, Timeouts};
pub use self::listen::Listen;
pub use self::log::{LogConfig, LogFormat};
pub use self::notify::{Chosen, NotifyConfig, PostConfig, ProgramConfig};
pub use self::openid::OpenidConfig;
pub use self::policy::Policy;
pub use self::profile::{Profile, RenewKey, ServerKeygen};
pub use self::reader::credentials;
pub use self::store::{Database, Retention, StoreConfig};
pub use self::zone::{AcmeDnsConfig, Rfc2136Config, SolverConfig, ZoneConfig, dns_name};

/// The profile of a device that names none.
pub const DEFAULT_PROFILE: &str = "default";

/// The configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The folder of that file; the admin socket and the lock live there.
    pub folder: PathBuf,
    /// Every key that is written, dotted, with its value; what the keys mean stands in the fields below.
    pub written: BTreeMap<String, String>,
    /// Where to listen.
    pub listen: Listen,
    /// Whether devices find the registrar by DNS-SD, and where; none: they do not.
    pub discovery: Option<DiscoveryConfig>,
    /// Who may use the admin API over TLS.
    pub admin: Admin,
    /// Where everything is kept.
    pub store: StoreConfig,
    /// The registrar's own certificate.
    pub identity: IdentityFiles,
    /// Where certificates come from, by name.
    pub issuers: BTreeMap<String, IssuerConfig>,
    /// The DNS zones that devices are named in, by their names in lower case.
    pub zones: BTreeMap<String, ZoneConfig>,
    /// What devices get, by name; there is always a `default`.
    pub profiles: BTreeMap<String, Arc<Profile>>,
    /// Which devices may join.
    pub policy: Policy,
    /// What makes this registrar weaker than it should be.
    pub danger: Danger,
    /// How much is too much.
    pub limits: Limits,
    /// What is logged, and as what.
    pub log: LogConfig,
    /// How often what is counted in the store.
    pub metrics: Intervals,
    /// Which events somebody is told of, and how.
    pub notify: NotifyConfig,
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
            let what_to_do = match error.kind() {
                ErrorKind::NotFound => "; 'registrar init' makes one",
                ErrorKind::IsADirectory => "; name the file in it, such as registrar.toml",
                _ => "",
            };
            fatal(format!("cannot be read: {error}{what_to_do}"))
        })?;
        Self::parse(file, &text)
    }

    /// Reads the text of a configuration file. `file`: where it stands, for what it says of itself.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let fatal =
            |reason: String| vec![Problem { file: file.to_owned(), key: String::new(), reason }];
        let raw: raw::File =
            toml::from_str(text).map_err(|error| fatal(with_nearest(&error.to_string())))?;
        let table: toml::Table = toml::from_str(text).map_err(|error| fatal(error.to_string()))?;
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let reader = Reader {
            folder: file.parent().unwrap_or(Path::new("/")).to_owned(),
            file,
            problems: vec![],
        };
        reader.read(raw, reload::flatten(&table)).map_err(|mut problems| {
            for problem in &mut problems {
                if let Some(line) = place::line(text, &problem.key) {
                    problem.reason.push_str(&format!(" (line {line})"));
                }
            }
            problems
        })
    }

    /// The admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }
}

impl Reader {
    fn read(
        mut self,
        raw: raw::File,
        written: BTreeMap<String, String>,
    ) -> Result<Config, Vec<Problem>> {
        let listen = self.listen(&raw.listen);
        let identity = self.identity(&raw.identity);
        let zones = self.zones(&raw.zone);
        let admin = self.admin(&raw.admin, raw.listen.admin.is_some());
        let issuers = self.issuers(raw.issuer);
        if issuers.values().any(|issuer| matches!(issuer, IssuerConfig::Acme(_))) {
            self.challenge_listeners(&zones, &raw.listen);
        }
        let profiles = self.profiles(raw.profile, &issuers, &zones);
        let policy = self.policy(raw.policy, &profiles);
        let store = self.store(&raw.store);
        let discovery = self.discovery(raw.discovery, &store.node);
        let log = self.log(raw.log);
        let metrics = self.metrics(&raw.metrics);
        let notify = self.notify(raw.notify);
        let limits = self.limits(&raw.limits);
        let (Some(listen), Some(identity), Some(policy), true) =
            (listen, identity, policy, self.problems.is_empty())
        else {
            return Err(self.problems);
        };
        Ok(Config {
            written,
            listen,
            discovery,
            admin,
            store,
            identity,
            issuers,
            zones,
            profiles,
            policy,
            danger: raw.danger.into(),
            limits,
            log,
            metrics,
            notify,
            file: self.file,
            folder: self.folder,
        })
    }
}
