//! Where everything that the registrar knows is kept, behind one trait in domain terms.
//!
//! A decision of [`flow`](crate::flow) is a list of [`Change`]s and an [`Event`].
//! [`Store::commit`] writes them in one transaction, durable when it returns, before any effect and any answer.
//! Invariant: there is no way to change a row without an event beside it, and none to change two rows apart.

use std::error::Error;

use acme_bridge::{AccountRecord, ChallengeAnswer, OrderId, OrderRecord};
use async_trait::async_trait;
use thiserror::Error;

use self::model::{
    ChainCertificate, Device, DeviceState, Enrollment, EnrollmentState, Event, Id, Identity,
    IssuedCertificate, KnownDevice, Manufacturer, Millis, Sha256, StoredEvent, VoucherExchange,
    VoucherState,
};

pub mod model;
pub mod sqlite;

/// One change to what is known. A commit is a list of them, applied in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Adds a manufacturer and raises the generation.
    AddManufacturer(Manufacturer),
    /// Inserts a device with its identity and its name.
    AdmitDevice(KnownDevice),
    /// Moves a device to a state.
    SetDeviceState {
        /// The device.
        device: Id,
        /// Where it stands from now on.
        state: DeviceState,
        /// Now.
        at: Millis,
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
    /// Moves an enrollment to a state.
    SetEnrollmentState {
        /// The enrollment.
        enrollment: Id,
        /// Where it stands from now on.
        state: EnrollmentState,
        /// Now.
        at: Millis,
    },
    /// Stores an issued certificate; the same one twice is stored once.
    AddCertificate(IssuedCertificate),
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
    /// Stores the ACME account of an issuer.
    SaveAccount {
        /// The issuer, by its name in the configuration.
        issuer: String,
        /// The account.
        account: AccountRecord,
    },
    /// Makes a challenge answer available.
    PutAnswer(ChallengeAnswer),
    /// Removes the challenge answers of an order.
    RemoveAnswers {
        /// The order.
        order: OrderId,
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
    /// The exchange was begun by another request.
    VoucherExchange,
    /// Another enrollment with this key is approved or ordered.
    Enrollment,
    /// Another node drives the order.
    OrderLeased,
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
    #[error("table {table} holds {value:?} in column {column}, which this program never writes")]
    Corrupt {
        /// The table.
        table: &'static str,
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

    /// All devices, the oldest first.
    async fn devices(&self) -> Result<Vec<KnownDevice>, StoreError>;

    /// The devices whose identifier, name (without regard to case) or serial number is `text`.
    async fn find_devices(&self, text: &str) -> Result<Vec<KnownDevice>, StoreError>;

    /// The device that has this name.
    async fn device_by_name(&self, name: &str) -> Result<Option<Device>, StoreError>;

    /// The identity of this device.
    async fn identity(&self, device: &Id) -> Result<Option<Identity>, StoreError>;

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

    /// All certificates of this device, the oldest first.
    async fn certificates_of(&self, device: &Id) -> Result<Vec<IssuedCertificate>, StoreError>;

    /// All CA certificates seen above issued ones.
    async fn chain_certificates(&self) -> Result<Vec<ChainCertificate>, StoreError>;

    /// The newest events, at most `limit`, the oldest of them first; of one device if one is named.
    async fn events(&self, device: Option<&Id>, limit: u32)
    -> Result<Vec<StoredEvent>, StoreError>;

    /// The bridge's order with this identifier.
    async fn order(&self, id: &OrderId) -> Result<Option<OrderRecord>, StoreError>;

    /// The steps of an order, the oldest first, each with its time.
    async fn order_steps(&self, id: &OrderId) -> Result<Vec<(Millis, String)>, StoreError>;

    /// Leases to `node`, in one transaction, up to `limit` orders of `issuer` that are not final, are due,
    /// and are free, expired or `node`'s own; the longest due first.
    async fn claim_orders(
        &self,
        issuer: &str,
        node: &str,
        lease_until: Millis,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<OrderRecord>, StoreError>;

    /// The ACME account of an issuer.
    async fn account(&self, issuer: &str) -> Result<Option<AccountRecord>, StoreError>;

    /// The values of the challenge answers at this owner name, lower case.
    async fn answers(&self, owner: &str) -> Result<Vec<String>, StoreError>;
}
