//! The rules `[[policy.rule]]`: which devices may join, in the order in which they are asked (RFC 8995 §5.3).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use brski_voucher::idevid::SerialNumber;

use super::super::raw;
use super::super::reader::{Reader, nearest};
use super::Profile;
use crate::policy::rules::{Pattern, Rule, Rules, Ruling, Scope, Serials, Span};

/// The most rules.
const RULES: usize = 1000;
/// The most serial numbers in one rule.
const SERIALS: usize = 10_000;
/// The longest note, and the longest name of a site, in characters.
const NOTE_CHARACTERS: usize = 200;

/// The words for what becomes of a device.
const RULINGS: [(&str, Ruling); 3] =
    [("admit", Ruling::Admit), ("ask", Ruling::Ask), ("refuse", Ruling::Refuse)];

impl Reader {
    /// `profiles`: those that a rule may name.
    pub(super) fn rules(
        &mut self,
        unexpected: &str,
        rules: Vec<raw::Rule>,
        profiles: &BTreeMap<String, Arc<Profile>>,
    ) -> Option<Rules> {
        let unexpected = self.choose("policy.unexpected", unexpected, &RULINGS);
        if rules.len() > RULES {
            let reason = format!("there are {} rules, and may be {RULES}", rules.len());
            self.problem("policy.rule", reason);
            return None;
        }
        let rules: Vec<Option<Rule>> = (1..)
            .zip(rules)
            .map(|(number, rule)| {
                self.rule(&format!("policy.rule[{number}]"), number, rule, profiles)
            })
            .collect();
        Some(Rules { rules: rules.into_iter().collect::<Option<_>>()?, unexpected: unexpected? })
    }

    fn rule(
        &mut self,
        key: &str,
        number: usize,
        raw: raw::Rule,
        profiles: &BTreeMap<String, Arc<Profile>>,
    ) -> Option<Rule> {
        let before = self.problems.len();
        let ruling = self.choose(&format!("{key}.decision"), &raw.decision, &RULINGS);
        let scope = self.choose(
            &format!("{key}.devices"),
            raw.devices.as_deref().unwrap_or("unexpected"),
            &[
                ("unexpected", Scope::Unexpected),
                ("expected", Scope::Expected),
                ("all", Scope::All),
            ],
        );
        let serials = self.serials(key, raw.serial, raw.serial_pattern);
        let made = self.span(key, ("made_from", raw.made_from), ("made_until", raw.made_until));
        let in_force = self.span(key, ("not_before", raw.not_before), ("not_after", raw.not_after));
        if let Some(profile) = raw.profile.as_ref().filter(|name| !profiles.contains_key(*name)) {
            let meant = nearest(profile, profiles.keys().map(String::as_str))
                .map_or_else(String::new, |name| format!("; did you mean {name:?}?"));
            let reason = format!("there is no [profile.{profile}]{meant}");
            self.problem(&format!("{key}.profile"), reason);
        }
        if let Some(template) = &raw.name {
            self.template(&format!("{key}.name"), template);
        }
        for (name, text) in [("note", &raw.note), ("site", &raw.site)] {
            self.line(&format!("{key}.{name}"), text.as_deref());
        }
        if self.problems.len() > before {
            return None;
        }
        let name = match raw.note {
            None => format!("rule {number}"),
            Some(note) => format!("rule {number} ({note})"),
        };
        Some(Rule {
            name,
            scope: scope?,
            manufacturer: raw.manufacturer,
            serials: serials?,
            made,
            in_force,
            ruling: ruling?,
            profile: raw.profile,
            template: raw.name,
            site: raw.site,
        })
    }

    fn serials(
        &mut self,
        key: &str,
        listed: Option<Vec<String>>,
        pattern: Option<String>,
    ) -> Option<Serials> {
        let key_of_list = format!("{key}.serial");
        match (listed, pattern) {
            (None, None) => Some(Serials::Any),
            (Some(_), Some(_)) => {
                let reason = "stands beside serial_pattern: a rule has one of them".to_owned();
                self.problem(&key_of_list, reason);
                None
            }
            (Some(listed), None) => {
                if listed.is_empty() || listed.len() > SERIALS {
                    let reason =
                        format!("lists {} serial numbers, not 1 to {SERIALS}", listed.len());
                    self.problem(&key_of_list, reason);
                }
                for serial in &listed {
                    if let Err(error) = SerialNumber::parse(serial) {
                        self.problem(&key_of_list, format!("{serial:?}: {error}"));
                    }
                }
                Some(Serials::Listed(listed.into_iter().collect::<HashSet<_>>()))
            }
            (None, Some(text)) => match Pattern::parse(&text) {
                Ok(pattern) => Some(Serials::Matching(pattern)),
                Err(error) => {
                    let reason =
                        format!("{text:?} is no pattern such as \"SN-1[0-9]{{3}}\": {error}");
                    self.problem(&format!("{key}.serial_pattern"), reason);
                    None
                }
            },
        }
    }

    /// A span whose last day counts.
    fn span(
        &mut self,
        key: &str,
        (from_key, from): (&str, Option<raw::Date>),
        (until_key, until): (&str, Option<raw::Date>),
    ) -> Span {
        let from = from.and_then(|date| self.date(&format!("{key}.{from_key}"), &date));
        let until_key = format!("{key}.{until_key}");
        let until = until.and_then(|date| self.end_of(&until_key, &date));
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            self.problem(&until_key, format!("lies before {from_key}: no time is left"));
        }
        Span { from, until }
    }

    /// One line of text of a bounded length.
    fn line(&mut self, key: &str, text: Option<&str>) {
        let is_legal = |text: &str| {
            (1..=NOTE_CHARACTERS).contains(&text.chars().count())
                && !text.chars().any(char::is_control)
        };
        if let Some(text) = text.filter(|text| !is_legal(text)) {
            let reason =
                format!("{text:?} is none of one line of 1 to {NOTE_CHARACTERS} characters");
            self.problem(key, reason);
        }
    }
}
