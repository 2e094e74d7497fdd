//! Server and floor in turns, and the median of all of them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use brski_est::client::EstServer;
use brski_lab::est::Trust;
use brski_lab::load::{
    self, Arrival, ClientOptions, Connections, End, Outcome, Plan, Proof, Question, Target, Work,
};
use brski_lab::pledge::Pledge;
use brski_lab::pledge::tls::TlsVersions;

/// How many connections ask at once.
pub(crate) const CONNECTIONS: usize = 16;

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// For figures.
    Whole,
    /// For a try.
    Quick,
}

impl Size {
    pub(crate) fn chosen() -> Self {
        match std::env::var_os("BENCH_QUICK").is_some_and(|value| value == "1") {
            true => Self::Quick,
            false => Self::Whole,
        }
    }

    /// One number or the other.
    pub(crate) fn of(self, whole: u64, quick: u64) -> u64 {
        match self {
            Self::Whole => whole,
            Self::Quick => quick,
        }
    }

    pub(crate) fn turns(self) -> u64 {
        self.of(7, 3)
    }
}

/// A server under measurement.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) target: Target,
    pub(crate) pid: u32,
}

impl Measured {
    pub(crate) async fn at(address: SocketAddr, pid: Option<u32>) -> anyhow::Result<Self> {
        let tls = load::tls(&Trust::DangerAnybody, None, TlsVersions::Tls13)?;
        let server = EstServer::from_url(&format!("https://{address}"))?;
        let target = Target::find(server, &tls).await?;
        Ok(Self { target, pid: pid.context("the server has no process")? })
    }

    /// Has EST requests made and sent.
    pub(crate) async fn ask(
        &self,
        question: Question,
        proofs: Vec<Proof>,
        reuse: Connections,
        requests: u64,
    ) -> anyhow::Result<Outcome> {
        let messages = usize::try_from(requests + requests / 2)?;
        let options = ClientOptions {
            trust: Trust::DangerAnybody,
            versions: TlsVersions::Tls13,
            name: None,
            key_type: None,
            messages,
        };
        let clients = load::est_clients(question, &self.target, proofs, &options).await?;
        self.run(Work::Questions(question, clients), reuse, CONNECTIONS, requests).await
    }

    /// Has each pledge onboarded once.
    pub(crate) async fn onboard(
        &self,
        pledges: Vec<Pledge>,
        at_once: usize,
    ) -> anyhow::Result<Outcome> {
        let requests = u64::try_from(pledges.len())?;
        self.run(Work::Onboardings(pledges), Connections::OneRequest, at_once, requests).await
    }

    async fn run(
        &self,
        work: Work,
        reuse: Connections,
        connections: usize,
        requests: u64,
    ) -> anyhow::Result<Outcome> {
        let plan = Plan {
            connections,
            reuse,
            arrival: Arrival::AsAnswered,
            end: End::Requests(requests),
            threads: 1,
            server_pid: Some(self.pid),
        };
        let outcome = load::run(&self.target, work, &plan, std::future::pending(), |_| {}).await?;
        let failures = &outcome.tally.failures;
        anyhow::ensure!(failures.is_empty(), "requests failed: {failures:?}");
        Ok(outcome)
    }
}

/// The server's processor time for a request, in microseconds.
pub(crate) fn server_micros(outcome: &Outcome) -> anyhow::Result<f64> {
    per(outcome.server_time.context("the server was not measured")?, outcome.tally.ended())
}

/// Microseconds for each.
pub(crate) fn per(time: Duration, number: u64) -> anyhow::Result<f64> {
    anyhow::ensure!(number > 0, "nothing was measured");
    Ok(time.as_secs_f64() * 1e6 / number as f64)
}

/// Both sides of turns, and their ratios.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    ours: Vec<f64>,
    floor: Vec<f64>,
}

impl Turns {
    pub(crate) fn note(&mut self, ours: f64, floor: f64) {
        self.ours.push(ours);
        self.floor.push(floor);
    }

    pub(crate) fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    pub(crate) fn floor(&self) -> f64 {
        median(self.floor.clone())
    }

    /// The median of the ratios of all turns.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect())
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
