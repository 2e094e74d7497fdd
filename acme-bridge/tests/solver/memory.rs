//! Answers in memory, which a test can look into.

use std::sync::{Arc, Mutex};

use acme_bridge::challenge::KeyAuthorization;
use acme_bridge::{
    AnswerKind, AnswerStore, Challenge, ChallengeAnswer, ChallengeType, OrderId, OrderStoreError,
    Place,
};
use async_trait::async_trait;

pub(crate) const NAME: &str = "dev-1.iot.example.org";
pub(crate) const OWNER: &str = "_acme-challenge.dev-1.iot.example.org";

/// A challenge of this type, with a token of its own.
pub(crate) fn challenge(kind: ChallengeType, token: &str) -> Challenge {
    let authorization = KeyAuthorization::new(format!("{token}.thumbprint")).unwrap();
    Challenge::authorized(kind, authorization, "https://ca.example/account/1").unwrap()
}

/// What stands in the TXT record of a token.
pub(crate) fn value(token: &str) -> String {
    challenge(ChallengeType::Dns01, token).expectation(NAME).value
}

struct Row {
    answer: ChallengeAnswer,
    is_retired: bool,
}

#[derive(Default)]
pub(crate) struct Memory {
    rows: Mutex<Vec<Row>>,
    is_broken: Mutex<bool>,
}

impl Memory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many rows there are, retired or not.
    pub(crate) fn len(&self) -> usize {
        self.rows.lock().unwrap().len()
    }

    /// Every call fails from now on, or works again.
    pub(crate) fn set_broken(&self, is_broken: bool) {
        *self.is_broken.lock().unwrap() = is_broken;
    }

    fn rows(&self) -> Result<std::sync::MutexGuard<'_, Vec<Row>>, OrderStoreError> {
        match *self.is_broken.lock().unwrap() {
            true => Err(OrderStoreError("the disk is gone".into())),
            false => Ok(self.rows.lock().unwrap()),
        }
    }

    fn in_force(
        &self,
        wanted: impl Fn(&ChallengeAnswer) -> bool,
    ) -> Result<Vec<String>, OrderStoreError> {
        let rows = self.rows()?;
        let found = rows.iter().filter(|row| !row.is_retired && wanted(&row.answer));
        let mut values: Vec<String> = found.map(|row| row.answer.value.clone()).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }
}

#[async_trait]
impl AnswerStore for Memory {
    async fn put(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        let mut rows = self.rows()?;
        rows.retain(|row| row.answer != *answer);
        rows.push(Row { answer: answer.clone(), is_retired: false });
        Ok(())
    }

    async fn retire(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        let mut rows = self.rows()?;
        rows.retain(|row| row.answer.order != *order || row.answer.place != Place::BuiltIn);
        for row in rows.iter_mut().filter(|row| row.answer.order == *order) {
            row.is_retired = true;
        }
        Ok(())
    }

    async fn retired(&self, limit: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        let limit = usize::try_from(limit).unwrap();
        let rows = self.rows()?;
        let retired = rows.iter().filter(|row| row.is_retired).take(limit);
        Ok(retired.map(|row| row.answer.clone()).collect())
    }

    async fn is_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        let same = |row: &ChallengeAnswer| row.owner == answer.owner && row.value == answer.value;
        Ok(!self.in_force(same)?.is_empty())
    }

    async fn in_force_at(&self, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        self.in_force(|answer| answer.owner == owner)
    }

    async fn remove(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.rows()?.retain(|row| row.answer != *answer || !row.is_retired);
        Ok(())
    }

    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        self.in_force(|answer| answer.kind == kind && answer.owner == owner)
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError> {
        let below = format!(".{name}");
        Ok(!self.in_force(|answer| answer.owner.ends_with(&below))?.is_empty())
    }
}
