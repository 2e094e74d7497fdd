//! The bridge: takes orders, drives up to so many of them at once, and lets callers wait for their end.
//!
//! An order that waits is a row in the store and nothing here: the queue outlives restarts and costs no memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::sync::{Notify, RwLock, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use crate::account::{AccountShown, Connect};
use crate::client::{AcmeError, RenewalWindow};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::health::Health;
use crate::order::{Csr, IssuerName, OrderId, OrderRecord, OrderState, OrderTerms};
use crate::pace::Paces;
use crate::problem::Problem;
use crate::quota::{LimitLeft, Limits};
use crate::solver::Solver;
use crate::store::{OrderStore, OrderStoreError, Which};

/// How often the store is asked for orders that are due.
const TICK: Duration = Duration::from_secs(1);
/// How often those who wait look whether another node has ended their order.
const LOOK: Duration = Duration::from_secs(3);
/// How long orders in flight may take to reach the end of their step when the bridge stops.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long a change of the account's key waits for the CA's validations.
const DRAIN: Duration = Duration::from_secs(120);

/// How a bridge works.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// The CA, by the caller's name.
    pub issuer: IssuerName,
    /// This node, by a name that a restart keeps.
    pub node: String,
    /// The certificates that an issued chain may end at.
    pub roots: Vec<CertificateDer<'static>>,
    /// How many orders are driven at once.
    pub orders_in_flight: u32,
    /// The CA's profile that is ordered, if any (draft-ietf-acme-profiles).
    pub profile: Option<String>,
    /// Our zones: a CA that can authorizes one of them for all names in it (RFC 9444).
    pub zones: Vec<String>,
    /// The domains that the CA counts names under, where they are not the last two labels.
    pub registered_domains: Vec<String>,
    /// How much may be asked of the CA.
    pub limits: Limits,
    /// How long an order stays with a node that says nothing more of it; at least ten seconds.
    pub lease: Duration,
    /// How long the CA may be down or refuse for its limits before an order's fallback takes over.
    pub fallback_after: Duration,
}

impl BridgeConfig {
    /// A configuration with one order at a time, no limits and no profile.
    #[must_use]
    pub fn new(issuer: IssuerName, node: &str, roots: Vec<CertificateDer<'static>>) -> Self {
        Self {
            issuer,
            node: node.to_owned(),
            roots,
            orders_in_flight: 1,
            profile: None,
            zones: Vec::new(),
            registered_domains: Vec::new(),
            limits: Limits::default(),
            lease: Duration::from_secs(120),
            fallback_after: Duration::from_secs(60),
        }
    }
}

/// What can be said of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is being driven, or waits.
    Pending,
    /// The chain is here: the certificate first, the root last.
    Issued(Vec<CertificateDer<'static>>),
    /// It is over without one.
    Invalid(Problem),
}

/// The bridge to one CA.
pub struct Bridge {
    pub(crate) config: BridgeConfig,
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) solver: Arc<dyn Solver>,
    pub(crate) account: Arc<dyn Connect>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    /// Held for reading while requests are signed, for writing while the account's key is changed.
    pub(crate) gate: RwLock<()>,
    /// Whether no further answers are put out, since the account's key will be changed.
    pub(crate) drains: AtomicBool,
    /// One for each order that may be in flight at the CA.
    pub(crate) slots: Arc<Semaphore>,
    health: Mutex<Health>,
    paces: Mutex<Paces>,
    placed: Notify,
    waiters: Mutex<HashMap<OrderId, Arc<Waiter>>>,
}

/// Where those who wait for an order hear of its end.
#[derive(Default)]
struct Waiter {
    changed: Notify,
    /// How it ended, if that happened here.
    end: OnceLock<Progress>,
}

impl Bridge {
    /// Builds a bridge; nothing happens before [`Bridge::run`].
    #[must_use]
    pub fn new(
        config: BridgeConfig,
        store: Arc<dyn OrderStore>,
        solver: Arc<dyn Solver>,
        account: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let in_flight = usize::try_from(config.orders_in_flight.max(1)).unwrap_or(1);
        Self {
            slots: Arc::new(Semaphore::new(in_flight.min(Semaphore::MAX_PERMITS))),
            config,
            store,
            solver,
            account,
            clock,
            counters: Counters::default(),
            gate: RwLock::default(),
            drains: AtomicBool::new(false),
            health: Mutex::default(),
            paces: Mutex::default(),
            placed: Notify::new(),
            waiters: Mutex::default(),
        }
    }

    /// Takes a CSR, durably. The same identifier twice is the same order.
    ///
    /// # Errors
    /// [`OrderStoreError`]; then it was not taken.
    pub async fn place(
        &self,
        id: OrderId,
        csr: Csr,
        terms: OrderTerms,
    ) -> Result<(), OrderStoreError> {
        let issuer = self.config.issuer.clone();
        let order = OrderRecord::new(id, issuer, csr, terms, self.clock.now());
        self.store.insert(&order).await?;
        self.wake();
        Ok(())
    }

