//! What the bridge costs beside the ACME library alone: the same CA, the same challenge, the same HTTP client.
//!
//! Both make as many orders with as many in flight, in short turns one after the other, so that a machine that is busy
//! with something else disturbs both; printed are both rates, the median of the turns' ratios, the requests that the
//! CA saw for each certificate, what processor time went where, and the memory of orders that wait.

// A benchmark that cannot go on says so and ends.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(clippy::as_conversions, clippy::cast_precision_loss)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acme_bridge::OrderTerms;
use acme_bridge::bridge::Progress;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_tests::bridge_site::{BridgeSite, Ca, Dns, Wish, wish};
use brski_tests::programs;
use brski_tests::step_ca::StepCa;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::task::JoinSet;

mod bare;
mod machine;
mod memory;

#[global_allocator]
static MEMORY: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// How many turns each side has; odd, for the median.
const TURNS: usize = 7;
/// What the ratio should be.
const GOAL: f64 = 0.95;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Cargo passes `--bench`; a word that follows it selects what is run.
    let only: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    if is_wanted("pebble")
        && let Some(program) = programs::outside("pebble", "pebble")
    {
        pebble(&program).await?;
    }
    if is_wanted("step-ca")
        && let Some(program) = programs::go("step-ca")
    {
        step_ca(&program).await?;
    }
    if is_wanted("memory") {
        memory::measure().await?;
    }
    Ok(())
}

async fn pebble(program: &std::path::Path) -> anyhow::Result<()> {
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(program, folder.path(), dns.address(), &options).await?;
    let ca = Ca {
        directory: pebble.directory(),
        tls_anchor: pebble.tls_anchor(),
        root: pebble.root(),
        external_account: None,
    };
    let process = pebble.process();
    let requests = || Ok(pebble.count("-> calling handler()")?);
    let bench = Bench { name: "Pebble", dns, ca, process, requests: &requests };
    println!("{HEADING}");
    // Pebble deadlocks with more in flight (letsencrypt/pebble#554).
    for (in_flight, orders) in [(1, 60), (4, 160), (8, 240)] {
        bench.compare(in_flight, orders).await?;
    }
    Ok(())
}

async fn step_ca(program: &std::path::Path) -> anyhow::Result<()> {
    // A CA of its own machine has a disk of its own: in memory, its database delays neither ours nor its answers.
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let dns = Dns::start().await?;
    let step = StepCa::start(program, folder.path(), dns.address()).await?;
    let ca = Ca {
        directory: step.directory(),
        tls_anchor: step.root(),
        root: step.root(),
        external_account: None,
    };
    let requests = || step.requests();
    let bench = Bench { name: "step-ca", dns, ca, process: step.process(), requests: &requests };
    println!("{HEADING}");
    for (in_flight, orders) in [(1, 80), (16, 320), (64, 640)] {
        bench.compare(in_flight, orders).await?;
    }
    Ok(())
}

const HEADING: &str = "
     CA  in flight |  bare/s  bridge/s  ratio (of the turns) | requests seen by the CA | \
processor ms an order: CA + client | bridge: transactions, anew
                   |                                         |    bare    bridge       | \
  bare         bridge              | an order";

/// Devices of all runs, so that no two have one name.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// CSRs of new keys for new devices.
fn wishes(orders: u64) -> anyhow::Result<Vec<Wish>> {
    let first = NEXT.fetch_add(orders, Ordering::Relaxed);
    (first..first + orders).map(wish).collect()
}

/// A CA that runs, and how to look at it.
struct Bench<'a> {
    name: &'static str,
    dns: Dns,
    ca: Ca,
    process: Option<u32>,
    requests: &'a dyn Fn() -> anyhow::Result<usize>,
}

/// What one side did in all its turns.
#[derive(Default)]
struct Side {
    orders: u64,
    rates: Vec<f64>,
    requests: usize,
    ca_millis: f64,
    own_millis: f64,
}

impl Side {
    fn each(&self, sum: f64) -> f64 {
        sum / self.orders as f64
    }
}

