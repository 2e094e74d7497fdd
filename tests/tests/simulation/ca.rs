//! What the ACME CA and the bridge of a node do with an order, by way of the registrar's real order store.

use std::sync::Arc;

use acme_bridge::{
    Clock as _, IssuerName, Lease, OrderState, OrderStore as _, Problem, ProblemKind, Step, Which,
};
use brski_registrar::issue::orders::Orders;

use super::op::Outcome;
use super::site::SITE;
use super::tally::Premise;
use super::world::{Done, Work, World, pick};
use brski_registrar::store::model::Millis;

/// How long an order stays with a node, in milliseconds.
const LEASE_MILLIS: i64 = 60_000;

fn issuer() -> IssuerName {
    IssuerName::new("acme")
}

/// Frees what a node leased before it died.
pub(super) async fn release(orders: &Orders, node: &str) {
    // If the store fails, the leases end by themselves.
    let _ = orders.release(&issuer(), node).await;
}

/// Has a node claim what is due and bring one order to a state; the order may have ended, and the node may not have it.
pub(super) fn drive(
    world: &World<'_>,
    node: usize,
    order: usize,
    outcome: Outcome,
) -> Option<Work> {
    let stale = pick(&world.before.orders, order)?.clone();
    if stale.state.is_final() {
        world.tally.premise(Premise::AnswerLate);
    }
    let (orders, clock) = (Arc::clone(&world.node(node).orders), Arc::clone(&world.clock));
    let node = world.node(node).name.clone();
    Some(Box::pin(async move {
        let now = clock.now();
        let until = now + LEASE_MILLIS;
        let claimed = orders.claim(&issuer(), &node, until, now, 8, Which::Any).await;
        let claimed = claimed.unwrap_or_default();
        let own = claimed.into_iter().find(|order| order.id == stale.id);
        let mut order = own.unwrap_or(stale);
        let url = || "https://localhost/order/1".to_owned();
        order.state = match outcome {
            Outcome::Placed => OrderState::Placed { url: url() },
            Outcome::Finalizing => OrderState::Finalizing { url: url() },
            Outcome::Issues => {
                let name = &order.csr.names[0];
                let leaf = SITE.certify(name, &order.csr.spki, Millis(now));
                OrderState::Issued { chain: vec![leaf, SITE.acme.der().clone()] }
            }
            Outcome::Refuses => {
                OrderState::Invalid { problem: Problem::new(ProblemKind::Refused, "", "simulated") }
            }
            Outcome::Fails => OrderState::Invalid {
                problem: Problem::new(ProblemKind::Unavailable, "", "simulated"),
            },
        };
        (order.since, order.due) = (now, now);
        order.lease = (!order.state.is_final()).then(|| Lease { node: node.clone(), until });
        // Another node may have it, or an operator have ended it: then nothing is written.
        let _ = orders.advance(&order, &node, &Step::new("simulated"), clock.now()).await;
        Done::Quiet
    }))
}
