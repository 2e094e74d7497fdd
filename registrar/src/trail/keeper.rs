//! The task that signs the trail and removes what is too old.

use std::sync::Arc;
use std::time::Duration;

use acme_bridge::Clock;
use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{info, warn};

use super::{SealError, seal};
use crate::config::Config;
use crate::flow::keygen;
use crate::identity::RegistrarIdentity;
use crate::store::chain::sign_checkpoint;
use crate::store::model::{CheckpointKind, Millis};
use crate::store::{Change, Conflict, Store, StoreError};

/// How often the newest event is signed.
const SEAL: Duration = Duration::from_secs(60);
/// How often old rows are looked for.
const PRUNE: Duration = Duration::from_secs(600);
/// How many rows are removed at once, so that nobody who writes waits for long.
const STEP: u32 = 500;
/// Between two such steps.
const PAUSE: Duration = Duration::from_millis(50);
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What the task needs.
pub struct Keeper {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whose key signs.
    pub identity: Arc<RegistrarIdentity>,
    /// This node's name.
    pub node: String,
    /// The configuration, which says how long what is over is kept.
    pub config: Arc<ArcSwap<Config>>,
}

impl Keeper {
    /// Keeps the trail until `shutdown` turns true. The last signature is [`Keeper::end`]'s,
    /// when nobody writes any more.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        let mut sealing = interval_at(Instant::now() + SEAL, SEAL);
        let mut pruning = interval_at(Instant::now() + SEAL / 2, PRUNE);
        sealing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pruning.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = sealing.tick() => self.seal().await,
                _ = pruning.tick() => {
                    if let Err(error) = self.prune().await {
                        warn!(%error, "old rows stay for now");
                    }
                }
                () = stopped(&mut shutdown) => return,
            }
        }
    }

    /// Signs the newest event for the last time.
    pub async fn end(&self) {
        self.seal().await;
    }

    async fn seal(&self) {
        let now = Millis(self.clock.now());
        let result = seal(&*self.store, self.identity.signer(), &self.node, now).await;
        if let Err(error) = result {
            warn!(%error, "the newest events are not signed yet");
        }
    }

    /// Removes old events, finished orders and limits that are full again in small steps, and keys of devices that
    /// had time to fetch them.
    ///
    /// # Errors
    /// [`SealError`]; what was removed before stays removed, with its checkpoint.
    pub async fn prune(&self) -> Result<(), SealError> {
        let now = Millis(self.clock.now());
        let retention = self.config.load().store.retention;
        let days = |days: u32| now.plus(-i64::from(days).saturating_mul(DAY_MILLIS));
        for node in self.store.nodes().await? {
            self.prune_events(&node, days(retention.events_days), now).await?;
        }
        let keys = Change::PruneSealedKeys {
            sent_until: now.plus(-keygen::SENT_MILLIS),
            made_until: now.plus(-keygen::WAITING_MILLIS),
        };
        self.store.commit(vec![keys], Vec::new()).await?;
        self.prune_quotas(now).await?;
        let before = days(retention.orders_days);
        loop {
            let orders = self.store.ended_orders(before, STEP).await?;
            if orders.is_empty() {
                return Ok(());
            }
            info!(orders = orders.len(), "finished orders are removed for their age");
            let changes = orders.into_iter().map(|order| Change::PruneOrder { order }).collect();
            self.store.commit(changes, Vec::new()).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Limits come with each name that is ordered, and are full again when their time has passed.
    async fn prune_quotas(&self, now: Millis) -> Result<(), StoreError> {
        while self.store.full_quotas(now, STEP).await? > 0 {
            let change = Change::PruneQuotas { now, limit: STEP };
            self.store.commit(vec![change], Vec::new()).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn prune_events(&self, node: &str, before: Millis, now: Millis) -> Result<(), SealError> {
        while let Some(head) = self.store.prunable_events(node, before, STEP).await? {
            let kind = CheckpointKind::Pruned;
            let checkpoint = sign_checkpoint(self.identity.signer(), node, head, kind, now)?;
            match self.store.commit(vec![Change::PruneEvents(checkpoint)], Vec::new()).await {
                // Another node was quicker.
                Err(StoreError::Conflict(Conflict::Missing)) => {}
                result => result?,
            }
            info!(node, seq = head.seq, "events up to here are removed for their age");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone is a daemon that is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
