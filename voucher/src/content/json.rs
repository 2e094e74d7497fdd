//! An artefact's content as JSON: one member around the others (RFC 7951, RFC 8366 §5.3).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    ContentError, Leaf, Leaves, MEMBERS, Module, Type, Value, base64, check_idevid_issuer, strict,
};
use crate::artefact::{Assertion, Nonce, Timestamp};
use crate::encoding::{Quirk, Strictness};

/// Reads the leaves of a module that are legal; the others are ignored.
pub(crate) fn read(
    content: &[u8],
    module: Module,
    legal: &[Leaf],
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<Leaves, ContentError> {
    let roots: Roots = parse(content)?;
    let absent = || ContentError::Root { expected: module.root() };
    let members = match (roots.take(module), strictness) {
        ((Some(own), _), _) => own,
        ((None, Some(other)), Strictness::Lenient) => {
            forgiven.push(Quirk::ForeignRoot);
            other
        }
        _ => return Err(absent()),
    };
    if members.0.len() > MEMBERS {
        return Err(ContentError::TooManyMembers);
    }
    let mut leaves = Leaves::default();
    for (name, raw) in members.0 {
        if let Some(leaf) = Leaf::by_name(&name).filter(|leaf| legal.contains(leaf)) {
            leaves.add(leaf, value(leaf, raw, strictness, forgiven)?)?;
        }
    }
    Ok(leaves)
}

/// Writes content of a module, its leaves in their order.
pub(crate) fn write(leaves: &Leaves, module: Module) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Written { leaves, module })
}

/// Parses a JSON object, and nothing else, into what is derived for it; no member may stand in it twice, at any depth.
pub(crate) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, ContentError> {
    strict::check(content)?;
    let Object(value) = serde_json::from_slice(content).map_err(ContentError::Json)?;
    Ok(value)
}

fn value(
    leaf: Leaf,
    raw: Raw,
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Result<Value, ContentError> {
    let member = leaf.name();
    let wrong = |expected| ContentError::Type { member, expected };
    let text = match (leaf.kind(), raw) {
        (Type::Flag, Raw::Flag(flag)) => return Ok(Value::Flag(flag)),
        (Type::Flag, _) => return Err(wrong("a boolean")),
        (_, Raw::Text(text)) => text,
        _ => return Err(wrong("a string")),
    };
    let octets = |forgiven: &mut Vec<Quirk>| base64::decode(&text, strictness, forgiven);
    match leaf.kind() {
        Type::Assertion => Assertion::parse(&text).map(Value::Assertion),
        Type::Date => Timestamp::parse(member, &text).map(Value::Date),
        Type::Nonce => Nonce::parse(&text).map(Value::Nonce),
        Type::Octets => octets(forgiven).map(Value::Octets).ok_or(ContentError::Base64 { member }),
        Type::IdevidIssuer => {
            let octets = match (octets(forgiven), strictness) {
                (Some(octets), _) => octets,
                // Some write the issuer's name, as text.
                (None, Strictness::Lenient) => text.into_bytes(),
                (None, Strictness::Standard) => return Err(ContentError::Base64 { member }),
            };
            check_idevid_issuer(&octets, strictness, forgiven)?;
            Ok(Value::Octets(octets))
        }
        Type::Text | Type::Flag => Ok(Value::Text(text)),
    }
}

/// Both containers that content may have; one of them belongs to the artefact.
#[derive(Deserialize)]
struct Roots {
    #[serde(rename = "ietf-voucher-request:voucher", default)]
    request: Option<Members>,
    #[serde(rename = "ietf-voucher:voucher", default)]
    voucher: Option<Members>,
}

impl Roots {
    /// The container of this module, and the other one.
    fn take(self, module: Module) -> (Option<Members>, Option<Members>) {
        match module {
            Module::VoucherRequest => (self.request, self.voucher),
            Module::Voucher => (self.voucher, self.request),
        }
    }
}

/// The members of a container, known or not, as far as they are counted.
struct Members(Vec<(String, Raw)>);

/// A member's value as it stands; what no leaf can be is not kept.
enum Raw {
    Text(String),
    Flag(bool),
    Other,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Raw)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let raw = match Leaf::by_name(&name) {
                        Some(_) => map.next_value()?,
                        None => map.next_value::<IgnoredAny>().map(|_| Raw::Other)?,
                    };
                    // One more than may be tells that there are too many.
                    if members.len() <= MEMBERS {
                        members.push((name, raw));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Raw, E> {
                Ok(Raw::Text(text))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
                Ok(Raw::Flag(flag))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Other)
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Raw::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Raw::Other)
            }
        }

        deserializer.deserialize_any(RawVisitor)
    }
}

struct Written<'a> {
    leaves: &'a Leaves,
    module: Module,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut root = serializer.serialize_map(Some(1))?;
        root.serialize_entry(self.module.root(), &WrittenMembers(self.leaves))?;
        root.end()
    }
}

struct WrittenMembers<'a>(&'a Leaves);

impl Serialize for WrittenMembers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(self.0.iter().len()))?;
        for (leaf, value) in self.0.iter() {
            let name = leaf.name();
            match value {
                Value::Assertion(assertion) => {
                    members.serialize_entry(name, assertion.as_str())?;
                }
                Value::Date(date) => members.serialize_entry(name, date.as_str())?,
                Value::Flag(flag) => members.serialize_entry(name, flag)?,
                Value::Octets(octets) => members.serialize_entry(name, &base64::encode(octets))?,
                Value::Nonce(nonce) => members.serialize_entry(name, nonce.as_str())?,
                Value::Text(text) => members.serialize_entry(name, text)?,
            }
        }
        members.end()
    }
}

/// An object: what is derived for a structure would take an array of its members too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}
