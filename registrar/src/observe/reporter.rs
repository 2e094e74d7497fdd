//! Hears of every commit: tells each decision in the log, counts, wakes those who follow the trail, and remembers
//! whether the last commit failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::decision;
use super::metrics::Metrics;
use crate::store::model::Event;
use crate::store::watch::{Access, Watcher};

/// The store's watcher in a daemon.
#[derive(Debug)]
pub struct Reporter {
    metrics: Arc<Metrics>,
    is_failing: AtomicBool,
    written: watch::Sender<u64>,
}

impl Reporter {
    /// A reporter that counts here.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, is_failing: AtomicBool::new(false), written: watch::Sender::new(0) }
    }

    /// Changes whenever events were written; its value is how many were since the start.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Whether the last commit failed since the database did.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }
}

impl Watcher for Reporter {
    fn committed(&self, events: &[Event], took: Duration) {
        self.is_failing.store(false, Ordering::Relaxed);
        self.metrics.committed(took);
        for event in events {
            decision::tell(event);
            self.metrics.event(event.kind);
        }
        if !events.is_empty() {
            let written = u64::try_from(events.len()).unwrap_or(u64::MAX);
            self.written.send_modify(|count| *count = count.saturating_add(written));
        }
    }

    fn grouped(&self, commits: usize) {
        self.metrics.grouped(commits);
    }

    fn failed(&self, access: Access) {
        if access == Access::Write {
            self.is_failing.store(true, Ordering::Relaxed);
        }
        self.metrics.store_failed(access);
    }
}
