//! How often each operation happened, and how often each invariant had something to say.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// An invariant's premise: something that must have happened for the invariant to have been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Premise {
    /// A certificate was stored: its device was let in before.
    CertificateStored,
    /// A certificate came after an operator had said no: it is revoked at once.
    CertificateUnwanted,
    /// An enrollment began: no other one with its key was open, and none had a certificate that was fresh.
    EnrollmentBegan,
    /// An enrollment was approved and not ordered when everything came to rest: it reached an end after a restart.
    EnrollmentResumed,
    /// An order was open when everything came to rest: it reached an end.
    OrderDriven,
    /// The CA said something about an order that had ended: nothing changed.
    AnswerLate,
    /// A device got a name that differs from its serial number, since another has that one.
    NameDistinct,
    /// A name was freed and given to another device.
    NameGivenOn,
    /// A device that is retired or blocked asked for a certificate: it got none.
    BarredAsked,
    /// A device without a voucher, or that rejected it, asked for a certificate: it got none.
    UnvoucheredAsked,
    /// A device whose voucher was rejected asked for a certificate: it got none.
    RejectedAsked,
    /// A revoked certificate was shown: nothing came of it.
    RevokedAsked,
    /// A device with a known serial number and another key asked: it got nothing.
    ImpostorAsked,
    /// A voucher was given: it was the one that the MASA made for this very request.
    VoucherGiven,
    /// A wrong voucher came from a MASA: it went nowhere.
    VoucherWrong,
    /// A certificate was given: for the key and the name that were asked for.
    CertificateGiven,
    /// A CSR asked for another device's name: it was refused.
    ForeignName,
    /// A credential was used: no more often than it may be.
    CredentialSpent,
    /// A device changed its state: an event says so.
    DeviceMoved,
    /// A node crashed while a request was under way.
    CrashInside,
    /// The database failed a request.
    DatabaseAway,
    /// The chain of events was verified.
    ChainVerified,
    /// A device that may enroll came back at the end: it got its certificate.
    CameBack,
}

impl Premise {
    pub(super) const ALL: [Self; 23] = [
        Self::CertificateStored,
        Self::CertificateUnwanted,
        Self::EnrollmentBegan,
        Self::EnrollmentResumed,
        Self::OrderDriven,
        Self::AnswerLate,
        Self::NameDistinct,
        Self::NameGivenOn,
        Self::BarredAsked,
        Self::UnvoucheredAsked,
        Self::RejectedAsked,
        Self::RevokedAsked,
        Self::ImpostorAsked,
        Self::VoucherGiven,
        Self::VoucherWrong,
        Self::CertificateGiven,
        Self::ForeignName,
        Self::CredentialSpent,
        Self::DeviceMoved,
        Self::CrashInside,
        Self::DatabaseAway,
        Self::ChainVerified,
        Self::CameBack,
    ];
}

/// Counts over many runs.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    pub(super) fn count(&self, word: &str) {
        *self.0.lock().unwrap().entry(word.to_owned()).or_default() += 1;
    }

    pub(super) fn premise(&self, premise: Premise) {
        self.count(&format!("premise {premise:?}"));
    }

    pub(super) fn of(&self, word: &str) -> u64 {
        self.0.lock().unwrap().get(word).copied().unwrap_or(0)
    }

    /// The counts, one a line.
    pub(super) fn report(&self) -> String {
        let counts = self.0.lock().unwrap();
        counts.iter().map(|(word, count)| format!("{count:>9} {word}\n")).collect()
    }
}
