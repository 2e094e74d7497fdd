//! The section `[policy]`: which devices may join, and what of their past is accepted (RFC 8995 §5.3, §5.8.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_voucher::artefact::Assertion;
use brski_voucher::audit::{AssertionRule, DomainId, NoncelessRule, TruncationRule};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, Time};
use toml::value::Datetime;

use super::raw;
use super::reader::Reader;
use crate::policy::admission::Unexpected;
use crate::policy::audit::AuditRules;

/// The longest domainID that is taken, in octets: a digest of today, and one of tomorrow.
const DOMAIN_OCTETS: usize = 64;

/// Which devices may join.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What becomes of genuine devices that no operator expected.
    pub unexpected: Unexpected,
    /// What of a device's past is accepted.
    pub audit_log: AuditRules,
}

impl Reader {
    pub(super) fn policy(&mut self, policy: raw::Policy) -> Option<Policy> {
        let unexpected = self.choose(
            "policy.unexpected",
            &policy.unexpected,
            &[
                ("admit", Unexpected::Admit),
                ("ask", Unexpected::Ask),
                ("refuse", Unexpected::Refuse),
            ],
        );
        let audit_log = self.audit_log(policy.audit_log);
        Some(Policy { unexpected: unexpected?, audit_log: audit_log? })
    }

    fn audit_log(&mut self, raw: raw::AuditLog) -> Option<AuditRules> {
        let accepted = raw.domains.iter().map(|text| self.domain(text)).collect::<Vec<_>>();
        let nonceless = self.choose(
            "policy.audit_log.nonceless",
            &raw.nonceless,
            &[
                ("refuse", NoncelessRule::Refused),
                ("own-domain", NoncelessRule::OwnDomain),
                ("accepted-domains", NoncelessRule::AcceptedDomains),
            ],
        );
        let truncation = self.choose(
            "policy.audit_log.truncation",
            &raw.truncation,
            &[
                ("refuse", TruncationRule::Refused),
                ("duplicates", TruncationRule::Duplicates),
                ("accept", TruncationRule::Accepted),
            ],
        );
        let assertions = raw.assertions.map(|words| self.assertions(&words));
        let since = raw.since.map(|date| self.date("policy.audit_log.since", &date));
        let mut bought = Vec::with_capacity(raw.bought.len());
        for (manufacturer, date) in raw.bought {
            let date = self.date(&format!("policy.audit_log.bought.{manufacturer}"), &date);
            bought.push(date.map(|date| (manufacturer, date)));
        }
        Some(AuditRules {
            accepted: accepted.into_iter().collect::<Option<_>>()?,
            nonceless: nonceless?,
            truncation: truncation?,
            assertions: match assertions {
                None => AssertionRule::Any,
                Some(words) => AssertionRule::OneOf(words?),
            },
            since: match since {
                None => None,
                Some(date) => Some(date?),
            },
            bought: bought.into_iter().collect::<Option<_>>()?,
        })
    }

    fn domain(&mut self, text: &str) -> Option<DomainId> {
        let octets = STANDARD.decode(text).ok();
        let octets = octets.filter(|octets| (1..=DOMAIN_OCTETS).contains(&octets.len()));
        if octets.is_none() {
            let reason = format!(
                "{text:?} is no domainID: base64 of 1 to {DOMAIN_OCTETS} octets, as audit logs show it"
            );
            self.problem("policy.audit_log.domains", reason);
        }
        octets.map(DomainId::new)
    }

    fn assertions(&mut self, words: &[String]) -> Option<Vec<Assertion>> {
        let key = "policy.audit_log.assertions";
        if words.is_empty() {
            self.problem(key, "is empty: no log would pass; leave it out to accept any".to_owned());
            return None;
        }
        let choices = Assertion::ALL.map(|each| (each.as_str(), each));
        let read = words.iter().map(|word| self.choose(key, word, &choices)).collect::<Vec<_>>();
        read.into_iter().collect()
    }

