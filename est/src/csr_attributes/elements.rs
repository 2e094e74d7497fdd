//! The frame of CSR attributes: bare identifiers, and attributes with values (RFC 8951 §4, `AttrOrOID`).

use super::{BODY_OCTETS, CsrAttributesError};
use crate::tlv::{OBJECT_IDENTIFIER, SEQUENCE, SET, Value, inside, values};

/// One element of the list.
#[derive(Clone, Debug)]
pub(super) enum Element<'a> {
    /// An object identifier alone: its contents.
    Identifier(&'a [u8]),
    /// An attribute.
    Attribute(Attribute<'a>),
}

/// An attribute: the contents of its type, and its values.
#[derive(Clone, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) kind: &'a [u8],
    pub(super) values: Vec<Value<'a>>,
}

impl<'a> Attribute<'a> {
    pub(super) fn read(value: &Value<'a>) -> Option<Self> {
        match values(value.contents).ok()?.as_slice() {
            [kind, set] if [value.tag, kind.tag, set.tag] == [SEQUENCE, OBJECT_IDENTIFIER, SET] => {
                Some(Self { kind: kind.contents, values: values(set.contents).ok()? })
            }
            _ => None,
        }
    }

    /// The one value, where there is exactly one.
    pub(super) fn only(&self) -> Option<Value<'a>> {
        match self.values.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }
}

/// Reads a body.
pub(super) fn read(der: &[u8]) -> Result<Vec<Element<'_>>, CsrAttributesError> {
    if der.len() > BODY_OCTETS {
        return Err(CsrAttributesError::TooLong { octets: der.len() });
    }
    inside(der, SEQUENCE)
        .and_then(|elements| {
            elements
                .iter()
                .map(|element| match element.tag {
                    OBJECT_IDENTIFIER => Some(Element::Identifier(element.contents)),
                    _ => Attribute::read(element).map(Element::Attribute),
                })
                .collect()
        })
        .ok_or(CsrAttributesError::NotAttributes)
}
