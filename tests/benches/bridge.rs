//! What the bridge costs beside the ACME library alone: the same CA, the same challenge, the same HTTP client.
//!
//! Both make as many orders with as many in flight; printed are both rates, their ratio, the requests for each
//! certificate, and the memory for each order that waits with somebody waiting for it.

// A benchmark that cannot go on says so and ends.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(clippy::as_conversions, clippy::cast_precision_loss)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use acme_bridge::OrderTerms;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_tests::bridge_site::{BridgeSite, Ca, Dns, Texts, Wish, wish};
use brski_tests::programs;
use brski_tests::step_ca::StepCa;
use instant_acme::{Account, ChallengeType, Identifier, Key, NewOrder, OrderStatus};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[global_allocator]
static MEMORY: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// How many orders wait when memory is measured.
const WAITING: u64 = 2_000;
/// What an order that waits may cost, in octets.
const WAITING_OCTETS: usize = 8 * 1024;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(program) = programs::outside("pebble", "pebble") {
        let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
        let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
        let pebble = Pebble::start_with(&program, folder.path(), dns.address(), &options).await?;
        let ca = Ca {
            directory: pebble.directory(),
            tls_anchor: pebble.tls_anchor(),
            root: pebble.root(),
            external_account: None,
        };
        // Pebble deadlocks with more in flight (letsencrypt/pebble#554).
        for (in_flight, orders) in [(1, 60), (4, 160), (8, 240)] {
            compare("Pebble", &dns, &ca, in_flight, orders).await?;
        }
    }
    if let Some(program) = programs::go("step-ca") {
        let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
        let step = StepCa::start(&program, folder.path(), dns.address()).await?;
        let ca = Ca {
            directory: step.directory(),
            tls_anchor: step.root(),
            root: step.root(),
            external_account: None,
        };
        for (in_flight, orders) in [(1, 100), (16, 400), (64, 640)] {
            compare("step-ca", &dns, &ca, in_flight, orders).await?;
        }
    }
    memory().await
}

/// Devices of all runs, so that no two have one name.
static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

fn wishes(orders: u64) -> anyhow::Result<Vec<Wish>> {
    let first = NEXT.fetch_add(orders, std::sync::atomic::Ordering::Relaxed);
    (first..first + orders).map(wish).collect()
}

/// Alternates the two, so that neither has the warmer CA, and takes the better of each.
async fn compare(
    name: &str,
    dns: &Dns,
    ca: &Ca,
    in_flight: u32,
    orders: u64,
) -> anyhow::Result<()> {
    let account = bare_account(ca).await?;
    let site = BridgeSite::start(dns, ca, |config| config.orders_in_flight = in_flight)?;
    site.bridge.account().await?;
    let (mut bare, mut bridged, mut requests) = (0.0_f64, 0.0_f64, 0.0);
    for _ in 0..3 {
        let rate = run_bare(&account, &dns.texts, in_flight, wishes(orders)?).await?;
        bare = bare.max(rate);
        let before = site.account.requests();
        let rate = run_bridge(&site, wishes(orders)?).await?;
        bridged = bridged.max(rate);
        requests = (site.account.requests() - before) as f64 / orders as f64;
    }
    println!(
        "{name:>8}, {in_flight:>2} in flight: bare {bare:>6.1}/s, bridge {bridged:>6.1}/s, ratio {:.3}, \
         {requests:.1} requests a certificate",
        bridged / bare
    );
    site.stop().await;
    Ok(())
}

async fn run_bridge(site: &BridgeSite, wishes: Vec<Wish>) -> anyhow::Result<f64> {
    for wish in &wishes {
        site.prepare(wish).await?;
    }
    let begin = Instant::now();
    let mut waiting = JoinSet::new();
    for wish in &wishes {
        site.order(wish, OrderTerms::default()).await?;
        let (bridge, id) = (Arc::clone(&site.bridge), wish.id.clone());
        waiting.spawn(async move { bridge.wait(&id, Duration::from_secs(300)).await });
    }
    while let Some(progress) = waiting.join_next().await {
        let progress = progress??;
        anyhow::ensure!(
            matches!(progress, acme_bridge::bridge::Progress::Issued(_)),
            "{progress:?}"
        );
    }
    Ok(wishes.len() as f64 / begin.elapsed().as_secs_f64())
}

