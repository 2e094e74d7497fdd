//! Scenarios: whose devices come to a site, how many, when, and what shall become of them.
//!
//! A file ([`Scenario::load`], docs/LAB.md) becomes a [`Scenario`]; [`plan::plan`] makes of it who comes when, without
//! looking at anything else; [`run::run`] starts the site, lets them come, and reports.

pub mod plan;
pub mod report;
pub mod run;
pub mod words;

mod ca;
mod capacity;
mod factory;
pub(crate) mod life;
mod raw;
mod reader;
pub(crate) mod site;
mod tally;
mod turn;
mod usual;

use std::path::PathBuf;
use std::time::Duration;

use brski_est::path::Label;
use brski_voucher::encoding::Encoding;
use thiserror::Error;

use self::words::{
    Addresses, ClientKind, IssuerKind, KeyKind, LoginKind, MasaPolicy, SerialStyle, UrlStyle,
};
use crate::fault::Fault;
use crate::masa::{LogNumbers, LogStyle, Mood, Pinning};
use crate::pki::Oddity;
use crate::pledge::tls::TlsVersions;

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub title: String,
    /// How long the pledges may take, all together.
    pub limit: Duration,
    /// How many pledges are at work at once, at most.
    pub at_once: Option<u32>,
    /// Where certificates come from.
    pub issuer: Issuer,
    /// What the registrar is told beside what `registrar init` writes.
    pub registrar: RegistrarSettings,
    /// Who makes devices.
    pub manufacturers: Vec<Maker>,
    /// Which devices come.
    pub fleets: Vec<Fleet>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Which.
    pub kind: IssuerKind,
    /// Up to how long the CA waits before each validation.
    pub validation: Duration,
    /// How many good nonces of a hundred the CA rejects.
    pub nonces_rejected_percent: u32,
    /// How many orders the registrar drives at once; its own default if nothing is said.
    pub orders_in_flight: Option<u32>,
}

/// What the registrar is told; its own defaults where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistrarSettings {
    /// How long it holds a request before it says "come back".
    pub hold_secs: Option<u32>,
    /// How many connections it takes at once.
    pub connections: Option<u32>,
    /// How long a TLS handshake may take.
    pub handshake_timeout_secs: Option<u32>,
}

/// A manufacturer and its MASA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Its name.
    pub name: String,
    /// The keys of its devices.
    pub key: KeyKind,
    /// Their serial numbers.
    pub serial: SerialStyle,
    /// How they say where the MASA is.
    pub masa_url: UrlStyle,
    /// How many days from now their IDevIDs end; they do not if nothing is said.
    pub lifetime_days: Option<u32>,
    /// What is odd about their IDevIDs.
    pub odd: Vec<Oddity>,
    /// Its MASA.
    pub masa: MasaPlan,
}

/// What a MASA is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasaPlan {
    /// What it says of its devices.
    pub policy: MasaPolicy,
    /// Which certificate it pins.
    pub pinning: Pinning,
    /// How registrars prove themselves by HTTP.
    pub login: LoginKind,
    /// Which certificates registrars show in TLS.
    pub clients: ClientKind,
    /// How it feels.
    pub mood: Mood,
    /// How it answers a request for an audit log.
    pub log: LogStyle,
    /// How audit logs write numbers.
    pub numbers: LogNumbers,
}

/// Devices of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Its name; serial numbers begin with it.
    pub name: String,
    /// Which of the manufacturers made them.
    pub maker: usize,
    /// How many.
    pub count: u32,
    /// When they come.
    pub arrival: Arrival,
    /// How they write voucher requests.
    pub encoding: Encoding,
    /// Which TLS they speak.
    pub tls: TlsVersions,
    /// Where they enroll.
    pub label: Option<Label>,
    /// Where they are.
    pub addresses: Addresses,
    /// When they come again.
    pub renewal: Option<Renewal>,
    /// The lies that they tell instead of joining, in turn.
    pub faults: Vec<Fault>,
    /// What shall become of them.
    pub expected: Expected,
}

/// When devices come, counted from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When the first one comes.
    pub after: Duration,
    /// When the others do.
    pub pace: Pace,
}

/// When devices come after the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// All of them evenly within this time.
    Burst {
        /// The time.
        within: Duration,
    },
    /// At a constant rate.
    Rate {
        /// How many a second.
        per_second: f64,
    },
    /// At a rate that changes evenly, and then stays.
    Ramp {
        /// How many a second at first.
        from: f64,
        /// How many a second at last.
        to: f64,
        /// How long that takes.
        over: Duration,
    },
}

/// When devices renew their certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// How long after the certificate that they have.
    pub after: Duration,
    /// How often.
    pub times: u32,
}

/// What shall become of a fleet's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// At least so many of a hundred get, and renew, a certificate.
    Onboarded {
        /// How many.
        at_least_percent: u32,
    },
    /// Each is refused with this HTTP status; a lie with the status that is its own.
    Refused {
        /// The status; a lie's own if nothing is said.
        status: Option<u16>,
    },
}

/// What is wrong with a key of a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its path, such as `fleet.pumps.count`.
    pub key: String,
    /// What is written there; empty if nothing is.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

/// Why there is no scenario.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is longer than a scenario.
    #[error("{}: is longer than {most} octets, and no scenario is", file.display())]
    Length {
        /// The file.
        file: PathBuf,
        /// How long it may be.
        most: u64,
    },
    /// It is no TOML, has unknown keys, or a value of another type.
    #[error("{}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// Its values do not make sense.
    #[error("{}", lines(file, problems))]
    Values {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

/// Each problem in a line of its own.
fn lines(file: &std::path::Path, problems: &[Problem]) -> String {
    let line = |Problem { key, value, allowed }: &Problem| {
        // A name that is refused is in the key, too.
        let key = key.escape_debug();
        match value.is_empty() {
            true => format!("{}: {key}: {allowed}", file.display()),
            false => format!("{}: {key} = {value}: {allowed}", file.display()),
        }
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}
