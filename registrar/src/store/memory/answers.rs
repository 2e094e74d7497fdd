//! Challenge answers: who must find them, and which must still be taken back.

use acme_bridge::{AnswerKind, ChallengeAnswer, OrderId, Place};

use super::tables::{AnswerRow, Rows, at_most};
use crate::store::Change;

impl Rows {
    pub(super) fn apply_to_answer(&mut self, change: Change) {
        match change {
            Change::PutAnswer(answer) => {
                let key = (answer.owner.clone(), answer.value.clone(), answer.order.clone());
                let place = answer.place;
                let row = AnswerRow { answer, is_retired: false };
                let row = self.answers.entry(key).or_insert(row);
                (row.is_retired, row.answer.place) = (false, place);
            }
            Change::RetireAnswers { order } => self.retire_answers(&order),
            Change::RemoveAnswer(answer) => {
                let key = (answer.owner, answer.value, answer.order);
                if self.answers.get(&key).is_some_and(|row| !self.is_in_force(row)) {
                    self.answers.remove(&key);
                }
            }
            _ => {}
        }
    }

    /// Ends the answers of an order: the registrar's own are gone, those elsewhere are to be taken back.
    pub(super) fn retire_answers(&mut self, order: &OrderId) {
        self.answers
            .retain(|_, row| row.answer.order != *order || row.answer.place != Place::BuiltIn);
        for row in self.answers.values_mut().filter(|row| row.answer.order == *order) {
            row.is_retired = true;
        }
    }

    /// Whether an order that has not ended needs it.
    fn is_in_force(&self, row: &AnswerRow) -> bool {
        let order = self.orders.get(&row.answer.order);
        !row.is_retired && order.is_some_and(|order| !order.order.state.is_final())
    }

    pub(super) fn own_answers(&self, kind: AnswerKind, owner: &str) -> Vec<String> {
        self.values(|row| {
            row.answer.kind == kind
                && row.answer.owner == owner
                && row.answer.place == Place::BuiltIn
                && !row.is_retired
        })
    }

    pub(super) fn is_above_answer(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.answers.values().any(|row| {
            !row.is_retired
                && row.answer.kind == AnswerKind::Txt
                && row.answer.place == Place::BuiltIn
                && row.answer.owner.ends_with(&below)
        })
    }

    pub(super) fn retired_answers(&self, limit: u32) -> Vec<ChallengeAnswer> {
        let retired = self.answers.values().filter(|row| !self.is_in_force(row));
        retired.take(at_most(limit)).map(|row| row.answer.clone()).collect()
    }

    pub(super) fn is_answer_in_force(&self, answer: &ChallengeAnswer) -> bool {
        self.answers.values().any(|row| {
            row.answer.owner == answer.owner
                && row.answer.value == answer.value
                && self.is_in_force(row)
        })
    }

    pub(super) fn answers_in_force_at(&self, owner: &str) -> Vec<String> {
        self.values(|row| row.answer.owner == owner && self.is_in_force(row))
    }

    fn values(&self, is_wanted: impl Fn(&AnswerRow) -> bool) -> Vec<String> {
        let wanted = self.answers.values().filter(|row| is_wanted(row));
        let mut values: Vec<String> = wanted.map(|row| row.answer.value.clone()).collect();
        values.sort();
        values.dedup();
        values
    }
}