async fn bare_account(ca: &Ca) -> anyhow::Result<Account> {
    let mut anchors = RootCertStore::empty();
    anchors.add(CertificateDer::from_pem_file(&ca.tls_anchor)?)?;
    let http = acme_bridge::library_client(
        Arc::new(aws_lc_rs::default_provider()),
        Arc::new(anchors),
        &ca.directory,
        Duration::from_secs(30),
    )?;
    let (_, pkcs8) = Key::generate_pkcs8()?;
    let key = Key::from_pkcs8_der(pkcs8.clone_key())?;
    let (account, _) = Account::builder_with_http(http)
        .create_from_key((key, PrivateKeyDer::Pkcs8(pkcs8)), ca.directory.clone())
        .await?;
    Ok(account)
}

async fn run_bare(
    account: &Account,
    texts: &Texts,
    in_flight: u32,
    wishes: Vec<Wish>,
) -> anyhow::Result<f64> {
    let count = wishes.len() as f64;
    let permits = Arc::new(Semaphore::new(in_flight as usize));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for wish in wishes {
        let (account, texts, permits) = (account.clone(), Arc::clone(texts), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            bare_order(&account, &texts, &wish).await
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(count / begin.elapsed().as_secs_f64())
}

/// The loop of the library's documentation, with the pauses of the bridge.
async fn bare_order(account: &Account, texts: &Texts, wish: &Wish) -> anyhow::Result<()> {
    let name = wish.csr.names[0].clone();
    let identifiers = [Identifier::Dns(name.clone())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let owner = format!("_acme-challenge.{name}");
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let mut challenge = authorization.challenge(ChallengeType::Dns01).expect("dns-01");
        let value = challenge.key_authorization().dns_value();
        texts.lock().unwrap().insert(owner.clone(), vec![value]);
        challenge.set_ready().await?;
    }
    let mut pause = Duration::from_millis(10);
    while order.refresh().await?.status == OrderStatus::Pending {
        tokio::time::sleep(pause).await;
        pause = pause * 3 / 2;
    }
    texts.lock().unwrap().remove(&owner);
    order.finalize_csr(&wish.csr.der).await?;
    let mut pause = Duration::from_millis(10);
    while order.state().status == OrderStatus::Processing {
        tokio::time::sleep(pause).await;
        pause = pause * 3 / 2;
        order.refresh().await?;
    }
    anyhow::ensure!(order.certificate().await?.is_some(), "no certificate");
    Ok(())
}

/// Orders that wait for a CA that does not answer, each with somebody who waits for it.
async fn memory() -> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let folder = tempfile::tempdir()?;
    let authority = brski_lab::pki::Authority::new("nobody, LAB ONLY")?;
    let anchor = folder.path().join("ca.pem");
    std::fs::write(&anchor, authority.pem())?;
    let ca = Ca {
        directory: format!("https://localhost:{}/dir", nobody.local_addr()?.port()),
        tls_anchor: anchor.clone(),
        root: anchor,
        external_account: None,
    };
    let site = BridgeSite::start(&dns, &ca, |config| config.orders_in_flight = 8)?;
    let wishes = wishes(WAITING)?;
    for wish in &wishes {
        site.prepare(wish).await?;
    }
    let ids: Vec<_> = wishes.iter().map(|wish| wish.id.clone()).collect();
    for wish in &wishes {
        site.order(wish, OrderTerms::default()).await?;
    }
    drop(wishes);
    let region = Region::new(MEMORY);
    let mut waiting = JoinSet::new();
    for id in ids {
        let bridge = Arc::clone(&site.bridge);
        waiting.spawn(async move { bridge.wait(&id, Duration::from_secs(600)).await });
    }
    // Until each has looked at the store once, and rests.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let change = region.change();
    let used = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    let each = used / usize::try_from(WAITING)?;
    println!("{WAITING} orders wait, each with a request that waits for it: {each} octets each");
    anyhow::ensure!(each < WAITING_OCTETS, "{each} octets for each waiting order");
    waiting.abort_all();
    Ok(())
}
