//! Where everything that the registrar knows is kept, behind one trait in domain terms.
//!
//! A decision of [`flow`](crate::flow) is a list of [`Change`]s and an [`Event`].
//! [`Store::commit`] writes them in one transaction, durable when it returns, before any effect and any answer.
//! Invariant: there is no way to change a row without an event beside it, and none to change two rows apart.

use std::error::Error;

use acme_bridge::{
    AccountRecord, AnswerKind, ChallengeAnswer, OrderId, OrderRecord, OrderState, Spending, Which,
};
use async_trait::async_trait;
use thiserror::Error;

use self::model::{
    Approval, ApprovalState, CertificateEnds, ChainCertificate, Checkpoint, Credential,
    DeviceFilter, DevicePlace, DeviceState, Enrollment, EnrollmentState, Event, EventFilter,
    EventPlace, Head, Id, IssuedCertificate, KnownDevice, ListedOrder, Manufacturer, Millis,
    OrderFilter, OrderPlace, OrderTally, Queues, RevocationRow, SeenIdevid, Sha256, StoredEvent,
    VoucherExchange, VoucherState,
};

pub mod chain;
pub mod model;
mod open;
pub mod postgres;
mod sql;
pub mod sqlite;
pub mod watch;

pub use self::open::{open, open_watched, url};
pub use self::sql::OpenError;

/// One change to what is known. A commit is a list of them, applied in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Adds a manufacturer and raises the generation.
    AddManufacturer(Manufacturer),
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
    MoveDevice {
        /// The device.
        device: Id,
        /// Where it stands from now on.
        state: DeviceState,
        /// Now.
        at: Millis,
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
    /// Moves a voucher exchange to a state.
    SetVoucherState {
        /// The exchange.
        exchange: Id,
        /// Where it stands from now on.
        state: VoucherState,
        /// Now.
        at: Millis,
    },
    /// Inserts an enrollment; fails if another one with this key is approved or ordered.
    ApproveEnrollment(Enrollment),
    /// Moves an enrollment to a state; one that an operator cancelled stays so: then [`Conflict::Missing`].
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
    /// Forgets limits of which nothing is taken any more.
    PruneQuotas {
        /// Now.
        now: Millis,
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
    /// Keeps a signed statement about a chain; the same one twice is kept once.
    AddCheckpoint(Checkpoint),
    /// Puts a signed statement in the place of the events up to it.
    PruneEvents(Checkpoint),
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
    /// An operator retired or blocked the device.
    DeviceBarred,
    /// The device waits for an answer already.
    Approval,
    /// Another credential has this name.
    CredentialName(String),
    /// Another device has this credential.
    CredentialDevice(String),
    /// The credential is used up or revoked.
    CredentialSpent,
    /// The exchange was begun by another request.
    VoucherExchange,
    /// Another enrollment with this key is approved or ordered.
    Enrollment,
    /// Another node drives the order.
    OrderLeased,
    /// Another order took from the limit.
    Quota,
    /// The row to change is not there.
    Missing,
}

/// Why the store could not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The commit contradicts what is known; the caller reads again and decides anew.
    #[error("the change conflicts with what is stored: {0:?}")]
    Conflict(Conflict),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Box<dyn Error + Send + Sync>),
    /// A row is not what this program writes.
    #[error("a row holds {value:?} in column {column}, which this program never writes")]
    Corrupt {
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
}

