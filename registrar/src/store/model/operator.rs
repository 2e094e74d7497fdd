//! What a person decides: approvals that wait, and credentials that were handed out.

use rustls_pki_types::CertificateDer;

use super::{Id, Millis, Sha256};

/// Why a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApprovalReason {
    /// A genuine device that nobody expected.
    Unexpected,
    /// A known serial number with another key than before.
    KeyChanged,
}

impl ApprovalReason {
    /// The word that the store and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected",
            Self::KeyChanged => "key-changed",
        }
    }

    /// Reads [`ApprovalReason::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Unexpected, Self::KeyChanged].into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What became of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApprovalState {
    /// Nobody answered yet.
    Waiting,
    /// Yes.
    Granted,
    /// No.
    Refused,
}

impl ApprovalState {
    /// The word that the store and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Granted => "granted",
            Self::Refused => "refused",
        }
    }

    /// Reads [`ApprovalState::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Waiting, Self::Granted, Self::Refused]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// A device that asks, and waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Identifier of ours.
    pub id: Id,
    /// The device.
    pub device: Id,
    /// Why a person is asked.
    pub reason: ApprovalReason,
    /// SHA-256 of the SubjectPublicKeyInfo of the IDevID that asks.
    pub spki: Sha256,
    /// The IDevID that asks.
    pub certificate: CertificateDer<'static>,
    /// Who asked last: its address, and what it proved.
    pub peer: String,
    /// What became of it.
    pub state: ApprovalState,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When it was asked first.
    pub created_at: Millis,
    /// When it was asked last.
    pub asked_at: Millis,
    /// When it was decided.
    pub decided_at: Option<Millis>,
}

/// The open questions about the devices of one manufacturer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingDevices {
    /// How many there are.
    pub number: u64,
    /// The one whose device has been silent for longest.
    pub silent_longest: Option<Approval>,
}

/// A name and a secret by which a device without an IDevID may enroll (RFC 7030 §3.2.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user name, which is also the first label of the device's name; lower case.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret: Sha256,
    /// The profile that the device gets.
    pub profile: String,
    /// How many enrollments it is good for.
    pub uses: u32,
    /// How many were made with it.
    pub used: u32,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credential").field("name", &self.name).finish_non_exhaustive()
    }
}
