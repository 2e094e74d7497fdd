//! What a server wants to see in a CSR, told in both ways at once (RFC 7030 §4.5.2, RFC 8951 §4, RFC 9908 §3).
//!
//! Old clients read the list; those that know RFC 9908's template read that and ignore the rest (RFC 9908 §4).
//! The server cannot edit a CSR that its owner signed, so this is the only way to steer it.
//!
//! A server fills [`CsrAttributes`]. A client reads a [`CsrPlan`] and makes its CSR after it.

mod elements;
mod fill;
mod key;
mod list;
mod plan;
mod template;

use thiserror::Error;

pub use self::fill::{ClientFacts, PlanError};
pub use self::key::{KeyTemplate, KeyWish};
pub use self::plan::{
    CsrPlan, ExtensionSlot, ExtensionValue, NameKind, NameSlot, Requested, Source, SubjectSlot,
};
use crate::csr::GeneralName;
use crate::csr_builder::{attribute, extension};
use crate::oid;
use crate::tlv::{SEQUENCE, UTF8_STRING, object_identifier, sequence, tagged};

/// The longest body that is read, in octets.
pub const BODY_OCTETS: usize = 16 * 1024;
const VERSION_0: &[u8] = &[0x02, 1, 0];
/// In a template the key and the attributes are told apart by these tags; in a CSR attributes have another.
const KEY_TEMPLATE: u8 = 0xa0;
const ATTRIBUTES_TEMPLATE: u8 = 0xa1;

/// Whether a CSR shall carry a challengePassword that links it to its TLS session (RFC 7030 §3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linking {
    /// The server says nothing about it.
    #[default]
    NotAsked,
    /// It must.
    Required,
}

/// What a server asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsrAttributes {
    /// The one DNS name that shall be the subject alternative name; none before the device is known.
    pub dns_name: Option<String>,
    /// The key and its hash; none where any that the server takes will do.
    pub key: Option<KeyTemplate>,
    /// Whether a challengePassword is required.
    pub linking: Linking,
}

/// Why a body is no CSR attributes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CsrAttributesError {
    /// It is longer than this library reads.
    #[error("the body has {octets} octets, more than {BODY_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is no list of identifiers and attributes.
    #[error("the body is no CSR attributes")]
    NotAttributes,
    /// The template in it is not what RFC 9908 says.
    #[error("the {0} of the template is not what RFC 9908 says")]
    Template(&'static str),
    /// An extension is asked for twice.
    #[error("extension {oid} is asked for twice")]
    Twice {
        /// The extension, dotted.
        oid: String,
    },
}

impl CsrAttributes {
    /// The body of `/csrattrs`: DER, the list and the template together.
    ///
    /// RFC 9908 §4: clients that know the template read nothing else.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let elements = self.list();
        if elements.is_empty() {
            return tagged(SEQUENCE, &[]);
        }
        let template = attribute(oid::REQUEST_INFO_TEMPLATE, &self.template());
        tagged(SEQUENCE, &[elements, template].concat())
    }

    /// The list alone, as servers before RFC 9908 write it.
    #[must_use]
    pub fn to_list_der(&self) -> Vec<u8> {
        tagged(SEQUENCE, &self.list())
    }

    fn list(&self) -> Vec<u8> {
        let linking =
            (self.linking == Linking::Required).then(|| object_identifier(oid::CHALLENGE_PASSWORD));
        let key = self.key.map(KeyTemplate::to_attribute);
        let names = self.dns_name.as_deref().map(extension_request);
        let signature = self.key.and_then(KeyTemplate::signature).map(object_identifier);
        [linking, key, names, signature].into_iter().flatten().flatten().collect()
    }

    /// CertificationRequestInfoTemplate: version 0, any subject, the key, the attributes (RFC 9908 §3.4).
    fn template(&self) -> Vec<u8> {
        // IMPLICIT [0] replaces the tag of the SEQUENCE.
        let key = self.key.map(|key| tagged(KEY_TEMPLATE, &key.to_template()));
        let names = self.dns_name.as_deref().map(extension_request);
        // An attribute has at least one value; an empty one is for the client to fill in, as in an empty name.
        let linking = (self.linking == Linking::Required)
            .then(|| attribute(oid::CHALLENGE_PASSWORD, &tagged(UTF8_STRING, &[])));
        let attributes: Vec<u8> = [names, linking].into_iter().flatten().flatten().collect();
        let attributes = tagged(ATTRIBUTES_TEMPLATE, &attributes);
        sequence(&[VERSION_0, &key.unwrap_or_default(), &attributes])
    }

    /// Reads as much of a body as this type can say: the first DNS name, the key, and the linking.
    ///
    /// A client that is to do all that a server asks reads a [`CsrPlan`].
    ///
    /// # Errors
    /// [`CsrAttributesError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CsrAttributesError> {
        let plan = CsrPlan::from_der(der)?;
        let dns_name = plan.given_names().find_map(|name| match name {
            GeneralName::Dns(name) => Some(name.clone()),
            _ => None,
        });
        let key = plan.key().and_then(KeyTemplate::of);
        Ok(Self { dns_name, key, linking: plan.linking() })
    }
}

fn extension_request(name: &str) -> Vec<u8> {
    let names = sequence(&[&tagged(crate::csr::DNS_NAME, name.as_bytes())]);
    attribute(oid::EXTENSION_REQUEST, &sequence(&[&extension(oid::SUBJECT_ALT_NAME, &names)]))
}
