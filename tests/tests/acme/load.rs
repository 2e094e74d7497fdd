//! Five hundred enrollments at once, with a CA that rejects every seventh nonce.

use std::time::{Duration, Instant};

use acme_bridge::OrderTerms;
use acme_bridge::bridge::Progress;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_tests::bridge_site::{BridgeSite, Dns, Wish, wish};
use brski_tests::programs;
use tokio::task::JoinSet;

use super::cas::of_pebble;

const ENROLLMENTS: u64 = 500;
/// Pebble deadlocks with more (letsencrypt/pebble#554).
const IN_FLIGHT: u32 = 8;
/// How long nothing may end before somebody is to blame.
const STALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_enrollments_at_once_get_one_certificate_each() -> anyhow::Result<()> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let options = PebbleOptions { nonces_rejected_percent: 15, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(&program, folder.path(), dns.address(), &options).await?;
    let ca = of_pebble(&pebble);
    let site = BridgeSite::start(&dns, &ca, |config| config.orders_in_flight = IN_FLIGHT)?;
    let begin = Instant::now();
    let mut waiting = JoinSet::new();
    for number in 1..=ENROLLMENTS {
        let wish: Wish = wish(number)?;
        site.place(&wish, OrderTerms::default()).await?;
        let bridge = std::sync::Arc::clone(&site.bridge);
        waiting.spawn(async move { bridge.wait(&wish.id, Duration::from_secs(600)).await });
    }
    let mut issued = 0;
    while !waiting.is_empty() {
        let ended = tokio::time::timeout(STALL, waiting.join_next()).await;
        let Ok(Some(ended)) = ended else {
            // Whose fault is it? A CA that answers its directory, and no order, is hung.
            let orders = site.bridge.tally().await?;
            let down = site.bridge.down_for_millis();
            panic!(
                "nothing ended for {STALL:?}: {issued} issued, {orders:?} open, the CA has failed \
                 for {down} ms; if that is long, Pebble hangs (letsencrypt/pebble#554)"
            );
        };
        match ended?? {
            Progress::Issued(_) => issued += 1,
            other => panic!("{other:?}"),
        }
    }
    let elapsed = begin.elapsed();
    assert_eq!(issued, ENROLLMENTS);
    let (orders, certificates) =
        (pebble.count("Added order")?, pebble.count("Issued certificate serial")?);
    let requests = site.account.requests();
    println!(
        "{issued} enrollments in {elapsed:.1?} ({:.0}/s), {orders} orders, {certificates} certificates, \
         {:.1} requests a certificate, {} orders lost",
        f64::from(u32::try_from(issued)?) / elapsed.as_secs_f64(),
        f64::from(u32::try_from(requests)?) / f64::from(u32::try_from(issued)?),
        site.bridge.counters().lost_orders(),
    );
    assert_eq!(certificates, usize::try_from(ENROLLMENTS)?, "once each");
    assert_eq!(orders, certificates + usize::try_from(site.bridge.counters().lost_orders())?);
    assert_eq!(dns.answers_left()?, 0);
    site.stop().await;
    Ok(())
}