    /// The start of a day in UTC, or a time of day with its offset: Unix seconds.
    pub(super) fn date(&mut self, key: &str, date: &raw::Date) -> Option<i64> {
        let (written, datetime) = match date {
            raw::Date::Bare(datetime) => (datetime.to_string(), Some(*datetime)),
            raw::Date::Quoted(text) => (text.clone(), text.parse().ok()),
        };
        let seconds = datetime.and_then(unix_seconds);
        if seconds.is_none() {
            let reason = format!(
                "{written:?} is no date such as 2026-05-01, nor a time such as 2026-05-01T08:00:00Z"
            );
            self.problem(key, reason);
        }
        seconds
    }
}

fn unix_seconds(datetime: Datetime) -> Option<i64> {
    let text = datetime.to_string();
    let at = match (datetime.date, datetime.time, datetime.offset) {
        (Some(_), Some(_), Some(_)) => OffsetDateTime::parse(&text, &Rfc3339).ok(),
        (Some(date), None, None) => {
            let month = time::Month::try_from(date.month).ok()?;
            let day = time::Date::from_calendar_date(i32::from(date.year), month, date.day).ok()?;
            Some(PrimitiveDateTime::new(day, Time::MIDNIGHT).assume_utc())
        }
        // A time of day without its offset is nobody's.
        _ => None,
    };
    at.map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::sample::{Choices, file};

    /// The configuration of the sample with other lines in its section of the audit log, or what is wrong with it.
    fn audit_log(lines: &str) -> Result<AuditRules, String> {
        let choices = Choices {
            listen: "127.0.0.1:0".into(),
            dns: None,
            domain: "iot.example.org".into(),
            acme: None,
        };
        let sample = file(&choices);
        let (before, rest) = sample.split_once("[policy.audit_log]").unwrap();
        let (_, after) = rest.split_once("[limits]").unwrap();
        let text = format!("{before}[policy.audit_log]\n{lines}\n[limits]{after}");
        let told = |problems: Vec<crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let config = Config::parse(Path::new("/registrar.toml"), &text).map_err(told)?;
        Ok(config.policy.audit_log)
    }

    #[test]
    fn reads_every_rule_of_the_audit_log() {
        let rules = audit_log(
            "domains = [\"AQIDBA==\"]\nnonceless = \"refuse\"\ntruncation = \"accept\"\n\
             assertions = [\"proximity\", \"verified\"]\nsince = 2026-01-01\n\
             bought = { pumps = \"2026-05-01\", valves = 2026-05-01T02:00:00+02:00 }",
        );
        let bought = BTreeMap::from([
            ("pumps".to_owned(), 1_777_593_600),
            ("valves".to_owned(), 1_777_593_600),
        ]);
        let expected = AuditRules {
            accepted: vec![DomainId::new(vec![1, 2, 3, 4])],
            nonceless: NoncelessRule::Refused,
            assertions: AssertionRule::OneOf(vec![Assertion::Proximity, Assertion::Verified]),
            truncation: TruncationRule::Accepted,
            since: Some(1_767_225_600),
            bought,
        };
        assert_eq!(rules, Ok(expected));
        assert_eq!(audit_log(""), Ok(AuditRules::default()));
    }

    #[test]
    fn says_what_is_wrong_with_a_rule_of_the_audit_log() {
        for (line, words) in [
            ("domains = [\"a b\"]", "policy.audit_log.domains: \"a b\" is no domainID"),
            ("domains = [\"\"]", "is no domainID"),
            ("nonceless = \"never\"", "none of \"refuse\", \"own-domain\", \"accepted-domains\""),
            ("truncation = \"yes\"", "policy.audit_log.truncation: \"yes\" is none of"),
            ("assertions = [\"near\"]", "policy.audit_log.assertions: \"near\" is none of"),
            ("assertions = []", "policy.audit_log.assertions: is empty"),
            ("since = \"soon\"", "policy.audit_log.since: \"soon\" is no date"),
            ("since = 2026-05-01T08:00:00", "policy.audit_log.since"),
            ("since = 08:00:00", "policy.audit_log.since"),
            ("since = 7", "expected a date such as 2026-05-01"),
            ("bought = { pumps = \"2026-02-30\" }", "policy.audit_log.bought.pumps"),
            ("sinc = 2026-05-01", "did you mean 'since'?"),
        ] {
            let told = audit_log(line).unwrap_err();
            assert!(told.contains(words), "{line}: {told}");
        }
    }
}
