//! What becomes of an order that does not get on: it waits, goes to another CA, is placed anew, or is given up.
//!
//! Each of these is written, with what the CA said.

use std::time::Duration;

use crate::bridge::Bridge;
use crate::drive::Next;
use crate::order::{OrderRecord, OrderState};
use crate::problem::{Course, Problem, ProblemKind};
use crate::step::Whom;
use crate::store::{Alarm, OrderStoreError, Step};

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

impl Bridge {
    /// The CA says "not now", or nothing at all.
    pub(crate) async fn wait_for_ca(
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
    pub(crate) async fn rest(
        &self,
        order: &mut OrderRecord,
        asked: Duration,
    ) -> Result<(), OrderStoreError> {
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
    pub(crate) async fn place_anew(
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

    pub(crate) async fn give_up(
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
}

/// Whether the CA failed at one request, as far as it says: 503 is about the CA as a whole (RFC 9110 §15.6.4), and so
/// is no answer at all.
fn is_of_one_request(problem: &Problem) -> bool {
    problem.kind == ProblemKind::Unavailable && problem.status >= 500 && problem.status != 503
}
