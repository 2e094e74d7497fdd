//! A site on a real network: pledges, join proxy, registrar, MASA and CA each in a network namespace of its own, with
//! links that are late, lose frames, are narrow, and are cut.
//!
//! ```text
//!  pledges ──pledges── proxy ──site── registrar ──masa── MASA
//!     finds it by mDNS                    └───────ca───── ACME CA
//! ```
//!
//! Invariant: nothing of it is in the machine's own network, and nothing is left when [`run`] ends, however it ends.

pub mod link;
pub mod machine;
pub mod relay;
pub mod report;
pub mod scenario;
pub mod shaper;
mod site;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use brski_voucher::encoding::Encoding;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use self::link::LinkWish;
use self::machine::{MachineError, Tools};
use self::report::NetReport;
use self::shaper::{Link, ShaperWish};
use self::site::{NetSite, PLEDGES_INTERFACE};
use crate::pledge::Pledge;
use crate::pledge::discover::{self, Joined, Search};
use crate::pledge::journey::Label;
use crate::scenario::run::Programs;
use crate::signals::Signals;
use crate::up::Issuer;

/// What `brski-lab net` is told.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// Where everything is.
    pub programs: Programs,
    /// The links that are not as good as it gets.
    pub links: Vec<LinkWish>,
    /// Who spoils them.
    pub shaper: ShaperWish,
    /// How long each pledge looks for places to join before it tries them.
    pub period: Duration,
    /// How often each looks and tries.
    pub rounds: u32,
}

impl NetOptions {
    /// How pledges look for places to join.
    fn search(&self) -> Search {
        let interfaces = vec![PLEDGES_INTERFACE.to_owned()];
        Search { interfaces, period: self.period, rounds: self.rounds }
    }
}

/// The pledges of a run.
#[derive(Clone, Debug)]
pub struct Crew {
    /// How many.
    pub pledges: usize,
    /// How many at once.
    pub concurrency: usize,
    /// How they write their voucher requests.
    pub encoding: Encoding,
    /// Where their certificates come from.
    pub issuer: Issuer,
}

/// Builds the network, takes the pledges through, and removes everything.
///
/// # Errors
/// Why the site cannot be started, or which part of it ended by itself; what goes wrong with a pledge stands in the
/// report, and so does an interruption.
pub async fn run(options: &NetOptions, crew: &Crew) -> anyhow::Result<NetReport> {
    // From here on a signal ends the run, and not the process before it has cleaned up.
    let mut signals = Signals::listen()?;
    let tools = tools()?;
    let mut site = tokio::select! {
        biased;
        name = signals.next() => bail!("{name} before the site stood; everything is removed"),
        site = NetSite::start(&tools, options, crew) => site?,
    };
    let serials: Vec<String> =
        (1..=crew.pledges).map(|number| format!("LAB-{number:04}")).collect();
    let pledges =
        serials.iter().map(|serial| site.site.pledge(serial)).collect::<Result<Vec<_>, _>>()?;
    let mut outcomes = Outcomes::of(&serials);
    let begin = Instant::now();
    let NetSite { site: parts, ground } = &mut site;
    eprintln!("brski-lab: {} pledges set out", pledges.len());
    let end = tokio::select! {
        biased;
        name = signals.next() => Ok(Some(name)),
        why = parts.failure() => Err(why),
        why = ground.failure() => Err(why),
        done = go(&ground.machines, pledges, (crew, options.search()), &mut outcomes) => {
            done?;
            Ok(None)
        }
    };
    let interrupted_by = match end {
        Ok(interrupted_by) => interrupted_by,
        // A component that ended because it got the same signal as this process did not fail.
        Err(why) => match signals.same().await {
            Some(name) => Some(name),
            None => bail!(anyhow!(why).context(format!("after {}", outcomes.told()))),
        },
    };
    let (issuer, took) = (crew.issuer, begin.elapsed());
    let shaper = site.ground.shaper.clone();
    let mut report = NetReport::new(issuer, outcomes.end(), took, shaper, &site.ground.links);
    if interrupted_by.is_none() {
        let counters = site.site.registrar.counters().await?;
        report.dns_queries_answered = counters.dns_answers;
    }
    report.interrupted_by = interrupted_by;
    site.stop().await;
    Ok(report)
}

