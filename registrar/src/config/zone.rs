//! The sections `[zone."NAME"]`: the DNS zones that devices are named in, and how their names are proven.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use acme_bridge::ChallengeType;
use acme_bridge::dns::{Zone as ServedZone, ZoneError};
use acme_bridge::solver::acme_dns::check_url;
use acme_bridge::solver::exec::HookConfig;

use super::raw;
use super::reader::Reader;

/// How long a record may take to be visible, and a program to run, in seconds: less than an order's lease.
const LONGEST_SECS: u32 = 100;
const DEFAULT_SECS: u32 = 60;
/// The port of DNS servers.
const DNS_PORT: u16 = 53;

/// A zone.
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    /// The types of challenges that are answered, the preferred one first.
    pub challenges: Vec<ChallengeType>,
    /// Where dns-01 records are written: what `_acme-challenge.<name>` is a CNAME to.
    pub alias: Option<String>,
    /// Who answers.
    pub solver: SolverConfig,
}

/// Who answers the CA's questions for the names of a zone.
#[derive(Clone, Debug)]
pub enum SolverConfig {
    /// The registrar itself.
    BuiltIn {
        /// What its DNS responder serves for it.
        served: Box<ServedZone>,
    },
    /// A DNS server that takes updates.
    Rfc2136(Rfc2136Config),
    /// A program.
    Exec(HookConfig),
    /// An acme-dns server.
    AcmeDns(AcmeDnsConfig),
    /// Records that an operator put there for good.
    Manual,
}

/// A DNS server that takes updates.
#[derive(Clone, Debug)]
pub struct Rfc2136Config {
    /// The primary, with its port.
    pub server: String,
    /// The zone that is updated.
    pub zone: String,
    /// The file of the TSIG key.
    pub tsig_key: PathBuf,
    /// Who must show a record; none: the zone's name servers.
    pub name_servers: Vec<String>,
    /// How long they may take.
    pub visible_within: Duration,
}

/// An acme-dns server.
#[derive(Clone, Debug)]
pub struct AcmeDnsConfig {
    /// Its URL.
    pub url: String,
    /// The file of the registration there.
    pub credentials: PathBuf,
    /// Anchors of its TLS certificate; none: the operating system's.
    pub ca: Option<PathBuf>,
}

/// The solvers, by their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    BuiltIn,
    Rfc2136,
    Exec,
    AcmeDns,
    Manual,
}

const KINDS: [(&str, Kind); 5] = [
    ("built-in", Kind::BuiltIn),
    ("rfc2136", Kind::Rfc2136),
    ("exec", Kind::Exec),
    ("acme-dns", Kind::AcmeDns),
    ("manual", Kind::Manual),
];

impl Kind {
    fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    fn challenges(self) -> &'static [ChallengeType] {
        use ChallengeType::{Dns01, DnsAccount01, DnsPersist01};
        match self {
            Self::BuiltIn => &ChallengeType::ALL,
            Self::Rfc2136 | Self::Exec => &[Dns01, DnsAccount01, DnsPersist01],
            Self::AcmeDns => &[Dns01, DnsAccount01],
            Self::Manual => &[DnsPersist01],
        }
    }
}

impl ZoneConfig {
    /// What the registrar's DNS responder serves for it.
    #[must_use]
    pub fn served(&self) -> Option<&ServedZone> {
        match &self.solver {
            SolverConfig::BuiltIn { served } => Some(served),
            _ => None,
        }
    }

    /// Whether a CA asks the registrar's DNS responder about it.
    #[must_use]
    pub fn is_asked_over_dns(&self) -> bool {
        self.served().is_some() && self.challenges.iter().any(|kind| is_dns(*kind))
    }

    /// Whether the registrar's HTTP responder answers for it.
    #[must_use]
    pub fn is_asked_over_http(&self) -> bool {
        self.challenges.contains(&ChallengeType::Http01)
    }
}

fn is_dns(kind: ChallengeType) -> bool {
    !matches!(kind, ChallengeType::Http01 | ChallengeType::TlsAlpn01)
}

impl Reader {
    pub(super) fn zones(
        &mut self,
        zones: &BTreeMap<String, raw::Zone>,
    ) -> BTreeMap<String, ZoneConfig> {
        let mut read = BTreeMap::new();
        for (name, zone) in zones {
            let key = format!("zone.{name:?}");
            if let Err(reason) = dns_name(name) {
                self.problem(&key, reason);
                continue;
            }
            let name = name.to_ascii_lowercase();
            if let Some(zone) = self.zone(&key, &name, zone)
                && read.insert(name, zone).is_some()
            {
                self.problem(&key, "is there twice, in different case".to_owned());
            }
        }
        self.aliases(zones, &read);
        read
    }

