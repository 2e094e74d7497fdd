//! Drives one order: step after step until it ends or has to wait, each written before the next.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::bridge::Bridge;
use crate::client::AcmeError;
use crate::order::{OrderRecord, OrderState};
use crate::problem::{Course, Problem, ProblemKind};
use crate::quota;
use crate::step::{Memory, Outcome, Tools, Whom, step};
use crate::store::{Alarm, OrderStoreError, Step};

/// The first pause before the CA is asked again, and how long the pauses grow.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long an order is watched at a stretch before it waits its turn again.
const STRETCH: Duration = Duration::from_secs(15);
/// How long an order rests at least between two stretches, in milliseconds.
const REST_MILLIS: i64 = 5_000;
/// How long an order rests at most between two stretches, in milliseconds.
const LONGEST_REST_MILLIS: i64 = 5 * 60_000;
/// When an order that waits for an operator is tried again, in milliseconds.
const OPERATOR_MILLIS: i64 = 60_000;
/// How long a CA may be at work on one state of an order, in milliseconds: a day.
const PATIENCE_MILLIS: i64 = 24 * 3600 * 1000;
/// When a lost order is placed anew, by the number of those lost before; after the last, it is given up.
const REORDER_MILLIS: [i64; 3] = [1_000, 30_000, 600_000];
/// After how long a store that fails is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Whether the drive goes on after what was written.
enum Next {
    Step,
    Stop,
}

