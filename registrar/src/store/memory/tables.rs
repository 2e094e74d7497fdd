//! Everything that is known, as maps; and the questions that need more than one of them.

use std::collections::{BTreeMap, BTreeSet};

use acme_bridge::{AccountRecord, ChallengeAnswer, OrderId, OrderRecord};

use super::vouchers::NoncelessRow;
use crate::store::model::{
    Approval, CertificateEnds, ChainCertificate, Checkpoint, CheckpointKind, Credential, Device,
    DeviceState, DeviceTally, Enrollment, EnrollmentState, Id, Identity, IssuedCertificate,
    KnownDevice, Manufacturer, Millis, NodeSettings, OrderQueue, OwnRecords, Queues, RevocationRow,
    SealedKey, Sha256, StoredEvent, VoucherExchange,
};

/// What a commit may change, and what a commit that fails brings back; and the events, which are only appended.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) rows: Rows,
    /// By node and number.
    pub(super) events: BTreeMap<(String, i64), StoredEvent>,
}

/// What a commit may change.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) generation: i64,
    pub(super) manufacturers: BTreeMap<Id, Manufacturer>,
    /// Their names are in `names`.
    pub(super) devices: BTreeMap<Id, Device>,
    pub(super) identities: BTreeMap<Id, Identity>,
    /// Names in lower case, each with its device.
    pub(super) names: BTreeMap<String, Id>,
    pub(super) approvals: BTreeMap<Id, Approval>,
    pub(super) credentials: BTreeMap<String, Credential>,
    pub(super) exchanges: BTreeMap<Id, VoucherExchange>,
    /// By device and encoding's word.
    pub(super) nonceless: BTreeMap<(Id, &'static str), NoncelessRow>,
    pub(super) enrollments: BTreeMap<Id, Enrollment>,
    pub(super) certificates: BTreeMap<Sha256, IssuedCertificate>,
    /// By SHA-256 and issuer.
    pub(super) chain: BTreeMap<(Sha256, String), ChainCertificate>,
    pub(super) keys: BTreeMap<Sha256, SealedKey>,
    pub(super) orders: BTreeMap<OrderId, OrderRow>,
    pub(super) answers: BTreeMap<(String, String, OrderId), AnswerRow>,
    pub(super) quotas: BTreeMap<String, i64>,
    pub(super) revocations: BTreeMap<Sha256, RevocationRow>,
    pub(super) accounts: BTreeMap<String, AccountRecord>,
    /// By node, number and kind.
    pub(super) checkpoints: BTreeMap<(String, i64, CheckpointKind), Checkpoint>,
    pub(super) node_settings: BTreeMap<String, NodeSettings>,
    /// By reader and node.
    pub(super) cursors: BTreeMap<(String, String), i64>,
    /// By their numbers.
    pub(super) own: OwnRecords,
    pub(super) warnings: BTreeSet<String>,
}

/// An order, with what the bridge does not see.
#[derive(Clone)]
pub(super) struct OrderRow {
    pub(super) order: OrderRecord,
    pub(super) created_at: Millis,
    /// Whose turn it is: the least first.
    pub(super) turn: i64,
    pub(super) steps: Vec<(Millis, String)>,
}

/// A challenge answer, and whether no order needs it any more.
#[derive(Clone)]
pub(super) struct AnswerRow {
    pub(super) answer: ChallengeAnswer,
    pub(super) is_retired: bool,
}

/// Whether an enrollment is on its way; there is one such at most with a key.
pub(super) fn is_open(enrollment: &Enrollment) -> bool {
    matches!(enrollment.state, EnrollmentState::Approved | EnrollmentState::Ordered)
}

/// Rows in the order of a key, which is computed from each.
pub(super) fn sorted<T: Clone, K: Ord>(
    rows: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_by_key(key);
    rows
}

