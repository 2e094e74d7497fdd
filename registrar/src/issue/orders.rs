//! The bridge's orders in the registrar's store: an order's end and its enrollment's end are one transaction.

use std::sync::Arc;
use std::time::Duration;

use acme_bridge::{
    AccountRecord, IssuerName, OrderId, OrderRecord, OrderState, OrderStore, OrderStoreError,
    ProblemKind,
};
use async_trait::async_trait;
use tracing::{Instrument as _, debug, debug_span};

use super::IssuedChain;
use crate::flow::Decision;
use crate::flow::enroll::{self, Ending};
use crate::flow::fault::Fault;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Outcome, Phase};
use crate::store::model::{EnrollmentState, Id, Millis};
use crate::store::{Change, Conflict, Store, StoreError};

/// How often the end of an order is decided anew when an operator's change comes between.
const ATTEMPTS: u32 = 3;

/// The bridge's view of the store.
pub struct Orders {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

/// What an order's state means for its enrollment, and since when that waits.
#[derive(Default)]
struct Consequence {
    decision: Decision,
    since: Option<Millis>,
}

impl Orders {
    /// A view of this store, which counts the orders that end.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    /// What an order's state means for its enrollment, which has the same identifier.
    async fn consequence(
        &self,
        order: &OrderRecord,
        now: Millis,
    ) -> Result<Consequence, StoreError> {
        let ending = match &order.state {
            OrderState::Issued { chain } => match chain.split_first() {
                Some((leaf, above)) => {
                    Ending::Issued(IssuedChain { leaf: leaf.clone(), above: above.to_vec() })
                }
                None => Ending::Failed { reason: "the CA's chain is empty".to_owned() },
            },
            OrderState::Invalid { problem } => match problem.kind {
                ProblemKind::Refused => Ending::Refused { reason: problem.to_string() },
                _ => Ending::Failed { reason: problem.to_string() },
            },
            _ => return Ok(Consequence::default()),
        };
        let id = Id::from_stored(order.id.as_str().to_owned());
        let Some(enrollment) = self.store.enrollment(&id).await? else {
            return Ok(Consequence::default());
        };
        let decision = match self.store.device(&enrollment.device).await? {
            Some(known) => enroll::completed(&enrollment, known.device.state, ending, now),
            None => Decision::default(),
        };
        Ok(Consequence { decision, since: Some(enrollment.created_at) })
    }

    /// Counts an order that ended.
    fn count(&self, order: &OrderRecord, since: Option<Millis>, now: Millis) {
        let outcome = match &order.state {
            OrderState::Issued { .. } => Outcome::Done,
            OrderState::Invalid { problem } => Outcome::Error(match problem.kind {
                // Our DNS most likely, or our account.
                ProblemKind::Validation | ProblemKind::Account => Fault::Local,
                _ => Fault::Ca,
            }),
            _ => return,
        };
        let millis = since.map_or(0, |since| now.0.saturating_sub(since.0));
        let took = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        self.metrics.phase(Phase::AcmeOrder, outcome, took);
    }
}

fn failed(error: StoreError) -> OrderStoreError {
    OrderStoreError(Box::new(error))
}

#[async_trait]
impl OrderStore for Orders {
    async fn insert(&self, order: &OrderRecord) -> Result<(), OrderStoreError> {
        let enrollment = Id::from_stored(order.id.as_str().to_owned());
        let changes = vec![
            Change::InsertOrder(order.clone()),
            Change::SetEnrollmentState {
                enrollment,
                state: EnrollmentState::Ordered,
                at: Millis(order.due),
            },
        ];
        // An order that is there already may have ended, and its enrollment with it.
        if self.load(&order.id).await?.is_some() {
            return Ok(());
        }
        self.store.commit(changes, Vec::new()).await.map_err(failed)
    }

    async fn load(&self, id: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError> {
        self.store.order(id).await.map_err(failed)
    }

    async fn claim(
        &self,
        issuer: &IssuerName,
        node: &str,
        lease_until: i64,
        now: i64,
        limit: u32,
    ) -> Result<Vec<OrderRecord>, OrderStoreError> {
        self.store
            .claim_orders(issuer.as_str(), node, Millis(lease_until), Millis(now), limit)
            .await
            .map_err(failed)
    }

    async fn advance(
        &self,
        order: &OrderRecord,
        node: &str,
        step: &str,
        now: i64,
    ) -> Result<(), OrderStoreError> {
        let at = Millis(now);
        debug!(order = %order.id, state = order.state.name(), step, "order");
        let mut attempt = 1;
        loop {
            let Consequence { mut decision, since } =
                self.consequence(order, at).await.map_err(failed)?;
            decision.changes.push(Change::AdvanceOrder {
                order: order.clone(),
                node: node.to_owned(),
                step: step.to_owned(),
                at,
            });
            let commit = self.store.commit(decision.changes, decision.events);
            let span = debug_span!("order", state = order.state.name(), correlation = %order.id);
            match commit.instrument(span).await {
                // An operator cancelled the enrollment or barred the device meanwhile: decided anew.
                Err(StoreError::Conflict(Conflict::Missing | Conflict::DeviceBarred))
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => {
                    result.map_err(failed)?;
                    self.count(order, since, at);
                    return Ok(());
                }
            }
        }
    }

    async fn account(&self, issuer: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError> {
        self.store.account(issuer.as_str()).await.map_err(failed)
    }

    async fn save_account(
        &self,
        issuer: &IssuerName,
        account: &AccountRecord,
    ) -> Result<(), OrderStoreError> {
        let change =
            Change::SaveAccount { issuer: issuer.as_str().to_owned(), account: account.clone() };
        self.store.commit(vec![change], Vec::new()).await.map_err(failed)
    }
}
