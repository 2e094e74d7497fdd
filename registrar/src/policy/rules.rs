//! The operator's rules about who may join: asked in order, and the first one that fits decides (RFC 8995 §5.3). Pure.
//!
//! A rule speaks of genuine devices alone: their IDevID was proven before, and chains to a manufacturer that is known.

use std::collections::HashSet;

use regex_lite::{Regex, RegexBuilder};
use thiserror::Error;

use crate::store::model::Millis;

/// The longest pattern, in octets.
const PATTERN_OCTETS: usize = 256;
/// The most memory that a compiled pattern may take, in octets.
const COMPILED_OCTETS: usize = 64 * 1024;

/// What becomes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It may join.
    Admit,
    /// A person is asked.
    Ask,
    /// It may not join.
    Refuse,
}

/// Which devices a rule speaks of, by what an operator said of them before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that no operator imported or allowed.
    Unexpected,
    /// Those that an operator imported or allowed, before they were let in.
    Expected,
    /// All, those too that were let in long ago.
    All,
}

/// How an operator, or policy, knows the device that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody expected it; a person may be asked about it, or may have said yes.
    Unexpected,
    /// An operator imported or allowed it.
    Expected,
    /// It was let in before.
    Admitted,
}

/// A pattern that a whole serial number must match.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// Why a text is no pattern.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is too long.
    #[error("the pattern has {octets} octets, and may have {PATTERN_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is no regular expression, or too large a one.
    #[error("{0}")]
    Syntax(regex_lite::Error),
}

impl Pattern {
    /// Reads a regular expression; it stands for whole serial numbers, with or without `^` and `$`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_OCTETS {
            return Err(PatternError::TooLong { octets: text.len() });
        }
        // Read alone first: a pattern with a bracket too many must not become one in what is put around it.
        let build = |text: &str| RegexBuilder::new(text).size_limit(COMPILED_OCTETS).build();
        build(text).map_err(PatternError::Syntax)?;
        build(&format!("^(?:{text})$")).map(Self).map_err(PatternError::Syntax)
    }

    /// Whether the whole serial number matches.
    #[must_use]
    pub fn matches(&self, serial: &str) -> bool {
        self.0.is_match(serial)
    }
}

/// Which serial numbers a rule speaks of.
#[derive(Clone, Debug)]
pub enum Serials {
    /// All.
    Any,
    /// These.
    Listed(HashSet<String>),
    /// Those that match.
    Matching(Pattern),
}

impl Serials {
    fn contain(&self, serial: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.contains(serial),
            Self::Matching(pattern) => pattern.matches(serial),
        }
    }
}

/// A span of time: from the first second on, until just before the second one. Unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first moment that is in it; none: always was.
    pub from: Option<i64>,
    /// The first moment that is not in it any more; none: never ends.
    pub until: Option<i64>,
}

impl Span {
    /// Whether a moment lies in it.
    #[must_use]
    pub fn contains(self, seconds: i64) -> bool {
        self.from.is_none_or(|from| from <= seconds)
            && self.until.is_none_or(|until| seconds < until)
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What the trail calls it.
    pub name: String,
    /// Which devices.
    pub scope: Scope,
    /// Of which manufacturer, by the operator's name for it; none: of each.
    pub manufacturer: Option<String>,
    /// With which serial numbers.
    pub serials: Serials,
    /// Whose IDevID begins to be valid within this span.
    pub made: Span,
    /// When the rule is in force.
    pub in_force: Span,
    /// What becomes of them.
    pub ruling: Ruling,
    /// The profile that they get; none: the one that they have, or the default.
    pub profile: Option<String>,
    /// The template of their names; none: the profile's.
    pub template: Option<String>,
    /// Where they stand, in the operator's words.
    pub site: Option<String>,
}

impl Rule {
    fn fits(&self, facts: &Facts<'_>) -> bool {
        let is_meant = match (self.scope, facts.standing) {
            (Scope::All, _)
            | (Scope::Unexpected, Standing::Unexpected)
            | (Scope::Expected, Standing::Expected) => true,
            (Scope::Unexpected | Scope::Expected, _) => false,
        };
        is_meant
            && self.manufacturer.as_deref().is_none_or(|name| name == facts.manufacturer)
            && self.in_force.contains(facts.now.seconds())
            && self.made.contains(facts.made)
            && self.serials.contain(facts.serial)
    }

    /// Whether it names the devices one by one, or by a pattern, rather than all of a manufacturer.
    #[must_use]
    pub fn names_serials(&self) -> bool {
        !matches!(self.serials, Serials::Any)
    }
}

/// What rules are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The operator's name for the manufacturer that vouches for the device.
    pub manufacturer: &'a str,
    /// The serial number in its IDevID.
    pub serial: &'a str,
    /// When its IDevID began to be valid: Unix seconds.
    pub made: i64,
    /// How it is known.
    pub standing: Standing,
    /// Now.
    pub now: Millis,
}

/// All rules, and what becomes of devices that none of them fits.
#[derive(Clone, Debug)]
pub struct Rules {
    /// In the order in which they are asked.
    pub rules: Vec<Rule>,
    /// What becomes of devices that nobody expected and no rule speaks of.
    pub unexpected: Ruling,
}

/// What the rules say of a device.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    /// What becomes of it.
    pub ruling: Ruling,
    /// The rule that says so; none: no rule fits.
    pub rule: Option<&'a Rule>,
}