/// A limit as a number of rows.
pub(super) fn at_most(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn count(rows: impl Iterator) -> u64 {
    u64::try_from(rows.count()).unwrap_or(u64::MAX)
}

impl Rows {
    /// A device with its name and identity.
    pub(super) fn known(&self, id: &Id) -> Option<KnownDevice> {
        let mut device = self.devices.get(id)?.clone();
        device.name =
            self.names.iter().find(|(_, owner)| *owner == id).map(|(name, _)| name.clone());
        Some(KnownDevice { device, identity: self.identities.get(id)?.clone() })
    }

    /// The device whose identity is the wanted one.
    pub(super) fn identified(&self, is_wanted: impl Fn(&Identity) -> bool) -> Option<KnownDevice> {
        let (id, _) = self.identities.iter().find(|(_, identity)| is_wanted(identity))?;
        self.known(id)
    }

    /// The devices whose identifier, name or serial number is a text: in this order, each once.
    pub(super) fn find_devices(&self, text: &str) -> Vec<KnownDevice> {
        let lower = text.to_lowercase();
        let all: Vec<KnownDevice> =
            sorted(self.devices.keys().filter_map(|id| self.known(id)), |known| {
                (known.device.created_at, known.device.id.clone())
            });
        let rank = |known: &KnownDevice| {
            if known.device.id.as_str() == text {
                Some(0)
            } else if known.device.name.as_deref() == Some(lower.as_str()) {
                Some(1)
            } else if known.identity.serial() == Some(text) {
                Some(2)
            } else {
                None
            }
        };
        let found = all.into_iter().filter(|known| rank(known).is_some());
        sorted(found, rank)
    }

    /// The newest enrollment with a key: an open one, even if the clock went back.
    pub(super) fn enrollment_by_key(&self, key: &Sha256) -> Option<Enrollment> {
        self.enrollments
            .values()
            .filter(|row| row.key == *key)
            .max_by_key(|row| (is_open(row), row.created_at, &row.id))
            .cloned()
    }

    /// A device other than `device` with this key.
    pub(super) fn other_holder(&self, spki: &Sha256, device: &Id) -> Option<Id> {
        let certified = self.certificates.values().filter(|row| row.spki == *spki);
        let shown = self.identities.iter();
        let shown = shown.filter(|(_, row)| row.seen().is_some_and(|seen| seen.spki == *spki));
        let mut holders = certified.map(|row| &row.device).chain(shown.map(|(id, _)| id));
        holders.find(|holder| *holder != device).cloned()
    }

    /// The CA certificates directly above certificates that are valid after `now` and not revoked.
    pub(super) fn issuing(&self, now: Millis) -> Vec<Sha256> {
        let is_needed = |above: &ChainCertificate| {
            self.certificates.values().any(|row| {
                row.revoked_at.is_none()
                    && row.not_after > now
                    && match &row.authority {
                        Some(authority) => *authority == above.fingerprint,
                        None => row.issuer == above.issuer,
                    }
            })
        };
        let needed = self.chain.values().filter(|above| is_needed(above));
        let mut needed: Vec<Sha256> = needed.map(|above| above.fingerprint).collect();
        needed.sort();
        needed.dedup();
        needed
    }

    /// What waits.
    pub(super) fn queues(&self, now: Millis) -> Queues {
        let mut orders: Vec<OrderQueue> = Vec::new();
        let open = self.orders.values().map(|row| &row.order).filter(|row| !row.state.is_final());
        for order in sorted(open, |order| order.issuer.clone()) {
            let issuer = order.issuer.as_str();
            if orders.last().is_none_or(|queue| queue.issuer != issuer) {
                orders.push(OrderQueue { issuer: issuer.to_owned(), waiting: 0, in_flight: 0 });
            }
            let leased = order.lease.as_ref().is_some_and(|lease| lease.until > now.0);
            if let Some(queue) = orders.last_mut() {
                match leased && order.due <= now.0 {
                    true => queue.in_flight += 1,
                    false => queue.waiting += 1,
                }
            }
        }
        let approved = |row: &&Enrollment| row.state == EnrollmentState::Approved;
        let waiting = crate::store::model::ApprovalState::Waiting;
        Queues {
            orders,
            enrollments_approved: count(self.enrollments.values().filter(approved)),
            approvals_waiting: count(self.approvals.values().filter(|row| row.state == waiting)),
            revocations_waiting: count(
                self.revocations.values().filter(|row| row.done_at.is_none()),
            ),
        }
    }

    /// How many devices are in each state.
    pub(super) fn device_tally(&self) -> Vec<DeviceTally> {
        let mut tally: BTreeMap<&str, (DeviceState, u64)> = BTreeMap::new();
        for device in self.devices.values() {
            tally.entry(device.state.as_str()).or_insert((device.state, 0)).1 += 1;
        }
        tally.into_values().map(|(state, devices)| DeviceTally { state, devices }).collect()
    }

    /// How many devices' newest certificates end before each of some times.
    pub(super) fn certificate_ends(&self, times: &[Millis]) -> CertificateEnds {
        let live = || self.certificates.values().filter(|row| row.revoked_at.is_none());
        let is_newest = |row: &&IssuedCertificate| {
            !live().any(|other| other.device == row.device && other.created_at > row.created_at)
        };
        let newest: Vec<&IssuedCertificate> = live().filter(is_newest).collect();
        let before = |time: &Millis| count(newest.iter().filter(|row| row.not_after < *time));
        CertificateEnds { before: times.iter().map(before).collect(), all: count(newest.iter()) }
    }
}
