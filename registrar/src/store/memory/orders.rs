//! The bridge's rows: orders, limits, revocations, accounts.

use acme_bridge::{Lease, OrderId, OrderRecord, OrderState, Which};

use super::Result;
use super::rows::{conflict, found};
use super::tables::{OrderRow, Rows, Tables, at_most, sorted};
use crate::store::model::{ListedOrder, Millis, OrderFilter, OrderPlace, OrderTally};
use crate::store::{Change, Conflict};

/// How far apart the turns of one device's orders are at least, in milliseconds.
const TURN_MILLIS: i64 = 1000;

/// Which orders a node asks for.
pub(super) struct Claim<'a> {
    pub(super) issuer: &'a str,
    pub(super) node: &'a str,
    pub(super) lease_until: Millis,
    pub(super) now: Millis,
    pub(super) limit: u32,
    pub(super) which: Which,
}

/// Whether the CA was not asked to issue yet.
fn is_cancellable(state: &OrderState) -> bool {
    matches!(
        state,
        OrderState::Intended
            | OrderState::Placed { .. }
            | OrderState::Authorizing { .. }
            | OrderState::Ready { .. }
    )
}

impl Tables {
    /// Leases orders that are due and that nobody drives, those first whose turn it is.
    pub(super) fn claim(&mut self, claim: &Claim<'_>) -> Vec<OrderRecord> {
        let is_free = |order: &OrderRecord| {
            order.issuer.as_str() == claim.issuer
                && !order.state.is_final()
                && order.due <= claim.now.0
                && order.lease.as_ref().is_none_or(|lease| lease.until <= claim.now.0)
                && match claim.which {
                    Which::Any => true,
                    Which::WithFallback => {
                        order.state == OrderState::Intended && order.terms.fallback.is_some()
                    }
                }
        };
        let mut free: Vec<&mut OrderRow> =
            self.rows.orders.values_mut().filter(|row| is_free(&row.order)).collect();
        free.sort_by_key(|row| row.turn);
        let lease = Lease { node: claim.node.to_owned(), until: claim.lease_until.0 };
        let taken = free.into_iter().take(at_most(claim.limit)).map(|row| {
            row.order.lease = Some(lease.clone());
            row.order.clone()
        });
        taken.collect()
    }
}

