//! The course of an order: from its CSR to its chain, through every crash, by one node at a time.

use std::time::Duration;

use acme_bridge::bridge::Progress;
use acme_bridge::client::OrderStatus;
use acme_bridge::{Clock as _, Lease, OrderId, OrderState};

use super::bench::Bench;
use super::script::URL;

#[tokio::test(start_paused = true)]
async fn an_order_goes_from_csr_to_chain_and_leaves_no_answer_behind() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    let Progress::Issued(chain) = bench.run(Duration::from_secs(60)).await else {
        panic!("not issued");
    };
    assert_eq!(chain.len(), 2, "the certificate and the root");
    assert_eq!(chain[1], bench.root);
    for (call, times) in [("new_order", 1), ("validate", 1), ("csr sent", 1), ("certificate", 1)] {
        assert_eq!(bench.ca.count(call), times, "{call}");
    }
    assert!(bench.store.answers.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_order_twice_is_one() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)));
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)));
    assert_eq!(bench.ca.count("new_order"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_at_any_write_is_resumed_and_sends_the_csr_once() {
    for writes in 1..12 {
        let bench = Bench::new();
        bench.place().await.unwrap();
        *bench.store.writes_left.lock().unwrap() = Some(writes);
        bench.run(Duration::from_secs(5)).await;
        *bench.store.writes_left.lock().unwrap() = None;
        assert!(
            matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)),
            "{writes}"
        );
        assert_eq!(bench.ca.count("csr sent"), 1, "after {writes} writes");
        // Only a crash between newOrder and its answer's write may cost an order.
        assert!(bench.ca.count("new_order") <= 2, "after {writes} writes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_found_finalizing_is_read_before_anything_is_sent() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().status = Some(OrderStatus::Valid);
    bench.set_state(OrderState::Finalizing { url: URL.into() });
    assert!(matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)));
    assert_eq!(bench.ca.count("csr sent"), 0);
    assert_eq!(bench.ca.count("new_order"), 0);
}

#[tokio::test(start_paused = true)]
async fn another_nodes_order_is_left_alone_until_its_lease_ends() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    let id = OrderId::new("1");
    let until = bench.clock.now() + 1000;
    bench.store.orders.lock().unwrap().get_mut(&id).unwrap().lease =
        Some(Lease { node: "another".into(), until });
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    assert_eq!(bench.ca.count("new_order"), 0);
    bench.clock.advance(1000);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}
