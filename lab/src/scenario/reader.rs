//! Reads a scenario file: what is written becomes what is meant, or a list of what is wrong with it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use brski_est::path::Label;

use super::words::{
    Addresses, ArrivalKind, ClientKind, IssuerKind, KeyKind, LoginKind, SerialStyle, UrlStyle,
    Verdict, Word, nearest,
};
use super::{
    Arrival, Expected, Fleet, Issuer, Maker, MasaPlan, Pace, Problem, RegistrarSettings, Renewal,
    Scenario, ScenarioError, raw, usual,
};
use crate::fault::{Fault, Liar};
use crate::masa::Mood;

/// The longest file, in octets.
const OCTETS_MOST: u64 = 1024 * 1024;
/// The most devices of a fleet.
const COUNT_MOST: i64 = 1_000_000;
/// A day: nothing in a scenario takes longer.
const DAY_SECS: f64 = 86_400.0;
/// The highest rate, in devices a second.
const RATE_MOST: f64 = 100_000.0;
/// The longest name of a manufacturer or a fleet, in characters.
const NAME_CHARACTERS: usize = 32;
/// Stands in a list of faults for all of them.
const ALL: &str = "all";

impl Scenario {
    /// Reads a scenario from a file of TOML.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(file: &Path) -> Result<Self, ScenarioError> {
        let unreadable = |source| ScenarioError::File { file: file.to_owned(), source };
        let mut text = String::new();
        // Some files are longer than the system says: a device never ends.
        let reader = std::fs::File::open(file).map_err(unreadable)?;
        let octets = reader.metadata().map_err(unreadable)?.len();
        let read = reader.take(OCTETS_MOST + 1).read_to_string(&mut text);
        if octets.max(u64::try_from(text.len()).unwrap_or(u64::MAX)) > OCTETS_MOST {
            return Err(ScenarioError::Length { file: file.to_owned(), most: OCTETS_MOST });
        }
        read.map_err(unreadable)?;
        Self::parse(file, &text)
    }

    /// Reads a scenario from text. `file`: what errors call it.
    ///
    /// # Errors
    /// [`ScenarioError::Syntax`], [`ScenarioError::Values`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, ScenarioError> {
        let file = file.to_owned();
        let raw: raw::Scenario = match toml::from_str(text) {
            Ok(raw) => raw,
            Err(error) => {
                let message = with_nearest(&error.to_string());
                return Err(ScenarioError::Syntax { file, message });
            }
        };
        let mut reader = Reader::default();
        let scenario = reader.scenario(raw);
        match reader.problems.is_empty() {
            true => Ok(scenario),
            false => Err(ScenarioError::Values { file, problems: reader.problems }),
        }
    }
}

