//! What a client is asked to put into its CSR.

use super::elements::{self, Attribute, Element};
use super::{CsrAttributesError, KeyWish, Linking, list, template};
use crate::csr::GeneralName;
use crate::csr_builder::Hash;
use crate::oid;

/// Which form a plan was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The list of RFC 7030.
    List,
    /// The template of RFC 9908, beside which a list does not count.
    Template,
}

/// What a server asks a client to put into its CSR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrPlan {
    source: Source,
    pub(super) parts: Parts,
}

/// A value of the subject that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectSlot {
    pub(super) kind: String,
    pub(super) value: Option<Vec<u8>>,
}

impl SubjectSlot {
    pub(super) fn new(kind: String, value: Option<Vec<u8>>) -> Self {
        Self { kind, value }
    }

    /// Its type, dotted.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its value, DER, where the server gives it; else the client fills it in.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

/// An extension that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionSlot {
    pub(super) kind: Vec<u8>,
    pub(super) is_critical: bool,
    pub(super) value: ExtensionValue,
}

impl ExtensionSlot {
    pub(super) fn new(kind: &[u8], is_critical: bool, value: ExtensionValue) -> Self {
        Self { kind: kind.to_vec(), is_critical, value }
    }

    /// Its object identifier, dotted.
    #[must_use]
    pub fn oid(&self) -> String {
        oid::dotted(&self.kind)
    }

    /// Whether it is to be marked critical.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        self.is_critical
    }

    /// What it is to hold.
    #[must_use]
    pub fn value(&self) -> &ExtensionValue {
        &self.value
    }
}

/// What an extension is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionValue {
    /// This: the contents of its extnValue.
    Given(Vec<u8>),
    /// These names, some of which may be the client's to fill in.
    Names(Vec<NameSlot>),
    /// What the client fills in.
    ClientFills,
}

/// A subject alternative name that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameSlot {
    /// This one.
    Given {
        /// The name.
        name: GeneralName,
        /// The same, DER.
        der: Vec<u8>,
    },
    /// One of this kind, which the client fills in.
    ClientFills(NameKind),
}

/// A kind of name that a client may be asked to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// dNSName.
    Dns,
    /// iPAddress.
    Ip,
    /// rfc822Name.
    Email,
    /// uniformResourceIdentifier.
    Uri,
    /// directoryName.
    Directory,
}

/// Something that is asked for and that this library does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    oid: String,
    values: Vec<Vec<u8>>,
}

impl Requested {
    pub(super) fn new(oid: String, values: &[&[u8]]) -> Self {
        Self { oid, values: values.iter().map(|value| value.to_vec()).collect() }
    }

    /// Its identifier, dotted.
    #[must_use]
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// The values beside it, each DER; none for a bare identifier.
    #[must_use]
    pub fn values(&self) -> &[Vec<u8>] {
        &self.values
    }
}

/// What both forms can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) subject: Vec<Vec<SubjectSlot>>,
    pub(super) key: Option<KeyWish>,
    pub(super) hash: Option<Hash>,
    pub(super) linking: Linking,
    pub(super) extensions: Vec<ExtensionSlot>,
    pub(super) unknown: Vec<Requested>,
}

impl Parts {
    pub(super) fn push_extensions(
        &mut self,
        slots: Vec<ExtensionSlot>,
    ) -> Result<(), CsrAttributesError> {
        for slot in slots {
            if self.extensions.iter().any(|known| known.kind == slot.kind) {
                return Err(CsrAttributesError::Twice { oid: slot.oid() });
            }
            self.extensions.push(slot);
        }
        Ok(())
    }

    pub(super) fn push_blank_extension(&mut self, kind: &[u8]) -> Result<(), CsrAttributesError> {
        self.push_extensions(vec![ExtensionSlot::new(kind, false, ExtensionValue::ClientFills)])
    }

    pub(super) fn push_unknown(&mut self, attribute: &Attribute<'_>) {
        let values: Vec<&[u8]> = attribute.values.iter().map(|value| value.whole).collect();
        self.unknown.push(Requested::new(oid::dotted(attribute.kind), &values));
    }
}

impl CsrPlan {
    /// Reads the body of `/csrattrs`: the template where there is one, else the list.
    ///
    /// `der`: at most 16 KiB; an empty SEQUENCE asks for nothing.
    ///
    /// # Errors
    /// [`CsrAttributesError`].
    ///
    /// RFC 9908 §4.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrAttributesError> {
        let elements = elements::read(der)?;
        let template = elements.iter().find_map(|element| match element {
            Element::Attribute(attribute) if attribute.kind == oid::REQUEST_INFO_TEMPLATE => {
                Some(attribute)
            }
            _ => None,
        });
        match template {
            Some(attribute) => {
                Ok(Self { source: Source::Template, parts: template::read(attribute)? })
            }
            None => Ok(Self { source: Source::List, parts: list::read(&elements)? }),
        }
    }

    /// The plan of a client that was asked for nothing, since the server has no attributes to tell.
    #[must_use]
    pub fn empty() -> Self {
        Self { source: Source::List, parts: Parts::default() }
    }

    /// Which form it was read from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether it asks for nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts == Parts::default()
    }

    /// The key that is asked for; none where any will do.
    #[must_use]
    pub fn key(&self) -> Option<&KeyWish> {
        self.parts.key.as_ref()
    }

    /// The hash that the CSR is to be signed with; none where any will do.
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        self.parts.hash
    }

    /// Whether a challengePassword is asked for.
    #[must_use]
    pub fn linking(&self) -> Linking {
        self.parts.linking
    }

    /// The subject that is asked for, one list for each relative distinguished name; empty where any will do.
    #[must_use]
    pub fn subject(&self) -> &[Vec<SubjectSlot>] {
        &self.parts.subject
    }

    /// The extensions that are asked for.
    #[must_use]
    pub fn extensions(&self) -> &[ExtensionSlot] {
        &self.parts.extensions
    }

    /// The subject alternative names that the server gives.
    pub fn given_names(&self) -> impl Iterator<Item = &GeneralName> {
        let slots = self.parts.extensions.iter().filter_map(|slot| match &slot.value {
            ExtensionValue::Names(names) => Some(names),
            _ => None,
        });
        slots.flatten().filter_map(|slot| match slot {
            NameSlot::Given { name, .. } => Some(name),
            NameSlot::ClientFills(_) => None,
        })
    }

    /// What is asked for and was not understood: the client goes on without, and the server may refuse it.
    #[must_use]
    pub fn unknown(&self) -> &[Requested] {
        &self.parts.unknown
    }
}