    fn zone(&mut self, key: &str, name: &str, zone: &raw::Zone) -> Option<ZoneConfig> {
        let kind = self.choose(&format!("{key}.solver"), &zone.solver, &KINDS)?;
        self.strays(key, kind, zone);
        let challenges = self.challenges(&format!("{key}.challenge"), kind, &zone.challenge);
        let solver = match kind {
            Kind::BuiltIn => self.built_in(key, name, zone.records.as_deref().unwrap_or_default()),
            Kind::Rfc2136 => self.rfc2136(key, name, zone),
            Kind::Exec => self.exec(key, zone),
            Kind::AcmeDns => self.acme_dns(key, zone),
            Kind::Manual => Some(SolverConfig::Manual),
        };
        let alias = zone.challenge_alias.as_deref().and_then(|alias| {
            self.alias(&format!("{key}.challenge_alias"), &challenges, kind, alias)
        });
        Some(ZoneConfig { challenges, alias, solver: solver? })
    }

    /// Keys that the chosen solver does not read: most likely another one was meant.
    fn strays(&mut self, key: &str, kind: Kind, zone: &raw::Zone) {
        for (name, is_there, reader) in [
            ("records", zone.records.is_some(), Kind::BuiltIn),
            ("server", zone.server.is_some(), Kind::Rfc2136),
            ("update_zone", zone.update_zone.is_some(), Kind::Rfc2136),
            ("tsig_key", zone.tsig_key.is_some(), Kind::Rfc2136),
            ("name_servers", zone.name_servers.is_some(), Kind::Rfc2136),
            ("propagation_secs", zone.propagation_secs.is_some(), Kind::Rfc2136),
            ("program", zone.program.is_some(), Kind::Exec),
            ("arguments", zone.arguments.is_some(), Kind::Exec),
            ("timeout_secs", zone.timeout_secs.is_some(), Kind::Exec),
            ("url", zone.url.is_some(), Kind::AcmeDns),
            ("credentials", zone.credentials.is_some(), Kind::AcmeDns),
            ("ca", zone.ca.is_some(), Kind::AcmeDns),
        ] {
            if is_there && kind != reader {
                let reason =
                    format!("is for solver = {:?}, and this is {:?}", reader.word(), kind.word());
                self.problem(&format!("{key}.{name}"), reason);
            }
        }
    }

    fn challenges(&mut self, key: &str, kind: Kind, words: &raw::Words) -> Vec<ChallengeType> {
        let choices: Vec<(&str, ChallengeType)> =
            kind.challenges().iter().map(|each| (each.as_str(), *each)).collect();
        let words = words.list();
        if words.is_empty() {
            self.problem(key, "is empty: no name could be proven".to_owned());
        }
        let mut chosen: Vec<ChallengeType> = Vec::new();
        for word in words {
            let Some(challenge) = self.choose(key, word, &choices) else {
                continue;
            };
            match chosen.contains(&challenge) {
                true => self.problem(key, format!("{word:?} is there twice")),
                false => chosen.push(challenge),
            }
        }
        chosen
    }

    fn built_in(&mut self, key: &str, name: &str, records: &[String]) -> Option<SolverConfig> {
        match ServedZone::new(name, records) {
            Ok(served) => Some(SolverConfig::BuiltIn { served: Box::new(served) }),
            Err(error) => {
                let place = match error {
                    ZoneError::Name { .. } => key.to_owned(),
                    _ => format!("{key}.records"),
                };
                self.problem(&place, error.to_string());
                None
            }
        }
    }

    fn rfc2136(&mut self, key: &str, name: &str, zone: &raw::Zone) -> Option<SolverConfig> {
        let server = self.required(key, "server", zone.server.as_deref());
        let server = server.and_then(|text| self.dns_server(&format!("{key}.server"), text));
        let tsig_key = self.required(key, "tsig_key", zone.tsig_key.as_deref());
        let tsig_key = tsig_key.map(|path| self.path(path));
        let written = zone.challenge_alias.as_deref().unwrap_or(name);
        let update_zone = zone.update_zone.as_deref().unwrap_or(written).to_ascii_lowercase();
        let place = format!("{key}.update_zone");
        if let Some(named) = &zone.update_zone {
            if let Err(reason) = record_name(named) {
                self.problem(&place, reason);
            } else if !is_in(written, &update_zone) {
                let reason =
                    format!("{named:?} does not hold {written:?}, where records are written");
                self.problem(&place, reason);
            }
        }
        let place = format!("{key}.name_servers");
        let servers = zone.name_servers.as_deref().unwrap_or_default();
        let name_servers =
            servers.iter().filter_map(|text| self.dns_server(&place, text)).collect();
        let place = format!("{key}.propagation_secs");
        let secs = zone.propagation_secs.unwrap_or(DEFAULT_SECS);
        let secs = self.bounded(&place, secs, 1, LONGEST_SECS);
        Some(SolverConfig::Rfc2136(Rfc2136Config {
            server: server?,
            zone: update_zone,
            tsig_key: tsig_key?,
            name_servers,
            visible_within: Duration::from_secs(u64::from(secs)),
        }))
    }

