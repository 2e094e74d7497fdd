//! Drives one order: step after step until it ends or has to wait, each written before the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::bridge::Bridge;
use crate::client::AcmeError;
use crate::order::{OrderRecord, OrderState};
use crate::problem::{Course, Problem, ProblemKind};
use crate::quota;
use crate::step::{Memory, Outcome, SOLVER_SECS, Tools, Whom, publish, step};
use crate::store::{OrderStoreError, Step};

/// How long an order is watched at a stretch before it waits its turn again.
const STRETCH: Duration = Duration::from_secs(15);
/// How often a CA that trips is asked again at once, and after how long first; each pause doubles.
///
/// Some CAs trip over two requests at the same moment (step-ca, when an order is read while another is placed), and
/// leaving all orders alone for that would take longer than the orders do.
const TRIPS: u32 = 3;
const TRIP_PAUSE: Duration = Duration::from_millis(25);
/// After how long a store that fails is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Whether the drive goes on after what was written.
pub(crate) enum Next {
    Step,
    Stop,
}

/// A place among the orders in flight at the CA.
type Slot = OwnedSemaphorePermit;

/// How an order is watched while the CA works.
#[derive(Clone, Copy, Default)]
struct Watch {
    looks: u32,
    pause: Duration,
    since: Option<Instant>,
    /// How often the CA tripped over this order, in all its states.
    trips: u32,
}

impl Watch {
    /// One of the order's next state.
    fn afresh(self) -> Self {
        Self { trips: self.trips, ..Self::default() }
    }
}

