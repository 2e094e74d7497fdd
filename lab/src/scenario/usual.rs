//! The scenario of whoever names none: a few pledges of one manufacturer, all at once.

use std::time::Duration;

use brski_voucher::encoding::Encoding;

use super::words::{
    Addresses, ClientKind, IssuerKind, KeyKind, LoginKind, MasaPolicy, SerialStyle, UrlStyle,
};
use super::{Arrival, Expected, Fleet, Issuer, Maker, MasaPlan, Pace, RegistrarSettings, Scenario};
use crate::masa::{LogNumbers, LogStyle, Mood, Pinning};
use crate::pledge::tls::TlsVersions;
use crate::up::MANUFACTURER;

/// How long a run may take where nothing is said.
pub(super) const LIMIT: Duration = Duration::from_secs(30 * 60);

impl Default for Issuer {
    fn default() -> Self {
        Self {
            kind: IssuerKind::Local,
            validation: Duration::ZERO,
            nonces_rejected_percent: 5,
            orders_in_flight: None,
        }
    }
}

impl Default for MasaPlan {
    fn default() -> Self {
        Self {
            policy: MasaPolicy::Proximity,
            pinning: Pinning::Top,
            login: LoginKind::None,
            clients: ClientKind::None,
            mood: Mood::default(),
            log: LogStyle::Body,
            numbers: LogNumbers::Strings,
        }
    }
}

impl Maker {
    /// A manufacturer of whom only the name is said.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: KeyKind::P256,
            serial: SerialStyle::Plain,
            masa_url: UrlStyle::Authority,
            lifetime_days: None,
            odd: Vec::new(),
            masa: MasaPlan::default(),
        }
    }
}

impl Fleet {
    /// Honest devices of the first manufacturer, all at once.
    #[must_use]
    pub fn plain(name: &str, count: u32) -> Self {
        Self {
            name: name.to_owned(),
            maker: 0,
            count,
            arrival: Arrival {
                after: Duration::ZERO,
                pace: Pace::Burst { within: Duration::ZERO },
            },
            encoding: Encoding::Cms,
            tls: TlsVersions::Any,
            label: None,
            addresses: Addresses::Own,
            renewal: None,
            faults: Vec::new(),
            expected: Expected::Onboarded { at_least_percent: 100 },
        }
    }
}

impl Scenario {
    /// What `brski-lab up` does without a file; docs/scenarios/first-try.toml says the same.
    #[must_use]
    pub fn usual(pledges: u32, at_once: u32, kind: IssuerKind) -> Self {
        Self {
            title: "first try".to_owned(),
            limit: LIMIT,
            at_once: Some(at_once),
            issuer: Issuer { kind, ..Issuer::default() },
            registrar: RegistrarSettings::default(),
            manufacturers: vec![Maker::plain(MANUFACTURER)],
            fleets: vec![Fleet::plain("lab", pledges)],
        }
    }
}
