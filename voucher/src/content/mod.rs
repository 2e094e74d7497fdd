//! What an artefact says, as YANG models it, apart from how it is written: JSON or CBOR.
//!
//! Both encodings are read into [`Leaves`] and written from them; the artefacts are made of leaves and know no encoding.
//! Unknown leaves are ignored (RFC 8995 §5.6.1); any member twice is refused, since two readers might pick two values.
//!
//! RFC 8366 §5.3, draft-ietf-anima-rfc8366bis §5–§7, RFC 7951 (JSON), RFC 9254 (CBOR).

use thiserror::Error;

use crate::artefact::{Assertion, Nonce, Timestamp};
use crate::encoding::{Quirk, Strictness};
use crate::tlv::{OCTET_STRING, SEQUENCE, only};

pub(crate) mod base64;
pub(crate) mod cbor;
pub(crate) mod json;
mod strict;

/// The most members of one artefact that are read, unknown ones included.
const MEMBERS: usize = 64;
/// How much of a value an error repeats, in characters.
const VALUE_CHARACTERS: usize = 60;

/// Why content is none of an artefact.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It is no JSON, or of another shape.
    #[error("the JSON cannot be read: {0}")]
    Json(serde_json::Error),
    /// It is no CBOR.
    #[error("the CBOR cannot be read: {0}")]
    Cbor(&'static str),
    /// It is of another artefact: its outermost member has another name.
    #[error("the outermost member {expected} is absent")]
    Root {
        /// The name that belongs there.
        expected: &'static str,
    },
    /// Objects or lists stand in each other deeper than this library reads.
    #[error("it is nested too deeply")]
    Depth,
    /// Something follows its end.
    #[error("octets follow its end")]
    TrailingOctets,
    /// There are more members than this library reads.
    #[error("there are more than {MEMBERS} members")]
    TooManyMembers,
    /// A member stands there twice, wherever.
    #[error("member {member:?} is there twice")]
    Repeated {
        /// The member, cut to 60 characters.
        member: String,
    },
    /// A member that must be there is not.
    #[error("member {member} is absent")]
    Absent {
        /// The member.
        member: &'static str,
    },
    /// A member is of another type than its own.
    #[error("member {member} is not {expected}")]
    Type {
        /// The member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A member is not base64.
    #[error("member {member} is not base64")]
    Base64 {
        /// The member.
        member: &'static str,
    },
    /// A member is not what its type allows.
    #[error("member {member} is {value:?}: {reason}")]
    Value {
        /// The member.
        member: &'static str,
        /// Its value, cut to 60 characters.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ContentError {
    pub(crate) fn value(member: &'static str, value: &str, reason: &'static str) -> Self {
        Self::Value { member, value: value.chars().take(VALUE_CHARACTERS).collect(), reason }
    }
}

/// The YANG module that an artefact belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    VoucherRequest,
    Voucher,
}

impl Module {
    /// The name of its container, as JSON and CBOR with names write it.
    pub(crate) fn root(self) -> &'static str {
        match self {
            Self::VoucherRequest => "ietf-voucher-request:voucher",
            Self::Voucher => "ietf-voucher:voucher",
        }
    }

    /// The SID of its container (draft-ietf-anima-rfc8366bis §9).
    pub(crate) fn sid(self) -> u64 {
        match self {
            Self::VoucherRequest => 2501,
            Self::Voucher => 2451,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::VoucherRequest => Self::Voucher,
            Self::Voucher => Self::VoucherRequest,
        }
    }
}

/// The type of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Assertion,
    Date,
    Flag,
    /// Octets: base64 in JSON.
    Octets,
    /// Octets by its definition; in JSON often another string, so that it is kept as it came.
    Nonce,
    /// The authority key identifier of the IDevID, which the field writes in four ways.
    IdevidIssuer,
    Text,
}

/// A leaf that this library knows; the others are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Assertion,
    CreatedOn,
    DomainCertRevocationChecks,
    ExpiresOn,
    IdevidIssuer,
    LastRenewalDate,
    Nonce,
    PinnedDomainCert,
    PinnedDomainPubk,
    PinnedDomainPubkSha256,
    PriorSignedVoucherRequest,
    ProximityRegistrarCert,
    ProximityRegistrarPubk,
    ProximityRegistrarPubkSha256,
    SerialNumber,
    AdditionalConfigurationUrl,
    EstDomain,
}

