//! What an operator may see of orders and do with them, and with the account at each CA.
//!
//! The admin API and the command line are thin shells over this.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::account::AccountShown;
use acme_bridge::bridge::Bridge;
use acme_bridge::client::AcmeError;
use acme_bridge::{Clock, OrderId, OrderState, Problem, ProblemKind, Subproblem};
use serde::Serialize;
use thiserror::Error;

use crate::store::model::{
    EnrollmentState, Event, Id, ListedOrder, Millis, OrderFilter, OrderPlace, OrderTally, Verdict,
};
use crate::store::{Change, Conflict, Store, StoreError};

/// An order as an operator sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderLine {
    /// Its identifier, which is its enrollment's.
    pub id: String,
    /// The issuer.
    pub issuer: String,
    /// The device's identifier.
    pub device: String,
    /// The names.
    pub names: Vec<String>,
    /// Where it stands.
    pub state: &'static str,
    /// Since when: Unix milliseconds.
    pub since: Millis,
    /// When it was taken: Unix milliseconds.
    pub created_at: Millis,
    /// How many orders were lost at the CA.
    pub attempts: u32,
    /// When it is looked at next, where it has not ended: Unix milliseconds.
    pub due: Option<Millis>,
    /// The node that drives it now.
    pub node: Option<String>,
    /// What went wrong last.
    pub problem: Option<ProblemShown>,
}

/// A problem in the CA's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemShown {
    /// Whose fault it is.
    pub kind: ProblemKind,
    /// The CA's error type; empty if it gave none.
    #[serde(rename = "type")]
    pub acme_type: String,
    /// What it said.
    pub detail: String,
    /// What it said of single identifiers.
    pub subproblems: Vec<Subproblem>,
    /// When it wants to be asked again, in seconds.
    pub retry_after_secs: Option<u32>,
}

/// One step of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepShown {
    /// When: Unix milliseconds.
    pub at: Millis,
    /// What.
    pub step: String,
}

/// An order with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderShown {
    /// The order.
    #[serde(flatten)]
    pub line: OrderLine,
    /// Where it is at the CA, while it has not ended.
    pub url: Option<String>,
    /// The issuer that takes over if this one fails for long.
    pub fallback: Option<String>,
    /// The certificate that is renewed, by its ARI identifier.
    pub replaces: Option<String>,
    /// Its steps, the oldest first.
    pub steps: Vec<StepShown>,
}

/// Why an operator's wish is not fulfilled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeskError {
    /// There is no such order.
    #[error("there is no order {0}")]
    NoOrder(String),
    /// There is no such ACME issuer.
    #[error("there is no ACME issuer {issuer:?}; there is {known}")]
    NoIssuer {
        /// What was asked for.
        issuer: String,
        /// What there is.
        known: String,
    },
    /// The order has its certificate.
    #[error("order {0} has its certificate; revoke that instead")]
    Issued(String),
    /// The CA was asked to issue already.
    #[error("order {0} is with the CA, which may issue at any moment; its device can be retired")]
    WithCa(String),
    /// The device has begun another enrollment for the same key meanwhile.
    #[error("the device of order {0} has another enrollment for the same wish; that one goes on")]
    Overtaken(String),
    /// The CA.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Orders and accounts, for an operator.
pub struct OrderDesk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    bridges: BTreeMap<String, Arc<Bridge>>,
}

