//! The section `[policy]`: which devices may join, and what of their past is accepted (RFC 8995 §5.3, §5.8.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::quota::Rate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_voucher::artefact::Assertion;
use brski_voucher::audit::{AssertionRule, DomainId, NoncelessRule, TruncationRule};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, Time};
use toml::value::Datetime;

use super::reader::Reader;
use super::{Profile, raw};
use crate::policy::audit::{AuditRules, MissingLog, NoncelessVouchers};
use crate::policy::quota::Quotas;
use crate::policy::rules::Rules;
use crate::policy::waiting::ApprovalLimits;
use crate::store::model::AuditTiming;

mod rule;

/// The longest domainID that is taken, in octets: a digest of today, and one of tomorrow.
const DOMAIN_OCTETS: usize = 64;
const DAY_SECS: i64 = 24 * 60 * 60;

/// Which devices may join.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may join at all.
    pub rules: Rules,
    /// How many wait for a person, and for how long.
    pub approval: ApprovalLimits,
    /// How much one device, and those of one manufacturer, may ask for.
    pub quotas: Quotas,
    /// Whether a voucher may be one without a nonce.
    pub nonceless: NoncelessVouchers,
    /// What of a device's past is accepted.
    pub audit_log: AuditRules,
}

impl Reader {
    /// `profiles`: those that a rule may name.
    pub(super) fn policy(
        &mut self,
        policy: raw::Policy,
        profiles: &BTreeMap<String, Arc<Profile>>,
    ) -> Option<Policy> {
        let rules = self.rules(&policy.unexpected, policy.rule, profiles);
        let approval = self.approval(&policy.approval);
        let quotas = self.quotas(policy.quota);
        let nonceless = self.choose(
            "policy.nonceless",
            &policy.nonceless,
            &[("accept", NoncelessVouchers::Accept), ("refuse", NoncelessVouchers::Refuse)],
        );
        let audit_log = self.audit_log(policy.audit_log);
        let (nonceless, audit_log) = (nonceless?, audit_log?);
        Some(Policy { rules: rules?, approval, quotas, nonceless, audit_log })
    }

    fn approval(&mut self, raw: &raw::Approval) -> ApprovalLimits {
        let key = "policy.approval.waiting_per_manufacturer";
        let waiting = self.bounded(key, raw.waiting_per_manufacturer, 1, 10_000);
        // Pledges wait for a minute at most between two requests (RFC 8995 §5.6).
        let silent = self.bounded("policy.approval.silent_secs", raw.silent_secs, 120, 345_600);
        ApprovalLimits { waiting: u64::from(waiting), silent_millis: i64::from(silent) * 1000 }
    }

    fn quotas(&mut self, raw: raw::Quotas) -> Quotas {
        let mut quota = |key: &str, quota: Option<raw::Quota>| {
            let raw::Quota { most, secs } = quota?;
            let key = format!("policy.quota.{key}");
            Some(Rate {
                orders: self.bounded(&format!("{key}.most"), most, 1, 1_000_000),
                period_secs: self.bounded(&format!("{key}.secs"), secs, 1, 31_536_000),
            })
        };
        Quotas {
            device_vouchers: quota("device_vouchers", raw.device_vouchers),
            device_enrollments: quota("device_enrollments", raw.device_enrollments),
            manufacturer_vouchers: quota("manufacturer_vouchers", raw.manufacturer_vouchers),
            manufacturer_enrollments: quota(
                "manufacturer_enrollments",
                raw.manufacturer_enrollments,
            ),
        }
    }

