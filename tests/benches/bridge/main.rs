//! What the bridge costs beside the ACME library alone: the same CA, the same challenge, the same HTTP client.
//!
//! Both make as many orders with as many in flight, in short turns one after the other, so that a machine that is busy
//! with something else disturbs both; printed are both rates, the median of the turns' ratios, the requests that the
//! CA saw for each certificate, what processor time went where, and the memory of orders that wait.

// A benchmark that cannot go on says so and ends.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(clippy::as_conversions, clippy::cast_precision_loss)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use acme_bridge::bridge::Progress;
use acme_bridge::{Contacts, OrderTerms};
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
/// How long a turn may take before somebody is to blame.
const TURN: Duration = Duration::from_secs(20);
/// How often a CA that hangs is begun anew.
const RESTARTS: u32 = 10;

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

/// Pebble, at as many orders in flight as it bears: it deadlocks with more, and seldom with these as well
/// (letsencrypt/pebble#554). Then it is begun anew, and that is told.
async fn pebble(program: &Path) -> anyhow::Result<()> {
    println!("{HEADING}");
    let mut hung = 0;
    for (in_flight, orders) in [(1, 60), (4, 120), (8, 160)] {
        let mut score = Score::new("Pebble", in_flight, orders);
        while !score.is_full() {
            let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
            let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
            let pebble =
                Pebble::start_with(program, folder.path(), dns.address(), &options).await?;
            let ca = Ca {
                directory: pebble.directory(),
                tls_anchor: pebble.tls_anchor(),
                root: pebble.root(),
                external_account: None,
                contacts: Contacts::default(),
            };
            let requests = || Ok(pebble.count("-> calling handler()")?);
            let bench = Bench { dns, ca, process: pebble.process(), requests: &requests };
            if bench.fill(&mut score).await? == Course::Hung {
                hung += 1;
                anyhow::ensure!(hung <= RESTARTS, "Pebble hung {hung} times");
            }
            pebble.stop().await;
        }
        score.print();
    }
    if hung > 0 {
        println!("Pebble deadlocked {hung} times (letsencrypt/pebble#554) and was begun anew.");
    }
    Ok(())
}

/// step-ca, with its own database on the disk, as it is run.
async fn step_ca(program: &Path) -> anyhow::Result<()> {
    println!("{HEADING}");
    for (in_flight, orders) in [(1, 60), (16, 200), (64, 320)] {
        let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
        let step = StepCa::start(program, folder.path(), dns.address()).await?;
        let ca = Ca {
            directory: step.directory(),
            tls_anchor: step.root(),
            root: step.root(),
            external_account: None,
            contacts: Contacts::default(),
        };
        let requests = || step.requests();
        let bench = Bench { dns, ca, process: step.process(), requests: &requests };
        let mut score = Score::new("step-ca", in_flight, orders);
        anyhow::ensure!(bench.fill(&mut score).await? == Course::Ran, "step-ca hangs");
        score.print();
    }
    println!(
        "Each order costs the bridge three durable writes that the CA waits for (placed, authorizing, finalizing) and \
         two that go on beside its work (claimed, issued), which its processor time and commits show; those of \
         several orders are one commit. With one order in flight nothing hides the wait for three; with many, both \
         cores are busy, and the ratio is that of the sums of processor time."
    );
    println!(
        "step-ca answers some requests with serverInternal when several orders of one account are under way: \
         each newOrder updates all pending orders, and what another request reads or updates at that moment \
         fails. The bare loop begins such an order anew; the bridge asks again."
    );
    Ok(())
}

const HEADING: &str = "
             |        orders a second         |   requests    |  processor ms an order      | bridge: | bare:
  CA  flight |   bare    bridge ratio (turns) |  bare  bridge | CA + bare     CA + bridge   | commits | begun
             |                                | the CA saw    |                             | an order| anew";

/// Devices of all runs, so that no two have one name.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// CSRs of new keys for new devices.
fn wishes(orders: u64) -> anyhow::Result<Vec<Wish>> {
    let first = NEXT.fetch_add(orders, Ordering::Relaxed);
    (first..first + orders).map(wish).collect()
}

/// A CA that runs, and how to look at it.
struct Bench<'a> {
    dns: Dns,
    ca: Ca,
    process: Option<u32>,
    requests: &'a dyn Fn() -> anyhow::Result<usize>,
}

