//! The MASA's audit log of a device, and what a registrar makes of it (RFC 8995 §5.8).
//!
//! The RFC's own example writes numbers as strings, against its own grammar; both are read.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::artefact::{Assertion, Timestamp};
use crate::certificate::{Certificate, domain_id, hex};
use crate::content::{ContentError, base64, json};
use crate::encoding::Strictness;
use crate::envelope::ARTEFACT_OCTETS;

/// The most events of one log that are read.
const EVENTS: usize = 1024;
/// The version of the log that this library knows; what comes after is a superset (RFC 8995 §5.8.1).
const VERSION: u64 = 1;

/// Why octets are no audit log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditLogError {
    /// It is longer than this library reads.
    #[error("the audit log has {octets} octets, more than {ARTEFACT_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// There are more events than this library reads.
    #[error("the audit log has {events} events, more than {EVENTS}")]
    TooManyEvents {
        /// How many.
        events: usize,
    },
    /// It is no audit log: no JSON, a member absent, of another type, or there twice.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// How a domain is named in an audit log: the subject key identifier of what was pinned, or a digest of its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DomainId(Vec<u8>);

impl DomainId {
    /// Takes the octets of a domainID.
    #[must_use]
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// The domainID of a certificate that a voucher may pin: its SKI, else SHA-256 of its SubjectPublicKeyInfo.
    ///
    /// RFC 8995 §5.8.2.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        Self(domain_id(certificate))
    }

    /// Its octets.
    #[must_use]
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for DomainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&base64::encode(&self.0))
    }
}

impl fmt::Debug for DomainId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// A number, or the same as a string.
#[derive(Clone, Copy)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an unsigned number, or one as a string")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let digits = text.bytes().all(|digit| digit.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits);
                number.map(Number).ok_or_else(|| E::custom(format_args!("{text:?} is no number")))
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

/// The log as it stands (RFC 8995 §5.8.1).
#[derive(Deserialize)]
struct Raw {
    version: Number,
    events: Vec<RawEvent>,
    #[serde(default)]
    truncation: RawTruncation,
}

#[derive(Deserialize)]
struct RawEvent {
    date: String,
    #[serde(rename = "domainID")]
    domain_id: String,
    #[serde(default)]
    nonce: Option<String>,
    assertion: String,
    #[serde(default)]
    truncated: Option<Number>,
}

#[derive(Default, Deserialize)]
struct RawTruncation {
    #[serde(rename = "nonced duplicates", default)]
    nonced_duplicates: Option<Number>,
    #[serde(rename = "nonceless duplicates", default)]
    nonceless_duplicates: Option<Number>,
    #[serde(default)]
    arbitrary: Option<Number>,
}

/// What a MASA recorded of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    version: u64,
    events: Vec<AuditEvent>,
    truncation: Truncation,
}

/// One voucher that the MASA issued, or several that it tells as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    date: Timestamp,
    domain: DomainId,
    nonce: Option<String>,
    assertion: String,
    truncated: u64,
}

/// How many events the MASA left out, and why (RFC 8995 §5.8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncation {
    /// Events with a nonce that repeat another one.
    pub nonced_duplicates: u64,
    /// Events without a nonce that repeat another one.
    pub nonceless_duplicates: u64,
    /// Events that were left out for no told reason.
    pub arbitrary: u64,
}

impl AuditLog {
    /// Reads a log of at most 64 KiB and 1024 events; unknown members are ignored.
    ///
    /// # Errors
    /// [`AuditLogError`].
    pub fn parse(body: &[u8]) -> Result<Self, AuditLogError> {
        if body.len() > ARTEFACT_OCTETS {
            return Err(AuditLogError::TooLong { octets: body.len() });
        }
        let raw: Raw = json::parse(body)?;
        if raw.events.len() > EVENTS {
            return Err(AuditLogError::TooManyEvents { events: raw.events.len() });
        }
        let count = |number: Option<Number>| number.map_or(0, |Number(count)| count);
        let events = raw.events.into_iter().map(|event| {
            let octets = base64::decode(&event.domain_id, Strictness::Standard, &mut Vec::new());
            Ok(AuditEvent {
                date: Timestamp::parse("date", &event.date)?,
                domain: DomainId(octets.ok_or(ContentError::Base64 { member: "domainID" })?),
                nonce: event.nonce,
                assertion: event.assertion,
                truncated: count(event.truncated),
            })
        });
        Ok(Self {
            version: raw.version.0,
            events: events.collect::<Result<_, ContentError>>()?,
            truncation: Truncation {
                nonced_duplicates: count(raw.truncation.nonced_duplicates),
                nonceless_duplicates: count(raw.truncation.nonceless_duplicates),
                arbitrary: count(raw.truncation.arbitrary),
            },
        })
    }

    /// The version; above 1, a person should look.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether this library knows the version.
    #[must_use]
    pub fn is_known_version(&self) -> bool {
        self.version <= VERSION
    }

    /// The events, in the order sent.
    #[must_use]
    pub fn events(&self) -> &[AuditEvent] {
        &self.events
    }

    /// What was left out.
    #[must_use]
    pub fn truncation(&self) -> Truncation {
        self.truncation
    }
}

impl AuditEvent {
    /// When the voucher was issued.
    #[must_use]
    pub fn date(&self) -> &Timestamp {
        &self.date
    }

    /// The domain that it pinned.
    #[must_use]
    pub fn domain(&self) -> &DomainId {
        &self.domain
    }

    /// Its nonce, as written; none for a nonceless voucher.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// What the MASA asserted, as written: words may come that this library does not know.
    #[must_use]
    pub fn assertion(&self) -> &str {
        &self.assertion
    }

