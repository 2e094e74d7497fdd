//! EST's paths: `/.well-known/est/[<label>/]<operation>` (RFC 7030 §3.2.2).

use std::fmt;

use thiserror::Error;

const PREFIX: &str = "/.well-known/est/";
/// The longest label, in octets.
const LABEL_OCTETS: usize = 64;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// The CA certificates.
    CaCerts,
    /// What to put into a CSR.
    CsrAttrs,
    /// A first certificate.
    SimpleEnroll,
    /// Another certificate.
    SimpleReenroll,
    /// A certificate and its key.
    ServerKeygen,
    /// Full CMC.
    FullCmc,
    /// When to renew.
    RenewalInfo,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CaCerts,
        Self::CsrAttrs,
        Self::SimpleEnroll,
        Self::SimpleReenroll,
        Self::ServerKeygen,
        Self::FullCmc,
        Self::RenewalInfo,
    ];

    /// Its path segment.
    #[must_use]
    pub fn segment(self) -> &'static str {
        match self {
            Self::CaCerts => "cacerts",
            Self::CsrAttrs => "csrattrs",
            Self::SimpleEnroll => "simpleenroll",
            Self::SimpleReenroll => "simplereenroll",
            Self::ServerKeygen => "serverkeygen",
            Self::FullCmc => "fullcmc",
            Self::RenewalInfo => "renewal-info",
        }
    }

    fn from_segment(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.segment() == segment)
    }
}

/// A label, which selects one of several CAs: 1 to 64 of letters, digits, `.`, `_` and `-`, and no operation's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label(String);

impl Label {
    /// Takes a label.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let is_legal = (1..=LABEL_OCTETS).contains(&text.len())
            && text.bytes().all(|each| each.is_ascii_alphanumeric() || b"._-".contains(&each))
            && Operation::from_segment(text).is_none();
        if is_legal { Ok(Self(text.to_owned())) } else { Err(PathError) }
    }

    /// The label.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The path is none of EST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the path is none of EST's")]
pub struct PathError;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    label: Option<Label>,
    operation: Operation,
}

impl Request {
    /// Reads a URL path.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let rest = path.strip_prefix(PREFIX).ok_or(PathError)?;
        let segments: Vec<&str> = rest.split('/').collect();
        let (label, operation) = match segments.as_slice() {
            [operation] => (None, *operation),
            [label, operation] => (Some(Label::parse(label)?), *operation),
            _ => return Err(PathError),
        };
        let operation = Operation::from_segment(operation).ok_or(PathError)?;
        Ok(Self { label, operation })
    }

    /// The label, if there is one.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// The operation.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }
}