impl OrderDesk {
    /// A desk for these bridges, by their issuers' names.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        bridges: BTreeMap<String, Arc<Bridge>>,
    ) -> Self {
        Self { store, clock, bridges }
    }

    /// A page of the orders that fit a filter, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: u32,
    ) -> Result<Vec<OrderLine>, StoreError> {
        Ok(self.store.orders(filter, after, limit).await?.iter().map(line).collect())
    }

    /// How many orders wait or are driven, by issuer and state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tally(&self) -> Result<Vec<OrderTally>, StoreError> {
        self.store.order_tally().await
    }

    /// An order with the history of its steps.
    ///
    /// # Errors
    /// [`DeskError::NoOrder`].
    pub async fn show(&self, id: &str) -> Result<OrderShown, DeskError> {
        let listed = self.find(id).await?;
        let steps = self.store.order_steps(&listed.order.id).await?;
        let order = &listed.order;
        Ok(OrderShown {
            line: line(&listed),
            url: url(&order.state).map(str::to_owned),
            fallback: order.terms.fallback.as_ref().map(ToString::to_string),
            replaces: order.terms.replaces.clone(),
            steps: steps.into_iter().map(|(at, step)| StepShown { at, step }).collect(),
        })
    }

    async fn find(&self, id: &str) -> Result<ListedOrder, DeskError> {
        let listed = self.store.listed_order(&OrderId::new(id)).await?;
        listed.ok_or_else(|| DeskError::NoOrder(id.to_owned()))
    }

    /// Has an order that waits looked at now, and begins one anew that ended without a certificate.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn retry(&self, id: &str, operator: &str) -> Result<OrderShown, DeskError> {
        let listed = self.find(id).await?;
        let order = &listed.order;
        if matches!(order.state, OrderState::Issued { .. }) {
            return Err(DeskError::Issued(id.to_owned()));
        }
        let at = Millis(self.clock.now());
        let step = format!("tried again by {operator}");
        let mut changes = vec![Change::RetryOrder { order: order.id.clone(), step, at }];
        if order.state.is_final() {
            changes.push(Change::ReopenEnrollment { enrollment: enrollment_of(order), at });
        }
        let event = event(&listed, "order-retried", operator, at);
        match self.store.commit(changes, vec![event]).await {
            Err(StoreError::Conflict(Conflict::Enrollment)) => {
                return Err(DeskError::Overtaken(id.to_owned()));
            }
            result => result?,
        }
        if let Some(bridge) = self.bridges.get(order.issuer.as_str()) {
            bridge.wake();
        }
        self.show(id).await
    }

    /// Ends an order and its enrollment, if the CA was not asked to issue yet.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn cancel(&self, id: &str, operator: &str) -> Result<OrderShown, DeskError> {
        let listed = self.find(id).await?;
        let order = &listed.order;
        match &order.state {
            OrderState::Issued { .. } => return Err(DeskError::Issued(id.to_owned())),
            OrderState::Finalizing { .. } | OrderState::Valid { .. } => {
                return Err(DeskError::WithCa(id.to_owned()));
            }
            OrderState::Invalid { .. } => return self.show(id).await,
            _ => {}
        }
        let at = Millis(self.clock.now());
        let words = format!("cancelled by {operator}");
        let problem = Problem::new(ProblemKind::Cancelled, "", &words);
        let changes = vec![
            Change::CancelOrder {
                order: order.id.clone(),
                state: OrderState::Invalid { problem },
                step: words.clone(),
                at,
            },
            Change::SetEnrollmentState {
                enrollment: enrollment_of(order),
                state: EnrollmentState::Cancelled { reason: words },
                at,
            },
        ];
        self.store.commit(changes, vec![event(&listed, "order-cancelled", operator, at)]).await?;
        self.show(id).await
    }

    fn bridge(&self, issuer: &str) -> Result<&Arc<Bridge>, DeskError> {
        self.bridges.get(issuer).ok_or_else(|| DeskError::NoIssuer {
            issuer: issuer.to_owned(),
            known: self.bridges.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    /// The bridges, by their issuers' names, for whoever measures.
    #[must_use]
    pub fn bridges(&self) -> &BTreeMap<String, Arc<Bridge>> {
        &self.bridges
    }

    /// The account at an issuer's CA.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn account(&self, issuer: &str) -> Result<AccountShown, DeskError> {
        Ok(self.bridge(issuer)?.account().await?)
    }

    /// Gives the account at an issuer's CA a new key.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn rotate_key(
        &self,
        issuer: &str,
        operator: &str,
    ) -> Result<AccountShown, DeskError> {
        let shown = self.bridge(issuer)?.rotate_key().await?;
        self.note(issuer, "acme-key-changed", operator, &shown).await?;
        Ok(shown)
    }

    /// Ends the account at an issuer's CA.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn deactivate(
        &self,
        issuer: &str,
        operator: &str,
    ) -> Result<AccountShown, DeskError> {
        let shown = self.bridge(issuer)?.deactivate_account().await?;
        self.note(issuer, "acme-account-deactivated", operator, &shown).await?;
        Ok(shown)
    }

    async fn note(
        &self,
        issuer: &str,
        kind: &'static str,
        operator: &str,
        shown: &AccountShown,
    ) -> Result<(), StoreError> {
        let event = Event {
            time: Millis(self.clock.now()),
            kind,
            verdict: Verdict::Done,
            device: None,
            peer: operator.to_owned(),
            clause: "RFC 8555 §7.3",
            detail: format!("issuer {issuer}: account {}, key {}", shown.url, shown.thumbprint),
            correlation: issuer.to_owned(),
        };
        self.store.commit(Vec::new(), vec![event]).await
    }
}

fn enrollment_of(order: &acme_bridge::OrderRecord) -> Id {
    Id::from_stored(order.id.as_str().to_owned())
}

fn event(listed: &ListedOrder, kind: &'static str, operator: &str, at: Millis) -> Event {
    let order = &listed.order;
    Event {
        time: at,
        kind,
        verdict: Verdict::Done,
        device: Some(Id::from_stored(order.terms.device.clone()))
            .filter(|id| !id.as_str().is_empty()),
        peer: operator.to_owned(),
        clause: "",
        detail: format!("order {} for {}", order.id, order.csr.names.join(", ")),
        correlation: order.id.as_str().to_owned(),
    }
}

fn line(listed: &ListedOrder) -> OrderLine {
    let order = &listed.order;
    let problem = match &order.state {
        OrderState::Invalid { problem } => Some(problem),
        _ => order.problem.as_ref(),
    };
    OrderLine {
        id: order.id.as_str().to_owned(),
        issuer: order.issuer.as_str().to_owned(),
        device: order.terms.device.clone(),
        names: order.csr.names.clone(),
        state: order.state.name(),
        since: Millis(order.since),
        created_at: listed.created_at,
        attempts: order.attempts,
        due: (!order.state.is_final()).then_some(Millis(order.due)),
        node: order.lease.as_ref().map(|lease| lease.node.clone()),
        problem: problem.map(shown),
    }
}

fn shown(problem: &Problem) -> ProblemShown {
    ProblemShown {
        kind: problem.kind,
        acme_type: problem.acme_type.clone(),
        detail: problem.detail.clone(),
        subproblems: problem.subproblems.clone(),
        retry_after_secs: problem.retry_after_secs,
    }
}

fn url(state: &OrderState) -> Option<&str> {
    match state {
        OrderState::Placed { url }
        | OrderState::Authorizing { url }
        | OrderState::Ready { url }
        | OrderState::Finalizing { url }
        | OrderState::Valid { url } => Some(url),
        _ => None,
    }
}
