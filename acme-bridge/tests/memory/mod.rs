//! A store in memory that can be told to fail after so many writes, as a disk or a power supply does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};

use acme_bridge::{
    AccountRecord, Alarm, AnswerKind, AnswerStore, ChallengeAnswer, Clock, IssuerName, Lease,
    OrderId, OrderRecord, OrderStore, OrderStoreError, Revocation, RevocationOutcome,
    RevocationReason, Spending, Step, Which,
};
use async_trait::async_trait;

/// The store.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) orders: Mutex<BTreeMap<OrderId, OrderRecord>>,
    pub(crate) steps: Mutex<Vec<(OrderId, String)>>,
    pub(crate) alarms: Mutex<Vec<Alarm>>,
    pub(crate) answers: Mutex<Vec<ChallengeAnswer>>,
    pub(crate) accounts: Mutex<BTreeMap<IssuerName, AccountRecord>>,
    pub(crate) revocations: Mutex<Vec<(Revocation, i64)>>,
    pub(crate) buckets: Mutex<BTreeMap<String, i64>>,
    /// How often an order was claimed.
    pub(crate) claims: Mutex<Vec<OrderId>>,
    /// After so many writes, none succeeds.
    pub(crate) writes_left: Mutex<Option<u32>>,
}

impl Memory {
    fn write(&self) -> Result<(), OrderStoreError> {
        match &mut *self.writes_left.lock().unwrap() {
            Some(0) => Err(OrderStoreError("no more writes".into())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The order that tests with one order have.
    pub(crate) fn order(&self) -> OrderRecord {
        self.orders.lock().unwrap()[&OrderId::new("1")].clone()
    }

    /// All orders.
    pub(crate) fn orders(&self) -> MutexGuard<'_, BTreeMap<OrderId, OrderRecord>> {
        self.orders.lock().unwrap()
    }
}

#[async_trait]
impl OrderStore for Memory {
    async fn insert(&self, order: &OrderRecord) -> Result<(), OrderStoreError> {
        self.write()?;
        self.orders().entry(order.id.clone()).or_insert_with(|| order.clone());
        Ok(())
    }

    async fn load(&self, id: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError> {
        Ok(self.orders().get(id).cloned())
    }

    async fn claim(
        &self,
        issuer: &IssuerName,
        node: &str,
        lease_until: i64,
        now: i64,
        limit: u32,
        which: Which,
    ) -> Result<Vec<OrderRecord>, OrderStoreError> {
        let mut claimed = Vec::new();
        for order in self.orders().values_mut() {
            let is_free = order.lease.as_ref().is_none_or(|lease| lease.until <= now);
            let is_wanted = which == Which::Any || order.terms.fallback.is_some();
            let is_due = !order.state.is_final() && order.due <= now && order.issuer == *issuer;
            if is_free && is_due && is_wanted && claimed.len() < usize::try_from(limit).unwrap() {
                order.lease = Some(Lease { node: node.into(), until: lease_until });
                self.claims.lock().unwrap().push(order.id.clone());
                claimed.push(order.clone());
            }
        }
        Ok(claimed)
    }

    async fn advance(
        &self,
        order: &OrderRecord,
        node: &str,
        step: &Step,
        now: i64,
    ) -> Result<(), OrderStoreError> {
        self.write()?;
        let mut orders = self.orders();
        let stored = orders.get_mut(&order.id).unwrap();
        let is_foreign =
            stored.lease.as_ref().is_some_and(|lease| lease.node != node && lease.until > now);
        if is_foreign || stored.state.is_final() {
            return Err(OrderStoreError("another node drives it".into()));
        }
        *stored = order.clone();
        self.steps.lock().unwrap().push((order.id.clone(), step.words.clone()));
        self.alarms.lock().unwrap().extend(step.alarm.clone());
        if let Some(certificate) = step.revoke.clone() {
            let (issuer, reason) = (order.issuer.clone(), RevocationReason::Superseded);
            let revocation = Revocation { certificate, issuer, reason, attempts: 0 };
            self.revocations.lock().unwrap().push((revocation, now));
        }
        Ok(())
    }

    async fn release(&self, issuer: &IssuerName, node: &str) -> Result<(), OrderStoreError> {
        for order in self.orders().values_mut().filter(|order| order.issuer == *issuer) {
            order.lease.take_if(|lease| lease.node == node);
        }
        Ok(())
    }

    async fn tally(&self, issuer: &IssuerName) -> Result<Vec<(String, u64)>, OrderStoreError> {
        let mut tally: BTreeMap<String, u64> = BTreeMap::new();
        for order in self.orders().values().filter(|order| order.issuer == *issuer) {
            if !order.state.is_final() {
                *tally.entry(order.state.name().to_owned()).or_default() += 1;
            }
        }
        Ok(tally.into_iter().collect())
    }

    async fn buckets(&self, names: &[String]) -> Result<Vec<Option<i64>>, OrderStoreError> {
        let buckets = self.buckets.lock().unwrap();
        Ok(names.iter().map(|name| buckets.get(name).copied()).collect())
    }

    async fn spend(&self, spendings: &[Spending]) -> Result<bool, OrderStoreError> {
        let mut buckets = self.buckets.lock().unwrap();
        let is_same = |each: &Spending| buckets.get(&each.bucket).copied() == each.before;
        if !spendings.iter().all(is_same) {
            return Ok(false);
        }
        buckets.extend(spendings.iter().map(|each| (each.bucket.clone(), each.after)));
        Ok(true)
    }

    async fn revocations(
        &self,
        issuer: &IssuerName,
        now: i64,
        limit: u32,
    ) -> Result<Vec<Revocation>, OrderStoreError> {
        let revocations = self.revocations.lock().unwrap();
        let due = revocations.iter().filter(|(each, due)| each.issuer == *issuer && *due <= now);
        Ok(due.take(usize::try_from(limit).unwrap()).map(|(each, _)| each.clone()).collect())
    }

    async fn revoked(
        &self,
        revocation: &Revocation,
        outcome: &RevocationOutcome,
        _now: i64,
    ) -> Result<(), OrderStoreError> {
        let mut revocations = self.revocations.lock().unwrap();
        let position =
            revocations.iter().position(|(each, _)| each.certificate == revocation.certificate);
        let position = position.unwrap();
        match outcome {
            RevocationOutcome::Done => {
                revocations.remove(position);
            }
            RevocationOutcome::Again { due, .. } => {
                revocations[position].0.attempts += 1;
                revocations[position].1 = *due;
            }
        }
        Ok(())
    }

    async fn account(&self, issuer: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError> {
        Ok(self.accounts.lock().unwrap().get(issuer).cloned())
    }

    async fn save_account(
        &self,
        issuer: &IssuerName,
        account: &AccountRecord,
        _now: i64,
    ) -> Result<(), OrderStoreError> {
        self.write()?;
        self.accounts.lock().unwrap().insert(issuer.clone(), account.clone());
        Ok(())
    }
}

#[async_trait]
impl AnswerStore for Memory {
    async fn put(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.write()?;
        let mut answers = self.answers.lock().unwrap();
        if !answers.contains(answer) {
            answers.push(answer.clone());
        }
        Ok(())
    }

    async fn retire(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.write()?;
        self.answers.lock().unwrap().retain(|answer| answer.order != *order);
        Ok(())
    }

    async fn retired(&self, _: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        Ok(Vec::new())
    }

    async fn is_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        Ok(self.answers.lock().unwrap().contains(answer))
    }

    async fn in_force_at(&self, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().filter(|answer| answer.owner == owner);
        Ok(found.map(|answer| answer.value.clone()).collect())
    }

    async fn remove(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.answers.lock().unwrap().retain(|each| each != answer);
        Ok(())
    }

    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().filter(|answer| answer.kind == kind && answer.owner == owner);
        Ok(found.map(|answer| answer.value.clone()).collect())
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError> {
        let below = format!(".{name}");
        Ok(self.answers.lock().unwrap().iter().any(|answer| answer.owner.ends_with(&below)))
    }
}

/// A clock that a test moves.
pub(crate) struct Hands(pub(crate) AtomicI64);

impl Hands {
    /// 2026, within what certificates made by tests are valid for.
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(1_795_000_000_000))
    }

    /// Moves it on.
    pub(crate) fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
