//! What the CA refuses, loses or never ends: each has its end, told once.

use std::time::Duration;

use acme_bridge::bridge::Progress;
use acme_bridge::client::OrderStatus;
use acme_bridge::{Alarm, OrderState, ProblemKind};

use super::bench::Bench;
use super::script::{URL, problem};

#[tokio::test(start_paused = true)]
async fn a_csr_that_the_ca_refuses_ends_at_once_in_the_cas_words() {
    for kind in ["badCSR", "rejectedIdentifier", "caa", "unsupportedIdentifier"] {
        let bench = Bench::new();
        bench.place().await.unwrap();
        bench.script().finalize = Some(problem(kind));
        let Progress::Invalid(ended) = bench.run(Duration::from_secs(30)).await else {
            panic!("{kind} did not end");
        };
        assert_eq!((ended.kind, ended.detail.as_str()), (ProblemKind::Refused, "because"));
        assert_eq!(ended.to_string(), format!("{kind}: because"));
        assert_eq!(bench.ca.count("new_order"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_order_is_placed_anew_three_times_and_then_given_up() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().problem = Some(problem("unauthorized"));
    for times in 1..=4 {
        bench.script().authorization = None;
        bench.script().status = None;
        let progress = bench.run(Duration::from_secs(30)).await;
        assert_eq!(bench.ca.count("new_order"), times);
        assert_eq!(matches!(progress, Progress::Invalid(_)), times == 4, "{progress:?}");
        bench.clock.advance(700_000);
    }
    assert!(bench.store.answers.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_at_work_for_ever_is_given_up() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.set_state(OrderState::Finalizing { url: URL.into() });
    bench.script().status = Some(OrderStatus::Processing);
    let mut asked = 0;
    for _ in 0..400 {
        let progress = bench.run(Duration::from_secs(20)).await;
        asked = bench.ca.count("finalize");
        if let Progress::Invalid(ended) = progress {
            assert!(ended.detail.contains("more than a day"), "{ended}");
            assert!(asked < 10_000, "{asked}");
            return;
        }
        bench.clock.advance(300_000);
    }
    panic!("asked {asked} times and still waits");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_the_ca_does_not_want_is_alarmed_once() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().new_order = Some(problem("userActionRequired"));
    for _ in 0..5 {
        assert_eq!(bench.run(Duration::from_secs(5)).await, Progress::Pending);
        bench.clock.advance(61_000);
    }
    assert_eq!(*bench.store.alarms.lock().unwrap(), [Alarm::Account]);
    assert_eq!(bench.ca.count("new_order"), 5);
}
