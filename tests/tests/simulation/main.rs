//! A deterministic simulation of the registrar: what must hold, holds whatever happens in whatever order.
//!
//! Real are the requests' handlers, the decisions behind them, the operators' service, the bridge's order store and
//! the local issuer; simulated are the clock, the database (in memory, see `registrar/src/store/memory`), the MASAs,
//! the ACME CA and everybody who asks. A run is a list of [`Op`](op::Op)s; see [`world`] for how they interleave.
//!
//! `SIMULATION_RUNS` (1000 if unset) says how many runs there are, `SIMULATION_SEED` (0) where they begin. A failure
//! prints the shortest run that fails, as an expression: it becomes a test in [`reproductions`], which is where past
//! failures are kept; proptest's own files of seeds are off, since a seed says nothing after the operations change.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod ca;
mod check;
mod client;
mod gate;
mod masa;
mod node;
mod op;
mod operator;
mod reproductions;
mod site;
mod snapshot;
mod tally;
mod world;

use std::time::Instant;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::op::{Op, operations};
use self::tally::{Premise, Tally};
use self::world::World;

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is no number")),
        Err(_) => otherwise,
    }
}

/// Runs operations to the end; what each request was answered.
fn simulate(ops: &[Op], tally: &Tally) -> Result<Vec<u16>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::begin(tally).await;
        for op in ops {
            world.step(op).await?;
        }
        world.end().await?;
        Ok(world.trace)
    })
}

fn runner(runs: u64, seed: u64) -> TestRunner {
    let config = Config {
        cases: u32::try_from(runs).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
fn every_invariant_holds_whatever_happens() {
    let (runs, seed) = (number("SIMULATION_RUNS", 1000), number("SIMULATION_SEED", 0));
    let (tally, since) = (Tally::default(), Instant::now());
    let outcome = runner(runs, seed).run(&operations(), |ops| {
        // Those that follow a failure look for a shorter one.
        let is_first = tally.of("failures") == 0;
        tally.count(if is_first { "runs" } else { "runs that look for a shorter failure" });
        simulate(&ops, &tally).map(|_| ()).map_err(|reason| {
            tally.count("failures");
            TestCaseError::fail(reason)
        })
    });
    println!("seed {seed}, {:.1} s\n{}", since.elapsed().as_secs_f64(), tally.report());
    if let Err(TestError::Fail(reason, ops)) = outcome {
        panic!("after {} runs: {reason}\nholds(&{ops:?});", tally.of("runs"));
    }
    outcome.unwrap();
    // A few runs need not meet everything.
    if runs >= 1000 {
        for premise in Premise::ALL {
            let word = format!("premise {premise:?}");
            assert!(tally.of(&word) > 0, "no run had {word}: the invariant was never tried");
        }
        for word in Op::words() {
            assert!(tally.of(&word) > 0, "no run had {word}");
        }
    }
}

#[test]
fn the_same_operations_have_the_same_answers() {
    let mut runner = runner(20, 7);
    let tally = Tally::default();
    for _ in 0..20 {
        let ops = operations().new_tree(&mut runner).unwrap().current();
        let (first, second) = (simulate(&ops, &tally), simulate(&ops, &tally));
        assert_eq!(first, second, "&{ops:#?}");
    }
}
