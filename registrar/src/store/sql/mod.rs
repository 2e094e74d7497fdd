//! The store in SQL, written once for both databases; an [`Engine`] runs it.

use std::error::Error;
use std::sync::Arc;

use acme_bridge::{AccountRecord, AnswerKind, ChallengeAnswer, OrderId, OrderRecord, Which};
use async_trait::async_trait;
use brski_voucher::encoding::Encoding;
use thiserror::Error;

use self::session::{Engine, Pending, Session};
use self::writer::{Answer, Claim, Work};
use super::model::{
    Approval, ApprovalState, CertificateEnds, ChainCertificate, Checkpoint, Credential,
    DeviceFilter, DevicePlace, DeviceTally, Enrollment, Event, EventFilter, EventPlace, EventTally,
    Head, Id, IssuedCertificate, KnownDevice, ListedOrder, Manufacturer, Millis, NodeSettings,
    NoncelessVoucher, OrderFilter, OrderPlace, OrderTally, OwnRecords, Queues, RevocationRow,
    SealedKey, Sha256, StoredEvent, VoucherExchange, WaitingDevices,
};
use super::watch::{Access, Watcher};
use super::{Change, Store, StoreError};

mod answers;
mod apply;
mod manufacturers;
pub(super) mod migrations;
mod orders;
mod own;
mod pages;
pub(super) mod read;
mod rows;
mod sealed;
pub(super) mod session;
mod survey;
pub(super) mod trail;
mod vouchers;
mod waiting;
pub(super) mod writer;

/// Why a database cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no database, or cannot be reached.
    #[error("cannot open {place}: {source}")]
    Database {
        /// The file, or host and database.
        place: String,
        /// What the system or the database said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The address of the database is none.
    #[error("the PostgreSQL URL cannot be used: {reason}")]
    Url {
        /// What is wrong with it; never the URL itself, which holds a password.
        reason: String,
    },
    /// Another process writes to it.
    #[error(
        "another registrar process uses {place}; stop it, or let this command reach its admin socket"
    )]
    InUse {
        /// The file, or the node.
        place: String,
    },
    /// A newer version of this program made it.
    #[error(
        "{place} has tables of version {version}, and this program knows them up to {known}: \
         run the newer registrar, or restore a backup made by this one; nothing was changed"
    )]
    Newer {
        /// The file, or host and database.
        place: String,
        /// The version of its tables.
        version: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Its tables cannot be brought up to date.
    #[error("cannot bring the tables of {place} up to date: {reason}")]
    Migrate {
        /// The file, or host and database.
        place: String,
        /// What went wrong.
        reason: String,
    },
}

/// A store on a database.
pub struct SqlStore<E> {
    engine: E,
    watcher: Arc<dyn Watcher>,
}

#[expect(private_bounds, reason = "an engine is a matter of this store alone")]
impl<E: Engine> SqlStore<E> {
    pub(super) fn new(engine: E, watcher: Arc<dyn Watcher>) -> Self {
        Self { engine, watcher }
    }

    async fn read<T, Q>(&self, query: Q) -> session::Result<T>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static,
    {
        self.watched(self.engine.read(query).await)
    }

    /// As [`SqlStore::read`], for a query that finds a few rows by an index.
    async fn look_up<T, Q>(&self, query: Q) -> session::Result<T>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static,
    {
        self.watched(self.engine.look_up(query).await)
    }

    fn watched<T>(&self, answer: session::Result<T>) -> session::Result<T> {
        if answer.is_err() {
            self.watcher.failed(Access::Read);
        }
        answer
    }

    async fn write(&self, work: Work) -> Answer {
        let answer = self.engine.write(work).await;
        if matches!(&answer, Err(error) if !matches!(error, StoreError::Conflict(_))) {
            self.watcher.failed(Access::Write);
        }
        answer
    }
}

/// Runs one of the queries with owned copies of its arguments.
macro_rules! query {
    ($store:ident, $function:path $(, $argument:expr)*) => {
        $store.read(move |session| Box::pin(async move { $function(session $(, $argument)*).await })).await
    };
}

/// As `query`, for one that finds a few rows by an index.
macro_rules! look_up {
    ($store:ident, $function:path $(, $argument:expr)*) => {
        $store.look_up(move |session| Box::pin(async move { $function(session $(, $argument)*).await })).await
    };
}

