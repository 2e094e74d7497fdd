//! How the CA's question for a name is answered.

use std::sync::Arc;

use async_trait::async_trait;

use crate::order::OrderId;
use crate::store::{ChallengeAnswer, OrderStore, OrderStoreError};

/// Publishes and removes TXT records for dns-01 (RFC 8555 §8.4).
#[async_trait]
pub trait Solver: Send + Sync + 'static {
    /// Makes the value visible at `_acme-challenge.<name>`, beside whatever is there; visible when this returns.
    async fn publish(
        &self,
        order: &OrderId,
        name: &str,
        value: &str,
    ) -> Result<(), OrderStoreError>;

    /// Removes what was published for this order.
    async fn clean_up(&self, order: &OrderId) -> Result<(), OrderStoreError>;
}

/// Answers from the [`Responder`](crate::dns::Responder) of this bridge: rows that any node can serve.
pub struct BuiltInDns {
    store: Arc<dyn OrderStore>,
}

impl BuiltInDns {
    /// A solver on this store.
    #[must_use]
    pub fn new(store: Arc<dyn OrderStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Solver for BuiltInDns {
    async fn publish(
        &self,
        order: &OrderId,
        name: &str,
        value: &str,
    ) -> Result<(), OrderStoreError> {
        let answer = ChallengeAnswer {
            order: order.clone(),
            owner: format!("_acme-challenge.{}", name.to_ascii_lowercase()),
            value: value.to_owned(),
        };
        self.store.put_answer(&answer).await
    }

    async fn clean_up(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.store.remove_answers(order).await
    }
}