/// Adds the nearest known key to serde's message about an unknown one, and takes out what moves a terminal's cursor.
fn with_nearest(message: &str) -> String {
    let is_plain = |each: char| !each.is_control() || matches!(each, '\n' | '\t');
    let plain = message.chars().map(|each| if is_plain(each) { each } else { '\u{fffd}' });
    let message: String = plain.collect();
    let message = message.trim_end();
    let about = message.find("unknown field").and_then(|at| message.get(at..));
    let mut quoted = about.into_iter().flat_map(|about| about.split('`').skip(1).step_by(2));
    match quoted.next().and_then(|unknown| nearest(unknown, quoted)) {
        Some(key) => format!("{message}\ndid you mean '{key}'?"),
        None => message.to_owned(),
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn problem(&mut self, key: &str, value: impl ToString, allowed: impl Into<String>) {
        let (key, value) = (key.to_owned(), value.to_string());
        self.problems.push(Problem { key, value, allowed: allowed.into() });
    }

    fn one_of<W: Word>(&mut self, key: &str, text: Option<&str>, default: W) -> W {
        let Some(text) = text else {
            return default;
        };
        let found = W::WORDS.iter().find(|(word, _)| *word == text);
        if let Some((_, value)) = found {
            return *value;
        }
        let known: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
        let guess = nearest(text, known.iter().copied())
            .map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
        self.problem(key, format!("{text:?}"), format!("use {}{guess}", quoted(&known)));
        default
    }

    /// A whole number of this range.
    fn whole(&mut self, key: &str, value: Option<i64>, range: RangeInclusive<i64>) -> Option<u32> {
        let value = value?;
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            self.problem(key, value, format!("{least} to {most} is allowed"));
            return None;
        }
        u32::try_from(value).ok()
    }

    fn number(&mut self, key: &str, value: Option<f64>, range: RangeInclusive<f64>) -> Option<f64> {
        let value = value?;
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            self.problem(key, value, format!("{least} to {most} is allowed"));
            return None;
        }
        Some(value)
    }

    fn seconds(&mut self, key: &str, value: Option<f64>) -> Option<Duration> {
        self.number(key, value, 0.0..=DAY_SECS).map(Duration::from_secs_f64)
    }

    /// A name of its kind that no other has.
    fn name(&mut self, key: &str, name: &str, taken: &mut BTreeSet<String>) {
        let is_letter =
            |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-';
        let is_long = name.is_empty() || name.len() > NAME_CHARACTERS;
        // Programs take what begins with a '-' for an option.
        if is_long || name.starts_with('-') || !name.chars().all(is_letter) {
            let allowed =
                format!("1 to {NAME_CHARACTERS} of a-z, 0-9 and '-' are allowed, no '-' first");
            self.problem(key, format!("{name:?}"), allowed);
        }
        if !taken.insert(name.to_owned()) {
            self.problem(key, format!("{name:?}"), "another one has this name");
        }
    }

    fn scenario(&mut self, raw: raw::Scenario) -> Scenario {
        let limit = self.number("limit_secs", raw.limit_secs, 1.0..=DAY_SECS);
        let issuer = self.issuer(&raw.issuer);
        let manufacturers = self.makers(raw.manufacturer);
        let fleets = self.fleets(raw.fleet, &manufacturers, issuer.kind);
        let scenario = Scenario {
            title: raw.title.unwrap_or_else(|| "a scenario without a title".to_owned()),
            limit: limit.map_or(usual::LIMIT, Duration::from_secs_f64),
            at_once: self.whole("at_once", raw.at_once, 1..=COUNT_MOST),
            issuer,
            registrar: self.registrar(&raw.registrar),
            manufacturers,
            fleets,
        };
        self.masa_lies(&scenario);
        scenario
    }

    fn issuer(&mut self, raw: &raw::Issuer) -> Issuer {
        let kind = self.one_of("issuer.kind", raw.kind.as_deref(), IssuerKind::Local);
        let validation = self.whole("issuer.validation_secs", raw.validation_secs, 0..=60);
        let key = "issuer.nonces_rejected_percent";
        let rejected = self.whole(key, raw.nonces_rejected_percent, 0..=90);
        let key = "issuer.orders_in_flight";
        let orders_in_flight = self.whole(key, raw.orders_in_flight, 1..=1000);
        let acme = [IssuerKind::Pebble, IssuerKind::Lying];
        let set = [
            ("validation_secs", raw.validation_secs, &acme[..1]),
            ("nonces_rejected_percent", raw.nonces_rejected_percent, &acme[..1]),
            ("orders_in_flight", raw.orders_in_flight, &acme[..]),
        ];
        for (key, value, kinds) in set {
            if let (Some(value), false) = (value, kinds.contains(&kind)) {
                let words: Vec<String> =
                    kinds.iter().map(|kind| format!("{:?}", kind.word())).collect();
                let allowed = format!("only with kind = {}", words.join(" or "));
                self.problem(&format!("issuer.{key}"), value, allowed);
            }
        }
        let usual = Issuer::default();
        Issuer {
            kind,
            validation: Duration::from_secs(validation.unwrap_or(0).into()),
            nonces_rejected_percent: rejected.unwrap_or(usual.nonces_rejected_percent),
            orders_in_flight,
        }
    }

    fn registrar(&mut self, raw: &raw::Registrar) -> RegistrarSettings {
        RegistrarSettings {
            hold_secs: self.whole("registrar.hold_secs", raw.hold_secs, 0..=60),
            connections: self.whole("registrar.connections", raw.connections, 10..=100_000),
            handshake_timeout_secs: self.whole(
                "registrar.handshake_timeout_secs",
                raw.handshake_timeout_secs,
                1..=300,
            ),
        }
    }

    fn makers(&mut self, raw: Vec<raw::Manufacturer>) -> Vec<Maker> {
        if raw.is_empty() {
            self.problem("manufacturer", "", "at least one [[manufacturer]] is needed");
        }
        let mut taken = BTreeSet::new();
        raw.into_iter().map(|each| self.maker(each, &mut taken)).collect()
    }

    fn maker(&mut self, raw: raw::Manufacturer, taken: &mut BTreeSet<String>) -> Maker {
        let at = format!("manufacturer.{}", raw.name);
        self.name(&format!("{at}.name"), &raw.name, taken);
        let odd = raw.odd.iter().filter_map(|word| {
            let before = self.problems.len();
            let first = crate::pki::Oddity::WORDS.first()?.1;
            let odd = self.one_of(&format!("{at}.odd"), Some(word), first);
            (self.problems.len() == before).then_some(odd)
        });
        let odd = odd.collect();
        Maker {
            key: self.one_of(&format!("{at}.key"), raw.key.as_deref(), KeyKind::P256),
            serial: self.one_of(&format!("{at}.serial"), raw.serial.as_deref(), SerialStyle::Plain),
            masa_url: self.one_of(
                &format!("{at}.masa_url"),
                raw.masa_url.as_deref(),
                UrlStyle::Authority,
            ),
            lifetime_days: self.whole(
                &format!("{at}.lifetime_days"),
                raw.lifetime_days,
                1..=36_500,
            ),
            odd,
            masa: self.masa(&format!("{at}.masa"), &raw.masa),
            name: raw.name,
        }
    }

    fn masa(&mut self, at: &str, raw: &raw::Masa) -> MasaPlan {
        let usual = MasaPlan::default();
        let key = |key: &str| format!("{at}.{key}");
        let latency = self.whole(&key("latency_ms"), raw.latency_ms, 0..=60_000);
        let failures = self.whole(&key("failure_percent"), raw.failure_percent, 0..=100);
        MasaPlan {
            policy: self.one_of(&key("policy"), raw.policy.as_deref(), usual.policy),
            pinning: self.one_of(&key("pin"), raw.pin.as_deref(), usual.pinning),
            login: self.one_of(&key("login"), raw.login.as_deref(), LoginKind::None),
            clients: self.one_of(
                &key("client_certificate"),
                raw.client_certificate.as_deref(),
                ClientKind::None,
            ),
            mood: Mood {
                latency: Duration::from_millis(latency.unwrap_or(0).into()),
                failure_percent: failures.unwrap_or(0),
            },
            log: self.one_of(&key("log"), raw.log.as_deref(), usual.log),
            numbers: self.one_of(&key("log_numbers"), raw.log_numbers.as_deref(), usual.numbers),
        }
    }

    fn fleets(&mut self, raw: Vec<raw::Fleet>, makers: &[Maker], issuer: IssuerKind) -> Vec<Fleet> {
        if raw.is_empty() {
            self.problem("fleet", "", "at least one [[fleet]] is needed");
        }
        let mut taken = BTreeSet::new();
        raw.iter().map(|each| self.fleet(each, (makers, issuer), &mut taken)).collect()
    }

    fn fleet(
        &mut self,
        raw: &raw::Fleet,
        (makers, issuer): (&[Maker], IssuerKind),
        taken: &mut BTreeSet<String>,
    ) -> Fleet {
        let at = format!("fleet.{}", raw.name);
        let key = |key: &str| format!("{at}.{key}");
        self.name(&key("name"), &raw.name, taken);
        let usual = Fleet::plain(&raw.name, 1);
        let faults = self.faults(&key("faults"), raw.faults.as_deref(), issuer);
        let told = u32::try_from(faults.len()).unwrap_or(u32::MAX).max(1);
        let maker = self.made_by(&key("manufacturer"), raw.manufacturer.as_deref(), makers);
        let encoding = self.one_of(&key("encoding"), raw.encoding.as_deref(), usual.encoding);
        let is_rsa = makers.get(maker).is_some_and(|maker| maker.key == KeyKind::Rsa2048);
        if is_rsa && encoding == brski_voucher::encoding::Encoding::Cose {
            let allowed =
                "COSE has no signature of an RSA key for vouchers; use \"cms\" or \"jws\"";
            self.problem(&key("encoding"), "\"cose\"", allowed);
        }
        Fleet {
            name: raw.name.clone(),
            maker,
            count: self.whole(&key("count"), raw.count, 1..=COUNT_MOST).unwrap_or(told),
            arrival: self.arrival(&key("arrival"), &raw.arrival),
            encoding,
            tls: self.one_of(&key("tls"), raw.tls.as_deref(), usual.tls),
            label: self.label(&key("label"), raw.label.as_deref()),
            addresses: self.one_of(&key("addresses"), raw.addresses.as_deref(), Addresses::Own),
            renewal: self.renewal(&at, raw),
            expected: self.expected(&at, raw),
            faults,
        }
    }

    /// Which manufacturer is meant; the only one if nothing is said.
    fn made_by(&mut self, key: &str, name: Option<&str>, makers: &[Maker]) -> usize {
        let names = || makers.iter().map(|maker| maker.name.as_str());
        let known = || quoted(&names().collect::<Vec<_>>());
        match name {
            None if makers.len() <= 1 => 0,
            None => {
                self.problem(key, "", format!("there are several; use {}", known()));
                0
            }
            Some(name) => names().position(|each| each == name).unwrap_or_else(|| {
                let guess = nearest(name, names())
                    .map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
                self.problem(key, format!("{name:?}"), format!("use {}{guess}", known()));
                0
            }),
        }
    }

    fn label(&mut self, key: &str, text: Option<&str>) -> Option<Label> {
        let text = text?;
        let label = Label::parse(text);
        label.map_err(|error| self.problem(key, format!("{text:?}"), error.to_string())).ok()
    }

    fn faults(&mut self, key: &str, names: Option<&[String]>, issuer: IssuerKind) -> Vec<Fault> {
        let mut faults = Vec::new();
        for name in names.unwrap_or_default() {
            let is_meant = |fault: &Fault| {
                let card = fault.card();
                name == ALL || name == card.liar.as_str() || name == card.name
            };
            let meant = Fault::ALL.iter().copied().filter(is_meant);
            let (told, untold): (Vec<Fault>, Vec<Fault>) =
                meant.partition(|fault| issuer.tells(fault));
            let allowed = match (told.is_empty(), untold.is_empty()) {
                (false, _) => {
                    faults.extend(told);
                    continue;
                }
                (true, false) => {
                    format!("a CA lies only with [issuer] kind = {:?}", IssuerKind::Lying.word())
                }
                (true, true) => unknown_fault(name),
            };
            self.problem(key, format!("{name:?}"), allowed);
        }
        if names.is_some_and(<[String]>::is_empty) {
            self.problem(key, "[]", "name at least one, or leave it out");
        }
        faults
    }

    fn arrival(&mut self, at: &str, raw: &raw::Arrival) -> Arrival {
        let key = |key: &str| format!("{at}.{key}");
        let kind = self.one_of(&key("kind"), raw.kind.as_deref(), ArrivalKind::Burst);
        let used: &[&str] = match kind {
            ArrivalKind::Burst => &["within_secs"],
            ArrivalKind::Rate => &["per_second"],
            ArrivalKind::Ramp => &["from_per_second", "to_per_second", "ramp_secs"],
        };
        let set = [
            ("within_secs", raw.within_secs),
            ("per_second", raw.per_second),
            ("from_per_second", raw.from_per_second),
            ("to_per_second", raw.to_per_second),
            ("ramp_secs", raw.ramp_secs),
        ];
        for (name, value) in set {
            match (value, used.contains(&name)) {
                (Some(value), false) => {
                    let allowed =
                        format!("kind = {:?} has {} instead", kind.word(), used.join(", "));
                    self.problem(&key(name), value, allowed);
                }
                (None, true) if kind != ArrivalKind::Burst => {
                    self.problem(&key(name), "", format!("kind = {:?} needs it", kind.word()));
                }
                _ => {}
            }
        }
        let rates = 0.001..=RATE_MOST;
        let pace = match kind {
            ArrivalKind::Burst => Pace::Burst {
                within: self.seconds(&key("within_secs"), raw.within_secs).unwrap_or_default(),
            },
            ArrivalKind::Rate => Pace::Rate {
                per_second: self.number(&key("per_second"), raw.per_second, rates).unwrap_or(1.0),
            },
            ArrivalKind::Ramp => Pace::Ramp {
                from: self
                    .number(&key("from_per_second"), raw.from_per_second, 0.0..=RATE_MOST)
                    .unwrap_or(1.0),
                to: self.number(&key("to_per_second"), raw.to_per_second, rates).unwrap_or(1.0),
                over: self
                    .number(&key("ramp_secs"), raw.ramp_secs, 0.001..=DAY_SECS)
                    .map_or(Duration::from_secs(1), Duration::from_secs_f64),
            },
        };
        let after = self.seconds(&key("after_secs"), raw.after_secs).unwrap_or_default();
        Arrival { after, pace }
    }

    fn renewal(&mut self, at: &str, raw: &raw::Fleet) -> Option<Renewal> {
        let times = self.whole(&format!("{at}.renewals"), raw.renewals, 1..=1000);
        let key = format!("{at}.renew_after_secs");
        if let (None, Some(times)) = (raw.renew_after_secs, raw.renewals) {
            self.problem(&format!("{at}.renewals"), times, "only with renew_after_secs");
        }
        if let (Some(seconds), Some(_)) = (raw.renew_after_secs, &raw.faults) {
            self.problem(&key, seconds, "devices that lie do not renew; leave it out");
        }
        let after = self.seconds(&key, raw.renew_after_secs)?;
        Some(Renewal { after, times: times.unwrap_or(1) })
    }

    fn expected(&mut self, at: &str, raw: &raw::Fleet) -> Expected {
        let key = |key: &str| format!("{at}.expect.{key}");
        let usual = match raw.faults {
            None => Verdict::Onboarded,
            Some(_) => Verdict::Refused,
        };
        let expect = &raw.expect;
        let verdict = self.one_of(&key("outcome"), expect.outcome.as_deref(), usual);
        let percent = self.whole(&key("at_least_percent"), expect.at_least_percent, 0..=100);
        let status = self.whole(&key("status"), expect.status, 400..=599);
        let status = status.and_then(|status| u16::try_from(status).ok());
        match verdict {
            Verdict::Onboarded if raw.faults.is_some() => {
                self.problem(&key("outcome"), "\"onboarded\"", "a lie is expected to be refused");
            }
            Verdict::Onboarded => {
                if let Some(status) = expect.status {
                    self.problem(&key("status"), status, "only with outcome = \"refused\"");
                }
            }
            Verdict::Refused => {
                if let Some(percent) = expect.at_least_percent {
                    let allowed = "only with outcome = \"onboarded\"";
                    self.problem(&key("at_least_percent"), percent, allowed);
                }
                match (expect.status, &raw.faults) {
                    (None, None) => {
                        self.problem(&key("status"), "", "outcome = \"refused\" needs it");
                    }
                    (Some(status), Some(_)) => {
                        self.problem(&key("status"), status, "each lie has its own; leave it out");
                    }
                    _ => {}
                }
            }
        }
        match verdict {
            Verdict::Onboarded => Expected::Onboarded { at_least_percent: percent.unwrap_or(100) },
            Verdict::Refused => Expected::Refused { status },
        }
    }

    /// A MASA that lies does so to everybody who asks: its manufacturer has no other devices.
    fn masa_lies(&mut self, scenario: &Scenario) {
        let is_masa = |fault: &Fault| fault.card().liar == Liar::Masa;
        for fleet in scenario.fleets.iter().filter(|fleet| fleet.faults.iter().any(is_masa)) {
            let others = scenario.fleets.iter().filter(|other| other.maker == fleet.maker).count();
            if others > 1 {
                let maker = scenario.manufacturers.get(fleet.maker);
                let name = maker.map_or_else(String::new, |maker| format!("{:?}", maker.name));
                let allowed = "a MASA that lies does so to all of its devices; give this fleet a manufacturer of its own";
                self.problem(&format!("fleet.{}.manufacturer", fleet.name), name, allowed);
            }
        }
    }
}

/// What is said of a word that is no fault.
fn unknown_fault(name: &str) -> String {
    let liars = [Liar::Pledge, Liar::Proxy, Liar::Masa, Liar::Ca].map(Liar::as_str);
    let known = Fault::ALL.iter().map(|fault| fault.card().name).chain(liars).chain([ALL]);
    let guess =
        nearest(name, known).map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
    format!(
        "use names that 'brski-lab faults --list' prints, {}, or {ALL:?}{guess}",
        quoted(&liars)
    )
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}
