//! The queue of orders: claimed once, cancelled in time, pruned when they are over.

use std::sync::Arc;

use acme_bridge::{AnswerKind, OrderId, OrderState, Place as AnswerPlace, Which};
use brski_registrar::store::model::Millis;
use brski_registrar::store::{Change, Conflict};

use super::place::Place;
use super::rows::{answer, order};
use super::suite::conflict;

pub(super) async fn two_nodes_never_hold_one_order(place: Place) {
    let store = place.open("node").await;
    store
        .commit(vec![Change::InsertOrder(order("1")), Change::InsertOrder(order("1"))], vec![])
        .await
        .unwrap();
    let claim = |node: &'static str, now: i64| {
        let store = &store;
        async move {
            let (until, now) = (Millis(now + 50), Millis(now));
            store.claim_orders("ca", node, until, now, 10, Which::Any).await.unwrap().len()
        }
    };
    assert_eq!(claim("a", 99).await, 0, "not due");
    assert_eq!(claim("a", 100).await, 1);
    assert_eq!(claim("b", 110).await, 0, "leased");
    assert_eq!(claim("a", 120).await, 0, "it is driven already");
    let release =
        |node: &str| vec![Change::ReleaseOrders { issuer: "ca".into(), node: node.into() }];
    store.commit(release("b"), vec![]).await.unwrap();
    assert_eq!(claim("a", 120).await, 0, "nobody frees another's");
    store.commit(release("a"), vec![]).await.unwrap();
    assert_eq!(claim("a", 120).await, 1, "one's own after a restart");
    assert_eq!(claim("b", 170).await, 1, "expired");
    let mut moved = store.order(&OrderId::new("1")).await.unwrap().unwrap();
    moved.state = OrderState::Placed { url: "u".into() };
    let advance = |node: &str| Change::AdvanceOrder {
        order: moved.clone(),
        node: node.into(),
        step: "placed".into(),
        at: Millis(180),
    };
    assert_eq!(conflict(store.commit(vec![advance("a")], vec![]).await), Conflict::OrderLeased);
    store.commit(vec![advance("b")], vec![]).await.unwrap();
    assert_eq!(store.order(&OrderId::new("1")).await.unwrap(), Some(moved));
    let steps = store.order_steps(&OrderId::new("1")).await.unwrap();
    assert_eq!(steps, [(Millis(180), "placed".to_owned())]);
}

pub(super) async fn a_cancelled_order_ends_unless_the_ca_was_asked_to_issue(place: Place) {
    let store = place.open("node").await;
    store
        .commit(vec![Change::InsertOrder(order("1")), Change::InsertOrder(order("2"))], vec![])
        .await
        .unwrap();
    let answer = answer("1", "v", AnswerPlace::BuiltIn);
    let mut late = order("2");
    late.state = OrderState::Finalizing { url: "u".into() };
    let advance = |order| Change::AdvanceOrder {
        order,
        node: "node".into(),
        step: "on".into(),
        at: Millis(1),
    };
    store.commit(vec![Change::PutAnswer(answer), advance(late.clone())], vec![]).await.unwrap();
    let state = OrderState::Invalid {
        problem: acme_bridge::Problem::new(acme_bridge::ProblemKind::Refused, "", "cancelled"),
    };
    let cancel = |number: &str| Change::CancelOrder {
        order: OrderId::new(number),
        state: state.clone(),
        step: "cancelled".into(),
        at: Millis(9),
    };
    store.commit(vec![cancel("1"), cancel("2")], vec![]).await.unwrap();
    let read = store.order(&OrderId::new("1")).await.unwrap().unwrap();
    assert!(read.state.is_final());
    assert!(store.answers(AnswerKind::Txt, "_acme-challenge.a").await.unwrap().is_empty());
    assert_eq!(store.order(&OrderId::new("2")).await.unwrap().unwrap().state, late.state);
    let result = store.commit(vec![advance(order("1"))], vec![]).await;
    assert_eq!(conflict(result), Conflict::OrderLeased, "its driver has lost it");
}

pub(super) async fn a_thousand_jobs_are_claimed_once_by_many_workers(place: Place) {
    let first = place.open("a").await;
    let stores = match &place {
        // One process holds a SQLite file.
        Place::Sqlite(_) => vec![Arc::clone(&first)],
        Place::Memory(_) | Place::Postgres(..) => vec![Arc::clone(&first), place.open("b").await],
    };
    let changes = (0..1000).map(|number| Change::InsertOrder(order(&number.to_string()))).collect();
    first.commit(changes, vec![]).await.unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = Arc::clone(&stores[number % stores.len()]);
        workers.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let node = format!("worker {number}");
                // Each worker's own leases are out of the way at once, as if it had driven them.
                let (until, now) = (Millis(1000), Millis(100));
                let orders =
                    store.claim_orders("ca", &node, until, now, 7, Which::Any).await.unwrap();
                let new: Vec<OrderId> = orders.into_iter().map(|order| order.id).collect();
                if new.is_empty() {
                    return claimed;
                }
                let ended = new.iter().map(|id| {
                    let mut order = order(id.as_str());
                    order.state = OrderState::Issued { chain: vec![] };
                    let (node, step) = (node.clone(), "done".to_owned());
                    Change::AdvanceOrder { order, node, step, at: Millis(100) }
                });
                store.commit(ended.collect(), vec![]).await.unwrap();
                claimed.extend(new);
            }
        });
    }
    let mut all: Vec<OrderId> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 1000, "each job has one worker");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1000, "no job has two");
}

pub(super) async fn ended_orders_are_pruned_and_open_ones_stay(place: Place) {
    let store = place.open("node").await;
    let mut ended = order("1");
    ended.state = OrderState::Issued { chain: vec![] };
    let changes = vec![
        Change::InsertOrder(order("1")),
        Change::InsertOrder(order("2")),
        Change::AdvanceOrder {
            order: ended,
            node: "node".into(),
            step: "issued".into(),
            at: Millis(1),
        },
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert!(store.ended_orders(Millis(100), 9).await.unwrap().is_empty(), "too young");
    assert_eq!(store.ended_orders(Millis(101), 9).await.unwrap(), [OrderId::new("1")]);
    let prune = |number: &str| Change::PruneOrder { order: OrderId::new(number) };
    store.commit(vec![prune("1"), prune("2")], vec![]).await.unwrap();
    assert_eq!(store.order(&OrderId::new("1")).await.unwrap(), None);
    assert!(store.order_steps(&OrderId::new("1")).await.unwrap().is_empty());
    assert!(store.order(&OrderId::new("2")).await.unwrap().is_some(), "it has not ended");
}
