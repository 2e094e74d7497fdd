//! The attributes of a CSR (RFC 2986 §4.1): what asks for extensions, links to a session, or says how a key is to travel.

use super::extension::{self, Extension};
use super::{ATTRIBUTES_MOST, CsrError};
use crate::oid;
use crate::tlv::{OBJECT_IDENTIFIER, SEQUENCE, SET, values};

/// An attribute, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    oid: String,
    values: Vec<Vec<u8>>,
}

impl Attribute {
    /// Its type, dotted.
    #[must_use]
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// Its values, each DER.
    #[must_use]
    pub fn values(&self) -> &[Vec<u8>] {
        &self.values
    }
}

#[derive(Default)]
pub(super) struct Attributes {
    pub(super) all: Vec<Attribute>,
    pub(super) extensions: Vec<Extension>,
    pub(super) challenge_password: Option<String>,
}

/// Reads attributes, each type there once.
///
/// Those that ask for nothing here, such as unstructuredName, are kept and otherwise passed over.
pub(super) fn read_all(octets: &[u8]) -> Result<Attributes, CsrError> {
    let mut attributes = Attributes::default();
    let list = values(octets)?;
    if list.len() > ATTRIBUTES_MOST {
        return Err(CsrError::TooMany { what: "attributes", most: ATTRIBUTES_MOST });
    }
    let mut has_extensions = false;
    for attribute in list {
        let parts = values(attribute.contents)?;
        let [kind, set] = parts.as_slice() else {
            return Err(CsrError::Structure("attribute"));
        };
        if [attribute.tag, kind.tag, set.tag] != [SEQUENCE, OBJECT_IDENTIFIER, SET] {
            return Err(CsrError::Structure("attribute"));
        }
        let members = values(set.contents)?;
        match kind.contents {
            // OpenSSL looks at either, so a CA behind us may too: neither may hide behind the other.
            oid::EXTENSION_REQUEST | oid::MICROSOFT_EXTENSION_REQUEST => {
                if std::mem::replace(&mut has_extensions, true) {
                    return Err(CsrError::Twice("extensionRequest".to_owned()));
                }
                attributes.extensions = extension::read_all(set.contents)?;
            }
            oid::CHALLENGE_PASSWORD => {
                let text = match members.as_slice() {
                    [text] => String::from_utf8_lossy(text.contents).into_owned(),
                    [] => return Err(CsrError::Structure("challengePassword")),
                    _ => return Err(CsrError::Twice("challengePassword".to_owned())),
                };
                if attributes.challenge_password.replace(text).is_some() {
                    return Err(CsrError::Twice("challengePassword".to_owned()));
                }
            }
            _ => {}
        }
        let oid = oid::dotted(kind.contents);
        if attributes.all.iter().any(|known| known.oid == oid) {
            return Err(CsrError::Twice(format!("attribute {oid}")));
        }
        let values = members.iter().map(|member| member.whole.to_vec()).collect();
        attributes.all.push(Attribute { oid, values });
    }
    Ok(attributes)
}