impl Bench<'_> {
    async fn compare(&self, in_flight: u32, orders: u64) -> anyhow::Result<()> {
        let client = bare::Client::new(&self.ca, Arc::clone(&self.dns.texts), in_flight).await?;
        let site =
            BridgeSite::start(&self.dns, &self.ca, |config| config.orders_in_flight = in_flight)?;
        site.bridge.account().await?;
        let (mut bare, mut bridge, mut ratios) = (Side::default(), Side::default(), Vec::new());
        let mut transactions = 0;
        for turn in 0..=TURNS {
            // Who begins has the colder CA.
            let (mut one, mut other) = (Side::default(), Side::default());
            for is_bare in if turn % 2 == 0 { [true, false] } else { [false, true] } {
                let wishes = wishes(orders)?;
                if is_bare {
                    self.turn(&mut one, client.run(wishes)).await?;
                } else {
                    for wish in &wishes {
                        site.prepare(wish).await?;
                    }
                    let before = self.dns.transactions();
                    self.turn(&mut other, run_bridge(&site, wishes)).await?;
                    transactions += self.dns.transactions() - before;
                }
            }
            // The first turn warms both.
            if turn == 0 {
                transactions = 0;
                continue;
            }
            ratios.push(other.rates[0] / one.rates[0]);
            bare.add(one);
            bridge.add(other);
        }
        let ratio = median(&mut ratios);
        let mark = if ratio < GOAL { '<' } else { ' ' };
        println!(
            "{:>7} {in_flight:>10} |{:>8.1}{:>10.1}{ratio:>7.3}{mark}({:.2} to {:.2})       |{:>8.2}{:>10.2}       | \
             {:>5.2} +{:>5.2}  {:>5.2} +{:>5.2}      | {:>5.2}, bridge {} bare {}",
            self.name,
            median(&mut bare.rates),
            median(&mut bridge.rates),
            ratios[0],
            ratios[ratios.len() - 1],
            bare.each(bare.requests as f64),
            bridge.each(bridge.requests as f64),
            bare.each(bare.ca_millis),
            bare.each(bare.own_millis),
            bridge.each(bridge.ca_millis),
            bridge.each(bridge.own_millis),
            bridge.each(transactions as f64),
            site.bridge.counters().lost_orders(),
            client.anew(),
        );
        site.stop().await;
        Ok(())
    }

    /// Runs one side once, and adds what it took.
    async fn turn(
        &self,
        side: &mut Side,
        run: impl Future<Output = anyhow::Result<u64>>,
    ) -> anyhow::Result<()> {
        let requests = (self.requests)()?;
        let ca = machine::processor_millis(self.process);
        let own = machine::processor_millis(Some(std::process::id()));
        let begin = Instant::now();
        let orders = run.await?;
        let elapsed = begin.elapsed().as_secs_f64();
        side.own_millis += machine::processor_millis(Some(std::process::id())) - own;
        side.ca_millis += machine::processor_millis(self.process) - ca;
        side.requests += (self.requests)()? - requests;
        side.rates.push(orders as f64 / elapsed);
        side.orders += orders;
        Ok(())
    }
}

impl Side {
    fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.rates.extend(other.rates);
        self.requests += other.requests;
        self.ca_millis += other.ca_millis;
        self.own_millis += other.own_millis;
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// As many devices at once, each of which places its order durably and waits for its end.
async fn run_bridge(site: &BridgeSite, wishes: Vec<Wish>) -> anyhow::Result<u64> {
    let count = wishes.len() as u64;
    let mut waiting = JoinSet::new();
    for wish in wishes {
        let bridge = Arc::clone(&site.bridge);
        let terms = OrderTerms { device: wish.device(), ..OrderTerms::default() };
        waiting.spawn(async move {
            bridge.place(wish.id.clone(), wish.csr, terms).await?;
            bridge.wait(&wish.id, Duration::from_secs(300)).await
        });
    }
    while let Some(progress) = waiting.join_next().await {
        let progress = progress??;
        anyhow::ensure!(matches!(progress, Progress::Issued(_)), "{progress:?}");
    }
    Ok(count)
}
