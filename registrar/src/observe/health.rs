//! Whether this process lives, and whether it can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acme_bridge::Clock;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

use super::reporter::Reporter;
use crate::policy::timekeeping::{self, ClockBehind};
use crate::store::model::Millis;
use crate::store::{Change, Store, StoreError};

/// How long the store may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// The cursor that is moved to see whether the store takes a commit again.
const PROBE: &str = "readiness";

/// Why the daemon cannot do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It is ending.
    #[error("the registrar is shutting down")]
    Ending,
    /// Nobody accepts connections of pledges.
    #[error("the listener for pledges is not up")]
    NotListening,
    /// The store takes too long.
    #[error("the store does not answer within {0:?}")]
    Slow(Duration),
    /// The store fails.
    #[error("the store fails")]
    Store(#[from] StoreError),
    /// Nothing is issued until the clock is right.
    #[error("{0}")]
    Clock(#[from] ClockBehind),
}

/// What readiness depends on.
pub struct Health {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    reporter: Arc<Reporter>,
    node: String,
    is_listening: AtomicBool,
    shutdown: watch::Receiver<bool>,
}

impl Health {
    /// Health of a daemon that does not listen yet. `shutdown`: true when it ends.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        reporter: Arc<Reporter>,
        node: &str,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let (node, is_listening) = (node.to_owned(), AtomicBool::new(false));
        Self { store, clock, reporter, node, is_listening, shutdown }
    }

    /// The listener for pledges is up for as long as what is returned lives.
    pub fn listening(self: &Arc<Self>) -> Listening {
        self.is_listening.store(true, Ordering::Relaxed);
        Listening { health: Arc::clone(self) }
    }

    /// Asks whether the daemon can do its work.
    ///
    /// The store must answer a query, and, where its last commit failed, take a commit again: a full disk lets
    /// everybody read. The clock must not be earlier than what the trail holds.
    ///
    /// # Errors
    /// [`NotReady`].
    pub async fn ready(&self) -> Result<(), NotReady> {
        if *self.shutdown.borrow() {
            return Err(NotReady::Ending);
        }
        if !self.is_listening.load(Ordering::Relaxed) {
            return Err(NotReady::NotListening);
        }
        match timeout(ANSWER, self.probe()).await {
            Ok(answer) => answer,
            Err(_) => Err(NotReady::Slow(ANSWER)),
        }
    }

    async fn probe(&self) -> Result<(), NotReady> {
        self.store.generation().await?;
        if self.reporter.is_failing() {
            let (reader, node) = (PROBE.to_owned(), self.node.clone());
            let change = Change::SetCursor { reader, node, seq: 0 };
            self.store.commit(vec![change], Vec::new()).await?;
        }
        let newest = self.store.newest_event_time().await?;
        Ok(timekeeping::judge(Millis(self.clock.now()), newest)?)
    }
}

/// A listener for pledges that is up.
#[must_use = "the listener counts as down when this is dropped"]
pub struct Listening {
    health: Arc<Health>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.health.is_listening.store(false, Ordering::Relaxed);
    }
}
