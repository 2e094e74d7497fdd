//! The bridge: takes orders, drives up to so many of them at once, and lets callers wait for their end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::account::Connect;
use crate::clock::Clock;
use crate::order::{Csr, IssuerName, OrderId, OrderRecord, OrderState};
use crate::problem::Problem;
use crate::solver::Solver;
use crate::step::{Outcome, Tools, step};
use crate::store::{OrderStore, OrderStoreError};

/// How long a lease lasts; it is renewed with each state that is written.
const LEASE_MILLIS: i64 = 120_000;
/// How often the store is asked for orders that are due.
const TICK: Duration = Duration::from_secs(1);
/// The first pause before the CA is asked again, and how long the pauses grow.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long an order is watched at a stretch before it waits its turn again.
const STRETCH: Duration = Duration::from_secs(60);
/// How long orders in flight may take to reach the end of their step when the bridge stops.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// When a CA that cannot be used is tried again.
const AWAY_MILLIS: i64 = 5_000;
/// When an order that waits for an operator is tried again.
const MISCONFIGURED_MILLIS: i64 = 60_000;
/// When a lost order is placed anew, by the number of those lost before; after the last, it is given up.
const REORDER_MILLIS: [i64; 3] = [1_000, 10_000, 60_000];

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
    config: BridgeConfig,
    store: Arc<dyn OrderStore>,
    solver: Arc<dyn Solver>,
    account: Arc<dyn Connect>,
    clock: Arc<dyn Clock>,
    placed: Notify,
    changed: Notify,
    driven: Mutex<HashSet<OrderId>>,
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
        Self {
            config,
            store,
            solver,
            account,
            clock,
            placed: Notify::new(),
            changed: Notify::new(),
            driven: Mutex::default(),
        }
    }

    /// Takes a CSR, durably. The same identifier twice is the same order.
    ///
    /// # Errors
    /// [`OrderStoreError`]; then it was not taken.
    pub async fn place(&self, id: OrderId, csr: Csr) -> Result<(), OrderStoreError> {
        let order = OrderRecord {
            id,
            issuer: self.config.issuer.clone(),
            csr,
            state: OrderState::Intended,
            attempts: 0,
            due: self.clock.now(),
            lease: None,
        };
        self.store.insert(&order).await?;
        self.placed.notify_one();
        Ok(())
    }

    /// Waits until the order ends, at most for `limit`, and says where it stands.
    ///
    /// # Errors
    /// [`OrderStoreError`].
    pub async fn wait(&self, id: &OrderId, limit: Duration) -> Result<Progress, OrderStoreError> {
        let deadline = Instant::now() + limit;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed, so the store is read after it.
            changed.as_mut().enable();
            match self.store.load(id).await?.map(|order| order.state) {
                Some(OrderState::Issued { chain }) => return Ok(Progress::Issued(chain)),
                Some(OrderState::Invalid { problem }) => return Ok(Progress::Invalid(problem)),
                _ => {}
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(Progress::Pending);
            }
        }
    }

    /// Drives orders until `shutdown` turns true; those in flight stop between two steps, where a restart finds them.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut drives = JoinSet::new();
        loop {
            self.claim(&mut drives, &shutdown).await;
            tokio::select! {
                () = self.placed.notified() => {}
                () = tokio::time::sleep(TICK) => {}
                Some(_) = drives.join_next(), if !drives.is_empty() => {}
                _ = shutdown.wait_for(|stop| *stop) => break,
            }
        }
        let ended = async { while drives.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN, ended).await.is_err() {
            // What is cut off here is found where it stands, as after a crash.
            drives.shutdown().await;
        }
    }

    async fn claim(self: &Arc<Self>, drives: &mut JoinSet<()>, shutdown: &watch::Receiver<bool>) {
        let in_flight = u32::try_from(drives.len()).unwrap_or(u32::MAX);
        let free = self.config.orders_in_flight.saturating_sub(in_flight);
        if free == 0 {
            return;
        }
        let now = self.clock.now();
        let (issuer, node) = (&self.config.issuer, &self.config.node);
        // The store gives orders that this node drives already, too: as many more are asked for.
        let limit = free.saturating_add(in_flight);
        let orders = match self.store.claim(issuer, node, now + LEASE_MILLIS, now, limit).await {
            Ok(orders) => orders,
            Err(error) => {
                warn!(%issuer, %error, "cannot look for orders");
                return;
            }
        };
        for OrderRecord { id, .. } in orders {
            let is_new = self.driven().insert(id.clone());
            if is_new {
                let bridge = Arc::clone(self);
                let shutdown = shutdown.clone();
                drives.spawn(async move { bridge.drive(id, shutdown).await });
            }
        }
    }

    fn driven(&self) -> std::sync::MutexGuard<'_, HashSet<OrderId>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives one order, which stands in `driven` from before it is read: no other task can have an older view of it.
    async fn drive(&self, id: OrderId, shutdown: watch::Receiver<bool>) {
        let driven = match self.store.load(&id).await {
            Ok(Some(order)) if order.due <= self.clock.now() => self.follow(order, shutdown).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = driven {
            warn!(order = %id, %error, "the order waits until the store works again");
            // While it stands in `driven` nobody tries it again: a broken disk must not keep a core busy.
            tokio::time::sleep(TICK).await;
        }
        self.driven().remove(&id);
        self.changed.notify_waiters();
    }

    /// Takes one step after the other until the order ends or has to wait.
    async fn follow(
        &self,
        mut order: OrderRecord,
        shutdown: watch::Receiver<bool>,
    ) -> Result<(), OrderStoreError> {
        let deadline = Instant::now() + STRETCH;
        let mut pause = FIRST_PAUSE;
        while !order.state.is_final() && !*shutdown.borrow() {
            match self.step(&order).await? {
                Outcome::Advanced(state, words) => {
                    order.state = state;
                    self.write(&mut order, 0, &words).await?;
                    pause = FIRST_PAUSE;
                }
                Outcome::Working if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                }
                Outcome::Working => {
                    return self.write(&mut order, AWAY_MILLIS, "the CA is still at work").await;
                }
                Outcome::Away(reason) => {
                    return self.write(&mut order, AWAY_MILLIS, &reason).await;
                }
                Outcome::Misconfigured(reason) => {
                    warn!(order = %order.id, issuer = %order.issuer, reason, "an order waits for an operator");
                    return self.write(&mut order, MISCONFIGURED_MILLIS, &reason).await;
                }
                Outcome::Refused(problem) => self.give_up(&mut order, problem).await?,
                Outcome::Lost(problem) => return self.place_anew(&mut order, problem).await,
            }
        }
        Ok(())
    }

    async fn step(&self, order: &OrderRecord) -> Result<Outcome, OrderStoreError> {
        let client = match self.account.client().await {
            Ok(client) => client,
            Err(error) => return Ok(Outcome::Away(error.to_string())),
        };
        let (solver, roots) = (&self.solver, &self.config.roots);
        let tools = Tools { client: &client, solver, roots, now: self.clock.now() };
        step(order, &tools).await
    }

    async fn place_anew(
        &self,
        order: &mut OrderRecord,
        problem: Problem,
    ) -> Result<(), OrderStoreError> {
        let lost = usize::try_from(order.attempts).unwrap_or(usize::MAX);
        match REORDER_MILLIS.get(lost) {
            None => self.give_up(order, problem).await,
            Some(pause) => {
                self.solver.clean_up(&order.id).await?;
                order.attempts += 1;
                order.state = OrderState::Intended;
                self.write(order, *pause, &format!("the order is lost: {problem}")).await
            }
        }
    }

    async fn give_up(
        &self,
        order: &mut OrderRecord,
        problem: Problem,
    ) -> Result<(), OrderStoreError> {
        self.solver.clean_up(&order.id).await?;
        let words = format!("given up: {problem}");
        order.state = OrderState::Invalid { problem };
        self.write(order, 0, &words).await
    }

    async fn write(
        &self,
        order: &mut OrderRecord,
        pause: i64,
        words: &str,
    ) -> Result<(), OrderStoreError> {
        let now = self.clock.now();
        order.due = now + pause;
        if let Some(lease) = &mut order.lease {
            lease.until = now + LEASE_MILLIS;
        }
        debug!(order = %order.id, state = order.state.name(), words);
        self.store.advance(order, &self.config.node, words, now).await
    }
}
