//! Counts what waits and what expires, at intervals, so that asking for the metrics costs the store nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::Clock;
use acme_bridge::bridge::Bridge;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::log::with_sources;
use super::metrics::labels::DaysLeft;
use super::metrics::{BridgeNumbers, Metrics};
use crate::store::model::Millis;
use crate::store::{Store, StoreError};

/// How often what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// Queues: a few rows of an index.
    pub queues: Duration,
    /// Certificates: a whole index, half a second for a million of them.
    pub certificates: Duration,
}

/// The task that counts.
pub struct Surveyor {
    /// What is counted.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where the counts go.
    pub metrics: Arc<Metrics>,
    /// How often.
    pub intervals: Intervals,
    /// The bridges to ACME CAs, by their issuers' names.
    pub bridges: BTreeMap<String, Arc<Bridge>>,
}

impl Surveyor {
    /// Counts until `shutdown` turns true, at once for the first time. Where the store fails the last counts stay,
    /// and so does the time at which they were made.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut queues = interval(self.intervals.queues);
        let mut certificates = interval(self.intervals.certificates);
        queues.set_missed_tick_behavior(MissedTickBehavior::Delay);
        certificates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let counted = tokio::select! {
                _ = queues.tick() => self.queues().await,
                _ = certificates.tick() => self.certificates().await,
                () = ended(&mut shutdown) => return,
            };
            if let Err(error) = counted {
                let error = with_sources(&error);
                warn!(error, "the metrics keep their last counts");
            }
        }
    }

    fn now(&self) -> Millis {
        Millis(self.clock.now())
    }

    /// Counts what waits, and looks at the bridges.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn queues(&self) -> Result<(), StoreError> {
        let now = self.now();
        self.metrics.set_queues(&self.store.queues(now).await?, now);
        for (issuer, bridge) in &self.bridges {
            let limits =
                bridge.limits_left().await.map_err(|error| StoreError::Database(error.0))?;
            let down_for = u64::try_from(bridge.down_for_millis()).unwrap_or(0);
            let counters = bridge.counters();
            let numbers = BridgeNumbers {
                lost: counters.lost_orders(),
                fallbacks: counters.fallbacks(),
                revoked: counters.revoked_certificates(),
                down_for: Duration::from_millis(down_for),
                limits,
            };
            self.metrics.set_bridge(issuer, numbers);
        }
        Ok(())
    }

    /// Counts certificates by their days left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificates(&self) -> Result<(), StoreError> {
        let now = self.now();
        let ends = self.store.certificate_ends(&DaysLeft::ends(now)).await?;
        self.metrics.set_certificates(&ends, now);
        Ok(())
    }
}

/// Waits for the daemon's end; a sender that is gone is a daemon that is gone.
async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