impl Bridge {
    /// Drives an order that this node leased, when there is a place for it.
    pub(crate) async fn drive(
        self: &Arc<Self>,
        mut order: OrderRecord,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let id = order.id.clone();
        let mut slot = tokio::select! {
            slot = tokio::time::timeout(self.config.lease / 2, self.slot()) => slot.unwrap_or(None),
            _ = shutdown.wait_for(|stop| *stop) => None,
        };
        let mut driven = match slot {
            Some(_) => self.follow(&mut order, &mut slot, &shutdown).await,
            None if *shutdown.borrow() => {
                self.park(&mut order, 0, Step::new("the bridge stops")).await
            }
            // Its lease would end while others are driven: whoever has a place first takes it.
            None => self.park(&mut order, 0, Step::new("all places are taken")).await,
        };
        while let Err(error) = driven {
            warn!(order = %id, %error, "the order waits until the store works again");
            // A broken disk must not keep a core busy.
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                _ = shutdown.wait_for(|stop| *stop) => break,
            }
            driven = self.resume(&mut order, &mut slot, &shutdown).await;
        }
        self.tell(&id, &order.state);
    }

    /// A place among the orders in flight; they are given out in the order in which they are asked for.
    async fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Goes on with an order after the store failed, if this node has it still.
    async fn resume(
        &self,
        order: &mut OrderRecord,
        slot: &mut Option<Slot>,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<(), OrderStoreError> {
        let Some(stored) = self.store.load(&order.id).await? else { return Ok(()) };
        *order = stored;
        let now = self.clock.now();
        match &order.lease {
            Some(lease) if lease.node == self.config.node && lease.until > now => {
                self.follow(order, slot, shutdown).await
            }
            // It ended, or another node has it.
            _ => Ok(()),
        }
    }

    /// Takes one step after the other until the order ends or has to wait.
    async fn follow(
        &self,
        order: &mut OrderRecord,
        slot: &mut Option<Slot>,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<(), OrderStoreError> {
        // While an order is watched nothing is written, so the watch ends before the lease does.
        let deadline = Instant::now() + STRETCH.min(self.config.lease / 3);
        let mut watch = Watch::default();
        let mut memory = Memory::default();
        // What the CA said already while the state before it was being written.
        let mut ahead = None;
        while !order.state.is_final() {
            if *shutdown.borrow() && ahead.is_none() {
                return self.park(order, 0, Step::new("the bridge stops")).await;
            }
            let outcome = match ahead.take() {
                Some(outcome) => outcome,
                None => self.step(order, &mut memory).await?,
            };
            if matches!(outcome, Outcome::Advanced(..) | Outcome::Working(_)) {
                self.health().answered();
            }
            match outcome {
                Outcome::Working(wait) => {
                    let pause = self.pause(order, &mut watch, wait);
                    if Instant::now() + pause >= deadline {
                        return self.rest(order, pause).await;
                    }
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                Outcome::Advanced(state, words) => {
                    self.learn(order, &mut watch);
                    if state.is_final() {
                        // Nothing more is asked of the CA: the next order need not wait for our disk.
                        *slot = None;
                    }
                    ahead = self.advance(order, state, words, &mut memory).await?;
                }
                Outcome::Later(problem, _) if is_trip(&problem) && watch.trips < TRIPS => {
                    let pause = TRIP_PAUSE * (1 << watch.trips);
                    watch.trips += 1;
                    let words = format!("asking again in {pause:?}: {problem}");
                    self.write(order, 0, Step::new(words)).await?;
                    tokio::time::sleep(pause).await;
                }
                other => match self.conclude(order, other).await? {
                    Next::Step => watch = watch.afresh(),
                    Next::Stop => return Ok(()),
                },
            }
        }
        Ok(())
    }

    /// How long the CA is left to work before the next look; what it asks for is obeyed.
    fn pause(&self, order: &OrderRecord, watch: &mut Watch, asked: Option<u32>) -> Duration {
        if let Some(seconds) = asked {
            // Its word says how long it takes, not our looks.
            *watch = watch.afresh();
            return Duration::from_secs(u64::from(seconds));
        }
        let pace = *self.paces().of(&order.state);
        watch.pause = pace.pause(watch.looks, watch.pause);
        watch.since.get_or_insert_with(Instant::now);
        watch.looks += 1;
        watch.pause
    }

    /// Learns from a watch that is over.
    fn learn(&self, order: &OrderRecord, watch: &mut Watch) {
        if let Watch { looks: looks @ 1.., since: Some(since), .. } = *watch {
            self.paces().of(&order.state).learn(looks - 1, since.elapsed());
        }
        *watch = watch.afresh();
    }

    /// Writes the state that a step reached, with what may go on meanwhile, since it changes nothing at the CA:
    /// the answers leave when all names are authorized, and a chain is read. Gives what that came to.
    async fn advance(
        &self,
        order: &mut OrderRecord,
        state: OrderState,
        words: String,
        memory: &mut Memory,
    ) -> Result<Option<Outcome>, OrderStoreError> {
        self.count_end(&state);
        match state {
            OrderState::Ready { url } => {
                // No request is between the two states, so they are one write.
                self.enter(order, OrderState::Finalizing { url });
                let words = format!("{words}; sending the CSR");
                let id = order.id.clone();
                let written = self.write(order, 0, Step::new(words));
                tokio::try_join!(written, self.solver.clean_up(&id))?;
                Ok(None)
            }
            state @ OrderState::Valid { .. } => self.fetch(order, state, words, memory).await,
            OrderState::Authorizing { url } => {
                self.enter(order, OrderState::Authorizing { url });
                let seen = order.clone();
                let written = self.write(order, 0, Step::new(words));
                let ((), published) = tokio::try_join!(written, self.publish(&seen, memory))?;
                if published.is_some() {
                    // The CA was told nothing, and will not be before the answers are out.
                    if let OrderState::Authorizing { url } = &order.state {
                        let url = url.clone();
                        self.enter(order, OrderState::Placed { url });
                    }
                    *memory = Memory::Unknown;
                }
                Ok(published)
            }
            state => {
                self.enter(order, state);
                self.write(order, 0, Step::new(words)).await?;
                Ok(None)
            }
        }
    }

    /// Reads the chain of an order that is valid, and writes both as one where nothing hinders that: who finds
    /// the order in the state before asks the CA, and comes here again.
    async fn fetch(
        &self,
        order: &mut OrderRecord,
        valid: OrderState,
        words: String,
        memory: &mut Memory,
    ) -> Result<Option<Outcome>, OrderStoreError> {
        self.enter(order, valid);
        match self.step(order, memory).await? {
            Outcome::Advanced(state, more) => {
                Ok(Some(Outcome::Advanced(state, format!("{words}; {more}"))))
            }
            other => {
                self.write(order, 0, Step::new(words)).await?;
                Ok(Some(other))
            }
        }
    }

    async fn step(
        &self,
        order: &OrderRecord,
        memory: &mut Memory,
    ) -> Result<Outcome, OrderStoreError> {
        let later = |reason: String| {
            Outcome::Later(Problem::new(ProblemKind::Unavailable, "", &reason), Whom::Everybody)
        };
        let paused = self.health().paused_until(self.clock.now());
        if paused.is_some() && order.state == OrderState::Intended {
            return Ok(later("the CA failed a moment ago".to_owned()));
        }
        // Nobody changes the account's key while a request is signed with it.
        let _gate = self.gate.read().await;
        let is_published = !matches!(order.state, OrderState::Placed { .. });
        if self.drains.load(Ordering::SeqCst) && !is_published {
            return Ok(Outcome::Working(Some(1)));
        }
        let client = match self.account.client().await {
            Ok(client) => client,
            Err(AcmeError::Problem(problem)) => {
                let whom = match problem.course() {
                    Course::LaterAndAlarm => Whom::Order,
                    _ => Whom::Everybody,
                };
                return Ok(Outcome::Later(problem, whom));
            }
            // An operator must act, and this node does nothing for anybody meanwhile; others may.
            Err(error @ (AcmeError::ForeignKey { .. } | AcmeError::Ended { .. })) => {
                let problem = Problem::new(ProblemKind::Account, "", &error.to_string());
                return Ok(Outcome::Later(problem, Whom::Everybody));
            }
            Err(error) => return Ok(later(error.to_string())),
        };
        if order.state == OrderState::Intended
            && let Some(until) = self.spend(order, &*client).await?
        {
            let mut problem =
                Problem::new(ProblemKind::RateLimited, "", "our own limit for this CA is reached");
            let wait = until.saturating_sub(self.clock.now()).div_euclid(1000) + 1;
            problem.retry_after_secs = u32::try_from(wait).ok();
            return Ok(Outcome::Later(problem, Whom::Order));
        }
        let tools = Tools {
            client: &client,
            solver: &self.solver,
            roots: &self.config.roots,
            profile: self.config.profile.as_deref(),
            ancestor: self.ancestor(order),
            now: self.clock.now(),
        };
        let limit = self.left_of_lease(order);
        match tokio::time::timeout(limit, step(order, memory, &tools)).await {
            Ok(outcome) => outcome,
            Err(_) => Ok(later(format!("a step took longer than {limit:?}"))),
        }
    }

    /// Puts out the answers that an order of known authorizations needs, no longer than its lease allows;
    /// gives what hinders that.
    async fn publish(
        &self,
        order: &OrderRecord,
        memory: &Memory,
    ) -> Result<Option<Outcome>, OrderStoreError> {
        let limit = self.left_of_lease(order);
        match tokio::time::timeout(limit, publish(order, memory, &self.solver)).await {
            Ok(hindrance) => hindrance,
            Err(_) => {
                let reason = format!("answers were not out after {limit:?}");
                let mut problem = Problem::new(ProblemKind::Unavailable, "", &reason);
                problem.retry_after_secs = Some(SOLVER_SECS);
                Ok(Some(Outcome::Later(problem, Whom::Order)))
            }
        }
    }

    /// How long a step may take: no longer than the order's lease, less a margin.
    fn left_of_lease(&self, order: &OrderRecord) -> Duration {
        let left = order.lease.as_ref().map(|lease| lease.until.saturating_sub(self.clock.now()));
        let left = left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_millis);
        left.unwrap_or_default().min(self.config.lease) * 5 / 6
    }

    /// Takes from the buckets of our limits, or says when there will be enough.
    async fn spend(
        &self,
        order: &OrderRecord,
        client: &dyn crate::client::AcmeClient,
    ) -> Result<Option<i64>, OrderStoreError> {
        // Renewals that name what they replace are not counted (RFC 9773 §5, as Let's Encrypt has it).
        let is_exempt =
            order.terms.replaces.is_some() && client.offer().resources.contains(&"renewalInfo");
        let buckets = self.config.limits.buckets(order, &self.config.registered_domains);
        if is_exempt || buckets.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = buckets.iter().map(|(name, _)| name.clone()).collect();
        loop {
            let before = self.store.buckets(&names).await?;
            match quota::take(&buckets, &before, self.clock.now()) {
                Err(until) => return Ok(Some(until)),
                Ok(spendings) if self.store.spend(&spendings).await? => return Ok(None),
                // Another order took from one of them meanwhile.
                Ok(_) => {}
            }
        }
    }

    /// The zone of ours that all names of an order are below, for CAs that authorize whole zones (RFC 9444).
    fn ancestor(&self, order: &OrderRecord) -> Option<&str> {
        let is_below = |name: &String, zone: &str| {
            name.strip_suffix(zone).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        self.config
            .zones
            .iter()
            .find(|zone| order.csr.names.iter().all(|name| is_below(name, zone)))
            .map(String::as_str)
    }

    /// Writes what a step came to.
    async fn conclude(
        &self,
        order: &mut OrderRecord,
        outcome: Outcome,
    ) -> Result<Next, OrderStoreError> {
        match outcome {
            // Those go on, and conclude nothing.
            Outcome::Advanced(..) | Outcome::Working(_) => Ok(Next::Step),
            Outcome::Refused(problem, certificate) => {
                self.give_up(order, problem, certificate).await?;
                Ok(Next::Stop)
            }
            Outcome::Lost(problem) => self.place_anew(order, problem).await,
            Outcome::Later(problem, whom) => self.wait_for_ca(order, problem, whom).await,
        }
    }

    pub(crate) fn enter(&self, order: &mut OrderRecord, state: OrderState) {
        order.state = state;
        order.since = self.clock.now();
    }

    pub(crate) fn count_end(&self, state: &OrderState) {
        match state {
            OrderState::Issued { .. } => self.counters.issued(),
            OrderState::Invalid { .. } => self.counters.failed(),
            _ => {}
        }
    }

    /// Writes the order and leaves it to whoever claims it when it is due.
    pub(crate) async fn park(
        &self,
        order: &mut OrderRecord,
        pause: i64,
        step: Step,
    ) -> Result<(), OrderStoreError> {
        order.lease = None;
        self.write(order, pause, step).await
    }

    pub(crate) async fn write(
        &self,
        order: &mut OrderRecord,
        pause: i64,
        step: Step,
    ) -> Result<(), OrderStoreError> {
        let now = self.clock.now();
        order.due = now.saturating_add(pause);
        if let Some(lease) = &mut order.lease {
            lease.until = now.saturating_add(self.lease_millis());
        }
        debug!(order = %order.id, state = order.state.name(), words = step.words);
        self.store.advance(order, &self.config.node, &step, now).await
    }
}

/// Whether a CA says that something went wrong inside it, and neither that it is overloaded nor when to come back.
fn is_trip(problem: &Problem) -> bool {
    problem.word() == "serverInternal"
        && problem.status == 500
        && problem.retry_after_secs.is_none()
}