#[async_trait]
impl<E: Engine> Store for SqlStore<E> {
    async fn commit(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<(), StoreError> {
        if changes.is_empty() && events.is_empty() {
            return Ok(());
        }
        self.write(Work::Commit { changes, events }).await.map(|_| ())
    }

    async fn generation(&self) -> Result<i64, StoreError> {
        look_up!(self, read::generation)
    }

    async fn own_records(&self) -> Result<OwnRecords, StoreError> {
        query!(self, own::records)
    }

    async fn manufacturers(&self) -> Result<Vec<Manufacturer>, StoreError> {
        query!(self, read::manufacturers)
    }

    async fn device_by_serial(
        &self,
        manufacturer: &Id,
        serial: &str,
    ) -> Result<Option<KnownDevice>, StoreError> {
        let (manufacturer, serial) = (manufacturer.clone(), serial.to_owned());
        look_up!(self, read::device_by_serial, &manufacturer, &serial)
    }

    async fn device(&self, id: &Id) -> Result<Option<KnownDevice>, StoreError> {
        let id = id.clone();
        look_up!(self, read::device, &id)
    }

    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DevicePlace>,
        limit: u32,
    ) -> Result<Vec<KnownDevice>, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        query!(self, pages::devices, &filter, after.as_ref(), limit)
    }

    async fn find_devices(&self, text: &str) -> Result<Vec<KnownDevice>, StoreError> {
        let text = text.to_owned();
        query!(self, read::find_devices, &text)
    }

    async fn approval(&self, id: &Id) -> Result<Option<Approval>, StoreError> {
        let id = id.clone();
        query!(self, read::approval, &id)
    }

    async fn latest_approval(
        &self,
        device: &Id,
        spki: &Sha256,
    ) -> Result<Option<Approval>, StoreError> {
        let (device, spki) = (device.clone(), *spki);
        look_up!(self, read::latest_approval, &device, &spki)
    }

    async fn approvals_of(&self, device: &Id) -> Result<Vec<Approval>, StoreError> {
        let device = device.clone();
        query!(self, read::approvals_of, &device)
    }

    async fn approvals(
        &self,
        state: ApprovalState,
        after: (Millis, Id),
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        query!(self, read::approvals_page, state, (after.0, &after.1), limit)
    }

    async fn waiting_devices(&self, manufacturer: &Id) -> Result<WaitingDevices, StoreError> {
        let manufacturer = manufacturer.clone();
        query!(self, waiting::of_manufacturer, &manufacturer)
    }

    async fn credentials(&self) -> Result<Vec<Credential>, StoreError> {
        query!(self, read::credentials)
    }

    async fn credential(&self, name: &str) -> Result<Option<Credential>, StoreError> {
        let name = name.to_owned();
        look_up!(self, read::credential, &name)
    }

    async fn device_by_credential(&self, name: &str) -> Result<Option<KnownDevice>, StoreError> {
        let name = name.to_owned();
        look_up!(self, read::device_by_credential, &name)
    }

    async fn voucher_exchange(
        &self,
        request_sha256: &Sha256,
    ) -> Result<Option<VoucherExchange>, StoreError> {
        let digest = *request_sha256;
        look_up!(self, vouchers::exchange, &digest)
    }

    async fn is_exchange_open(&self, before: Millis, active: Millis) -> Result<bool, StoreError> {
        query!(self, own::is_exchange_open, before, active)
    }

    async fn vouchers(
        &self,
        before: Millis,
        after: Option<&Id>,
        limit: u32,
    ) -> Result<Vec<(Id, Vec<u8>)>, StoreError> {
        let after = after.cloned();
        query!(self, own::vouchers, before, after.as_ref(), limit)
    }

    async fn latest_voucher_exchange(
        &self,
        device: &Id,
    ) -> Result<Option<VoucherExchange>, StoreError> {
        let device = device.clone();
        look_up!(self, vouchers::latest_exchange, &device)
    }

    async fn nonceless_voucher(
        &self,
        device: &Id,
        encoding: Encoding,
    ) -> Result<Option<NoncelessVoucher>, StoreError> {
        let device = device.clone();
        query!(self, vouchers::nonceless, &device, encoding)
    }

    async fn nonceless_vouchers(
        &self,
        after: (&Id, &str),
        limit: u32,
    ) -> Result<Vec<NoncelessVoucher>, StoreError> {
        let (device, encoding) = (after.0.clone(), after.1.to_owned());
        query!(self, vouchers::nonceless_page, (&device, &encoding), limit)
    }

    async fn nonceless_vouchers_due(
        &self,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<NoncelessVoucher>, StoreError> {
        query!(self, vouchers::nonceless_due, now, limit)
    }

    async fn enrollment(&self, id: &Id) -> Result<Option<Enrollment>, StoreError> {
        let id = id.clone();
        look_up!(self, read::enrollment, &id)
    }

    async fn enrollment_by_key(&self, key: &Sha256) -> Result<Option<Enrollment>, StoreError> {
        let key = *key;
        look_up!(self, read::enrollment_by_key, &key)
    }

    async fn enrollments_of(&self, device: &Id) -> Result<Vec<Enrollment>, StoreError> {
        let device = device.clone();
        query!(self, read::enrollments_of, &device)
    }

    async fn approved_enrollments(&self) -> Result<Vec<Enrollment>, StoreError> {
        query!(self, read::approved_enrollments)
    }

    async fn certificate(
        &self,
        fingerprint: &Sha256,
    ) -> Result<Option<IssuedCertificate>, StoreError> {
        let fingerprint = *fingerprint;
        look_up!(self, read::certificate, &fingerprint)
    }

    async fn certificates_between(
        &self,
        least: &Sha256,
        most: &Sha256,
        limit: u32,
    ) -> Result<Vec<IssuedCertificate>, StoreError> {
        let (least, most) = (*least, *most);
        query!(self, read::certificates_between, &least, &most, limit)
    }

    async fn certificates_of(&self, device: &Id) -> Result<Vec<IssuedCertificate>, StoreError> {
        let device = device.clone();
        query!(self, read::certificates_of, &device)
    }

    async fn certificates(
        &self,
        ends_before: Millis,
        after: (Millis, Sha256),
        limit: u32,
    ) -> Result<Vec<IssuedCertificate>, StoreError> {
        query!(self, read::certificates_page, ends_before, (after.0, &after.1), limit)
    }

    async fn other_holder(&self, spki: &Sha256, device: &Id) -> Result<Option<Id>, StoreError> {
        let (spki, device) = (*spki, device.clone());
        look_up!(self, read::other_holder, &spki, &device)
    }

    async fn certificates_by_serial(
        &self,
        serial: &str,
    ) -> Result<Vec<IssuedCertificate>, StoreError> {
        let serial = serial.to_owned();
        query!(self, read::certificates_by_serial, &serial)
    }

    async fn revoked_certificates(
        &self,
        issuer: &str,
        now: Millis,
    ) -> Result<Vec<IssuedCertificate>, StoreError> {
        let issuer = issuer.to_owned();
        query!(self, read::revoked_certificates, &issuer, now)
    }

    async fn chain_certificates(&self) -> Result<Vec<ChainCertificate>, StoreError> {
        look_up!(self, read::chain_certificates)
    }

    async fn issuing_certificates(&self, now: Millis) -> Result<Vec<Sha256>, StoreError> {
        look_up!(self, read::issuing_certificates, now)
    }

    async fn sealed_key(&self, wish: &Sha256) -> Result<Option<SealedKey>, StoreError> {
        let wish = *wish;
        query!(self, sealed::by_wish, &wish)
    }

    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<&EventPlace>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        query!(self, pages::events, &filter, after.as_ref(), limit)
    }

    async fn nodes(&self) -> Result<Vec<String>, StoreError> {
        query!(self, trail::nodes)
    }

    async fn newest_event_time(&self) -> Result<Option<Millis>, StoreError> {
        look_up!(self, trail::newest_time)
    }

    async fn chain(
        &self,
        node: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let node = node.to_owned();
        query!(self, trail::chain_rows, &node, after, limit)
    }

    async fn head(&self, node: &str) -> Result<Head, StoreError> {
        let node = node.to_owned();
        query!(self, trail::head, &node)
    }

    async fn checkpoints(&self, node: &str) -> Result<Vec<Checkpoint>, StoreError> {
        let node = node.to_owned();
        query!(self, trail::checkpoints, &node)
    }

    async fn prunable_events(
        &self,
        node: &str,
        before: Millis,
        limit: u32,
    ) -> Result<Option<Head>, StoreError> {
        let node = node.to_owned();
        query!(self, trail::prunable, &node, before, limit)
    }

    async fn node_settings(&self) -> Result<Vec<NodeSettings>, StoreError> {
        query!(self, trail::node_settings)
    }

    async fn cursor(&self, reader: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let reader = reader.to_owned();
        query!(self, trail::cursor, &reader)
    }

    async fn order(&self, id: &OrderId) -> Result<Option<OrderRecord>, StoreError> {
        let id = id.clone();
        look_up!(self, orders::order, &id)
    }

    async fn order_steps(&self, id: &OrderId) -> Result<Vec<(Millis, String)>, StoreError> {
        let id = id.clone();
        query!(self, orders::steps, &id)
    }

    async fn ended_orders(&self, before: Millis, limit: u32) -> Result<Vec<OrderId>, StoreError> {
        query!(self, orders::ended, before, limit)
    }

    async fn claim_orders(
        &self,
        issuer: &str,
        node: &str,
        lease_until: Millis,
        now: Millis,
        limit: u32,
        which: Which,
    ) -> Result<Vec<OrderRecord>, StoreError> {
        let (issuer, node) = (issuer.to_owned(), node.to_owned());
        let claim = Claim { issuer, node, lease_until, now, limit, which };
        self.write(Work::Claim(claim)).await
    }

    async fn listed_order(&self, id: &OrderId) -> Result<Option<ListedOrder>, StoreError> {
        let id = id.clone();
        query!(self, orders::listed, &id)
    }

    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: u32,
    ) -> Result<Vec<ListedOrder>, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        query!(self, orders::page, &filter, after.as_ref(), limit)
    }

    async fn order_tally(&self) -> Result<Vec<OrderTally>, StoreError> {
        query!(self, orders::tally)
    }

    async fn quotas(&self, buckets: &[String]) -> Result<Vec<Option<i64>>, StoreError> {
        let buckets = buckets.to_vec();
        query!(self, orders::buckets, &buckets)
    }

    async fn full_quotas(&self, now: Millis, limit: u32) -> Result<u32, StoreError> {
        query!(self, orders::full_quotas, now, limit)
    }

    async fn revocations_due(
        &self,
        issuer: &str,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<RevocationRow>, StoreError> {
        let issuer = issuer.to_owned();
        query!(self, orders::revocations_due, &issuer, now, limit)
    }

    async fn revocation(&self, fingerprint: &Sha256) -> Result<Option<RevocationRow>, StoreError> {
        let fingerprint = *fingerprint;
        query!(self, orders::revocation, &fingerprint)
    }

    async fn queues(&self, now: Millis) -> Result<Queues, StoreError> {
        query!(self, survey::queues, now)
    }

    async fn certificate_ends(&self, times: &[Millis]) -> Result<CertificateEnds, StoreError> {
        let times = times.to_vec();
        query!(self, survey::certificate_ends, &times)
    }

    async fn device_tally(&self) -> Result<Vec<DeviceTally>, StoreError> {
        query!(self, survey::devices)
    }

    async fn event_tally(
        &self,
        kinds: &[&str],
        since: Millis,
        stretch: Millis,
    ) -> Result<Vec<EventTally>, StoreError> {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        query!(self, survey::events, &kinds, since, stretch)
    }

    async fn account(&self, issuer: &str) -> Result<Option<AccountRecord>, StoreError> {
        let issuer = issuer.to_owned();
        look_up!(self, read::account, &issuer)
    }

    async fn answers(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, StoreError> {
        let owner = owner.to_owned();
        query!(self, answers::values, kind, &owner)
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        query!(self, answers::is_above, &name)
    }

    async fn retired_answers(&self, limit: u32) -> Result<Vec<ChallengeAnswer>, StoreError> {
        query!(self, answers::retired, limit)
    }

    async fn is_answer_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, StoreError> {
        let answer = answer.clone();
        query!(self, answers::is_in_force, &answer)
    }

    async fn answers_in_force_at(&self, owner: &str) -> Result<Vec<String>, StoreError> {
        let owner = owner.to_owned();
        query!(self, answers::in_force_at, &owner)
    }
}
