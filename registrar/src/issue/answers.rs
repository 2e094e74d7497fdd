//! Challenge answers in the registrar's store, where the responders of every node find them.

use std::sync::Arc;

use acme_bridge::{AnswerKind, AnswerStore, ChallengeAnswer, OrderId, OrderStoreError};
use async_trait::async_trait;

use crate::store::{Change, Store, StoreError};

/// The bridge's view of the store's challenge answers.
pub struct Answers {
    store: Arc<dyn Store>,
}

impl Answers {
    /// A view of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    async fn commit(&self, change: Change) -> Result<(), OrderStoreError> {
        self.store.commit(vec![change], Vec::new()).await.map_err(failed)
    }
}

fn failed(error: StoreError) -> OrderStoreError {
    OrderStoreError(Box::new(error))
}

#[async_trait]
impl AnswerStore for Answers {
    async fn put(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.commit(Change::PutAnswer(answer.clone())).await
    }

    async fn retire(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.commit(Change::RetireAnswers { order: order.clone() }).await
    }

    async fn retired(&self, limit: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        self.store.retired_answers(limit).await.map_err(failed)
    }

    async fn is_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        self.store.is_answer_in_force(answer).await.map_err(failed)
    }

    async fn in_force_at(&self, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        self.store.answers_in_force_at(owner).await.map_err(failed)
    }

    async fn remove(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.commit(Change::RemoveAnswer(answer.clone())).await
    }

    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        self.store.answers(kind, owner).await.map_err(failed)
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError> {
        self.store.is_above_answer(name).await.map_err(failed)
    }
}
