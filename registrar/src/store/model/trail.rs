//! The trail: events, the checkpoints that vouch for their chain, and how far a reader of them came.

use serde::{Deserialize, Serialize};

use super::{Id, Millis, Sha256};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// It waits.
    Waiting,
    /// It failed, through nobody's refusal.
    Failed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::Waiting, Self::Failed];

    /// The word that the store and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// One line of the trail: who asked, what was decided, by which clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Millis,
    /// What, as a word with hyphens: `voucher-issued`, `csr-refused`.
    pub kind: &'static str,
    /// The decision.
    pub verdict: Verdict,
    /// The device, where it is known.
    pub device: Option<Id>,
    /// The peer: its address, and what it proved; or the operator.
    pub peer: String,
    /// The clause that the decision follows, such as `RFC 8995 §5.2`.
    pub clause: &'static str,
    /// What happened, for a person; hostile text in it is escaped by whoever shows it.
    pub detail: String,
    /// Ties the events of one request together.
    pub correlation: String,
}

/// An event as the store gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The node that wrote it.
    pub node: String,
    /// Its number on that node, from 1.
    pub seq: i64,
    /// When.
    pub time: Millis,
    /// What.
    pub kind: String,
    /// The decision, a word of [`Verdict::as_str`].
    pub verdict: String,
    /// The device.
    pub device: Option<Id>,
    /// The peer.
    pub peer: String,
    /// The clause.
    pub clause: String,
    /// What happened.
    pub detail: String,
    /// Ties the events of one request together.
    pub correlation: String,
    /// The hash of the event before it on its node; of the first, 32 zero octets.
    pub previous: Sha256,
    /// SHA-256 of `previous` and everything above; see [`chain`](crate::store::chain).
    pub hash: Sha256,
}

/// What a checkpoint says beside "this event had this hash".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// Nothing.
    Head,
    /// The events up to it were removed for their age.
    Pruned,
}

impl CheckpointKind {
    /// The word that the store uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Pruned => "pruned",
        }
    }

    /// Reads [`CheckpointKind::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Head, Self::Pruned].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A signed statement about the chain of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The node.
    pub node: String,
    /// The number of the event.
    pub seq: i64,
    /// What is said of it.
    pub kind: CheckpointKind,
    /// The event's hash.
    pub hash: Sha256,
    /// When it was signed.
    pub time: Millis,
    /// SHA-256 of the signing key's SubjectPublicKeyInfo.
    pub spki: Sha256,
    /// The signature over [`chain::checkpoint_message`](crate::store::chain::checkpoint_message).
    pub signature: Vec<u8>,
}

/// The newest event of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub seq: i64,
    /// Its hash; 32 zero octets before the first.
    pub hash: Sha256,
}

impl Head {
    /// Where a chain begins.
    pub const START: Self = Self { seq: 0, hash: Sha256([0; 32]) };
}
