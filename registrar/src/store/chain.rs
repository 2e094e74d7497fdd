//! The hash chain of a node's events: how a row is hashed, what a checkpoint signs, and how a chain is verified.
//!
//! Each event's hash covers the hash before it and every column of its row, so that a row that was removed, changed
//! or moved shows. Checkpoints, signed with the registrar's key, keep someone who can write to the database
//! from computing the whole chain anew. What came after the last checkpoint is unproven, and said to be.
//! Pure: rows and checkpoints go in, findings come out.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use brski_voucher::signature::{Signer, verify_signed};

use super::model::{Checkpoint, CheckpointKind, Event, Head, Id, Millis, Sha256, StoredEvent};

/// Keeps a signature of a checkpoint from being one of anything else.
const PURPOSE: &[u8] = b"brski-registrar event chain v1";
/// How many wrong rows are looked at for a change of places.
const MISPLACED: usize = 256;

/// The columns of an event that its hash covers.
struct Columns<'a> {
    node: &'a str,
    seq: i64,
    time: Millis,
    kind: &'a str,
    verdict: &'a str,
    device: Option<&'a str>,
    peer: &'a str,
    clause: &'a str,
    detail: &'a str,
    correlation: &'a str,
}

impl Columns<'_> {
    /// SHA-256 of the previous hash and of each column with its length before it.
    fn hash(&self, previous: &Sha256) -> Sha256 {
        let mut context = Context::new(&SHA256);
        let mut field = |octets: &[u8]| {
            let length = u64::try_from(octets.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(octets);
        };
        field(&previous.0);
        field(self.node.as_bytes());
        field(&self.seq.to_be_bytes());
        field(&self.time.0.to_be_bytes());
        for text in [self.kind, self.verdict] {
            field(text.as_bytes());
        }
        // An absent device is not an empty one.
        field(&[u8::from(self.device.is_some())]);
        for text in
            [self.device.unwrap_or_default(), self.peer, self.clause, self.detail, self.correlation]
        {
            field(text.as_bytes());
        }
        let mut octets = [0; 32];
        octets.iter_mut().zip(context.finish().as_ref()).for_each(|(octet, byte)| *octet = *byte);
        Sha256(octets)
    }
}

/// The head of a chain after one more event. Its texts are as the store keeps them.
pub(super) fn extend(head: Head, node: &str, event: &Event) -> Head {
    let seq = head.seq.saturating_add(1);
    let columns = Columns {
        node,
        seq,
        time: event.time,
        kind: event.kind,
        verdict: event.verdict.as_str(),
        device: event.device.as_ref().map(Id::as_str),
        peer: &event.peer,
        clause: event.clause,
        detail: &event.detail,
        correlation: &event.correlation,
    };
    Head { seq, hash: columns.hash(&head.hash) }
}

/// The hash that a stored row should have with this number.
fn hash_of(row: &StoredEvent, seq: i64) -> Sha256 {
    let columns = Columns {
        node: &row.node,
        seq,
        time: row.time,
        kind: &row.kind,
        verdict: &row.verdict,
        device: row.device.as_ref().map(Id::as_str),
        peer: &row.peer,
        clause: &row.clause,
        detail: &row.detail,
        correlation: &row.correlation,
    };
    columns.hash(&row.previous)
}

/// What a checkpoint's signature covers.
#[must_use]
pub fn checkpoint_message(
    node: &str,
    head: Head,
    kind: CheckpointKind,
    time: Millis,
    spki: &Sha256,
) -> Vec<u8> {
    let mut message = Vec::new();
    for field in [
        PURPOSE,
        node.as_bytes(),
        &head.seq.to_be_bytes(),
        &head.hash.0,
        kind.as_str().as_bytes(),
        &time.0.to_be_bytes(),
        &spki.0,
    ] {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(field);
    }
    message
}

/// Signs a checkpoint.
///
/// # Errors
/// What the key says.
pub fn sign_checkpoint(
    signer: &dyn Signer,
    node: &str,
    head: Head,
    kind: CheckpointKind,
    time: Millis,
) -> Result<Checkpoint, brski_voucher::signature::SignError> {
    let spki = Sha256::of(signer.spki_der());
    let signature = signer.sign(&checkpoint_message(node, head, kind, time, &spki))?;
    let Head { seq, hash } = head;
    Ok(Checkpoint { node: node.to_owned(), seq, kind, hash, time, spki, signature })
}

/// Something wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Rows are not there.
    Removed {
        /// The first of them.
        first: i64,
        /// The last of them.
        last: i64,
    },
    /// A row is not what its hash says.
    Changed {
        /// Its number.
        seq: i64,
    },
    /// A row stands where another one stood.
    Moved {
        /// Where it stands.
        seq: i64,
        /// Where it stood.
        from: i64,
    },
    /// A row is whole, but does not follow the one before it: that one was exchanged, or this one was put in.
    Unlinked {
        /// Its number.
        seq: i64,
    },
    /// A checkpoint's signature does not hold.
    Signature {
        /// The number that it speaks of.
        seq: i64,
    },
    /// A checkpoint is signed by a key that is not known here.
    ForeignKey {
        /// The number that it speaks of.
        seq: i64,
        /// SHA-256 of the key's SubjectPublicKeyInfo.
        spki: Sha256,
    },
    /// A signed checkpoint says another hash: the chain was computed anew.
    Rewritten {
        /// The number that it speaks of.
        seq: i64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { first, last } if first == last => {
                write!(formatter, "event {first} was removed")
            }
            Self::Removed { first, last } => {
                write!(formatter, "events {first} to {last} were removed")
            }
            Self::Changed { seq } => write!(formatter, "event {seq} was changed"),
            Self::Moved { seq, from } => {
                write!(formatter, "event {seq} was moved there; it was event {from}")
            }
            Self::Unlinked { seq } => write!(
                formatter,
                "event {seq} does not follow the one before it: one of them was exchanged or put in"
            ),
            Self::Signature { seq } => {
                write!(formatter, "the signature of the checkpoint at event {seq} does not hold")
            }
            Self::ForeignKey { seq, spki } => write!(
                formatter,
                "the checkpoint at event {seq} is signed by a key that is not this registrar's \
                 (SHA-256 {spki}); name its certificate with --certificate if it was"
            ),
            Self::Rewritten { seq } => write!(
                formatter,
                "the events up to {seq} are not those that were signed: the chain was computed anew"
            ),
        }
    }
}