/// What is fixed about a leaf: name, type, and its SID less that of its container, in a request and in a voucher.
type Definition = (Leaf, &'static str, Type, Option<u64>, Option<u64>);

/// draft-ietf-anima-rfc8366bis §9: the SID files of `ietf-voucher` and `ietf-voucher-request`.
const DEFINITIONS: [Definition; 17] = [
    (Leaf::Assertion, "assertion", Type::Assertion, Some(1), Some(1)),
    (Leaf::CreatedOn, "created-on", Type::Date, Some(2), Some(2)),
    (
        Leaf::DomainCertRevocationChecks,
        "domain-cert-revocation-checks",
        Type::Flag,
        Some(3),
        Some(3),
    ),
    (Leaf::ExpiresOn, "expires-on", Type::Date, Some(4), Some(4)),
    (Leaf::IdevidIssuer, "idevid-issuer", Type::IdevidIssuer, Some(5), Some(5)),
    (Leaf::LastRenewalDate, "last-renewal-date", Type::Date, Some(6), Some(6)),
    (Leaf::Nonce, "nonce", Type::Nonce, Some(7), Some(7)),
    (Leaf::PinnedDomainCert, "pinned-domain-cert", Type::Octets, Some(8), Some(8)),
    (Leaf::PinnedDomainPubk, "pinned-domain-pubk", Type::Octets, Some(17), Some(9)),
    (Leaf::PinnedDomainPubkSha256, "pinned-domain-pubk-sha256", Type::Octets, Some(18), Some(10)),
    (Leaf::PriorSignedVoucherRequest, "prior-signed-voucher-request", Type::Octets, Some(9), None),
    (Leaf::ProximityRegistrarCert, "proximity-registrar-cert", Type::Octets, Some(10), None),
    (
        Leaf::ProximityRegistrarPubkSha256,
        "proximity-registrar-pubk-sha256",
        Type::Octets,
        Some(11),
        None,
    ),
    (Leaf::ProximityRegistrarPubk, "proximity-registrar-pubk", Type::Octets, Some(12), None),
    (Leaf::SerialNumber, "serial-number", Type::Text, Some(13), Some(11)),
    (
        Leaf::AdditionalConfigurationUrl,
        "additional-configuration-url",
        Type::Text,
        Some(19),
        Some(12),
    ),
    (Leaf::EstDomain, "est-domain", Type::Text, Some(20), Some(13)),
];

impl Leaf {
    fn definition(self) -> &'static Definition {
        // Unwrap safety: each variant has its row, as a test asserts; the first row stands in for none.
        DEFINITIONS.iter().find(|row| row.0 == self).unwrap_or(&DEFINITIONS[0])
    }

    pub(crate) fn name(self) -> &'static str {
        self.definition().1
    }

    pub(crate) fn kind(self) -> Type {
        self.definition().2
    }

    pub(crate) fn delta(self, module: Module) -> Option<u64> {
        match module {
            Module::VoucherRequest => self.definition().3,
            Module::Voucher => self.definition().4,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        DEFINITIONS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    fn by_delta(delta: u64, module: Module) -> Option<Self> {
        DEFINITIONS.iter().map(|row| row.0).find(|leaf| leaf.delta(module) == Some(delta))
    }
}

/// The value of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Assertion(Assertion),
    Date(Timestamp),
    Flag(bool),
    Octets(Vec<u8>),
    Nonce(Nonce),
    Text(String),
}

/// The leaves of one artefact, each at most once, in the order in which they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaves(Vec<(Leaf, Value)>);

impl Leaves {
    /// Adds a leaf that is to be written, if it has a value.
    #[must_use]
    pub(crate) fn with(mut self, leaf: Leaf, value: Option<Value>) -> Self {
        self.0.extend(value.map(|value| (leaf, value)));
        self
    }

    /// Adds a leaf that was read.
    fn add(&mut self, leaf: Leaf, value: Value) -> Result<(), ContentError> {
        if self.0.iter().any(|(known, _)| *known == leaf) {
            return Err(ContentError::Repeated { member: leaf.name().to_owned() });
        }
        self.0.push((leaf, value));
        Ok(())
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &(Leaf, Value)> {
        self.0.iter()
    }

    fn take(&mut self, leaf: Leaf) -> Option<Value> {
        let position = self.0.iter().position(|(known, _)| *known == leaf)?;
        Some(self.0.swap_remove(position).1)
    }

    pub(crate) fn assertion(&mut self) -> Option<Assertion> {
        match self.take(Leaf::Assertion) {
            Some(Value::Assertion(assertion)) => Some(assertion),
            _ => None,
        }
    }

    pub(crate) fn nonce(&mut self) -> Option<Nonce> {
        match self.take(Leaf::Nonce) {
            Some(Value::Nonce(nonce)) => Some(nonce),
            _ => None,
        }
    }

    pub(crate) fn date(&mut self, leaf: Leaf) -> Option<Timestamp> {
        match self.take(leaf) {
            Some(Value::Date(date)) => Some(date),
            _ => None,
        }
    }

    pub(crate) fn flag(&mut self, leaf: Leaf) -> Option<bool> {
        match self.take(leaf) {
            Some(Value::Flag(flag)) => Some(flag),
            _ => None,
        }
    }

    pub(crate) fn octets(&mut self, leaf: Leaf) -> Option<Vec<u8>> {
        match self.take(leaf) {
            Some(Value::Octets(octets)) => Some(octets),
            _ => None,
        }
    }

    pub(crate) fn text(&mut self, leaf: Leaf) -> Option<String> {
        match self.take(leaf) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Checks the form of an idevid-issuer: the extension's value, with its OCTET STRING or without.
///
/// The bare key identifier and the issuer's name as text are found in the field, and need forgiving
/// (draft-ietf-anima-rfc8366bis §6.1).
fn check_idevid_issuer(
    octets: &[u8],
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<(), ContentError> {
    let identifier = only(octets, OCTET_STRING).map_or(octets, |wrapped| wrapped.contents);
    match (only(identifier, SEQUENCE), strictness) {
        (Ok(_), _) => Ok(()),
        (Err(_), Strictness::Lenient) => {
            forgiven.push(Quirk::RawIdevidIssuer);
            Ok(())
        }
        (Err(_), Strictness::Standard) => Err(ContentError::Value {
            member: Leaf::IdevidIssuer.name(),
            value: crate::certificate::hex(octets.get(..20).unwrap_or(octets)),
            reason: "it is no authority key identifier, DER",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{DEFINITIONS, Leaf, Module};

    #[test]
    fn each_leaf_has_one_name_and_one_number_in_a_module() {
        for (leaf, name, ..) in DEFINITIONS {
            assert_eq!(Leaf::by_name(name), Some(leaf));
            assert_eq!(leaf.name(), name);
            for module in [Module::VoucherRequest, Module::Voucher] {
                if let Some(delta) = leaf.delta(module) {
                    assert_eq!(Leaf::by_delta(delta, module), Some(leaf), "{name}");
                }
            }
        }
    }
}