/// Everything that the registrar knows.
///
/// Every method returns committed state; what [`Store::commit`] wrote is seen by the next read.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Applies all changes and appends the events in one transaction, durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a change contradicts what is stored: then nothing was written.
    async fn commit(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<(), StoreError>;

    /// A number that each operator's change raises.
    async fn generation(&self) -> Result<i64, StoreError>;

    /// All manufacturers, by name.
    async fn manufacturers(&self) -> Result<Vec<Manufacturer>, StoreError>;

    /// The device with this manufacturer and serial number.
    async fn device_by_serial(
        &self,
        manufacturer: &Id,
        serial: &str,
    ) -> Result<Option<KnownDevice>, StoreError>;

    /// The device with this identifier.
    async fn device(&self, id: &Id) -> Result<Option<KnownDevice>, StoreError>;

    /// A page of the devices that fit a filter, in the order of [`DevicePlace`]: at most `limit`, after a place.
    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DevicePlace>,
        limit: u32,
    ) -> Result<Vec<KnownDevice>, StoreError>;

    /// The devices whose identifier, name (without regard to case) or serial number is `text`.
    async fn find_devices(&self, text: &str) -> Result<Vec<KnownDevice>, StoreError>;

    /// The question with this identifier.
    async fn approval(&self, id: &Id) -> Result<Option<Approval>, StoreError>;

    /// The newest question about this key of this device.
    async fn latest_approval(
        &self,
        device: &Id,
        spki: &Sha256,
    ) -> Result<Option<Approval>, StoreError>;

    /// All questions about this device, the oldest first.
    async fn approvals_of(&self, device: &Id) -> Result<Vec<Approval>, StoreError>;

    /// A page of the questions in a state, the oldest first, after the one with this time and identifier.
    async fn approvals(
        &self,
        state: ApprovalState,
        after: (Millis, Id),
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;

    /// All credentials, by name.
    async fn credentials(&self) -> Result<Vec<Credential>, StoreError>;

    /// The credential of this name.
    async fn credential(&self, name: &str) -> Result<Option<Credential>, StoreError>;

    /// The device that enrolls with this credential.
    async fn device_by_credential(&self, name: &str) -> Result<Option<KnownDevice>, StoreError>;

    /// The exchange that this pledge request began.
    async fn voucher_exchange(
        &self,
        request_sha256: &Sha256,
    ) -> Result<Option<VoucherExchange>, StoreError>;

    /// The exchange of this device that changed last.
    async fn latest_voucher_exchange(
        &self,
        device: &Id,
    ) -> Result<Option<VoucherExchange>, StoreError>;

    /// The enrollment with this identifier.
    async fn enrollment(&self, id: &Id) -> Result<Option<Enrollment>, StoreError>;

    /// The newest enrollment with this key.
    async fn enrollment_by_key(&self, key: &Sha256) -> Result<Option<Enrollment>, StoreError>;

    /// All enrollments of this device, the oldest first.
    async fn enrollments_of(&self, device: &Id) -> Result<Vec<Enrollment>, StoreError>;

    /// All enrollments that are approved but not with their issuer yet.
    async fn approved_enrollments(&self) -> Result<Vec<Enrollment>, StoreError>;

    /// The issued certificate with this SHA-256.
    async fn certificate(
        &self,
        fingerprint: &Sha256,
    ) -> Result<Option<IssuedCertificate>, StoreError>;

    /// The issued certificates whose SHA-256 is from `least` to `most`, at most `limit`.
    async fn certificates_between(
        &self,
        least: &Sha256,
        most: &Sha256,
        limit: u32,
    ) -> Result<Vec<IssuedCertificate>, StoreError>;

    /// A page of the issued certificates that end before a time, by their end,
    /// after the one with this end and SHA-256.
    async fn certificates(
        &self,
        ends_before: Millis,
        after: (Millis, Sha256),
        limit: u32,
    ) -> Result<Vec<IssuedCertificate>, StoreError>;

    /// All certificates of this device, the oldest first.
    async fn certificates_of(&self, device: &Id) -> Result<Vec<IssuedCertificate>, StoreError>;

    /// A device other than `device` that has a certificate for this key, or an IDevID with it;
    /// `spki`: SHA-256 of its SubjectPublicKeyInfo.
    async fn other_holder(&self, spki: &Sha256, device: &Id) -> Result<Option<Id>, StoreError>;

    /// The issued certificates with this serial number, hexadecimal in lower case: of each CA, one.
    async fn certificates_by_serial(
        &self,
        serial: &str,
    ) -> Result<Vec<IssuedCertificate>, StoreError>;

    /// The certificates of an issuer that were revoked and have not ended by now, by their end.
    async fn revoked_certificates(
        &self,
        issuer: &str,
        now: Millis,
    ) -> Result<Vec<IssuedCertificate>, StoreError>;

    /// All CA certificates seen above issued ones.
    async fn chain_certificates(&self) -> Result<Vec<ChainCertificate>, StoreError>;

    /// A page of the events that fit a filter, the oldest first: after a place, or since the filter's time,
    /// or else the newest; at most `limit`.
    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<&EventPlace>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// The nodes that wrote events, by name.
    async fn nodes(&self) -> Result<Vec<String>, StoreError>;

    /// The events of a node after a number, in the order of their numbers, at most `limit`.
    async fn chain(
        &self,
        node: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// The newest event of a node.
    async fn head(&self, node: &str) -> Result<Head, StoreError>;

    /// The signed statements about a node's chain, in the order of their numbers.
    async fn checkpoints(&self, node: &str) -> Result<Vec<Checkpoint>, StoreError>;

    /// The last of a node's oldest events, at most `limit` of them, that are older than `before`;
    /// never the newest one.
    async fn prunable_events(
        &self,
        node: &str,
        before: Millis,
        limit: u32,
    ) -> Result<Option<Head>, StoreError>;

    /// How far a reader came, by node.
    async fn cursor(&self, reader: &str) -> Result<Vec<(String, i64)>, StoreError>;

    /// The bridge's order with this identifier.
    async fn order(&self, id: &OrderId) -> Result<Option<OrderRecord>, StoreError>;

    /// The steps of an order, the oldest first, each with its time.
    async fn order_steps(&self, id: &OrderId) -> Result<Vec<(Millis, String)>, StoreError>;

    /// Orders that ended before a time, the longest ended first, at most `limit`.
    async fn ended_orders(&self, before: Millis, limit: u32) -> Result<Vec<OrderId>, StoreError>;

    /// Leases to `node`, in one transaction, up to `limit` orders of `issuer` that are not final, are due,
    /// and that nobody drives; those first whose turn it is.
    async fn claim_orders(
        &self,
        issuer: &str,
        node: &str,
        lease_until: Millis,
        now: Millis,
        limit: u32,
        which: Which,
    ) -> Result<Vec<OrderRecord>, StoreError>;

    /// What waits, as of `now`; for the metrics.
    async fn queues(&self, now: Millis) -> Result<Queues, StoreError>;

    /// How many certificates end before each of `times`, which ascend; for the metrics.
    async fn certificate_ends(&self, times: &[Millis]) -> Result<CertificateEnds, StoreError>;
    /// The order with this identifier, and its age.
    async fn listed_order(&self, id: &OrderId) -> Result<Option<ListedOrder>, StoreError>;

    /// A page of the orders that fit a filter, the newest first, after a place; at most `limit`.
    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: u32,
    ) -> Result<Vec<ListedOrder>, StoreError>;

    /// How many orders each issuer has in each state that is not final.
    async fn order_tally(&self) -> Result<Vec<OrderTally>, StoreError>;

    /// When each of these limits' buckets would be full again: Unix milliseconds; none if nothing was taken.
    async fn quotas(&self, buckets: &[String]) -> Result<Vec<Option<i64>>, StoreError>;

    /// The certificates that an issuer is to revoke by now, the longest due first, at most `limit`.
    async fn revocations_due(
        &self,
        issuer: &str,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<RevocationRow>, StoreError>;

    /// The wish to revoke this certificate, and what became of it.
    async fn revocation(&self, fingerprint: &Sha256) -> Result<Option<RevocationRow>, StoreError>;

    /// The ACME account of an issuer.
    async fn account(&self, issuer: &str) -> Result<Option<AccountRecord>, StoreError>;

    /// The values of the registrar's own challenge answers of this kind at an owner name, lower case.
    async fn answers(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, StoreError>;

    /// Whether any of the registrar's own TXT answers stands below a name, lower case.
    async fn is_above_answer(&self, name: &str) -> Result<bool, StoreError>;

    /// Challenge answers that no order needs any more and that were not taken back yet, at most `limit`.
    async fn retired_answers(&self, limit: u32) -> Result<Vec<ChallengeAnswer>, StoreError>;

    /// Whether an order that has not ended needs this value at this owner name.
    async fn is_answer_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, StoreError>;

    /// The different values that orders need at an owner name, lower case, wherever they were put.
    async fn answers_in_force_at(&self, owner: &str) -> Result<Vec<String>, StoreError>;
}
