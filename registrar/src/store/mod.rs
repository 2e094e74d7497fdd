//! Where everything that the registrar knows is kept, behind one trait in domain terms.
//!
//! A decision of [`flow`](crate::flow) is a list of [`Change`]s and an [`Event`].
//! [`Store::commit`] writes them in one transaction, durable when it returns, before any effect and any answer.
//! Invariant: there is no way to change a row without an event beside it, and none to change two rows apart.

use std::error::Error;

use acme_bridge::{AccountRecord, AnswerKind, ChallengeAnswer, OrderId, OrderRecord, Which};
use async_trait::async_trait;
use brski_voucher::encoding::Encoding;
use thiserror::Error;

use self::model::{
    Approval, ApprovalState, CertificateEnds, ChainCertificate, Checkpoint, Credential,
    DeviceFilter, DevicePlace, DeviceTally, Enrollment, Event, EventFilter, EventPlace, EventTally,
    Head, Id, IssuedCertificate, KnownDevice, ListedOrder, Manufacturer, Millis, NodeSettings,
    NoncelessVoucher, OrderFilter, OrderPlace, OrderTally, OwnRecords, Queues, RevocationRow,
    SealedKey, Sha256, StoredEvent, VoucherExchange, WaitingDevices,
};

pub mod chain;
mod change;
pub mod memory;
pub mod model;
mod open;
pub mod postgres;
mod sql;
pub mod sqlite;
pub mod watch;

pub use self::change::{Change, Conflict};
pub use self::open::{accounts, node_settings, open, open_watched, url};
pub use self::sql::OpenError;

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

    /// The registrar's own certificates, and the roots of its domain.
    async fn own_records(&self) -> Result<OwnRecords, StoreError>;

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

    /// The open questions about the devices of a manufacturer.
    async fn waiting_devices(&self, manufacturer: &Id) -> Result<WaitingDevices, StoreError>;

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

    /// Whether an exchange that began before `before`, and changed after `active`, waits for a voucher or for the
    /// pledge's word on it.
    async fn is_exchange_open(&self, before: Millis, active: Millis) -> Result<bool, StoreError>;

    /// A page of the vouchers of exchanges that began before `before`, by the exchanges' identifiers: at most `limit`,
    /// after one.
    async fn vouchers(
        &self,
        before: Millis,
        after: Option<&Id>,
        limit: u32,
    ) -> Result<Vec<(Id, Vec<u8>)>, StoreError>;

    /// The exchange of this device that changed last.
    async fn latest_voucher_exchange(
        &self,
        device: &Id,
    ) -> Result<Option<VoucherExchange>, StoreError>;

    /// The voucher without a nonce of this device in this encoding.
    async fn nonceless_voucher(
        &self,
        device: &Id,
        encoding: Encoding,
    ) -> Result<Option<NoncelessVoucher>, StoreError>;

    /// A page of the vouchers without a nonce, by device and encoding's word, after these; at most `limit`.
    async fn nonceless_vouchers(
        &self,
        after: (&Id, &str),
        limit: u32,
    ) -> Result<Vec<NoncelessVoucher>, StoreError>;

    /// The vouchers without a nonce that a MASA is to be asked for by now and that no node asks for,
    /// the longest due first, at most `limit`.
    async fn nonceless_vouchers_due(
        &self,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<NoncelessVoucher>, StoreError>;

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

    /// The CA certificates, by their SHA-256, directly above certificates that are valid after `now` and not revoked.
    async fn issuing_certificates(&self, now: Millis) -> Result<Vec<Sha256>, StoreError>;

    /// The key that was made for this wish.
    async fn sealed_key(&self, wish: &Sha256) -> Result<Option<SealedKey>, StoreError>;

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

    /// When the newest event of any node was, without those that an operator no longer counts
    /// ([`READER`](crate::policy::timekeeping::READER)).
    async fn newest_event_time(&self) -> Result<Option<Millis>, StoreError>;

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

    /// What each node said of its settings last, by name.
    async fn node_settings(&self) -> Result<Vec<NodeSettings>, StoreError>;

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

    /// How many devices are in each state that any device is in.
    async fn device_tally(&self) -> Result<Vec<DeviceTally>, StoreError>;

    /// How many events of these kinds there were in each stretch of time, of `stretch` each, since `since`;
    /// a stretch without any is not here.
    async fn event_tally(
        &self,
        kinds: &[&str],
        since: Millis,
        stretch: Millis,
    ) -> Result<Vec<EventTally>, StoreError>;

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

    /// How many buckets are full again by now and need no row, counted up to `limit`.
    async fn full_quotas(&self, now: Millis, limit: u32) -> Result<u32, StoreError>;

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
