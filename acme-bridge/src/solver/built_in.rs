//! Answers that the registrar gives itself: rows that the DNS and HTTP responders and the TLS listener of any node read.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Solver, SolverError};
use crate::answer::{AnswerStore, ChallengeAnswer, Place};
use crate::challenge::{Challenge, ChallengeType, Expectation};
use crate::order::OrderId;
use crate::store::OrderStoreError;

/// Writes answers where this bridge's own responders find them.
pub struct BuiltIn {
    store: Arc<dyn AnswerStore>,
    challenges: Vec<ChallengeType>,
}

impl BuiltIn {
    /// A solver on this store. `challenges`: the types whose responders run, the preferred one first.
    #[must_use]
    pub fn new(store: Arc<dyn AnswerStore>, challenges: Vec<ChallengeType>) -> Self {
        Self { store, challenges }
    }
}

#[async_trait]
impl Solver for BuiltIn {
    fn challenges(&self, _name: &str) -> &[ChallengeType] {
        &self.challenges
    }

    async fn publish(
        &self,
        order: &OrderId,
        name: &str,
        challenge: &Challenge,
    ) -> Result<(), SolverError> {
        let kind = challenge.kind();
        if !self.challenges.contains(&kind) {
            return Err(SolverError::Unsupported { kind, name: name.to_owned() });
        }
        let Expectation { kind, owner, value } = challenge.expectation(name);
        let answer = ChallengeAnswer {
            order: order.clone(),
            name: name.to_ascii_lowercase(),
            kind,
            owner,
            value,
            place: Place::BuiltIn,
        };
        Ok(self.store.put(&answer).await?)
    }

    async fn clean_up(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.store.retire(order).await
    }
}