impl Bridge {
    /// Drives an order that this node leased.
    pub(crate) async fn drive(&self, order: OrderRecord, mut shutdown: watch::Receiver<bool>) {
        let id = order.id.clone();
        let mut order = Some(order);
        loop {
            let driven = match order.take() {
                Some(order) => self.follow(order, &shutdown).await,
                None => self.resume(&id, &shutdown).await,
            };
            let Err(error) = driven else { break };
            warn!(order = %id, %error, "the order waits until the store works again");
            // A broken disk must not keep a core busy.
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                _ = shutdown.wait_for(|stop| *stop) => break,
            }
        }
    }

    /// Goes on with an order after the store failed, if this node has it still.
    async fn resume(
        &self,
        id: &crate::OrderId,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<(), OrderStoreError> {
        match self.store.load(id).await? {
            Some(order)
                if order.lease.as_ref().is_some_and(|lease| {
                    lease.node == self.config.node && lease.until > self.clock.now()
                }) =>
            {
                self.follow(order, shutdown).await
            }
            // It ended, or another node has it.
            _ => Ok(()),
        }
    }

    /// Takes one step after the other until the order ends or has to wait.
    async fn follow(
        &self,
        mut order: OrderRecord,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<(), OrderStoreError> {
        // While an order is watched nothing is written, so the watch ends before the lease does.
        let deadline = Instant::now() + STRETCH.min(self.config.lease / 3);
        let mut pause = FIRST_PAUSE;
        let mut memory = Memory::default();
        while !order.state.is_final() {
            if *shutdown.borrow() {
                return self.park(&mut order, 0, Step::new("the bridge stops")).await;
            }
            let outcome = self.step(&order, &mut memory).await?;
            if matches!(outcome, Outcome::Advanced(..) | Outcome::Working(_)) {
                self.health().answered();
            }
            if let Outcome::Working(wait) = outcome {
                let asked = wait.map(|seconds| Duration::from_secs(u64::from(seconds)));
                let this = asked.unwrap_or(pause);
                if Instant::now() + this >= deadline {
                    return self.rest(&mut order, this).await;
                }
                tokio::time::sleep(this).await;
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
                continue;
            }
            match self.conclude(&mut order, outcome).await? {
                Next::Step => pause = FIRST_PAUSE,
                Next::Stop => return Ok(()),
            }
        }
        Ok(())
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
        // No longer than its lease.
        let limit = self.config.lease * 5 / 6;
        match tokio::time::timeout(limit, step(order, memory, &tools)).await {
            Ok(outcome) => outcome,
            Err(_) => Ok(later(format!("a step took longer than {limit:?}"))),
        }
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
            Outcome::Advanced(state, words) => {
                self.count_end(&state);
                self.enter(order, state);
                self.write(order, 0, Step::new(words)).await?;
                Ok(Next::Step)
            }
            Outcome::Working(_) => Ok(Next::Step),
            Outcome::Refused(problem, certificate) => {
                self.give_up(order, problem, certificate).await?;
                Ok(Next::Stop)
            }
            Outcome::Lost(problem) => self.place_anew(order, problem).await,
            Outcome::Later(problem, whom) => self.wait_for_ca(order, problem, whom).await,
        }
    }

    /// The CA says "not now", or nothing at all.
    async fn wait_for_ca(
        &self,
        order: &mut OrderRecord,
        problem: Problem,
        whom: Whom,
    ) -> Result<Next, OrderStoreError> {
        let now = self.clock.now();
        let wait = problem.retry_after_secs;
        let until = match (whom, wait) {
            (Whom::Everybody, None) if is_of_one_request(&problem) => self.health().stumbled(now),
            (Whom::Everybody, _) => self.health().failed(now, wait),
            (Whom::Order, Some(seconds)) => now.saturating_add(i64::from(seconds) * 1000),
            (Whom::Order, None) => now.saturating_add(OPERATOR_MILLIS),
        };
        if problem.kind == ProblemKind::Account {
            // Another node may have given the account another key.
            self.account.reopen().await;
        }
        if let Some(fallback) = self.fallback(order, &problem, until - now) {
            return self.fall_back(order, problem, fallback).await;
        }
        let alarm = match problem.kind {
            // Once for an order, not once a minute.
            kind if order.problem.as_ref().is_some_and(|last| last.kind == kind) => None,
            ProblemKind::Account => Some(Alarm::Account),
            ProblemKind::Configuration => Some(Alarm::Configuration),
            _ => None,
        };
        let step = Step { words: format!("not now: {problem}"), alarm, revoke: None };
        order.problem = Some(problem);
        self.park(order, until.saturating_sub(now), step).await?;
        Ok(Next::Stop)
    }

    /// The CA that takes over, if one may: there is no order at the first, which is down or out of quota.
    fn fallback(
        &self,
        order: &OrderRecord,
        problem: &Problem,
        wait: i64,
    ) -> Option<crate::IssuerName> {
        let patience = self.fallback_after_millis();
        let is_long = match problem.kind {
            ProblemKind::Unavailable => {
                let down = self.health().down_for(self.clock.now());
                down >= patience || wait > patience
            }
            ProblemKind::RateLimited => wait > patience,
            _ => false,
        };
        order.terms.fallback.clone().filter(|_| order.state == OrderState::Intended && is_long)
    }

    async fn fall_back(
        &self,
        order: &mut OrderRecord,
        problem: Problem,
        fallback: crate::IssuerName,
    ) -> Result<Next, OrderStoreError> {
        let words = format!("{} takes over from {}: {problem}", fallback, order.issuer);
        let from = std::mem::replace(&mut order.issuer, fallback);
        // The other CA never heard of the certificate that is renewed, and there is no way back.
        order.terms.replaces = None;
        order.terms.fallback = None;
        order.attempts = 0;
        order.problem = Some(problem);
        self.counters.fell_back();
        let step = Step { words, alarm: Some(Alarm::Fallback { from }), revoke: None };
        self.park(order, 0, step).await?;
        Ok(Next::Stop)
    }

    /// An order that the CA is at work on waits its turn again, or is given up if it never ends.
    async fn rest(&self, order: &mut OrderRecord, asked: Duration) -> Result<(), OrderStoreError> {
        let age = self.clock.now().saturating_sub(order.since);
        if age > PATIENCE_MILLIS {
            let detail = format!(
                "the CA has been at work on the state {:?} for more than a day",
                order.state.name()
            );
            let problem = Problem::new(ProblemKind::Ca, "", &detail);
            return self.give_up(order, problem, None).await;
        }
        let asked = i64::try_from(asked.as_millis()).unwrap_or(LONGEST_REST_MILLIS);
        let rest = (age / 2).clamp(REST_MILLIS, LONGEST_REST_MILLIS).max(asked);
        self.park(order, rest, Step::new("the CA is still at work")).await
    }

    /// A lost order is placed anew after a while, and given up after so many.
    async fn place_anew(
        &self,
        order: &mut OrderRecord,
        problem: Problem,
    ) -> Result<Next, OrderStoreError> {
        if problem.course() == Course::WithoutReplaces && order.terms.replaces.take().is_some() {
            order.problem = Some(problem);
            self.enter(order, OrderState::Intended);
            let words = "the certificate was replaced by another order; ordering without its name";
            self.write(order, 0, Step::new(words)).await?;
            return Ok(Next::Step);
        }
        let lost = usize::try_from(order.attempts).unwrap_or(usize::MAX);
        let Some(pause) = REORDER_MILLIS.get(lost) else {
            self.give_up(order, problem, None).await?;
            return Ok(Next::Stop);
        };
        self.solver.clean_up(&order.id).await?;
        self.counters.lost();
        order.attempts += 1;
        let words = format!("the order is lost: {problem}");
        order.problem = Some(problem);
        self.enter(order, OrderState::Intended);
        self.park(order, *pause, Step::new(words)).await?;
        Ok(Next::Stop)
    }

    async fn give_up(
        &self,
        order: &mut OrderRecord,
        problem: Problem,
        certificate: Option<rustls_pki_types::CertificateDer<'static>>,
    ) -> Result<(), OrderStoreError> {
        self.solver.clean_up(&order.id).await?;
        let alarm =
            (problem.kind == ProblemKind::WrongCertificate).then_some(Alarm::WrongCertificate);
        let words = format!("given up: {problem}");
        let state = OrderState::Invalid { problem: problem.clone() };
        self.count_end(&state);
        self.enter(order, state);
        order.problem = Some(problem);
        self.write(order, 0, Step { words, alarm, revoke: certificate }).await
    }

    fn enter(&self, order: &mut OrderRecord, state: OrderState) {
        order.state = state;
        order.since = self.clock.now();
    }

    fn count_end(&self, state: &OrderState) {
        match state {
            OrderState::Issued { .. } => self.counters.issued(),
            OrderState::Invalid { .. } => self.counters.failed(),
            _ => {}
        }
    }

    /// Writes the order and leaves it to whoever claims it when it is due.
    async fn park(
        &self,
        order: &mut OrderRecord,
        pause: i64,
        step: Step,
    ) -> Result<(), OrderStoreError> {
        order.lease = None;
        self.write(order, pause, step).await
    }

    async fn write(
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

/// Whether the CA failed at one request, as far as it says: 503 is about the CA as a whole (RFC 9110 §15.6.4), and so
/// is no answer at all.
fn is_of_one_request(problem: &Problem) -> bool {
    problem.kind == ProblemKind::Unavailable && problem.status >= 500 && problem.status != 503
}
