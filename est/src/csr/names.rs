//! Names in a CSR: subject alternative names of every kind, and the attributes of the subject (RFC 5280 §4.2.1.6, §4.1.2.6).

use std::fmt;
use std::net::IpAddr;

use crate::oid;
use crate::tlv::{OBJECT_IDENTIFIER, SEQUENCE, Value, inside, tagged, values};

const OTHER_NAME: u8 = 0xa0;
const RFC822_NAME: u8 = 0x81;
pub(crate) const DNS_NAME: u8 = 0x82;
pub(crate) const DIRECTORY_NAME: u8 = 0xa4;
const UNIFORM_RESOURCE_IDENTIFIER: u8 = 0x86;
pub(crate) const IP_ADDRESS: u8 = 0x87;
const REGISTERED_ID: u8 = 0x88;
const EXPLICIT_0: u8 = 0xa0;

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeneralName {
    /// dNSName.
    Dns(String),
    /// rfc822Name: a mail address.
    Email(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// iPAddress.
    Ip(IpAddr),
    /// directoryName: a Name, DER.
    Directory(Vec<u8>),
    /// otherName.
    OtherName {
        /// Its type, dotted.
        kind: String,
        /// Its value, DER.
        value: Vec<u8>,
    },
    /// registeredID, dotted.
    RegisteredId(String),
    /// Any other kind, by its number in GeneralName.
    Other(u8),
}

impl GeneralName {
    /// Reads one; an error names the kind that is not what it should be.
    pub(crate) fn read(value: &Value<'_>) -> Result<Self, &'static str> {
        let text = |kind| ia5(value.contents).ok_or(kind);
        match value.tag {
            OTHER_NAME => other_name(value.contents).ok_or("otherName"),
            RFC822_NAME => text("rfc822Name").map(Self::Email),
            DNS_NAME => text("dNSName").map(Self::Dns),
            DIRECTORY_NAME => Ok(Self::Directory(value.contents.to_vec())),
            UNIFORM_RESOURCE_IDENTIFIER => text("uniformResourceIdentifier").map(Self::Uri),
            IP_ADDRESS => address(value.contents).map(Self::Ip).ok_or("iPAddress"),
            REGISTERED_ID => Ok(Self::RegisteredId(oid::dotted(value.contents))),
            // The class of every choice is context-specific.
            tag if tag & 0xc0 == 0x80 => Ok(Self::Other(tag & 0x1f)),
            _ => Err("GeneralName"),
        }
    }

    /// Writes it as one of the values in a SubjectAltName; nothing for a kind that is only read.
    pub(crate) fn to_der(&self) -> Option<Vec<u8>> {
        match self {
            Self::Dns(name) => Some(tagged(DNS_NAME, name.as_bytes())),
            Self::Email(name) => Some(tagged(RFC822_NAME, name.as_bytes())),
            Self::Uri(name) => Some(tagged(UNIFORM_RESOURCE_IDENTIFIER, name.as_bytes())),
            Self::Ip(IpAddr::V4(address)) => Some(tagged(IP_ADDRESS, &address.octets())),
            Self::Ip(IpAddr::V6(address)) => Some(tagged(IP_ADDRESS, &address.octets())),
            Self::Directory(name) => Some(tagged(DIRECTORY_NAME, name)),
            Self::OtherName { kind, value } => {
                let kind = tagged(OBJECT_IDENTIFIER, &oid::contents(kind)?);
                Some(tagged(OTHER_NAME, &[kind, tagged(EXPLICIT_0, value)].concat()))
            }
            Self::RegisteredId(kind) => Some(tagged(REGISTERED_ID, &oid::contents(kind)?)),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for GeneralName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(formatter, "{name:?}"),
            Self::Email(name) => write!(formatter, "the rfc822Name {name:?}"),
            Self::Uri(name) => write!(formatter, "the URI {name:?}"),
            Self::Ip(address) => write!(formatter, "the iPAddress {address}"),
            Self::Directory(_) => formatter.write_str("a directoryName"),
            Self::OtherName { kind, .. } => write!(formatter, "an otherName of type {kind}"),
            Self::RegisteredId(kind) => write!(formatter, "the registeredID {kind}"),
            Self::Other(3) => formatter.write_str("an x400Address"),
            Self::Other(5) => formatter.write_str("an ediPartyName"),
            Self::Other(_) => formatter.write_str("an unknown name"),
        }
    }
}

/// One attribute of a subject, such as commonName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAttribute {
    kind: String,
    text: String,
}

impl SubjectAttribute {
    /// Its type, dotted: `2.5.4.3` is commonName, `2.5.4.5` serialNumber.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its value; one that is no text reads as it can.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The attributes of a Name, in the order written.
pub(crate) fn subject_attributes(name: &[u8]) -> Vec<SubjectAttribute> {
    inside(name, SEQUENCE)
        .unwrap_or_default()
        .into_iter()
        .flat_map(|set| values(set.contents).unwrap_or_default())
        .filter_map(|pair| match values(pair.contents).ok()?.as_slice() {
            [kind, value] => Some(SubjectAttribute {
                kind: oid::dotted(kind.contents),
                text: String::from_utf8_lossy(value.contents).into_owned(),
            }),
            _ => None,
        })
        .collect()
}

fn ia5(octets: &[u8]) -> Option<String> {
    std::str::from_utf8(octets).ok().filter(|text| text.is_ascii()).map(str::to_owned)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn other_name(contents: &[u8]) -> Option<GeneralName> {
    match values(contents).ok()?.as_slice() {
        [kind, value] if kind.tag == OBJECT_IDENTIFIER && value.tag == EXPLICIT_0 => {
            Some(GeneralName::OtherName {
                kind: oid::dotted(kind.contents),
                value: value.contents.to_vec(),
            })
        }
        _ => None,
    }
}
