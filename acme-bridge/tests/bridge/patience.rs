//! When the CA may be asked: outages, limits, its own wishes, and the CA that takes over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::bridge::Progress;
use acme_bridge::quota::{Limits, Rate};
use acme_bridge::{Alarm, IssuerName, OrderId, OrderState, Problem, ProblemKind};
use tokio::sync::watch;

use super::bench::Bench;
use super::script::{Ca, Script, URL, problem};

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_away_is_asked_again_later() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().unreachable = 1;
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    assert_eq!(bench.store.order().state, OrderState::Intended);
    bench.clock.advance(10_000);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_waits_and_is_no_end() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().new_order = Some(problem("rateLimited"));
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    bench.script().new_order = None;
    bench.clock.advance(100_000);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_down_is_asked_once_and_not_by_every_order() {
    let bench = Bench::new();
    for number in 0..100 {
        let id = OrderId::new(number.to_string());
        bench.process().place(id, bench.csr.clone(), bench.terms.clone()).await.unwrap();
    }
    bench.script().unreachable = u32::MAX;
    bench.run(Duration::from_secs(30)).await;
    // The clock stands still: four were in flight when the first one failed.
    assert!(bench.ca.count("new_order") <= 4, "{}", bench.ca.count("new_order"));
}

#[tokio::test(start_paused = true)]
async fn what_the_ca_asks_to_wait_is_waited() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    let limited = Problem { retry_after_secs: Some(3600), ..problem("rateLimited") };
    bench.script().new_order = Some(limited);
    bench.run(Duration::from_secs(5)).await;
    bench.script().new_order = None;
    bench.clock.advance(3_599_000);
    assert_eq!(bench.run(Duration::from_secs(5)).await, Progress::Pending);
    assert_eq!(bench.ca.count("new_order"), 1);
    assert_eq!(bench.store.order().problem.unwrap().kind, ProblemKind::RateLimited);
    bench.clock.advance(1_000);
    assert!(matches!(bench.run(Duration::from_secs(5)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_over_from_a_ca_that_is_down_and_says_so() {
    let mut bench = Bench::new();
    bench.terms.fallback = Some(IssuerName::new("other"));
    bench.place().await.unwrap();
    bench.script().unreachable = u32::MAX;
    let first = bench.process();
    let (_stop, stopped) = watch::channel(false);
    let task = tokio::spawn(Arc::clone(&first).run(stopped.clone()));
    let id = OrderId::new("1");
    // Not at once: a CA may be away for a moment.
    first.wait(&id, Duration::from_secs(3)).await.unwrap();
    assert_eq!(bench.store.order().issuer, IssuerName::new("ca"));
    for _ in 0..10 {
        bench.clock.advance(20_000);
        first.wait(&id, Duration::from_secs(3)).await.unwrap();
    }
    let moved = bench.store.order();
    assert_eq!((moved.issuer.as_str(), moved.terms.fallback), ("other", None));
    let alarm = Alarm::Fallback { from: IssuerName::new("ca") };
    assert_eq!(*bench.store.alarms.lock().unwrap(), [alarm]);
    assert_eq!(first.counters().fallbacks(), 1);
    task.abort();
    let up = Arc::new(Ca(Mutex::new(Script {
        chain: bench.script().chain.clone(),
        ..Script::default()
    })));
    let second = bench.process_for("other", Arc::clone(&up), Limits::default());
    let task = tokio::spawn(Arc::clone(&second).run(stopped));
    let progress = second.wait(&id, Duration::from_secs(30)).await.unwrap();
    assert!(matches!(progress, Progress::Issued(_)), "{progress:?}");
    assert_eq!(up.count("new_order"), 1);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn no_fallback_takes_over_an_order_that_the_first_ca_has() {
    let mut bench = Bench::new();
    bench.terms.fallback = Some(IssuerName::new("other"));
    bench.place().await.unwrap();
    bench.set_state(OrderState::Finalizing { url: URL.into() });
    bench.script().unreachable = u32::MAX;
    for _ in 0..20 {
        bench.run(Duration::from_secs(5)).await;
        bench.clock.advance(60_000);
    }
    assert_eq!(bench.store.order().issuer, IssuerName::new("ca"));
    assert!(bench.store.alarms.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn our_own_limits_hold_orders_back_before_the_ca_has_to() {
    let mut bench = Bench::new();
    bench.limits.account = Some(Rate { orders: 2, period_secs: 600 });
    let process = bench.process();
    for number in 1..=3 {
        let id = OrderId::new(number.to_string());
        process.place(id, bench.csr.clone(), bench.terms.clone()).await.unwrap();
    }
    bench.run(Duration::from_secs(10)).await;
    bench.run(Duration::from_secs(10)).await;
    assert_eq!(bench.ca.count("new_order"), 2);
    assert_eq!(process.limits_left().await.unwrap()[0].left, 0);
    bench.clock.advance(301_000);
    bench.run(Duration::from_secs(10)).await;
    bench.run(Duration::from_secs(10)).await;
    assert_eq!(bench.ca.count("new_order"), 3);
}