    /// The same, where it is a word of RFC 8366.
    #[must_use]
    pub fn known_assertion(&self) -> Option<Assertion> {
        Assertion::parse(&self.assertion).ok()
    }

    /// How many like it were left out.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated
    }
}

/// The domainIDs that a voucher for this registrar may be logged under: one for each certificate of its chain,
/// since the MASA chooses which one it pins.
///
/// RFC 8995 §5.8.2.
#[must_use]
pub fn own_domains(chain: &[Certificate]) -> Vec<DomainId> {
    chain.iter().map(DomainId::of).collect()
}

/// Which vouchers without a nonce may stand in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoncelessRule {
    /// None: each could still be in somebody's hands.
    Refused,
    /// This domain's own.
    #[default]
    OwnDomain,
    /// Those of any domain that is accepted.
    AcceptedDomains,
}

/// Which omissions may be in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TruncationRule {
    /// None.
    Refused,
    /// Duplicates of events that are there.
    #[default]
    Duplicates,
    /// Any.
    Accepted,
}

/// Which assertions a log's events may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AssertionRule {
    /// Any, words too that this library does not know.
    #[default]
    Any,
    /// These alone.
    OneOf(Vec<Assertion>),
}

impl AssertionRule {
    fn allows(&self, assertion: Option<Assertion>) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(allowed) => assertion.is_some_and(|it| allowed.contains(&it)),
        }
    }
}

/// What a registrar accepts of a device's past (RFC 8995 §5.8.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPolicy {
    /// This domain, see [`own_domains`].
    pub own: Vec<DomainId>,
    /// Other domains that the device may have been in: a reseller's, an integrator's, one of an earlier certificate.
    pub accepted: Vec<DomainId>,
    /// Which nonceless vouchers.
    pub nonceless: NoncelessRule,
    /// Which assertions.
    pub assertions: AssertionRule,
    /// Which omissions.
    pub truncation: TruncationRule,
    /// Events before this time (Unix seconds) do not matter: the device was bought then.
    pub since: Option<i64>,
}

/// What in a log is against policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuditViolation {
    /// The device was in a domain that is not accepted.
    #[error(
        "on {date} a voucher was issued to domain {domain}, which is not accepted (RFC 8995 §5.8.3)"
    )]
    ForeignDomain {
        /// When, as the log has it.
        date: String,
        /// Which domain.
        domain: DomainId,
    },
    /// There is a voucher without a nonce that is not accepted.
    #[error("on {date} a voucher without a nonce was issued to domain {domain} (RFC 8995 §5.8.3)")]
    Nonceless {
        /// When, as the log has it.
        date: String,
        /// Which domain.
        domain: DomainId,
    },
    /// A voucher asserts something that is not accepted.
    #[error(
        "on {date} a voucher with assertion {assertion:?} was issued to domain {domain} (RFC 8995 §5.8.3)"
    )]
    Assertion {
        /// When, as the log has it.
        date: String,
        /// Which domain.
        domain: DomainId,
        /// What it asserts, as the log has it.
        assertion: String,
    },
    /// Something was left out.
    #[error(
        "the log leaves out {duplicates} duplicates and {arbitrary} other events (RFC 8995 §5.8.1)"
    )]
    Truncated {
        /// How many duplicates.
        duplicates: u64,
        /// How many others.
        arbitrary: u64,
    },
}

/// Compares a log with policy; gives everything that is against it: events as they stand, then omissions.
///
/// What an event before [`AuditPolicy::since`] says it left out does not matter, as the event does not;
/// what the log as a whole left out has no date, and does.
///
/// RFC 8995 §5.8.3.
#[must_use]
pub fn evaluate(log: &AuditLog, policy: &AuditPolicy) -> Vec<AuditViolation> {
    let matters =
        |event: &&AuditEvent| policy.since.is_none_or(|since| event.date.seconds() >= since);
    let events = || log.events.iter().filter(matters);
    let mut violations: Vec<AuditViolation> =
        events().filter_map(|event| judge(event, policy)).collect();
    let within = events().fold(0_u64, |sum, event| sum.saturating_add(event.truncated));
    violations.extend(judge_truncation(log.truncation, within, policy.truncation));
    violations
}

fn judge(event: &AuditEvent, policy: &AuditPolicy) -> Option<AuditViolation> {
    let is_own = policy.own.contains(&event.domain);
    let is_accepted = is_own || policy.accepted.contains(&event.domain);
    let (date, domain) = (event.date.as_str().to_owned(), event.domain.clone());
    if !is_accepted {
        return Some(AuditViolation::ForeignDomain { date, domain });
    }
    let may_lack_nonce = match policy.nonceless {
        NoncelessRule::Refused => false,
        NoncelessRule::OwnDomain => is_own,
        NoncelessRule::AcceptedDomains => true,
    };
    if event.nonce.is_none() && !may_lack_nonce {
        return Some(AuditViolation::Nonceless { date, domain });
    }
    let is_accepted = policy.assertions.allows(event.known_assertion());
    let assertion = || event.assertion.clone();
    (!is_accepted).then(|| AuditViolation::Assertion { date, domain, assertion: assertion() })
}

/// `within`: how many events the others say they left out.
fn judge_truncation(
    truncation: Truncation,
    within: u64,
    rule: TruncationRule,
) -> Option<AuditViolation> {
    let Truncation { nonced_duplicates, nonceless_duplicates, arbitrary } = truncation;
    let duplicates = nonced_duplicates.saturating_add(nonceless_duplicates).saturating_add(within);
    let is_refused = match rule {
        TruncationRule::Accepted => false,
        TruncationRule::Duplicates => arbitrary > 0,
        TruncationRule::Refused => arbitrary > 0 || duplicates > 0,
    };
    is_refused.then_some(AuditViolation::Truncated { duplicates, arbitrary })
}