    /// Has the store looked at now: an order was placed, or an operator has changed one.
    pub fn wake(&self) {
        self.placed.notify_one();
    }

    /// Waits until the order ends, at most for `limit`, and says where it stands.
    ///
    /// # Errors
    /// [`OrderStoreError`].
    pub async fn wait(&self, id: &OrderId, limit: Duration) -> Result<Progress, OrderStoreError> {
        let deadline = Instant::now() + limit;
        let waiter = {
            let mut waiters = self.waiters();
            Arc::clone(waiters.entry(id.clone()).or_default())
        };
        let progress = loop {
            let mut changed = std::pin::pin!(waiter.changed.notified());
            // From here on no change is missed, so the store is read after it.
            changed.as_mut().enable();
            match self.store.load(id).await.map(|order| order.map(|order| end(&order.state))) {
                Err(error) => break Err(error),
                Ok(Some(Some(progress))) => break Ok(progress),
                Ok(_) if Instant::now() >= deadline => break Ok(Progress::Pending),
                Ok(_) => {}
            }
            // Another node may end it, and nobody tells us.
            let look = deadline.min(Instant::now() + LOOK);
            let _ = tokio::time::timeout_at(look, changed).await;
            if let Some(progress) = waiter.end.get() {
                break Ok(progress.clone());
            }
        };
        let mut waiters = self.waiters();
        // Ours and the table's: nobody else waits.
        if Arc::strong_count(&waiter) <= 2
            && waiters.get(id).is_some_and(|other| Arc::ptr_eq(other, &waiter))
        {
            waiters.remove(id);
        }
        progress
    }