/// What is known of a node's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The node.
    pub node: String,
    /// The first event that is there; 0 if there is none.
    pub first: i64,
    /// The last event that is there; 0 if there is none.
    pub last: i64,
    /// The last event up to which a signed checkpoint vouches for the chain; 0 if none does.
    pub proven: i64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Verifies the chain of one node, row by row in the order of their numbers.
pub struct Verifier {
    report: Report,
    /// The checkpoints whose signature holds, by number.
    checkpoints: Vec<Checkpoint>,
    head: Head,
    /// Rows that are not what their hash says.
    suspects: Vec<StoredEvent>,
}

impl Verifier {
    /// Begins at the last signed pruning checkpoint, or else at the first event.
    ///
    /// `keys`: the SubjectPublicKeyInfo, DER, of each key that may have signed.
    #[must_use]
    pub fn new(node: &str, checkpoints: Vec<Checkpoint>, keys: &[Vec<u8>]) -> Self {
        let mut findings = Vec::new();
        let mut held = Vec::new();
        for checkpoint in checkpoints {
            let Checkpoint { seq, hash, kind, time, spki, .. } = checkpoint;
            let message = checkpoint_message(node, Head { seq, hash }, kind, time, &spki);
            match keys.iter().find(|key| Sha256::of(key) == spki) {
                None => findings.push(Finding::ForeignKey { seq, spki }),
                Some(key) => match verify_signed(key, &message, &checkpoint.signature) {
                    Ok(()) => held.push(checkpoint),
                    Err(_) => findings.push(Finding::Signature { seq }),
                },
            }
        }
        held.sort_by_key(|checkpoint| (checkpoint.seq, checkpoint.kind));
        let pruned = held.iter().rfind(|checkpoint| checkpoint.kind == CheckpointKind::Pruned);
        let head = pruned
            .map_or(Head::START, |checkpoint| Head { seq: checkpoint.seq, hash: checkpoint.hash });
        let report =
            Report { node: node.to_owned(), first: 0, last: 0, proven: head.seq, findings };
        Self { report, checkpoints: held, head, suspects: Vec::new() }
    }

    /// Where the rows begin: the number before the first one to give to [`Verifier::push`].
    #[must_use]
    pub fn start(&self) -> i64 {
        self.head.seq
    }

    /// Judges the next row.
    pub fn push(&mut self, row: StoredEvent) {
        let expected = self.head.seq.saturating_add(1);
        let follows = row.previous == self.head.hash;
        if row.seq > expected {
            let last = row.seq.saturating_sub(1);
            self.report.findings.push(Finding::Removed { first: expected, last });
        } else if !follows {
            self.report.findings.push(Finding::Unlinked { seq: row.seq });
        }
        if self.report.first == 0 {
            self.report.first = row.seq;
        }
        self.report.last = row.seq;
        self.head = Head { seq: row.seq, hash: row.hash };
        self.compare_checkpoints(&row);
        if hash_of(&row, row.seq) != row.hash {
            // Its own change explains why it is unlinked, and is said once.
            if self.report.findings.last() == Some(&Finding::Unlinked { seq: row.seq }) {
                self.report.findings.pop();
            }
            self.report.findings.push(Finding::Changed { seq: row.seq });
            if self.suspects.len() < MISPLACED {
                self.suspects.push(row);
            }
        }
    }

    fn compare_checkpoints(&mut self, row: &StoredEvent) {
        for checkpoint in self.checkpoints.iter().filter(|checkpoint| checkpoint.seq == row.seq) {
            if checkpoint.hash == row.hash {
                self.report.proven = row.seq;
            } else if !self.report.findings.contains(&Finding::Rewritten { seq: row.seq }) {
                self.report.findings.push(Finding::Rewritten { seq: row.seq });
            }
        }
    }

    /// Says what was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let signed = self.checkpoints.last().map_or(0, |checkpoint| checkpoint.seq);
        if signed > self.head.seq {
            let first = self.head.seq.saturating_add(1);
            self.report.findings.push(Finding::Removed { first, last: signed });
        }
        let numbers: Vec<i64> = self.suspects.iter().map(|row| row.seq).collect();
        for row in &self.suspects {
            let from = numbers.iter().find(|seq| hash_of(row, **seq) == row.hash);
            let place = self
                .report
                .findings
                .iter_mut()
                .find(|finding| matches!(finding, Finding::Changed { seq } if *seq == row.seq));
            if let (Some(from), Some(place)) = (from, place) {
                *place = Finding::Moved { seq: row.seq, from: *from };
            }
        }
        self.report
    }
}
