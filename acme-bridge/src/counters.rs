//! What a bridge did since its start, for whoever measures.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a bridge.
#[derive(Debug, Default)]
pub struct Counters {
    issued: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    fallbacks: AtomicU64,
    revoked: AtomicU64,
}

impl Counters {
    /// How many orders ended with a certificate.
    #[must_use]
    pub fn issued_orders(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// How many orders ended without one.
    #[must_use]
    pub fn failed_orders(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How many orders were lost at the CA and placed anew.
    #[must_use]
    pub fn lost_orders(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How many orders went to another CA.
    #[must_use]
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Ordering::Relaxed)
    }

    /// How many certificates were revoked.
    #[must_use]
    pub fn revoked_certificates(&self) -> u64 {
        self.revoked.load(Ordering::Relaxed)
    }

    pub(crate) fn issued(&self) {
        self.issued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn revoked(&self) {
        self.revoked.fetch_add(1, Ordering::Relaxed);
    }
}