impl Rules {
    /// Asks the rules about a device.
    #[must_use]
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement<'_> {
        match self.rules.iter().find(|rule| rule.fits(facts)) {
            Some(rule) => Judgement { ruling: rule.ruling, rule: Some(rule) },
            None => {
                let ruling = match facts.standing {
                    Standing::Unexpected => self.unexpected,
                    Standing::Expected | Standing::Admitted => Ruling::Admit,
                };
                Judgement { ruling, rule: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(ruling: Ruling) -> Rule {
        Rule {
            name: "a rule".into(),
            scope: Scope::Unexpected,
            manufacturer: None,
            serials: Serials::Any,
            made: Span::default(),
            in_force: Span::default(),
            ruling,
            profile: None,
            template: None,
            site: None,
        }
    }

    const FACTS: Facts<'static> = Facts {
        manufacturer: "pumps",
        serial: "SN-1042",
        made: 1000,
        standing: Standing::Unexpected,
        now: Millis(5_000_000),
    };

    fn ruling(rules: Vec<Rule>, facts: &Facts<'_>) -> Ruling {
        Rules { rules, unexpected: Ruling::Ask }.judge(facts).ruling
    }

    fn listed(serials: &[&str]) -> Serials {
        Serials::Listed(serials.iter().map(|serial| (*serial).to_owned()).collect())
    }

    #[test]
    fn each_condition_decides_whether_a_rule_fits() {
        let span = |from, until| Span { from, until };
        let admit = || rule(Ruling::Admit);
        let matching = |text| Serials::Matching(Pattern::parse(text).unwrap());
        for (rule, fits) in [
            (admit(), true),
            (Rule { manufacturer: Some("pumps".into()), ..admit() }, true),
            (Rule { manufacturer: Some("Pumps".into()), ..admit() }, false),
            (Rule { serials: listed(&["SN-1", "SN-1042"]), ..admit() }, true),
            (Rule { serials: listed(&["sn-1042"]), ..admit() }, false),
            (Rule { serials: listed(&[]), ..admit() }, false),
            (Rule { serials: matching("SN-1[0-9]{3}"), ..admit() }, true),
            (Rule { serials: matching("^SN-1[0-9]{3}$"), ..admit() }, true),
            (Rule { serials: matching("SN-1[0-9]{2}"), ..admit() }, false),
            (Rule { serials: matching("N-1042"), ..admit() }, false),
            (Rule { serials: matching("SN-9|SN-1042"), ..admit() }, true),
            (Rule { serials: matching("SN-1|N-1042"), ..admit() }, false),
            (Rule { made: span(Some(1000), None), ..admit() }, true),
            (Rule { made: span(Some(1001), None), ..admit() }, false),
            (Rule { made: span(None, Some(1001)), ..admit() }, true),
            (Rule { made: span(None, Some(1000)), ..admit() }, false),
            (Rule { in_force: span(Some(5000), Some(5001)), ..admit() }, true),
            (Rule { in_force: span(Some(5001), None), ..admit() }, false),
            (Rule { in_force: span(None, Some(5000)), ..admit() }, false),
            (Rule { scope: Scope::All, ..admit() }, true),
            (Rule { scope: Scope::Expected, ..admit() }, false),
        ] {
            let expected = if fits { Ruling::Admit } else { Ruling::Ask };
            assert_eq!(ruling(vec![rule.clone()], &FACTS), expected, "{rule:?}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let refuse = Rule { serials: listed(&["SN-1042"]), ..rule(Ruling::Refuse) };
        let admit = rule(Ruling::Admit);
        assert_eq!(ruling(vec![refuse.clone(), admit.clone()], &FACTS), Ruling::Refuse);
        assert_eq!(ruling(vec![admit, refuse], &FACTS), Ruling::Admit);
    }

    #[test]
    fn what_an_operator_expects_needs_a_rule_of_its_own_to_be_kept_out() {
        let expected = Facts { standing: Standing::Expected, ..FACTS };
        let admitted = Facts { standing: Standing::Admitted, ..FACTS };
        let of_scope = |scope| vec![Rule { scope, ..rule(Ruling::Refuse) }];
        for (scope, of_expected, of_admitted) in [
            (Scope::Unexpected, Ruling::Admit, Ruling::Admit),
            (Scope::Expected, Ruling::Refuse, Ruling::Admit),
            (Scope::All, Ruling::Refuse, Ruling::Refuse),
        ] {
            assert_eq!(ruling(of_scope(scope), &expected), of_expected, "{scope:?}");
            assert_eq!(ruling(of_scope(scope), &admitted), of_admitted, "{scope:?}");
        }
    }

    #[test]
    fn without_a_rule_the_default_decides_about_unexpected_devices_alone() {
        for unexpected in [Ruling::Admit, Ruling::Ask, Ruling::Refuse] {
            let rules = Rules { rules: Vec::new(), unexpected };
            assert_eq!(rules.judge(&FACTS).ruling, unexpected);
            for standing in [Standing::Expected, Standing::Admitted] {
                assert_eq!(rules.judge(&Facts { standing, ..FACTS }).ruling, Ruling::Admit);
            }
        }
    }

    #[test]
    fn a_pattern_is_bounded_and_stays_in_its_brackets() {
        for text in
            ["(", ")", "a)|(?:b", "[", "x{2000}{2000}", "a{100000}", "(?<", &"a".repeat(257)]
        {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse("").unwrap().matches(""));
        assert!(!Pattern::parse("").unwrap().matches("SN-1"));
    }
}
