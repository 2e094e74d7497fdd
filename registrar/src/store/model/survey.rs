//! How much there is of what: queue lengths, and how long certificates still last.

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
