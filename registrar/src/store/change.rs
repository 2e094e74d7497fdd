//! What a commit may change, and what may stand in its way. Every change is named for what happened, not for a row.

use acme_bridge::{AccountRecord, ChallengeAnswer, OrderId, OrderRecord, OrderState, Spending};
use brski_voucher::encoding::Encoding;

use super::model::{
    Approval, ApprovalState, AuditRecord, ChainCertificate, Checkpoint, Credential, DeviceState,
    Enrollment, EnrollmentState, Id, IssuedCertificate, KnownDevice, Manufacturer, Millis,
    NodeSettings, NoncelessVoucher, OwnCertificate, RevocationRow, RootChange, SealedKey,
    SeenIdevid, Sha256, VoucherExchange, VoucherState,
};

/// One change to what is known. A commit is a list of them, applied in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Adds a manufacturer and raises the generation.
    AddManufacturer(Manufacturer),
    /// Changes a manufacturer and raises the generation; if it is not any more what the change stands on, that is a
    /// [`Conflict::Outdated`].
    ChangeManufacturer {
        /// As it was when the change was decided.
        before: Box<Manufacturer>,
        /// As it is from now on; identifier, name and time of its addition stay.
        after: Box<Manufacturer>,
    },
    /// Inserts a device with its identity, and with its name if it has one.
    AddDevice(KnownDevice),
    /// Moves a device to a state, from whichever: an operator's word.
    SetDeviceState {
        /// The device.
        device: Id,
        /// Where it stands from now on.
        state: DeviceState,
        /// Now.
        at: Millis,
    },
    /// Moves a device to a state, unless an operator retired or blocked it: then [`Conflict::DeviceBarred`].
    ///
    /// The same if it was not let in, and the state is not [`DeviceState::Admitted`]: an operator took it out of
    /// service, and back, since this was decided.
    MoveDevice {
        /// The device.
        device: Id,
        /// Where it stands from now on.
        state: DeviceState,
        /// Now.
        at: Millis,
    },
    /// Changes nothing; fails with [`Conflict::DeviceBarred`] if a device is not let in, or not any more.
    ExpectLetIn {
        /// The device.
        device: Id,
    },
    /// Changes nothing; fails with [`Conflict::Outdated`] if a device has begun or ended something since it was looked at.
    ExpectHoldings {
        /// The device.
        device: Id,
        /// Its enrollments that are approved or ordered.
        open: Vec<Id>,
        /// Its certificates that are not revoked, by their SHA-256.
        live: Vec<Sha256>,
    },
    /// Gives a device a name that no other one has; its old one must be freed before.
    AssignName {
        /// The device.
        device: Id,
        /// The name.
        name: String,
    },
    /// Takes a device's name from it, for whoever comes next.
    FreeName {
        /// The device.
        device: Id,
    },
    /// Sets the IDevID that a device is known by.
    SetIdevid {
        /// The device.
        device: Id,
        /// The IDevID.
        idevid: SeenIdevid,
    },
    /// Sets the profile of a device.
    SetProfile {
        /// The device.
        device: Id,
        /// The profile, by its name in the configuration.
        profile: String,
    },
    /// Changes nothing; fails with [`Conflict::Waiting`] if more devices of a manufacturer wait for a person, at this place
    /// of the commit, than may. Of those who ask at the same moment, one waits for the other.
    ExpectRoomToWait {
        /// The manufacturer.
        manufacturer: Id,
        /// How many may wait.
        most: u64,
    },
    /// Asks a person about a device.
    AddApproval(Approval),
    /// Notes that the device asks again.
    AskApprovalAgain {
        /// The question, which waits.
        approval: Id,
        /// Who asks.
        peer: String,
        /// Now.
        at: Millis,
    },
    /// Forgets a question that waits, and with it a device that was never let in.
    ForgetApproval {
        /// The question.
        approval: Id,
        /// Its device.
        device: Id,
        /// When it was asked last; if it was asked again since, that is a [`Conflict::Missing`].
        asked_at: Millis,
    },
    /// Answers a question that waits.
    DecideApproval {
        /// The question.
        approval: Id,
        /// The answer.
        state: ApprovalState,
        /// Who answers.
        by: String,
        /// Now.
        at: Millis,
    },
    /// Adds a credential.
    AddCredential(Credential),
    /// Revokes a credential that is not revoked.
    RevokeCredential {
        /// Its name.
        name: String,
        /// Now.
        at: Millis,
    },
    /// Uses a credential up by one enrollment; fails if it is used up or revoked.
    SpendCredential {
        /// Its name.
        name: String,
    },
    /// Begins a voucher exchange.
    BeginVoucherExchange(VoucherExchange),
    /// Moves a voucher exchange to a state; one that the pledge rejected stays so: then [`Conflict::Missing`].
    SetVoucherState {
        /// The exchange.
        exchange: Id,
        /// Where it stands from now on.
        state: VoucherState,
        /// Now.
        at: Millis,
    },
    /// Writes what the audit log of an exchange came to.
    SetAudit {
        /// The exchange.
        exchange: Id,
        /// The log and what policy says of it.
        audit: AuditRecord,
    },
    /// Asks for a voucher without a nonce; one that is there for the device and encoding stays until a new one comes.
    WantNoncelessVoucher(NoncelessVoucher),
    /// Has a node ask the MASA for a voucher without a nonce; a lease of another node that still runs is a
    /// [`Conflict::VoucherLeased`].
    LeaseNoncelessVoucher {
        /// The device.
        device: Id,
        /// The encoding.
        encoding: Encoding,
        /// The node.
        node: String,
        /// Until when.
        until: Millis,
        /// Now.
        now: Millis,
    },
    /// Writes what came of an attempt to get a voucher without a nonce, and ends the lease.
    KeepNoncelessVoucher(NoncelessVoucher),
    /// Removes the vouchers without a nonce of a device.
    RemoveNoncelessVouchers {
        /// The device.
        device: Id,
    },
    /// Changes nothing; fails with [`Conflict::Enrollment`] if the newest enrollment with a key is not the one that was
    /// judged: another node began it, and perhaps ended it, meanwhile.
    ExpectEnrollment {
        /// The key.
        key: Sha256,
        /// The one that was judged.
        newest: Option<Id>,
    },
    /// Changes nothing; fails with [`Conflict::Missing`] if an enrollment is not cancelled any more: an operator began it
    /// again.
    ExpectCancelled {
        /// The enrollment.
        enrollment: Id,
    },
    /// Inserts an enrollment; fails if another one with this key is approved or ordered.
    ApproveEnrollment(Enrollment),
    /// Moves an enrollment to a state; one that an operator cancelled or that has its certificate stays so, and one that
    /// ended is not ordered: then [`Conflict::Missing`].
    SetEnrollmentState {
        /// The enrollment.
        enrollment: Id,
        /// Where it stands from now on.
        state: EnrollmentState,
        /// Now.
        at: Millis,
    },
    /// Begins an enrollment again that ended without a certificate; if another one with its key is open, that is a
    /// [`Conflict::Enrollment`].
    ReopenEnrollment {
        /// The enrollment.
        enrollment: Id,
        /// Now.
        at: Millis,
    },
    /// Notes that another issuer took over an enrollment.
    SetEnrollmentIssuer {
        /// The enrollment.
        enrollment: Id,
        /// The issuer, by its name in the configuration.
        issuer: String,
    },
    /// Stores an issued certificate; the same one twice is stored once.
    AddCertificate(IssuedCertificate),
    /// Revokes an issued certificate that is not revoked.
    RevokeCertificate {
        /// Its SHA-256.
        fingerprint: Sha256,
        /// Now.
        at: Millis,
    },
    /// Stores a CA certificate for `/cacerts`; the same one twice is stored once.
    AddChainCertificate(ChainCertificate),
    /// Inserts an order of the bridge; one that is there already stays as it is.
    InsertOrder(OrderRecord),
    /// Writes the order's state, lease and due time, and appends the step.
    AdvanceOrder {
        /// The order, as it is from now on.
        order: OrderRecord,
        /// The node that drives it; a lease of another node that still runs is a [`Conflict::OrderLeased`].
        node: String,
        /// What happened, for `order_steps`.
        step: String,
        /// Now.
        at: Millis,
    },
    /// Ends an order that the CA was not asked to issue for yet; one that is further goes on.
    CancelOrder {
        /// The order.
        order: OrderId,
        /// Its end.
        state: OrderState,
        /// What happened, for `order_steps`.
        step: String,
        /// Now.
        at: Millis,
    },
    /// Has an order that waits looked at now, and begins one anew that ended without a certificate.
    RetryOrder {
        /// The order.
        order: OrderId,
        /// What happened, for `order_steps`.
        step: String,
        /// Now.
        at: Millis,
    },
    /// Frees the orders of an issuer that a node leased.
    ReleaseOrders {
        /// The issuer, by its name in the configuration.
        issuer: String,
        /// The node.
        node: String,
    },
    /// Takes from a CA's limit; if somebody else did meanwhile, that is a [`Conflict::Quota`].
    SpendQuota(Spending),
    /// Forgets limits of which nothing is taken any more, those first that are so the longest.
    PruneQuotas {
        /// Now.
        now: Millis,
        /// How many, at most.
        limit: u32,
    },
    /// Has a certificate revoked at its CA; the same one twice is revoked once.
    RequestRevocation(RevocationRow),
    /// Notes what became of an attempt to revoke.
    NoteRevocation {
        /// SHA-256 of the certificate.
        fingerprint: Sha256,
        /// When the CA did it.
        done_at: Option<Millis>,
        /// When it is asked again, where it did not.
        due: Millis,
        /// What it said, where it did not.
        problem: Option<String>,
    },
    /// Removes an order that ended, with its steps; its enrollment stays.
    PruneOrder {
        /// The order.
        order: OrderId,
    },
    /// Stores the ACME account of an issuer.
    SaveAccount {
        /// The issuer, by its name in the configuration.
        issuer: String,
        /// The account.
        account: AccountRecord,
    },
    /// Makes a challenge answer available.
    PutAnswer(ChallengeAnswer),
    /// Ends the challenge answers of an order: the registrar's own are gone, those elsewhere are to be taken back.
    RetireAnswers {
        /// The order.
        order: OrderId,
    },
    /// Forgets a challenge answer that was taken back; one that an order needs stays.
    RemoveAnswer(ChallengeAnswer),
    /// Keeps a key that was made for a device; fails if there is one for the same wish.
    KeepSealedKey(SealedKey),
    /// Notes that a kept key was sent; only the first time counts.
    NoteKeySent {
        /// The wish that it is for.
        wish: Sha256,
        /// Now.
        at: Millis,
    },
    /// Removes a kept key, unless another one is in its place.
    RemoveSealedKey {
        /// The wish that it is for.
        wish: Sha256,
        /// The key of its enrollment.
        enrollment: Sha256,
    },
    /// Removes all kept keys of a device.
    RemoveSealedKeys {
        /// The device.
        device: Id,
    },
    /// Removes the kept keys that are given no more.
    PruneSealedKeys {
        /// Those that were sent at this time or before.
        sent_until: Millis,
        /// Those that were made at this time or before.
        made_until: Millis,
    },
    /// Stores a certificate of the registrar itself for all nodes; another one with its number is a
    /// [`Conflict::OwnCertificate`].
    AddOwnCertificate(OwnCertificate),
    /// Stores a new root of the domain for all nodes; another one with its number is a
    /// [`Conflict::OwnCertificate`].
    ChangeRoot(RootChange),
    /// Lets the earlier root of a change go.
    RetireRoot {
        /// The number of the change.
        seq: i64,
        /// Now.
        at: Millis,
    },
    /// Notes that somebody was warned; if that was done before, it is a [`Conflict::Warned`].
    NoteWarning {
        /// What of, in words of the warner's own.
        about: String,
    },
    /// Keeps a signed statement about a chain; the same one twice is kept once.
    AddCheckpoint(Checkpoint),
    /// Puts a signed statement in the place of the events up to it.
    PruneEvents(Checkpoint),
    /// Notes what a node says of its settings, in the place of what it said before.
    TellSettings(NodeSettings),
    /// Notes how far a reader of a node's events came.
    SetCursor {
        /// The reader.
        reader: String,
        /// The node.
        node: String,
        /// The number of the last event that it is done with.
        seq: i64,
    },
}

/// What stood in the way of a commit; nothing of it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// Another manufacturer has this name.
    ManufacturerName(String),
    /// Another device has this name.
    DeviceName(String),
    /// Another device of the manufacturer has this serial number.
    SerialNumber(String),
    /// An operator retired or blocked the device, and perhaps restored it.
    DeviceBarred,
    /// The device waits for an answer already.
    Approval,
    /// More devices of the manufacturer would wait than may.
    Waiting,
    /// Another credential has this name.
    CredentialName(String),
    /// Another device has this credential.
    CredentialDevice(String),
    /// The credential is used up or revoked.
    CredentialSpent,
    /// The exchange was begun by another request.
    VoucherExchange,
    /// Another enrollment with this key is approved or ordered, or newer than the one that was judged.
    Enrollment,
    /// A key was made for the same wish.
    SealedKey,
    /// Another node asks the MASA for the voucher.
    VoucherLeased,
    /// Another node drives the order.
    OrderLeased,
    /// Another order took from the limit.
    Quota,
    /// Another node or operator was quicker with a certificate of the registrar's own or with a root.
    OwnCertificate,
    /// Somebody was warned of this before.
    Warned,
    /// Something began or ended since it was decided.
    Outdated,
    /// The row to change is not there.
    Missing,
}
