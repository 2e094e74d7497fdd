//! What went wrong at a CA, and whose fault it is (RFC 8555 §6.7).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose fault a failed order is; this decides what may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The CA will not certify this CSR: badCSR, rejectedIdentifier, unsupportedIdentifier, caa, badPublicKey.
    Refused,
    /// The CA could not validate the names, most likely our DNS.
    Validation,
    /// The CA issued something that is not what was asked for.
    WrongCertificate,
    /// The account is not what the CA wants.
    Account,
    /// Anything else.
    Ca,
}

/// A problem, in the CA's own words where it had any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Whose fault it is.
    pub kind: ProblemKind,
    /// The CA's error type, such as `urn:ietf:params:acme:error:badCSR`; empty if it gave none.
    pub acme_type: String,
    /// What it said, hostile text cut to 500 characters.
    pub detail: String,
}

/// The longest detail that is kept, in characters.
const DETAIL_CHARACTERS: usize = 500;
const PREFIX: &str = "urn:ietf:params:acme:error:";

impl Problem {
    /// A problem that the CA named.
    #[must_use]
    pub fn from_ca(acme_type: &str, detail: &str) -> Self {
        let kind = match acme_type.strip_prefix(PREFIX).unwrap_or_default() {
            "badCSR"
            | "rejectedIdentifier"
            | "unsupportedIdentifier"
            | "caa"
            | "badPublicKey"
            | "badSignatureAlgorithm" => ProblemKind::Refused,
            "unauthorized" | "dns" | "connection" | "incorrectResponse" | "tls" | "compound" => {
                ProblemKind::Validation
            }
            "accountDoesNotExist" | "externalAccountRequired" | "userActionRequired" => {
                ProblemKind::Account
            }
            _ => ProblemKind::Ca,
        };
        Self::new(kind, acme_type, detail)
    }

    /// A problem of ours or one that nobody named.
    #[must_use]
    pub fn new(kind: ProblemKind, acme_type: &str, detail: &str) -> Self {
        let clean = |text: &str| -> String {
            text.chars()
                .map(|each| if each.is_control() { ' ' } else { each })
                .take(DETAIL_CHARACTERS)
                .collect()
        };
        Self { kind, acme_type: clean(acme_type), detail: clean(detail) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.acme_type.strip_prefix(PREFIX).unwrap_or(&self.acme_type) {
            "" => formatter.write_str(&self.detail),
            kind => write!(formatter, "{kind}: {}", self.detail),
        }
    }
}
