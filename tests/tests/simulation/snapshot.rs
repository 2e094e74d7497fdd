//! What is known at one moment, as an observer reads it from the store.

use acme_bridge::OrderRecord;
use brski_registrar::store::Store as _;
use brski_registrar::store::memory::MemoryStore;
use brski_registrar::store::model::{
    Approval, ApprovalState, Credential, DeviceFilter, DeviceState, Enrollment, EnrollmentState,
    Id, Identity, IssuedCertificate, KnownDevice, Millis, OrderFilter, Sha256, VoucherExchange,
    VoucherState,
};
use brski_voucher::certificate::Certificate;

use super::site::{PLEDGES, PRINTER, SITE};
use super::world::Asked;

/// More rows than a run makes.
const ALL: u32 = 100_000;

/// Why nothing may come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Barred,
    Unvouchered,
    Rejected,
    Impostor,
    Revoked,
}

/// See the module.
pub(super) struct Snapshot {
    pub(super) devices: Vec<KnownDevice>,
    pub(super) certificates: Vec<IssuedCertificate>,
    pub(super) enrollments: Vec<Enrollment>,
    pub(super) exchanges: Vec<VoucherExchange>,
    pub(super) orders: Vec<OrderRecord>,
    pub(super) approvals: Vec<Approval>,
    pub(super) credential: Credential,
}

impl Snapshot {
    pub(super) async fn take(store: &MemoryStore) -> Self {
        let devices = store.devices(&DeviceFilter::default(), None, ALL).await.unwrap();
        let mut enrollments = Vec::new();
        let mut approvals = Vec::new();
        for known in &devices {
            enrollments.extend(store.enrollments_of(&known.device.id).await.unwrap());
            approvals.extend(store.approvals_of(&known.device.id).await.unwrap());
        }
        let mut exchanges = Vec::new();
        for digest in SITE.request_digests() {
            exchanges.extend(store.voucher_exchange(&digest).await.unwrap());
        }
        let first = (Millis(i64::MIN), Sha256([0; 32]));
        let listed = store.orders(&OrderFilter::default(), None, ALL).await.unwrap();
        let mut orders: Vec<OrderRecord> = listed.into_iter().map(|row| row.order).collect();
        orders.reverse();
        Self {
            certificates: store.certificates(Millis(i64::MAX), first, ALL).await.unwrap(),
            credential: store.credential("printer").await.unwrap().unwrap(),
            devices,
            enrollments,
            exchanges,
            orders,
            approvals,
        }
    }

    pub(super) fn device(&self, id: &Id) -> Option<&KnownDevice> {
        self.devices.iter().find(|known| known.device.id == *id)
    }

    /// The device with a pledge's serial number, or of its credential.
    pub(super) fn of_pledge(&self, pledge: usize) -> Option<&KnownDevice> {
        let is_its = |known: &&KnownDevice| match (&known.identity, PLEDGES.get(pledge)) {
            (Identity::Idevid { manufacturer, serial, .. }, Some((maker, own))) => {
                *manufacturer == SITE.makers[*maker].row.id && serial == own
            }
            (Identity::Credential { .. }, None) => true,
            _ => false,
        };
        self.devices.iter().find(is_its)
    }

    /// Whether the device is known by this pledge's key.
    pub(super) fn is_genuine(&self, known: &KnownDevice, pledge: usize) -> bool {
        let key = SITE
            .idevid(pledge)
            .map(|der| Sha256::of(Certificate::from_der(der).unwrap().spki_der()));
        known.identity.seen().is_none_or(|seen| Some(seen.spki) == key)
    }

    /// The waiting questions.
    pub(super) fn questions(&self) -> Vec<&Approval> {
        self.approvals.iter().filter(|row| row.state == ApprovalState::Waiting).collect()
    }

    /// The place of an order that has not ended.
    pub(super) fn open_order(&self) -> Option<usize> {
        self.orders.iter().position(|order| !order.state.is_final())
    }

    /// How many enrollments are approved, and not with their issuer.
    pub(super) fn approved(&self) -> usize {
        let approved = |row: &&Enrollment| row.state == EnrollmentState::Approved;
        self.enrollments.iter().filter(approved).count()
    }

    /// Whether the newest exchange of a device ended with the pledge's no.
    fn is_rejected(&self, device: &Id) -> bool {
        let of_device = self.exchanges.iter().filter(|row| row.device == *device);
        let newest = of_device.max_by_key(|row| (row.updated_at, row.created_at));
        newest.is_some_and(|row| matches!(row.state, VoucherState::Rejected { .. }))
    }

    /// Why nothing may come of a request, if so. `shown`: the certificate of ours that it shows.
    pub(super) fn closed(
        &self,
        asked: &Asked,
        pledge: usize,
        shown: Option<Sha256>,
    ) -> Option<Closed> {
        let is_voucher = matches!(asked, Asked::Voucher { .. });
        if let Some(shown) = shown {
            let row = self.certificates.iter().find(|row| row.fingerprint == shown)?;
            let known = self.device(&row.device)?;
            return match (row.revoked_at, known.device.state) {
                (Some(_), _) => Some(Closed::Revoked),
                (None, DeviceState::Retired | DeviceState::Blocked) => Some(Closed::Barred),
                _ => None,
            };
        }
        if pledge == PRINTER {
            let state = self.of_pledge(pledge).map(|known| known.device.state);
            return match (self.credential.revoked_at, state) {
                (Some(_), _) => Some(Closed::Revoked),
                (_, Some(DeviceState::Retired | DeviceState::Blocked)) => Some(Closed::Barred),
                _ => None,
            };
        }
        let needs_voucher = PLEDGES[pledge].0 == 0 && !is_voucher;
        let Some(known) = self.of_pledge(pledge) else {
            return needs_voucher.then_some(Closed::Unvouchered);
        };
        match known.device.state {
            DeviceState::Retired | DeviceState::Blocked => Some(Closed::Barred),
            DeviceState::Vouchered | DeviceState::Enrolled | DeviceState::Admitted
                if !self.is_genuine(known, pledge) =>
            {
                Some(Closed::Impostor)
            }
            DeviceState::Admitted if needs_voucher && self.is_rejected(&known.device.id) => {
                Some(Closed::Rejected)
            }
            DeviceState::Expected | DeviceState::Pending | DeviceState::Admitted
                if needs_voucher =>
            {
                Some(Closed::Unvouchered)
            }
            _ => None,
        }
    }
}
