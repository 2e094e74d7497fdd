//! The way to the CA fails at each kind of request in each way: the enrollment ends with one certificate all the same.

use std::time::Duration;

use acme_bridge::{OrderTerms, ProblemKind};
use brski_tests::bridge_site::{BridgeSite, Dns, wish};
use brski_tests::proxy::Fault;

use super::account::{Behind, behind};

const KINDS: [&str; 6] =
    ["new-order", "authorization", "challenge", "order", "finalize", "certificate"];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_may_fail_in_every_way_and_one_certificate_comes_out() -> anyhow::Result<()> {
    let faults = [
        Fault::Drop,
        Fault::Cut,
        Fault::Delay(Duration::from_millis(300)),
        Fault::problem(500, "serverInternal", None),
        Fault::problem(503, "serverInternal", Some(1)),
        Fault::problem(429, "rateLimited", Some(1)),
        Fault::problem(400, "badNonce", None),
        Fault::Answer { status: 502, body: "<html>Bad Gateway</html>".into(), retry_after: None },
    ];
    let dns = Dns::start().await?;
    let Some(Behind { pebble, proxy, ca, _folder }) = behind(&dns).await? else {
        return Ok(());
    };
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    site.enroll(1).await?;
    let mut number = 1;
    for about in KINDS {
        for fault in &faults {
            number += 1;
            let (orders, certificates) =
                (pebble.count("Added order")?, pebble.count("Issued certificate serial")?);
            let before = proxy.count("new-order");
            proxy.fault(Some(about), 0, 1, fault.clone());
            site.enroll(number)
                .await
                .map_err(|error| error.context(format!("{about} {fault:?}")))?;
            proxy.heal();
            let made = pebble.count("Added order")? - orders;
            assert_eq!(
                pebble.count("Issued certificate serial")? - certificates,
                1,
                "{about} {fault:?}"
            );
            // One more only where the CA took newOrder and its answer was lost.
            let lost = usize::from(about == "new-order" && *fault == Fault::Cut);
            assert_eq!(
                made,
                1 + lost,
                "{about} {fault:?}: {} asked",
                proxy.count("new-order") - before
            );
            println!("{about:>14}: {fault:?}: one certificate, {made} order(s)");
        }
    }
    assert_eq!(dns.answers_left()?, 0, "no TXT record is left");
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_the_ca_says_is_kept_for_the_operator() -> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let Some(Behind { pebble: _pebble, proxy, ca, _folder }) = behind(&dns).await? else {
        return Ok(());
    };
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    site.enroll(1).await?;
    proxy.fault(Some("new-order"), 0, usize::MAX, Fault::problem(429, "rateLimited", Some(3600)));
    let waits = wish(2)?;
    site.place(&waits, OrderTerms::default()).await?;
    site.wait(&waits.id, Duration::from_secs(2)).await.unwrap_err();
    let order = site.store.order(&waits.id).await?.unwrap();
    let problem = order.problem.unwrap();
    assert_eq!(problem.kind, ProblemKind::RateLimited);
    assert_eq!((problem.detail.as_str(), problem.retry_after_secs), ("by the proxy", Some(3600)));
    assert_eq!(proxy.count("new-order"), 2, "asked once, and not again before its time");
    // Another device's order is not held up by it.
    proxy.heal();
    site.enroll(3).await?;
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn answers_that_are_not_acme_are_named_and_hand_nothing_out() -> anyhow::Result<()> {
    let long = "x".repeat(2 * 1024 * 1024);
    for (about, status, body, words) in [
        ("directory", 200, "<html>a router's login page</html>".to_owned(), "is no ACME directory"),
        (
            "directory",
            200,
            "{\"newNonce\":\"https://evil.example/\"}".to_owned(),
            "is no ACME directory",
        ),
        ("directory", 404, "not here".to_owned(), "is no ACME directory"),
        ("directory", 302, String::new(), "redirect"),
        ("new-nonce", 200, String::new(), "Replay-Nonce"),
        ("new-order", 201, "{}".to_owned(), "Location"),
        ("new-order", 201, long, "longer than"),
    ] {
        let dns = Dns::start().await?;
        let Some(Behind { pebble, proxy, ca, _folder }) = behind(&dns).await? else {
            return Ok(());
        };
        let fault = Fault::Answer { status, body, retry_after: None };
        proxy.fault(Some(about), 0, usize::MAX, fault);
        let site = BridgeSite::start(&dns, &ca, |_| {})?;
        let waits = wish(1)?;
        site.place(&waits, OrderTerms::default()).await?;
        let told = site.wait(&waits.id, Duration::from_secs(3)).await.unwrap_err().to_string();
        assert!(told.contains(words), "{about} {status}: {told}");
        assert_eq!(pebble.count("Issued certificate serial")?, 0);
        // When the way is clear again, nothing is lost.
        proxy.heal();
        site.wait(&waits.id, Duration::from_secs(90)).await?;
        site.stop().await;
    }
    Ok(())
}