    /// Tells those who wait for an order how it stands.
    pub(crate) fn tell(&self, id: &OrderId, state: &OrderState) {
        let mut waiters = self.waiters();
        let waiter = match end(state) {
            // Who comes later may wait for another end: an operator may have it tried again.
            Some(progress) => waiters.remove(id).inspect(|waiter| {
                let _ = waiter.end.set(progress);
            }),
            None => waiters.get(id).map(Arc::clone),
        };
        drop(waiters);
        if let Some(waiter) = waiter {
            waiter.changed.notify_waiters();
        }
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, HashMap<OrderId, Arc<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn paces(&self) -> std::sync::MutexGuard<'_, Paces> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The CA's name.
    #[must_use]
    pub fn issuer(&self) -> &IssuerName {
        &self.config.issuer
    }

    /// For how long the CA has failed, in milliseconds; 0 if it does not.
    #[must_use]
    pub fn down_for_millis(&self) -> i64 {
        self.health().down_for(self.clock.now())
    }

    /// How many orders wait or are driven, by their states' words.
    ///
    /// # Errors
    /// [`OrderStoreError`].
    pub async fn tally(&self) -> Result<Vec<(String, u64)>, OrderStoreError> {
        self.store.tally(&self.config.issuer).await
    }

    /// What is left of the limits of the account and of each registered domain that is known.
    ///
    /// # Errors
    /// [`OrderStoreError`].
    pub async fn limits_left(&self) -> Result<Vec<LimitLeft>, OrderStoreError> {
        let known = self.config.limits.known(&self.config.issuer, &self.config.registered_domains);
        let names: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
        let before = self.store.buckets(&names).await?;
        let now = self.clock.now();
        let prefix = format!("{}/", self.config.issuer);
        let left = known.into_iter().zip(before).map(|((name, rate), before)| {
            let limit = name.strip_prefix(&prefix).unwrap_or(&name).to_owned();
            LimitLeft::new(limit, rate, before, now)
        });
        Ok(left.collect())
    }

    /// When a certificate that this CA issued should be renewed, if the CA says (RFC 9773).
    ///
    /// # Errors
    /// [`AcmeError::Unsupported`] if it does not.
    pub async fn renewal_window(
        &self,
        certificate: &CertificateDer<'_>,
    ) -> Result<RenewalWindow, AcmeError> {
        let identifier =
            crate::check::renewal_identifier(certificate).ok_or(AcmeError::Malformed {
                what: "authority key identifier",
                reason: "the certificate has none".to_owned(),
            })?;
        self.account.client().await?.renewal_info(&identifier).await
    }

    /// Shows the account.
    ///
    /// # Errors
    /// [`AcmeError`].
    pub async fn account(&self) -> Result<AccountShown, AcmeError> {
        self.account.show().await
    }

    /// Ends the account at the CA: nothing can be ordered or revoked with it any more (RFC 8555 §7.3.6).
    ///
    /// # Errors
    /// [`AcmeError`].
    pub async fn deactivate_account(&self) -> Result<AccountShown, AcmeError> {
        let _gate = self.gate.write().await;
        self.account.deactivate().await
    }

    /// Gives the account a new key, when no challenge is under way that the old one answered (RFC 8555 §7.3.5).
    ///
    /// # Errors
    /// [`AcmeError`]; if the CA's answer is lost, the next request finds out which key the CA has.
    pub async fn rotate_key(&self) -> Result<AccountShown, AcmeError> {
        self.drains.store(true, Ordering::SeqCst);
        let changed = self.drain_and_rotate().await;
        self.drains.store(false, Ordering::SeqCst);
        self.wake();
        changed
    }

    async fn drain_and_rotate(&self) -> Result<AccountShown, AcmeError> {
        let deadline = Instant::now() + DRAIN;
        loop {
            {
                let _gate = self.gate.write().await;
                let tally =
                    self.tally().await.map_err(|error| AcmeError::Local(error.to_string()))?;
                if !tally.iter().any(|(state, orders)| state == "authorizing" && *orders > 0) {
                    return self.account.rotate_key().await;
                }
            }
            if Instant::now() >= deadline {
                let reason = format!("the CA still validates names after {DRAIN:?}; try again");
                return Err(AcmeError::Local(reason));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Drives orders until `shutdown` turns true; those in flight stop between two steps, where a restart finds them.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut drives = JoinSet::new();
        let mut backlog = Backlog::Unknown;
        if let Err(error) = self.store.release(&self.config.issuer, &self.config.node).await {
            // They are free when their leases end.
            warn!(issuer = %self.config.issuer, %error, "cannot free the orders of the last run");
        }
        let mut tick = tokio::time::interval(TICK);
        let mut revoking = JoinSet::new();
        let bridge = Arc::clone(&self);
        revoking.spawn(async move { bridge.authorize_zones().await });
        loop {
            let is_tick = tokio::select! {
                () = self.placed.notified() => {
                    backlog = Backlog::Unknown;
                    false
                }
                _ = tick.tick() => true,
                Some(_) = drives.join_next(), if !drives.is_empty() => false,
                _ = shutdown.wait_for(|stop| *stop) => break,
            };
            if is_tick {
                backlog = Backlog::Unknown;
                while revoking.try_join_next().is_some() {}
                if revoking.is_empty() {
                    let bridge = Arc::clone(&self);
                    revoking.spawn(async move {
                        bridge.account.refresh().await;
                        bridge.revoke_due().await;
                    });
                }
            }
            if backlog == Backlog::Unknown {
                backlog = self.claim(&mut drives, &shutdown).await;
            }
        }
        let ended = async { while drives.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN, ended).await.is_err() {
            // What is cut off here is found where it stands, as after a crash.
            drives.shutdown().await;
        }
    }

    async fn claim(
        self: &Arc<Self>,
        drives: &mut JoinSet<()>,
        shutdown: &watch::Receiver<bool>,
    ) -> Backlog {
        let most = self.config.orders_in_flight.max(1);
        // Several at a time, since a claim is a write, and ahead, so that a place that is free waits for none.
        let ahead = most.div_ceil(2);
        let claimed = u32::try_from(drives.len()).unwrap_or(u32::MAX);
        let free = most.saturating_add(ahead).saturating_sub(claimed);
        if free < ahead {
            return Backlog::Unknown;
        }
        let now = self.clock.now();
        let (is_paused, down) = {
            let health = self.health();
            (health.paused_until(now).is_some(), health.down_for(now))
        };
        let which = match is_paused {
            false => Which::Any,
            true if down >= self.fallback_after_millis() => Which::WithFallback,
            true => return Backlog::None,
        };
        let (issuer, node) = (&self.config.issuer, &self.config.node);
        let until = now.saturating_add(self.lease_millis());
        let orders = match self.store.claim(issuer, node, until, now, free, which).await {
            Ok(orders) => orders,
            Err(error) => {
                warn!(%issuer, %error, "cannot look for orders");
                return Backlog::None;
            }
        };
        let claimed = u32::try_from(orders.len()).unwrap_or(u32::MAX);
        for order in orders {
            let (bridge, shutdown) = (Arc::clone(self), shutdown.clone());
            drives.spawn(async move { bridge.drive(order, shutdown).await });
        }
        if claimed < free { Backlog::None } else { Backlog::Unknown }
    }

    pub(crate) fn lease_millis(&self) -> i64 {
        i64::try_from(self.config.lease.as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn fallback_after_millis(&self) -> i64 {
        i64::try_from(self.config.fallback_after.as_millis()).unwrap_or(i64::MAX)
    }
}

/// How an order ended, if it did.
fn end(state: &OrderState) -> Option<Progress> {
    match state {
        OrderState::Issued { chain } => Some(Progress::Issued(chain.clone())),
        OrderState::Invalid { problem } => Some(Progress::Invalid(problem.clone())),
        _ => None,
    }
}

/// Whether the store may have more orders that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    Unknown,
    None,
}
