//! How much there is of what: queue lengths, and how long certificates still last.

use super::DeviceState;

/// The orders of one issuer that have not ended, those of all nodes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderQueue {
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// How many wait: for a node that drives them, or for their time to come.
    pub waiting: u64,
    /// How many are being driven.
    pub in_flight: u64,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Orders, by issuer; an issuer without any is not here.
    pub orders: Vec<OrderQueue>,
    /// Enrollments that are approved but not with their issuer yet.
    pub enrollments_approved: u64,
    /// Devices that wait for a person.
    pub approvals_waiting: u64,
    /// Certificates that their CA has yet to revoke.
    pub revocations_waiting: u64,
}

/// How many certificates end before each of some times.
///
/// Counted is the newest certificate of each device that is not revoked: one that was renewed matters no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateEnds {
    /// How many end before each of the times, in the order of the times.
    pub before: Vec<u64>,
    /// How many there are.
    pub all: u64,
}

/// How many devices are in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTally {
    /// The state.
    pub state: DeviceState,
    /// How many.
    pub devices: u64,
}

/// How many events of a kind there were in a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTally {
    /// The number of the stretch, from 0.
    pub stretch: u32,
    /// The kind.
    pub kind: String,
    /// How many.
    pub events: u64,
}