impl Rows {
    pub(super) fn apply_to_order(&mut self, change: Change) -> Result<()> {
        match change {
            Change::InsertOrder(order) => {
                self.insert_order(order);
                Ok(())
            }
            Change::AdvanceOrder { order, node, step, at } => {
                self.advance_order(order, &node, step, at)
            }
            Change::CancelOrder { order, state, step, at } => {
                self.cancel_order(&order, state, step, at);
                Ok(())
            }
            Change::RetryOrder { order, step, at } => self.retry_order(&order, step, at),
            Change::ReleaseOrders { issuer, node } => {
                let orders = self.orders.values_mut().map(|row| &mut row.order);
                for order in orders.filter(|order| !order.state.is_final()) {
                    let is_leased = order.lease.as_ref().is_some_and(|lease| lease.node == node);
                    if order.issuer.as_str() == issuer && is_leased {
                        order.lease = None;
                    }
                }
                Ok(())
            }
            Change::PruneOrder { order } => {
                if self.orders.get(&order).is_some_and(|row| row.order.state.is_final()) {
                    self.orders.remove(&order);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn insert_order(&mut self, order: OrderRecord) {
        let turns = self.orders.values().filter(|row| {
            row.order.issuer == order.issuer
                && row.order.terms.device == order.terms.device
                && !row.order.state.is_final()
        });
        let next = turns.map(|row| row.turn.saturating_add(TURN_MILLIS)).max();
        let turn = next.map_or(order.since, |next| next.max(order.since));
        let created_at = Millis(order.since);
        let order = OrderRecord { lease: None, problem: None, ..order };
        let row = OrderRow { created_at, turn, steps: Vec::new(), order };
        self.orders.entry(row.order.id.clone()).or_insert(row);
    }

    fn advance_order(
        &mut self,
        order: OrderRecord,
        node: &str,
        step: String,
        at: Millis,
    ) -> Result<()> {
        let is_ours = |row: &OrderRow| {
            !row.order.state.is_final()
                && row
                    .order
                    .lease
                    .as_ref()
                    .is_none_or(|lease| lease.node == node || lease.until <= at.0)
        };
        let Some(row) = self.orders.get_mut(&order.id).filter(|row| is_ours(row)) else {
            return Err(conflict(Conflict::OrderLeased));
        };
        row.turn = row.turn.max(order.due);
        // What was ordered stays as it is.
        let (csr, mut terms) = (row.order.csr.clone(), row.order.terms.clone());
        terms.replaces.clone_from(&order.terms.replaces);
        terms.fallback.clone_from(&order.terms.fallback);
        row.order = OrderRecord { csr, terms, ..order };
        row.steps.push((at, step));
        Ok(())
    }

    fn cancel_order(&mut self, id: &OrderId, state: OrderState, step: String, at: Millis) {
        if let Some(row) = self.orders.get_mut(id).filter(|row| is_cancellable(&row.order.state)) {
            let order = &mut row.order;
            (order.state, order.due, order.since, order.lease) = (state, at.0, at.0, None);
            row.steps.push((at, step));
            self.retire_answers(id);
        }
    }

    fn retry_order(&mut self, id: &OrderId, step: String, at: Millis) -> Result<()> {
        let row = found(self.orders.get_mut(id))?;
        let order = &mut row.order;
        match order.state {
            OrderState::Issued { .. } => return Err(conflict(Conflict::Missing)),
            OrderState::Invalid { .. } => {
                order.state = OrderState::Intended;
                (order.attempts, order.since, order.lease) = (0, at.0, None);
                row.turn = at.0;
            }
            _ => row.turn = row.turn.min(at.0),
        }
        order.due = at.0;
        row.steps.push((at, step));
        Ok(())
    }

    pub(super) fn apply_to_ca(&mut self, change: Change) -> Result<()> {
        match change {
            Change::SpendQuota(spending) => {
                if self.quotas.get(&spending.bucket).copied() != spending.before {
                    return Err(conflict(Conflict::Quota));
                }
                self.quotas.insert(spending.bucket, spending.after);
            }
            Change::PruneQuotas { now, limit } => {
                let mut full: Vec<(i64, String)> = self
                    .quotas
                    .iter()
                    .filter(|(_, full_at)| **full_at < now.0)
                    .map(|(bucket, full_at)| (*full_at, bucket.clone()))
                    .collect();
                full.sort_unstable();
                for (_, bucket) in
                    full.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX))
                {
                    self.quotas.remove(&bucket);
                }
            }
            Change::RequestRevocation(row) => {
                self.revocations.entry(row.fingerprint).or_insert(row);
            }
            Change::NoteRevocation { fingerprint, done_at, due, problem } => {
                let row = self.revocations.get_mut(&fingerprint);
                if let Some(row) = row.filter(|row| row.done_at.is_none()) {
                    row.attempts += 1;
                    (row.done_at, row.due, row.problem) = (done_at, due, problem);
                }
            }
            Change::SaveAccount { issuer, account } => {
                self.accounts.insert(issuer, account);
            }
            _ => {}
        }
        Ok(())
    }

    /// The orders that fit a filter, the newest first, after a place.
    pub(super) fn orders_page(
        &self,
        filter: &OrderFilter,
        after: Option<&OrderPlace>,
        limit: u32,
    ) -> Vec<ListedOrder> {
        let fits = |row: &&OrderRow| {
            let order = &row.order;
            let place = (row.created_at, order.id.as_str());
            filter.issuer.as_deref().is_none_or(|issuer| order.issuer.as_str() == issuer)
                && filter.state.as_deref().is_none_or(|state| order.state.name() == state)
                && filter.device.as_ref().is_none_or(|id| order.terms.device == id.as_str())
                && after.is_none_or(|after| place < (after.created_at, after.id.as_str()))
        };
        let mut rows =
            sorted(self.orders.values().filter(fits), |row| (row.created_at, row.order.id.clone()));
        rows.reverse();
        rows.into_iter().take(at_most(limit)).map(OrderRow::listed).collect()
    }

    /// How many orders each issuer has in each state that is not final.
    pub(super) fn order_tally(&self) -> Vec<OrderTally> {
        let open = self.orders.values().map(|row| &row.order).filter(|row| !row.state.is_final());
        let mut tally: Vec<OrderTally> = Vec::new();
        for (issuer, state) in
            sorted(open.map(|order| (order.issuer.as_str(), order.state.name())), |key| *key)
        {
            match tally.last_mut() {
                Some(last) if last.issuer == issuer && last.state == state => last.orders += 1,
                _ => tally.push(OrderTally {
                    issuer: issuer.to_owned(),
                    state: state.to_owned(),
                    orders: 1,
                }),
            }
        }
        tally
    }

    /// Orders that ended before a time, the longest ended first.
    pub(super) fn ended_orders(&self, before: Millis, limit: u32) -> Vec<OrderId> {
        let ended = self.orders.values().map(|row| &row.order);
        let ended = ended.filter(|order| order.state.is_final() && order.due < before.0);
        let ended = sorted(ended, |order| order.due).into_iter().take(at_most(limit));
        ended.map(|order| order.id.clone()).collect()
    }
}

impl OrderRow {
    pub(super) fn listed(&self) -> ListedOrder {
        ListedOrder { order: self.order.clone(), created_at: self.created_at }
    }
}