/// What became of turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Ran,
    /// The CA takes no order any more.
    Hung,
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

    fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.rates.extend(other.rates);
        self.requests += other.requests;
        self.ca_millis += other.ca_millis;
        self.own_millis += other.own_millis;
    }
}

/// The turns at one number of orders in flight.
struct Score {
    name: &'static str,
    in_flight: u32,
    orders: u64,
    bare: Side,
    bridge: Side,
    ratios: Vec<f64>,
    transactions: u64,
    anew: u64,
}

impl Score {
    fn new(name: &'static str, in_flight: u32, orders: u64) -> Self {
        let (bare, bridge) = (Side::default(), Side::default());
        let (ratios, transactions, anew) = (Vec::new(), 0, 0);
        Self { name, in_flight, orders, bare, bridge, ratios, transactions, anew }
    }

    fn is_full(&self) -> bool {
        self.ratios.len() >= TURNS
    }

    fn print(&mut self) {
        let ratio = median(&mut self.ratios);
        let (least, most) = (self.ratios[0], self.ratios[self.ratios.len() - 1]);
        let mark = if ratio < GOAL { "below 0.95" } else { "" };
        let (bare, bridge) = (&self.bare, &self.bridge);
        println!(
            "{:>7} {:>9} |{:>7.1} {:>9.1} {ratio:>6.2} ({least:.2}-{most:.2}) |{:>6.2} {:>8.2} |\
             {:>6.2} +{:>5.2} {:>6.2} +{:>5.2} |{:>6.2} {:>6} {mark}",
            self.name,
            self.in_flight,
            median(&mut bare.rates.clone()),
            median(&mut bridge.rates.clone()),
            bare.each(bare.requests as f64),
            bridge.each(bridge.requests as f64),
            bare.each(bare.ca_millis),
            bare.each(bare.own_millis),
            bridge.each(bridge.ca_millis),
            bridge.each(bridge.own_millis),
            bridge.each(self.transactions as f64),
            self.anew,
        );
    }
}

impl Bench<'_> {
    /// Takes turns until the score is full, or the CA hangs.
    async fn fill(&self, score: &mut Score) -> anyhow::Result<Course> {
        let in_flight = score.in_flight;
        let client = bare::Client::new(&self.ca, Arc::clone(&self.dns.texts), in_flight).await?;
        let site =
            BridgeSite::start(&self.dns, &self.ca, |config| config.orders_in_flight = in_flight)?;
        site.bridge.account().await?;
        let mut is_warm = false;
        while !score.is_full() {
            let (mut bare, mut bridge) = (Side::default(), Side::default());
            let mut transactions = 0;
            let anew = client.anew();
            // Who begins has the colder CA.
            for is_bare in
                if score.ratios.len().is_multiple_of(2) { [true, false] } else { [false, true] }
            {
                let wishes = wishes(score.orders)?;
                let turn = if is_bare {
                    tokio::time::timeout(TURN, self.turn(&mut bare, client.run(wishes))).await
                } else {
                    for wish in &wishes {
                        site.prepare(wish).await?;
                    }
                    let before = self.dns.transactions();
                    let run = self.turn(&mut bridge, run_bridge(&site, wishes));
                    let turn = tokio::time::timeout(TURN, run).await;
                    transactions = self.dns.transactions() - before;
                    turn
                };
                match turn {
                    Ok(turn) => turn?,
                    Err(_) => return self.hung(site).await,
                }
            }
            // The first turn warms both.
            if std::mem::replace(&mut is_warm, true) {
                score.ratios.push(bridge.rates[0] / bare.rates[0]);
                score.bare.add(bare);
                score.bridge.add(bridge);
                score.transactions += transactions;
                score.anew += client.anew() - anew;
            }
        }
        site.stop().await;
        Ok(Course::Ran)
    }

    /// Whose fault it is that a turn does not end: a CA that takes no order from somebody new is hung.
    async fn hung(&self, site: BridgeSite) -> anyhow::Result<Course> {
        site.stop().await;
        let one = async {
            let client = bare::Client::new(&self.ca, Arc::clone(&self.dns.texts), 1).await?;
            client.run(wishes(1)?).await
        };
        match tokio::time::timeout(TURN / 3, one).await {
            Ok(Ok(_)) => anyhow::bail!("a turn took longer than {TURN:?}, and the CA works"),
            _ => Ok(Course::Hung),
        }
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
