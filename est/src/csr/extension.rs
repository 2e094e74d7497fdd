//! The extensions that a CSR asks for (RFC 2985 §5.4.2, RFC 5280 §4.2).

use super::{ATTRIBUTES_MOST, CsrError};
use crate::oid;
use crate::tlv::{BIT_STRING, BOOLEAN, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, inside, values};

/// Bits of keyUsage that only a CA has: keyCertSign (5) and cRLSign (6).
const CA_USAGES: u8 = 0b0000_0110;

/// An extension that a CSR asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    oid: String,
    is_critical: bool,
    value: Vec<u8>,
    pub(super) whole: Vec<u8>,
}

impl Extension {
    /// Its object identifier, dotted.
    #[must_use]
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// Whether it is marked critical.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.is_critical
    }

    /// The contents of its extnValue.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The whole Extension, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.whole
    }
}

/// basicConstraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints(bool);

impl BasicConstraints {
    /// Whether it asks for a CA.
    #[must_use]
    pub fn is_ca(self) -> bool {
        self.0
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, CsrError> {
        let fields = inside(value, SEQUENCE).ok_or(CsrError::Structure("basicConstraints"))?;
        let is_ca =
            fields.first().is_some_and(|first| first.tag == BOOLEAN && first.contents != [0]);
        Ok(Self(is_ca))
    }
}

/// keyUsage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u8);

impl KeyUsage {
    /// Whether it asks for keyCertSign or cRLSign.
    #[must_use]
    pub fn has_ca_usage(self) -> bool {
        self.0 & CA_USAGES != 0
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, CsrError> {
        match values(value)?.as_slice() {
            [bits] if bits.tag == BIT_STRING => {
                Ok(Self(bits.contents.get(1).copied().unwrap_or(0)))
            }
            _ => Err(CsrError::Structure("keyUsage")),
        }
    }
}

/// Reads the SET of an extension request, which holds one list of extensions, each there once.
pub(super) fn read_all(set: &[u8]) -> Result<Vec<Extension>, CsrError> {
    let list = inside(set, SEQUENCE).ok_or(CsrError::Structure("extensionRequest"))?;
    if list.len() > ATTRIBUTES_MOST {
        return Err(CsrError::TooMany { what: "extensions", most: ATTRIBUTES_MOST });
    }
    let mut extensions: Vec<Extension> = Vec::new();
    for extension in list {
        let parts = values(extension.contents)?;
        let (kind, is_critical, value) = match parts.as_slice() {
            [kind, value] => (kind, false, value),
            [kind, critical, value] if critical.tag == BOOLEAN => {
                (kind, critical.contents != [0], value)
            }
            _ => return Err(CsrError::Structure("extension")),
        };
        if [extension.tag, kind.tag, value.tag] != [SEQUENCE, OBJECT_IDENTIFIER, OCTET_STRING] {
            return Err(CsrError::Structure("extension"));
        }
        let oid = oid::dotted(kind.contents);
        if extensions.iter().any(|known| known.oid == oid) {
            return Err(CsrError::Twice(format!("extension {oid}")));
        }
        extensions.push(Extension {
            oid,
            is_critical,
            value: value.contents.to_vec(),
            whole: extension.whole.to_vec(),
        });
    }
    Ok(extensions)
}
