//! EST's paths: `/.well-known/est/[<label>/]<operation>` (RFC 7030 §3.2.2), and
//! `/.well-known/est/[<label>/]renewal-info/<certificate id>` (draft-ietf-lamps-est-renewal-info).

use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::renewal_info::CertificateId;

/// What every path of EST begins with.
pub const PREFIX: &str = "/.well-known/est";
/// The longest path that is read, in octets.
pub const PATH_OCTETS: usize = 512;
/// The longest label, in octets.
pub const LABEL_OCTETS: usize = 64;

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

    /// Its HTTP method: `GET` or `POST`.
    #[must_use]
    pub fn method(self) -> http::Method {
        match self {
            Self::CaCerts | Self::CsrAttrs | Self::RenewalInfo => http::Method::GET,
            Self::SimpleEnroll | Self::SimpleReenroll | Self::ServerKeygen | Self::FullCmc => {
                http::Method::POST
            }
        }
    }

    fn from_segment(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.segment() == segment)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.segment())
    }
}

/// A label, which selects one of several CAs: 1 to 64 of letters, digits, `.`, `_` and `-`, and no operation's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label(String);

impl Label {
    /// Takes a label.
    ///
    /// # Errors
    /// [`PathError::LabelLength`], [`PathError::LabelCharacters`], [`PathError::LabelIsOperation`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if !(1..=LABEL_OCTETS).contains(&text.len()) {
            return Err(PathError::LabelLength);
        }
        let is_legal = |each: u8| each.is_ascii_alphanumeric() || b"._-".contains(&each);
        // A client takes dots alone for a step in the path, before it asks (RFC 3986 §5.2.4).
        if !text.bytes().all(is_legal) || text.bytes().all(|each| each == b'.') {
            return Err(PathError::LabelCharacters);
        }
        match Operation::from_segment(text) {
            Some(operation) => Err(PathError::LabelIsOperation(operation)),
            None => Ok(Self(text.to_owned())),
        }
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

/// Why a path is none of EST's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin as EST's paths do, or has more or fewer segments.
    #[error("the path is none of EST's")]
    NotEst,
    /// It is longer than any of EST's.
    #[error("the path has {octets} octets, more than {PATH_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// An escape in it is not text.
    #[error("the path has an escape that is no text")]
    Escape,
    /// The last segment is no operation.
    #[error("the path names no operation of EST")]
    Operation,
    /// A label is empty or too long.
    #[error("a label has 1 to {LABEL_OCTETS} characters")]
    LabelLength,
    /// A label has other characters than it may.
    #[error("a label consists of letters, digits, '.', '_' and '-', and not of dots alone")]
    LabelCharacters,
    /// A label is an operation's name.
    #[error("{0} is an operation and cannot be a label")]
    LabelIsOperation(Operation),
    /// What follows `renewal-info` names no certificate.
    #[error(
        "renewal-info needs a certificate's id: base64url of key identifier and serial number with a '.' between"
    )]
    CertificateId,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    label: Option<Label>,
    operation: Operation,
    certificate_id: Option<CertificateId>,
}

impl Request {
    /// Reads a URL path, without its query. Escapes are undone, and one `/` at the end is passed over.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path.len() > PATH_OCTETS {
            return Err(PathError::TooLong { octets: path.len() });
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        // Escapes are undone after the path is taken apart: an escaped slash separates nothing (RFC 3986 §2.2).
        let segments: Vec<String> = path
            .split('/')
            .map(|segment| {
                let decoded = percent_decode_str(segment).decode_utf8();
                decoded.map(String::from).map_err(|_| PathError::Escape)
            })
            .collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let ["", ".well-known", "est", rest @ ..] = segments.as_slice() else {
            return Err(PathError::NotEst);
        };
        let renewal_info = Operation::RenewalInfo.segment();
        let (label, operation, id) = match rest {
            [operation] => (None, *operation, None),
            [operation, id] if *operation == renewal_info => (None, *operation, Some(*id)),
            [label, operation] => (Some(*label), *operation, None),
            [label, operation, id] if *operation == renewal_info => {
                (Some(*label), *operation, Some(*id))
            }
            _ => return Err(PathError::NotEst),
        };
        let operation = Operation::from_segment(operation).ok_or(PathError::Operation)?;
        let label = label.map(Label::parse).transpose()?;
        let certificate_id = match (operation, id) {
            (Operation::RenewalInfo, Some(id)) => {
                Some(CertificateId::parse(id).map_err(|_| PathError::CertificateId)?)
            }
            (Operation::RenewalInfo, None) => return Err(PathError::CertificateId),
            _ => None,
        };
        Ok(Self { label, operation, certificate_id })
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

    /// The certificate whose renewal is asked about; there for [`Operation::RenewalInfo`] alone.
    #[must_use]
    pub fn certificate_id(&self) -> Option<&CertificateId> {
        self.certificate_id.as_ref()
    }
}

/// Writes the path of an operation, for clients.
#[must_use]
pub fn of(label: Option<&Label>, operation: Operation) -> String {
    match label {
        Some(label) => format!("{PREFIX}/{label}/{operation}"),
        None => format!("{PREFIX}/{operation}"),
    }
}