    fn exec(&mut self, key: &str, zone: &raw::Zone) -> Option<SolverConfig> {
        let program = self.required(key, "program", zone.program.as_deref());
        let program = program.map(|path| self.path(path));
        let place = format!("{key}.timeout_secs");
        let secs = zone.timeout_secs.unwrap_or(DEFAULT_SECS);
        let secs = self.bounded(&place, secs, 1, LONGEST_SECS);
        Some(SolverConfig::Exec(HookConfig {
            program: program?,
            arguments: zone.arguments.clone().unwrap_or_default(),
            timeout: Duration::from_secs(u64::from(secs)),
        }))
    }

    fn acme_dns(&mut self, key: &str, zone: &raw::Zone) -> Option<SolverConfig> {
        let url = self.required(key, "url", zone.url.as_deref());
        if let Some(url) = url
            && let Err(reason) = check_url(url)
        {
            self.problem(&format!("{key}.url"), format!("{url:?} {reason}"));
        }
        let credentials = self.required(key, "credentials", zone.credentials.as_deref());
        Some(SolverConfig::AcmeDns(AcmeDnsConfig {
            url: url?.to_owned(),
            credentials: self.path(credentials?),
            ca: zone.ca.as_deref().map(|path| self.path(path)),
        }))
    }

    fn required<'a>(&mut self, key: &str, name: &str, value: Option<&'a str>) -> Option<&'a str> {
        let value = value.filter(|text| !text.is_empty());
        if value.is_none() {
            self.problem(&format!("{key}.{name}"), "is needed by this solver".to_owned());
        }
        value
    }

    /// `HOST`, `HOST:PORT`, `ADDRESS` or `ADDRESS:PORT`; with a port in any case when it comes back.
    fn dns_server(&mut self, key: &str, text: &str) -> Option<String> {
        if let Ok(address) = text.parse() {
            return Some(SocketAddr::new(address, DNS_PORT).to_string());
        }
        if text.parse::<SocketAddr>().is_ok() {
            return Some(text.to_owned());
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (text, Some(DNS_PORT)),
        };
        match port {
            Some(port) if record_name(host).is_ok() => Some(format!("{host}:{port}")),
            _ => {
                let reason = format!("{text:?} is no DNS server such as \"192.0.2.53:53\"");
                self.problem(key, reason);
                None
            }
        }
    }

    fn alias(
        &mut self,
        key: &str,
        challenges: &[ChallengeType],
        kind: Kind,
        alias: &str,
    ) -> Option<String> {
        let reason = match record_name(alias) {
            Err(reason) => reason,
            Ok(()) if kind == Kind::AcmeDns || kind == Kind::Manual => {
                format!("cannot be chosen with solver = {:?}", kind.word())
            }
            Ok(()) if !challenges.contains(&ChallengeType::Dns01) => {
                "is for dns-01, which is not in 'challenge'".to_owned()
            }
            Ok(()) => return Some(alias.trim_end_matches('.').to_ascii_lowercase()),
        };
        self.problem(key, reason);
        None
    }

    /// An alias that the registrar answers itself must be in a zone that it serves.
    fn aliases(
        &mut self,
        zones: &BTreeMap<String, raw::Zone>,
        read: &BTreeMap<String, ZoneConfig>,
    ) {
        for name in zones.keys() {
            let Some(zone) = read.get(&name.to_ascii_lowercase()) else {
                continue;
            };
            let (SolverConfig::BuiltIn { .. }, Some(alias)) = (&zone.solver, &zone.alias) else {
                continue;
            };
            let is_served =
                read.iter().any(|(served, other)| other.served().is_some() && is_in(alias, served));
            if !is_served {
                let reason = format!("{alias:?} is in no zone that the registrar serves itself");
                self.problem(&format!("zone.{name:?}.challenge_alias"), reason);
            }
        }
    }

    /// The listeners that built-in solvers need, where a CA will ask them.
    pub(super) fn challenge_listeners(
        &mut self,
        zones: &BTreeMap<String, ZoneConfig>,
        listen: &raw::Listen,
    ) {
        for (key, is_needed, address) in [
            ("listen.dns", zones.values().any(ZoneConfig::is_asked_over_dns), &listen.dns),
            ("listen.http01", zones.values().any(ZoneConfig::is_asked_over_http), &listen.http01),
        ] {
            if is_needed && address.is_none() {
                let reason = "is needed: the CA asks the registrar itself for names of a zone with \
                              solver = \"built-in\"";
                self.problem(key, reason.to_owned());
            }
        }
    }
}

/// Whether a name is a zone or below it; whole labels are compared.
fn is_in(name: &str, zone: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let head = name.strip_suffix(zone.trim_end_matches('.'));
    head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// Checks that `text` is a name that a record may have: as [`dns_name`], and with '_'.
fn record_name(text: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|each| each.is_ascii_alphanumeric() || b"-_".contains(&each))
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    match text.len() <= 253 && text.split('.').all(is_label) {
        true => Ok(()),
        false => Err(format!("{text:?} is no DNS name")),
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
