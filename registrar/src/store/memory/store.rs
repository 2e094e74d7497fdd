//! The trait, method by method.

use acme_bridge::{AccountRecord, AnswerKind, ChallengeAnswer, OrderId, OrderRecord, Which};
use async_trait::async_trait;
use brski_voucher::encoding::Encoding;

use super::orders::Claim;
use super::tables::{at_most, sorted};
use super::{MemoryStore, Result};
use crate::store::model::{
    Approval, ApprovalState, CertificateEnds, ChainCertificate, Checkpoint, Credential,
    DeviceFilter, DevicePlace, DeviceTally, Enrollment, EnrollmentState, Event, EventFilter,
    EventPlace, EventTally, Head, Id, Identity, IssuedCertificate, KnownDevice, ListedOrder,
    Manufacturer, Millis, NodeSettings, NoncelessVoucher, OrderFilter, OrderPlace, OrderTally,
    OwnRecords, Queues, RevocationRow, SealedKey, Sha256, StoredEvent, VoucherExchange,
    VoucherState, WaitingDevices,
};
use crate::store::{Change, Store};

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<()> {
        if changes.is_empty() && events.is_empty() {
            return Ok(());
        }
        self.write(changes, events).await
    }

    async fn generation(&self) -> Result<i64> {
        self.read(|tables| tables.rows.generation).await
    }

    async fn own_records(&self) -> Result<OwnRecords> {
        self.read(|tables| tables.rows.own.clone()).await
    }

    async fn manufacturers(&self) -> Result<Vec<Manufacturer>> {
        self.read(|tables| {
            sorted(tables.rows.manufacturers.values().cloned(), |row| row.name.clone())
        })
        .await
    }

    async fn device_by_serial(
        &self,
        manufacturer: &Id,
        serial: &str,
    ) -> Result<Option<KnownDevice>> {
        self.read(|tables| {
            tables.rows.identified(|identity| {
                identity.manufacturer() == Some(manufacturer) && identity.serial() == Some(serial)
            })
        })
        .await
    }

    async fn device(&self, id: &Id) -> Result<Option<KnownDevice>> {
        self.read(|tables| tables.rows.known(id)).await
    }

    async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DevicePlace>,
        limit: u32,
    ) -> Result<Vec<KnownDevice>> {
        self.read(|tables| tables.rows.devices_page(filter, after, limit)).await
    }

    async fn find_devices(&self, text: &str) -> Result<Vec<KnownDevice>> {
        self.read(|tables| tables.rows.find_devices(text)).await
    }

    async fn approval(&self, id: &Id) -> Result<Option<Approval>> {
        self.read(|tables| tables.rows.approvals.get(id).cloned()).await
    }

    async fn latest_approval(&self, device: &Id, spki: &Sha256) -> Result<Option<Approval>> {
        self.read(|tables| {
            let rows = tables.rows.approvals.values();
            let rows = rows.filter(|row| row.device == *device && row.spki == *spki);
            rows.max_by_key(|row| (row.created_at, &row.id)).cloned()
        })
        .await
    }

    async fn approvals_of(&self, device: &Id) -> Result<Vec<Approval>> {
        self.read(|tables| {
            let rows = tables.rows.approvals.values().filter(|row| row.device == *device);
            sorted(rows.cloned(), |row| (row.created_at, row.id.clone()))
        })
        .await
    }

    async fn approvals(
        &self,
        state: ApprovalState,
        after: (Millis, Id),
        limit: u32,
    ) -> Result<Vec<Approval>> {
        self.read(|tables| {
            let place = |row: &Approval| (row.created_at, row.id.clone());
            let rows = tables.rows.approvals.values();
            let rows = rows.filter(|row| row.state == state && place(row) > after).cloned();
            sorted(rows, place).into_iter().take(at_most(limit)).collect()
        })
        .await
    }

    async fn waiting_devices(&self, manufacturer: &Id) -> Result<WaitingDevices> {
        self.read(|tables| {
            let waiting = tables.rows.waiting(manufacturer);
            let silent_longest = waiting.clone().min_by_key(|row| (row.asked_at, &row.id)).cloned();
            let number = u64::try_from(waiting.count()).unwrap_or(u64::MAX);
            WaitingDevices { number, silent_longest }
        })
        .await
    }

    async fn credentials(&self) -> Result<Vec<Credential>> {
        self.read(|tables| tables.rows.credentials.values().cloned().collect()).await
    }

    async fn credential(&self, name: &str) -> Result<Option<Credential>> {
        self.read(|tables| tables.rows.credentials.get(name).cloned()).await
    }

    async fn device_by_credential(&self, name: &str) -> Result<Option<KnownDevice>> {
        let is_wanted = |identity: &Identity| identity.credential() == Some(name);
        self.read(|tables| tables.rows.identified(is_wanted)).await
    }

    async fn voucher_exchange(&self, request_sha256: &Sha256) -> Result<Option<VoucherExchange>> {
        self.read(|tables| {
            let mut rows = tables.rows.exchanges.values();
            rows.find(|row| row.request_sha256 == *request_sha256).cloned()
        })
        .await
    }

    async fn is_exchange_open(&self, before: Millis, active: Millis) -> Result<bool> {
        self.read(|tables| {
            tables.rows.exchanges.values().any(|row| {
                let waits = matches!(row.state, VoucherState::Asked | VoucherState::Issued { .. });
                waits && row.created_at < before && row.updated_at > active
            })
        })
        .await
    }

    async fn vouchers(
        &self,
        before: Millis,
        after: Option<&Id>,
        limit: u32,
    ) -> Result<Vec<(Id, Vec<u8>)>> {
        self.read(|tables| {
            let rows = tables.rows.exchanges.values();
            rows.filter(|row| row.created_at < before && after.is_none_or(|after| row.id > *after))
                .filter_map(|row| match &row.state {
                    VoucherState::Issued { voucher } | VoucherState::Accepted { voucher } => {
                        Some((row.id.clone(), voucher.clone()))
                    }
                    _ => None,
                })
                .take(at_most(limit))
                .collect()
        })
        .await
    }

    async fn latest_voucher_exchange(&self, device: &Id) -> Result<Option<VoucherExchange>> {
        self.read(|tables| {
            let rows = tables.rows.exchanges.values().filter(|row| row.device == *device);
            rows.max_by_key(|row| (row.updated_at, row.created_at)).cloned()
        })
        .await
    }

    async fn nonceless_voucher(
        &self,
        device: &Id,
        encoding: Encoding,
    ) -> Result<Option<NoncelessVoucher>> {
        self.read(|tables| tables.rows.nonceless(device, encoding)).await
    }

    async fn nonceless_vouchers(
        &self,
        after: (&Id, &str),
        limit: u32,
    ) -> Result<Vec<NoncelessVoucher>> {
        self.read(|tables| tables.rows.nonceless_page(after, limit)).await
    }

    async fn nonceless_vouchers_due(
        &self,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<NoncelessVoucher>> {
        self.read(|tables| tables.rows.nonceless_due(now, limit)).await
    }

    async fn enrollment(&self, id: &Id) -> Result<Option<Enrollment>> {
        self.read(|tables| tables.rows.enrollments.get(id).cloned()).await
    }

    async fn enrollment_by_key(&self, key: &Sha256) -> Result<Option<Enrollment>> {
        self.read(|tables| tables.rows.enrollment_by_key(key)).await
    }

    async fn enrollments_of(&self, device: &Id) -> Result<Vec<Enrollment>> {
        self.read(|tables| {
            let rows = tables.rows.enrollments.values().filter(|row| row.device == *device);
            sorted(rows.cloned(), |row| (row.created_at, row.id.clone()))
        })
        .await
    }

    async fn approved_enrollments(&self) -> Result<Vec<Enrollment>> {
        self.read(|tables| {
            let rows = tables.rows.enrollments.values();
            let rows = rows.filter(|row| row.state == EnrollmentState::Approved);
            sorted(rows.cloned(), |row| (row.created_at, row.id.clone()))
        })
        .await
    }

    async fn certificate(&self, fingerprint: &Sha256) -> Result<Option<IssuedCertificate>> {
        self.read(|tables| tables.rows.certificates.get(fingerprint).cloned()).await
    }

    async fn certificates_between(
        &self,
        least: &Sha256,
        most: &Sha256,
        limit: u32,
    ) -> Result<Vec<IssuedCertificate>> {
        self.read(|tables| {
            let rows = tables.rows.certificates.values();
            let rows = rows.filter(|row| (least..=most).contains(&&row.fingerprint));
            rows.take(at_most(limit)).cloned().collect()
        })
        .await
    }

    async fn certificates(
        &self,
        ends_before: Millis,
        after: (Millis, Sha256),
        limit: u32,
    ) -> Result<Vec<IssuedCertificate>> {
        self.read(|tables| {
            let place = |row: &IssuedCertificate| (row.not_after, row.fingerprint);
            let rows = tables.rows.certificates.values();
            let rows = rows.filter(|row| row.not_after < ends_before && place(row) > after);
            sorted(rows.cloned(), place).into_iter().take(at_most(limit)).collect()
        })
        .await
    }

    async fn certificates_of(&self, device: &Id) -> Result<Vec<IssuedCertificate>> {
        self.read(|tables| {
            let rows = tables.rows.certificates.values().filter(|row| row.device == *device);
            sorted(rows.cloned(), |row| (row.created_at, row.fingerprint))
        })
        .await
    }

    async fn other_holder(&self, spki: &Sha256, device: &Id) -> Result<Option<Id>> {
        self.read(|tables| tables.rows.other_holder(spki, device)).await
    }

    async fn certificates_by_serial(&self, serial: &str) -> Result<Vec<IssuedCertificate>> {
        self.read(|tables| {
            let rows = tables.rows.certificates.values().filter(|row| row.serial == serial);
            sorted(rows.cloned(), |row| (row.created_at, row.fingerprint))
        })
        .await
    }

    async fn revoked_certificates(
        &self,
        issuer: &str,
        now: Millis,
    ) -> Result<Vec<IssuedCertificate>> {
        self.read(|tables| {
            let rows = tables.rows.certificates.values().filter(|row| {
                row.issuer == issuer && row.revoked_at.is_some() && row.not_after > now
            });
            sorted(rows.cloned(), |row| (row.not_after, row.fingerprint))
        })
        .await
    }

    async fn chain_certificates(&self) -> Result<Vec<ChainCertificate>> {
        self.read(|tables| {
            let rows = tables.rows.chain.values().cloned();
            sorted(rows, |row| (row.issuer.clone(), row.fingerprint))
        })
        .await
    }

    async fn issuing_certificates(&self, now: Millis) -> Result<Vec<Sha256>> {
        self.read(|tables| tables.rows.issuing(now)).await
    }

    async fn sealed_key(&self, wish: &Sha256) -> Result<Option<SealedKey>> {
        self.read(|tables| tables.rows.keys.get(wish).cloned()).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        after: Option<&EventPlace>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>> {
        self.read(|tables| tables.events_page(filter, after, limit)).await
    }

    async fn nodes(&self) -> Result<Vec<String>> {
        self.read(super::tables::Tables::nodes).await
    }

    async fn newest_event_time(&self) -> Result<Option<Millis>> {
        self.read(super::tables::Tables::newest_time).await
    }

    async fn chain(&self, node: &str, after: i64, limit: u32) -> Result<Vec<StoredEvent>> {
        self.read(|tables| {
            let rows = tables.chain(node).filter(|row| row.seq > after);
            rows.take(at_most(limit)).cloned().collect()
        })
        .await
    }

    async fn head(&self, node: &str) -> Result<Head> {
        self.read(|tables| tables.head(node)).await
    }

    async fn checkpoints(&self, node: &str) -> Result<Vec<Checkpoint>> {
        self.read(|tables| {
            let rows = tables.rows.checkpoints.values();
            rows.filter(|row| row.node == node).cloned().collect()
        })
        .await
    }

    async fn prunable_events(
        &self,
        node: &str,
        before: Millis,
        limit: u32,
    ) -> Result<Option<Head>> {
        self.read(|tables| tables.prunable(node, before, limit)).await
    }

    async fn node_settings(&self) -> Result<Vec<NodeSettings>> {
        self.read(|tables| tables.rows.node_settings.values().cloned().collect()).await
    }

    async fn cursor(&self, reader: &str) -> Result<Vec<(String, i64)>> {
        self.read(|tables| {
            let rows = tables.rows.cursors.iter().filter(|((of, _), _)| of == reader);
            rows.map(|((_, node), seq)| (node.clone(), *seq)).collect()
        })
        .await
    }

    async fn order(&self, id: &OrderId) -> Result<Option<OrderRecord>> {
        self.read(|tables| tables.rows.orders.get(id).map(|row| row.order.clone())).await
    }

    async fn order_steps(&self, id: &OrderId) -> Result<Vec<(Millis, String)>> {
        self.read(|tables| {
            tables.rows.orders.get(id).map(|row| row.steps.clone()).unwrap_or_default()
        })
        .await
    }

    async fn ended_orders(&self, before: Millis, limit: u32) -> Result<Vec<OrderId>> {
        self.read(|tables| tables.rows.ended_orders(before, limit)).await
    }

    async fn claim_orders(
        &self,
        issuer: &str,
        node: &str,
        lease_until: Millis,
        now: Millis,
        limit: u32,
        which: Which,
    ) -> Result<Vec<OrderRecord>> {
        self.claim(Claim { issuer, node, lease_until, now, limit, which }).await
    }

    async fn queues(&self, now: Millis) -> Result<Queues> {
        self.read(|tables| tables.rows.queues(now)).await
    }

    async fn certificate_ends(&self, times: &[Millis]) -> Result<CertificateEnds> {
        self.read(|tables| tables.rows.certificate_ends(times)).await
    }

    async fn device_tally(&self) -> Result<Vec<DeviceTally>> {
        self.read(|tables| tables.rows.device_tally()).await
    }

    async fn event_tally(
        &self,
        kinds: &[&str],
        since: Millis,
        stretch: Millis,
    ) -> Result<Vec<EventTally>> {
        self.read(|tables| tables.event_tally(kinds, since, stretch)).await
    }

    async fn listed_order(&self, id: &OrderId) -> Result<Option<ListedOrder>> {
        self.read(|tables| tables.rows.orders.get(id).map(|row| row.listed())).await
    }

    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: u32,
    ) -> Result<Vec<ListedOrder>> {
        self.read(|tables| tables.rows.orders_page(filter, after, limit)).await
    }

    async fn order_tally(&self) -> Result<Vec<OrderTally>> {
        self.read(|tables| tables.rows.order_tally()).await
    }

    async fn quotas(&self, buckets: &[String]) -> Result<Vec<Option<i64>>> {
        self.read(|tables| {
            buckets.iter().map(|bucket| tables.rows.quotas.get(bucket).copied()).collect()
        })
        .await
    }

    async fn full_quotas(&self, now: Millis, limit: u32) -> Result<u32> {
        self.read(|tables| {
            let full = tables.rows.quotas.values().filter(|full_at| **full_at < now.0).count();
            u32::try_from(full).unwrap_or(limit).min(limit)
        })
        .await
    }

    async fn revocations_due(
        &self,
        issuer: &str,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<RevocationRow>> {
        self.read(|tables| {
            let rows = tables.rows.revocations.values();
            let due =
                rows.filter(|row| row.issuer == issuer && row.done_at.is_none() && row.due <= now);
            sorted(due.cloned(), |row| row.due).into_iter().take(at_most(limit)).collect()
        })
        .await
    }

    async fn revocation(&self, fingerprint: &Sha256) -> Result<Option<RevocationRow>> {
        self.read(|tables| tables.rows.revocations.get(fingerprint).cloned()).await
    }

    async fn account(&self, issuer: &str) -> Result<Option<AccountRecord>> {
        self.read(|tables| tables.rows.accounts.get(issuer).cloned()).await
    }

    async fn answers(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>> {
        self.read(|tables| tables.rows.own_answers(kind, owner)).await
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool> {
        self.read(|tables| tables.rows.is_above_answer(name)).await
    }

    async fn retired_answers(&self, limit: u32) -> Result<Vec<ChallengeAnswer>> {
        self.read(|tables| tables.rows.retired_answers(limit)).await
    }

    async fn is_answer_in_force(&self, answer: &ChallengeAnswer) -> Result<bool> {
        self.read(|tables| tables.rows.is_answer_in_force(answer)).await
    }

    async fn answers_in_force_at(&self, owner: &str) -> Result<Vec<String>> {
        self.read(|tables| tables.rows.answers_in_force_at(owner)).await
    }
}