    fn audit_log(&mut self, raw: raw::AuditLog) -> Option<AuditRules> {
        let when = self.choose("policy.audit_log.when", &raw.when, &AuditTiming::WORDS);
        let missing = self.choose(
            "policy.audit_log.missing",
            &raw.missing,
            &[("accept", MissingLog::Accept), ("refuse", MissingLog::Refuse)],
        );
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
            when: when?,
            missing: missing?,
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
    fn date(&mut self, key: &str, date: &raw::Date) -> Option<i64> {
        self.moment(key, date).map(|(seconds, _)| seconds)
    }

    /// The first second after a day, or after a time of day.
    fn end_of(&mut self, key: &str, date: &raw::Date) -> Option<i64> {
        let (seconds, datetime) = self.moment(key, date)?;
        let lasts = if datetime.time.is_none() { DAY_SECS } else { 1 };
        Some(seconds.saturating_add(lasts))
    }

    fn moment(&mut self, key: &str, date: &raw::Date) -> Option<(i64, Datetime)> {
        let (written, datetime) = match date {
            raw::Date::Bare(datetime) => (datetime.to_string(), Some(*datetime)),
            raw::Date::Quoted(text) => (text.clone(), text.parse().ok()),
        };
        let seconds = datetime.and_then(|datetime| Some((unix_seconds(datetime)?, datetime)));
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
    use crate::config::sample::{Choices, Keys, file};
    use crate::policy::rules::{Ruling, Scope, Serials, Span};

    /// The section `[policy]` with these lines in the place of the sample's, or what is wrong with it.
    fn policy(lines: &str) -> Result<Policy, String> {
        let choices = Choices {
            keys: Keys::default(),
            listen: "127.0.0.1:0".into(),
            dns: None,
            domain: "iot.example.org".into(),
            acme: None,
        };
        let sample = file(&choices);
        let (before, rest) = sample.split_once("[policy]").unwrap();
        let (_, after) = rest.split_once("[limits]").unwrap();
        let text = format!("{before}[policy]\n{lines}\n[limits]{after}");
        let told = |problems: Vec<crate::config::Problem>| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        Config::parse(Path::new("/registrar.toml"), &text).map(|config| config.policy).map_err(told)
    }

    fn audit_log(lines: &str) -> Result<AuditRules, String> {
        policy(&format!("[policy.audit_log]\n{lines}")).map(|policy| policy.audit_log)
    }

    fn refusal(lines: &str) -> String {
        policy(lines).unwrap_err()
    }

    #[test]
    fn reads_every_key_of_a_rule() {
        let policy = policy(
            "unexpected = \"refuse\"\n[[policy.rule]]\ndecision = \"admit\"\nnote = \"May\"\n\
             devices = \"all\"\nmanufacturer = \"pumps\"\nserial_pattern = \"SN-1[0-9]{3}\"\n\
             made_from = 2026-01-01\nmade_until = 2026-05-01\nnot_before = 2026-05-01\n\
             not_after = \"2026-05-01T08:00:00Z\"\nprofile = \"default\"\n\
             name = \"{manufacturer}-{serial}\"\nsite = \"hall 3\"\n\
             [[policy.rule]]\ndecision = \"ask\"\nserial = [\"a\", \"b\"]",
        );
        let rules = policy.unwrap().rules;
        assert_eq!(rules.unexpected, Ruling::Refuse);
        let [first, second] = &rules.rules[..] else {
            panic!("two rules: {rules:?}");
        };
        assert_eq!((first.name.as_str(), first.ruling), ("rule 1 (May)", Ruling::Admit));
        assert_eq!((first.scope, first.manufacturer.as_deref()), (Scope::All, Some("pumps")));
        let Serials::Matching(pattern) = &first.serials else {
            panic!("a pattern: {first:?}");
        };
        assert!(pattern.matches("SN-1000") && !pattern.matches("SN-10000"));
        // The last day counts to its end.
        let made = Span { from: Some(1_767_225_600), until: Some(1_777_593_600 + 86_400) };
        assert_eq!(first.made, made);
        let in_force = Span { from: Some(1_777_593_600), until: Some(1_777_622_401) };
        assert_eq!(first.in_force, in_force);
        assert_eq!(first.profile.as_deref(), Some("default"));
        assert_eq!(first.template.as_deref(), Some("{manufacturer}-{serial}"));
        assert_eq!(first.site.as_deref(), Some("hall 3"));
        assert_eq!((second.name.as_str(), second.scope), ("rule 2", Scope::Unexpected));
        assert!(matches!(&second.serials, Serials::Listed(listed) if listed.len() == 2));
    }

    /// The sample is the manual: what its comments show must be right as well.
    #[test]
    fn the_commented_keys_of_the_sample_are_right() {
        let choices = Choices {
            keys: Keys::default(),
            listen: "127.0.0.1:0".into(),
            dns: None,
            domain: "iot.example.org".into(),
            acme: None,
        };
        let sample = file(&choices);
        let (_, rest) = sample.split_once("[policy]").unwrap();
        let (section, _) = rest.split_once("[limits]").unwrap();
        let uncomment = |line: &str| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let is_key = bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
            // A rule has a list or a pattern.
            let is_left_out = bare.starts_with("serial = ");
            let text = if (is_key || bare.starts_with("[[")) && !is_left_out { bare } else { line };
            format!("{text}\n")
        };
        let policy = policy(&section.lines().map(uncomment).collect::<String>()).unwrap();
        assert_eq!(policy.rules.rules.len(), 1);
        assert_eq!(policy.rules.rules[0].name, "rule 1 (delivery of May)");
        assert!(policy.rules.rules[0].made.until.is_some());
        assert!(policy.quotas.manufacturer_enrollments.is_some());
        assert_eq!(policy.audit_log.accepted.len(), 1);
        assert!(policy.audit_log.bought.contains_key("pumps"));
    }

    #[test]
    fn who_says_nothing_about_unexpected_devices_is_asked() {
        assert_eq!(policy("").unwrap().rules.unexpected, Ruling::Ask);
    }

    #[test]
    fn says_what_is_wrong_with_a_rule() {
        for (lines, words) in [
            ("", "missing field `decision`"),
            ("decision = \"allow\"", "policy.rule[1].decision: \"allow\" is none of \"admit\""),
            ("decision = \"ask\"\ndevices = \"new\"", "policy.rule[1].devices: \"new\" is none of"),
            ("decision = \"ask\"\nserial = []", "policy.rule[1].serial: lists 0"),
            ("decision = \"ask\"\nserial = [\"\"]", "policy.rule[1].serial: \"\""),
            (
                "decision = \"ask\"\nserial = [\"a\"]\nserial_pattern = \"a\"",
                "policy.rule[1].serial: stands beside serial_pattern",
            ),
            (
                "decision = \"ask\"\nserial_pattern = \"(\"",
                "policy.rule[1].serial_pattern: \"(\" is no pattern such as",
            ),
            (
                "decision = \"ask\"\nmade_from = 2026-02-01\nmade_until = 2026-01-01",
                "policy.rule[1].made_until: lies before made_from",
            ),
            ("decision = \"ask\"\nnot_after = \"x\"", "policy.rule[1].not_after: \"x\" is no date"),
            ("decision = \"ask\"\nprofile = \"defualt\"", "did you mean \"default\"?"),
            ("decision = \"ask\"\nname = \"pump\"", "policy.rule[1].name: \"pump\" must hold"),
            ("decision = \"ask\"\nnote = \"a\\nb\"", "policy.rule[1].note: \"a\\nb\" is none of"),
            ("decision = \"ask\"\nsite = \"\"", "policy.rule[1].site"),
            ("decision = \"ask\"\nserials = [\"a\"]", "did you mean 'serial'?"),
        ] {
            let told = refusal(&format!("[[policy.rule]]\n{lines}"));
            assert!(told.contains(words), "{lines}: {told}");
        }
        let second = "[[policy.rule]]\ndecision = \"ask\"\n[[policy.rule]]\ndecision = \"\"";
        assert!(refusal(second).contains("policy.rule[2].decision"));
        let many = "[[policy.rule]]\ndecision = \"ask\"\n".repeat(1001);
        assert!(refusal(&many).contains("there are 1001 rules, and may be 1000"));
    }

    #[test]
    fn says_what_is_wrong_with_approvals_and_quotas() {
        for (lines, words) in [
            ("unexpected = \"perhaps\"", "policy.unexpected: \"perhaps\" is none of"),
            ("unexpectd = \"ask\"", "did you mean 'unexpected'?"),
            ("[policy.approval]\nsilent_secs = 119", "policy.approval.silent_secs: 119 is not"),
            (
                "[policy.approval]\nwaiting_per_manufacturer = 0",
                "policy.approval.waiting_per_manufacturer: 0 is not between 1 and 10000",
            ),
            (
                "[policy.quota]\ndevice_vouchers = { most = 0, secs = 1 }",
                "policy.quota.device_vouchers.most: 0 is not between 1 and 1000000",
            ),
            (
                "[policy.quota]\nmanufacturer_enrollments = { most = 1, secs = 0 }",
                "policy.quota.manufacturer_enrollments.secs: 0 is not",
            ),
            ("[policy.quota]\ndevice_vouchers = { most = 1 }", "missing field `secs`"),
            (
                "[policy.quota]\ndevice_voucher = { most = 1, secs = 1 }",
                "did you mean 'device_vouchers'?",
            ),
        ] {
            let told = refusal(lines);
            assert!(told.contains(words), "{lines}: {told}");
        }
    }

    #[test]
    fn reads_every_rule_of_the_audit_log() {
        let rules = audit_log(
            "when = \"before-voucher\"\nmissing = \"refuse\"\ndomains = [\"AQIDBA==\"]\nnonceless = \"refuse\"\ntruncation = \"accept\"\n\
             assertions = [\"proximity\", \"verified\"]\nsince = 2026-01-01\n\
             bought = { pumps = \"2026-05-01\", valves = 2026-05-01T02:00:00+02:00 }",
        );
        let bought = BTreeMap::from([
            ("pumps".to_owned(), 1_777_593_600),
            ("valves".to_owned(), 1_777_593_600),
        ]);
        let expected = AuditRules {
            when: AuditTiming::BeforeVoucher,
            missing: MissingLog::Refuse,
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
