//! What an order that waits costs in memory: in the queue alone, and with a request that waits for its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acme_bridge::{Contacts, OrderTerms};
use brski_lab::pki::Authority;
use brski_tests::bridge_site::{BridgeSite, Ca, Dns};
use stats_alloc::Region;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::{MEMORY, machine, wishes};

/// How many orders wait.
const WAITING: u64 = 10_000;
/// How many of them are made at once.
const BATCH: u64 = 500;
/// How long those who wait may take until each has looked at the store.
const SETTLING: Duration = Duration::from_secs(120);
/// Between two looks at how far they are.
const LOOK: Duration = Duration::from_secs(1);
/// What an order that waits may cost, in octets.
const LIMIT: usize = 8 * 1024;

/// Has orders wait for a CA that accepts connections and says nothing.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let nobody = TcpListener::bind("127.0.0.1:0").await?;
    let folder = tempfile::tempdir()?;
    let anchor = folder.path().join("ca.pem");
    std::fs::write(&anchor, Authority::new("nobody, LAB ONLY")?.pem())?;
    let ca = Ca {
        directory: format!("https://localhost:{}/dir", nobody.local_addr()?.port()),
        tls_anchor: anchor.clone(),
        root: anchor,
        external_account: None,
        contacts: Contacts::default(),
    };
    let site = BridgeSite::start(&dns, &ca, |config| config.orders_in_flight = 8)?;
    // The caches of the database and of the allocator fill before anything is measured.
    queue(&site, BATCH).await?;
    let (region, resident) = (Region::new(MEMORY), machine::resident());
    let mut ids = Vec::new();
    for _ in 0..WAITING / BATCH {
        ids.extend(queue(&site, BATCH).await?);
    }
    print("in the queue", &region, resident, ids.capacity() * size_of::<acme_bridge::OrderId>())?;
    let (mut waiting, begun) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    for id in ids {
        let (bridge, begun) = (Arc::clone(&site.bridge), Arc::clone(&begun));
        waiting.spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            bridge.wait(&id, Duration::from_secs(600)).await
        });
    }
    settle(&region, &begun).await?;
    print("in the queue, each with a request that waits for it", &region, resident, 0)?;
    waiting.abort_all();
    Ok(())
}

/// Waits until each of those who wait has begun, and together they allocate no more: each has looked at the store, and
/// rests.
async fn settle(region: &Region<'_, std::alloc::System>, begun: &AtomicU64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLING;
    let mut before = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let change = region.change();
        let live = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        let waiting = begun.load(Ordering::Relaxed);
        if waiting == WAITING && live <= before + before / 100 {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{waiting} wait, with {live} octets");
        before = live;
    }
}

async fn queue(site: &BridgeSite, orders: u64) -> anyhow::Result<Vec<acme_bridge::OrderId>> {
    let wishes = wishes(orders)?;
    for wish in &wishes {
        site.prepare(wish).await?;
        site.order(wish, OrderTerms::default()).await?;
    }
    Ok(wishes.into_iter().map(|wish| wish.id).collect())
}

/// Prints what came since, less what the benchmark itself holds.
fn print(
    what: &str,
    region: &Region<'_, std::alloc::System>,
    before: Option<usize>,
    own: usize,
) -> anyhow::Result<()> {
    let change = region.change();
    let orders = usize::try_from(WAITING)?;
    let live = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    let each = live.saturating_sub(own) / orders;
    let resident = before.zip(machine::resident());
    let grown = resident.map(|(before, after)| after.saturating_sub(before) / orders);
    println!(
        "{WAITING} orders {what}: {each} octets allocated for each, the process grew by {} octets for each \
         (at most {LIMIT})",
        grown.map_or("?".to_owned(), |grown| grown.to_string()),
    );
    anyhow::ensure!(grown.unwrap_or(each).max(each) < LIMIT, "more than {LIMIT} octets");
    Ok(())
}
