//! What an operator may see of orders and do with them, and with the account at each CA.
//!
//! The admin API and the command line are thin shells over this.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::account::{Account, AccountShown, Connect as _};
use acme_bridge::bridge::Bridge;
use acme_bridge::client::AcmeError;
use acme_bridge::{Clock, OrderId, OrderState, Problem, ProblemKind};
use thiserror::Error;

use crate::store::model::{
    EnrollmentState, Event, Id, ListedOrder, Millis, OrderFilter, OrderPlace, Verdict,
};
use crate::store::{Change, Conflict, Store, StoreError};

/// An order with the history of its steps, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderHistory {
    /// The order.
    pub listed: ListedOrder,
    /// When each step was taken, and what it was.
    pub steps: Vec<(Millis, String)>,
}

/// How the account at a CA is reached.
#[derive(Clone)]
pub enum CaAccount {
    /// Through the bridge that orders with it.
    Driven(Arc<Bridge>),
    /// By itself: no daemon runs, and nothing is ordered with it meanwhile.
    Idle(Arc<Account>),
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
    /// The CA validates names, and no daemon runs that would see to their end.
    #[error("the CA may still validate names of {orders} orders of issuer {issuer:?}")]
    Validating {
        /// The issuer.
        issuer: String,
        /// How many.
        orders: u64,
    },
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
    accounts: BTreeMap<String, CaAccount>,
}

impl OrderDesk {
    /// A desk for these accounts, by their issuers' names.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        accounts: BTreeMap<String, CaAccount>,
    ) -> Self {
        Self { store, clock, accounts }
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
    ) -> Result<Vec<ListedOrder>, StoreError> {
        self.store.orders(filter, after, limit).await
    }

    /// An order with the history of its steps.
    ///
    /// # Errors
    /// [`DeskError::NoOrder`].
    pub async fn show(&self, id: &str) -> Result<OrderHistory, DeskError> {
        let listed = self.find(id).await?;
        let steps = self.store.order_steps(&listed.order.id).await?;
        Ok(OrderHistory { listed, steps })
    }

    async fn find(&self, id: &str) -> Result<ListedOrder, DeskError> {
        let listed = self.store.listed_order(&OrderId::new(id)).await?;
        listed.ok_or_else(|| DeskError::NoOrder(id.to_owned()))
    }

    /// Has an order that waits looked at now, and begins one anew that ended without a certificate.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn retry(&self, id: &str, operator: &str) -> Result<OrderHistory, DeskError> {
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
        if let Some(CaAccount::Driven(bridge)) = self.accounts.get(order.issuer.as_str()) {
            bridge.wake();
        }
        self.show(id).await
    }

    /// Ends an order and its enrollment, if the CA was not asked to issue yet.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn cancel(&self, id: &str, operator: &str) -> Result<OrderHistory, DeskError> {
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

    fn reach(&self, issuer: &str) -> Result<&CaAccount, DeskError> {
        self.accounts.get(issuer).ok_or_else(|| DeskError::NoIssuer {
            issuer: issuer.to_owned(),
            known: match self.accounts.is_empty() {
                true => "none".to_owned(),
                false => self.accounts.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            },
        })
    }

    /// The account at an issuer's CA.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn account(&self, issuer: &str) -> Result<AccountShown, DeskError> {
        Ok(match self.reach(issuer)? {
            CaAccount::Driven(bridge) => bridge.account().await?,
            CaAccount::Idle(account) => account.show().await?,
        })
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
        let shown = match self.reach(issuer)? {
            CaAccount::Driven(bridge) => bridge.rotate_key().await?,
            CaAccount::Idle(account) => {
                self.require_no_validation(issuer).await?;
                account.rotate_key().await?
            }
        };
        self.note(issuer, "acme-key-changed", operator, &shown).await?;
        Ok(shown)
    }

    /// The CA may be at work on answers that the old key made, and nobody here drives their orders on.
    async fn require_no_validation(&self, issuer: &str) -> Result<(), DeskError> {
        let tally = self.store.order_tally().await?;
        let validated = tally.iter().find(|row| row.issuer == issuer && row.state == "authorizing");
        match validated {
            Some(row) if row.orders > 0 => {
                Err(DeskError::Validating { issuer: issuer.to_owned(), orders: row.orders })
            }
            _ => Ok(()),
        }
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
        let shown = match self.reach(issuer)? {
            CaAccount::Driven(bridge) => bridge.deactivate_account().await?,
            CaAccount::Idle(account) => account.deactivate().await?,
        };
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
