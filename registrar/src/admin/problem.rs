//! What is said when something was not done: problem details (RFC 9457), with what to do next.

use acme_bridge::client::AcmeError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::flow::operator::OperatorError;
use crate::issue::desk::DeskError;
use crate::store::{Conflict, StoreError};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// What every type of problem begins with.
const TYPE: &str = "urn:brski-registrar:problem:";

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong.
    Invalid,
    /// Nobody known asks.
    Unauthenticated,
    /// Who asks may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path is served with another method.
    MethodNotAllowed,
    /// The request fits more than one thing.
    Ambiguous,
    /// It contradicts what is there.
    Conflict,
    /// The body is too long.
    TooLarge,
    /// The body is not JSON.
    MediaType,
    /// Too many failed attempts.
    TooMany,
    /// The CA says no, or nothing that can be read.
    Ca,
    /// Try later.
    Unavailable,
    /// It is for a running daemon, and none runs.
    NoDaemon,
}

impl Kind {
    /// Each kind with its word, its status and its title.
    const ALL: [(Self, &'static str, u16, &'static str); 13] = [
        (Self::Invalid, "invalid", 400, "The request is wrong"),
        (Self::Unauthenticated, "unauthenticated", 401, "Nobody known asks"),
        (Self::Forbidden, "forbidden", 403, "The role does not allow it"),
        (Self::NotFound, "not-found", 404, "There is no such thing"),
        (Self::MethodNotAllowed, "method-not-allowed", 405, "The path takes another method"),
        (Self::Ambiguous, "ambiguous", 409, "More than one thing fits"),
        (Self::Conflict, "conflict", 409, "It contradicts what is there"),
        (Self::TooLarge, "too-large", 413, "The body is too long"),
        (Self::MediaType, "media-type", 415, "The body is not JSON"),
        (Self::TooMany, "too-many-attempts", 429, "Too many failed attempts"),
        (Self::Ca, "ca", 502, "The CA does not do it"),
        (Self::Unavailable, "unavailable", 503, "Try later"),
        (Self::NoDaemon, "no-daemon", 503, "No daemon runs"),
    ];
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem it is: `urn:brski-registrar:problem:` and a word.
    #[serde(rename = "type")]
    #[schema(example = "urn:brski-registrar:problem:not-found")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Each thing that is wrong, where there may be several: lines of a file, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// One of several things that are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Where: a field, or a line and a column.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Problem {
    /// A problem with a hint at what to do.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let found = Kind::ALL.iter().find(|(each, ..)| *each == kind);
        let (word, status, title) =
            found.map_or(("", 500, ""), |(_, word, status, title)| (word, *status, title));
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        Self {
            kind: format!("{TYPE}{word}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            hint,
            errors: Vec::new(),
        }
    }

    /// A wrong request.
    #[must_use]
    pub fn invalid(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail, hint)
    }

    /// Its kind; `None` if another version of this program made it.
    #[must_use]
    pub fn known_kind(&self) -> Option<Kind> {
        let word = self.kind.strip_prefix(TYPE)?;
        Kind::ALL.iter().find(|(_, each, ..)| *each == word).map(|(kind, ..)| *kind)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let conflict = |detail: String, hint: &str| Self::new(Kind::Conflict, detail, hint);
        match error {
            StoreError::Conflict(Conflict::ManufacturerName(name)) => conflict(
                format!("there is a manufacturer {name:?} already"),
                "choose another --name; 'registrar manufacturer list' shows all of them",
            ),
            StoreError::Conflict(Conflict::DeviceName(name)) => conflict(
                format!("another device has the name {name:?}"),
                "choose another name; 'registrar device show NAME' says whose it is",
            ),
            StoreError::Conflict(Conflict::SerialNumber(serial)) => conflict(
                format!("there is a device with the serial number {serial:?} already"),
                "'registrar device show SERIAL' shows it",
            ),
            StoreError::Conflict(Conflict::CredentialName(name)) => conflict(
                format!("there is a credential {name:?} already"),
                "choose another name; a revoked one keeps its name",
            ),
            StoreError::Conflict(_) => conflict(
                "it changed at the same moment".to_owned(),
                "look at it again and repeat what still needs to be done",
            ),
            other => Self::new(
                Kind::Unavailable,
                other.to_string(),
                "look at the disk or the database and the daemon's log, and try again",
            ),
        }
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        let (kind, hint) = match &error {
            OperatorError::Name(_) => (Kind::Invalid, "choose another name"),
            OperatorError::Itself => (Kind::Invalid, "name the device that takes its place"),
            OperatorError::State { .. } => {
                (Kind::Conflict, "'registrar device show' tells its story")
            }
            OperatorError::Decided { .. } => {
                (Kind::Conflict, "'registrar device show' tells its story")
            }
            OperatorError::Revoked { .. } => {
                (Kind::Conflict, "'registrar certificate list' shows which are not")
            }
        };
        Self::new(kind, error.to_string(), hint)
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let detail = error.to_string();
        let (kind, hint) = match error {
            DeskError::Store(error) => return error.into(),
            DeskError::Acme(error) => return error.into(),
            DeskError::NoOrder(_) => (Kind::NotFound, "'registrar order list' shows all of them"),
            DeskError::NoIssuer { .. } => {
                (Kind::NotFound, "name an issuer of the configuration with kind = \"acme\"")
            }
            DeskError::Issued(_) => {
                (Kind::Conflict, "'registrar certificate list' shows the certificate")
            }
            DeskError::WithCa(_) => (
                Kind::Conflict,
                "'registrar device retire' has the certificate revoked as soon as it comes",
            ),
            DeskError::Overtaken(_) => (Kind::Conflict, "'registrar device show' tells its story"),
            DeskError::Validating { .. } => (
                Kind::Conflict,
                "start the daemon, which sees them to their end, and repeat this while it runs",
            ),
        };
        Self::new(kind, detail, hint)
    }
}

/// What a CA says of its account, with the CA's own words.
impl From<AcmeError> for Problem {
    fn from(error: AcmeError) -> Self {
        let detail = error.to_string();
        let (kind, hint) = match &error {
            AcmeError::Problem(_) => (Kind::Ca, "nothing was changed here"),
            AcmeError::Unreachable(_) => (
                Kind::Unavailable,
                "look at the network and the CA, and try again; \
                 after a change of the key that was cut off, 'account show' finds out which key the CA has",
            ),
            AcmeError::Unsupported(_) => (Kind::Ca, "the CA's directory says what it offers"),
            AcmeError::ForeignKey { .. } | AcmeError::Ended { .. } => {
                (Kind::Conflict, "docs/OPERATING.md tells more of the account at an ACME CA")
            }
            AcmeError::Local(_) => (Kind::Unavailable, "try again; the daemon's log may say more"),
            _ => (Kind::Ca, "look at issuer.NAME.directory: is this an ACME CA?"),
        };
        Self::new(kind, detail, hint)
    }
}