/// What networks are made with, once what killed runs left is removed.
fn tools() -> Result<Tools, MachineError> {
    let tools = Tools::find()?;
    for namespace in tools.remove_left_over() {
        eprintln!("brski-lab: removed {namespace}, left by a run that was killed");
    }
    Ok(tools)
}

/// What became of each pledge so far.
struct Outcomes(Vec<(String, Option<Result<Joined, String>>)>);

impl Outcomes {
    fn of(serials: &[String]) -> Self {
        Self(serials.iter().map(|serial| (serial.clone(), None)).collect())
    }

    fn set(&mut self, position: usize, outcome: Result<Joined, String>) {
        if let Some((_, its)) = self.0.get_mut(position) {
            *its = Some(outcome);
        }
    }

    fn told(&self) -> String {
        let joined = self.0.iter().filter(|(_, outcome)| matches!(outcome, Some(Ok(_)))).count();
        format!("{joined} of {} pledges had joined", self.0.len())
    }

    fn end(self) -> Vec<Result<Joined, String>> {
        let unfinished = |serial| Err(format!("{serial}: the run ended before it had joined"));
        self.0.into_iter().map(|(serial, its)| its.unwrap_or_else(|| unfinished(serial))).collect()
    }
}

/// Takes all pledges through, so many at a time.
async fn go(
    machines: &site::Machines,
    pledges: Vec<Pledge>,
    (crew, search): (&Crew, Search),
    outcomes: &mut Outcomes,
) -> Result<(), MachineError> {
    let permits = Arc::new(Semaphore::new(crew.concurrency));
    let search = Arc::new(search);
    let mut tasks = JoinSet::new();
    for (position, pledge) in pledges.into_iter().enumerate() {
        let (permits, search) = (Arc::clone(&permits), Arc::clone(&search));
        let pledge = pledge.writing(crew.encoding);
        let work = async move {
            let _permit = permits.acquire_owned().await;
            let serial = pledge.serial().clone();
            let told = |place: &crate::discovery::Place, error: &_| {
                eprintln!("brski-lab: {serial}: {} ({}): {error}", place.instance, place.address);
            };
            let outcome = discover::join(&pledge, &Label::default(), &search, told).await;
            (position, outcome.map_err(|error| format!("{serial}: {error}")))
        };
        machines.pledges.add(&mut tasks, work)?;
    }
    while let Some(outcome) = tasks.join_next().await {
        let failed = |_| MachineError::Task(machines.pledges.namespace().to_owned());
        let (position, outcome) = outcome.map_err(failed)?;
        if let Ok(Joined { enrolled, place, .. }) = &outcome {
            eprintln!("brski-lab: {} joined at {}", enrolled.serial, place.instance);
        }
        outcomes.set(position, outcome);
    }
    Ok(())
}

/// Cuts and mends the links when it is time; ends only if that fails.
async fn cuts(links: &[Link]) -> MachineError {
    let begin = tokio::time::Instant::now();
    let mut plan: Vec<(Duration, bool, &Link)> = Vec::new();
    for link in links {
        for cut in &link.quality().cuts {
            plan.extend([(cut.from, true, link), (cut.to, false, link)]);
        }
    }
    plan.sort_by_key(|(moment, is_cut, _)| (*moment, *is_cut));
    for (moment, is_cut, link) in plan {
        sleep_until(begin + moment).await;
        let done = if is_cut { link.cut() } else { link.mend() };
        if let Err(error) = done {
            return error;
        }
        let word = if is_cut { "cut" } else { "mended" };
        eprintln!("brski-lab: link {} is {word}", link.name().as_str());
    }
    std::future::pending().await
}
