//! Runs a scenario: checks the machine, starts the site, lets everybody come, and reports, however it ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use super::site::{Console, Programs};

use super::factory::{Works, device, has_addresses};
use super::life::{News, SEARCHES_MOST, Stage, Way, live};
use super::plan::{Coming, Intent, Scale, count, plan};
use super::report::{Ended, MasaReport, MemoryReport, Report};
use super::site::{STOP_LIMIT, Site};
use super::tally::Tally;
use super::words::{Addresses, IssuerKind};
use super::{Scenario, capacity};
use crate::home::{Home, Homes};
use crate::pledge::Pledge;
use crate::signals::Signals;

/// What is said where a signal comes early.
const EARLY: &str = "stopped before the site was up";

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On stderr, if that is a terminal.
    Shown,
    /// Not at all.
    Hidden,
}

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where everything is.
    pub programs: Programs,
    /// How much of it.
    pub scale: Scale,
    /// Whether the operators' web page is open.
    pub console: Console,
    /// What shows progress.
    pub progress: Progress,
}

/// Where a scenario is run.
pub(crate) struct Setting<F> {
    /// Where each part lives.
    pub(crate) homes: Homes,
    /// How devices know where to go.
    pub(crate) way: Way,
    /// Runs from when the devices set out; ends only where something fails, and says what.
    pub(crate) meanwhile: F,
}

/// Runs a scenario on this machine. `tell`: gets the report before the site is stopped, or stays open for its console.
///
/// # Errors
/// If the machine cannot bear it or the site cannot be started; what goes wrong later stands in the report.
pub async fn run(
    scenario: Scenario,
    options: &RunOptions,
    tell: impl FnOnce(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let mut signals = Signals::listen()?;
    let meanwhile = std::future::pending();
    let setting = Setting { homes: Homes::here()?, way: Way::Told, meanwhile };
    run_in(scenario, options, setting, &mut signals, tell).await
}

/// Runs a scenario as [`run`] does, in any setting.
pub(crate) async fn run_in<F: Future<Output = String>>(
    mut scenario: Scenario,
    options: &RunOptions,
    setting: Setting<F>,
    signals: &mut Signals,
    tell: impl FnOnce(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let ends = match setting.way {
        Way::Told => 1,
        // The join proxy has two more, and is in this process, too.
        Way::Searched(_) => 3,
    };
    capacity::secure(&scenario, count(&scenario, options.scale), ends)?;
    let coming = plan(&scenario, options.scale);
    if !has_addresses() {
        // Other systems have one address on the loopback interface.
        for fleet in &mut scenario.fleets {
            fleet.addresses = Addresses::Shared;
        }
    }
    let start = Site::start(&scenario, &options.programs, options.console, &setting.homes);
    let mut site = tokio::select! {
        biased;
        _ = signals.next() => bail!(EARLY),
        site = start => match site {
            Ok(site) => site,
            // A component that did not start because it got the same signal as this process did not fail.
            Err(error) => match signals.same().await {
                Some(_) => bail!(EARLY),
                None => return Err(error),
            },
        },
    };
    let outcome = with(&scenario, options, (&mut site, setting), signals, coming, tell).await;
    let _ = tokio::time::timeout(STOP_LIMIT, site.stop()).await;
    outcome
}

async fn with<F: Future<Output = String>>(
    scenario: &Scenario,
    options: &RunOptions,
    (site, setting): (&mut Site, Setting<F>),
    signals: &mut Signals,
    coming: Vec<Coming>,
    tell: impl FnOnce(&Report) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    if let Some(address) = site.console {
        eprintln!("brski-lab: registrar: https://{}", site.registrar.address());
        eprintln!("brski-lab: console: https://{address}/console");
        eprintln!("brski-lab: log in, once, within ten minutes: {}", site.link().await?);
    }
    let mut report = visit(scenario, options, (site, setting), signals, coming).await?;
    observe(&mut report, site).await;
    tell(&report)?;
    let is_proven = report.dns_queries_answered > 0 || report.enrolled == 0;
    if scenario.issuer.kind == IssuerKind::Pebble && report.ended == Ended::Done && !is_proven {
        bail!("certificates were issued and the CA asked for no proof: validation was not real");
    }
    if site.console.is_some() && report.ended == Ended::Done {
        eprintln!("brski-lab: the site stays until Ctrl-C");
        tokio::select! {
            biased;
            _ = signals.next() => {}
            why = site.failure() => bail!(why),
        }
    }
    Ok(report)
}

/// Lets everybody come; gives what was measured, however that ended.
async fn visit<F: Future<Output = String>>(
    scenario: &Scenario,
    options: &RunOptions,
    (site, setting): (&mut Site, Setting<F>),
    signals: &mut Signals,
    coming: Vec<Coming>,
) -> anyhow::Result<Report> {
    let counts: Vec<u64> = (0..scenario.fleets.len())
        .map(|place| coming.iter().map(|each| u64::from(each.fleet == place)).sum())
        .collect();
    let mut tally = Tally::new(scenario, &counts);
    let works = Arc::clone(&site.works);
    let made = tokio::select! {
        biased;
        name = signals.next() => Err(interrupted(name)),
        made = make(scenario, &works, &coming, options.progress) => Ok(made?),
        why = site.failure() => Err(failed(why, signals).await),
    };
    let pledges = match made {
        Ok(pledges) => pledges,
        Err(ended) => return Ok(tally.report(scenario, ended, Duration::ZERO)),
    };
    let bar = bar(coming.len(), options.progress, "pledges")?;
    let begin = Instant::now();
    let stage = Arc::new(Stage {
        works: Arc::clone(&site.works),
        lying_ca: site.ca.lying(),
        registrar: site.registrar.address(),
        way: setting.way,
        searches: Semaphore::new(SEARCHES_MOST),
        permits: Semaphore::new(at_once(scenario)),
        speed: options.scale.speed,
        begin,
    });
    let (mut lives, mut news) =
        begin_lives(scenario, coming, pledges, &stage, &setting.homes.pledges);
    let ended = tokio::select! {
        biased;
        name = signals.next() => interrupted(name),
        () = hear(&mut news, &mut tally, &bar) => (Ended::Done, String::new()),
        why = site.failure() => failed(why, signals).await,
        why = setting.meanwhile => failed(why, signals).await,
        () = tokio::time::sleep_until(begin + scenario.limit) => {
            let limit = format!("limit_secs = {} is over", scenario.limit.as_secs());
            (Ended::TimeLimit, limit)
        }
    };
    let took = begin.elapsed();
    lives.abort_all();
    // What was heard and not yet counted.
    while let Ok(news) = news.try_recv() {
        tally.hear(news);
    }
    bar.finish_and_clear();
    Ok(tally.report(scenario, ended, took))
}

fn interrupted(signal: &str) -> (Ended, String) {
    (Ended::Interrupted, format!("stopped by {signal}"))
}

/// A component that ended because it got the same signal as this process did not fail.
async fn failed(why: String, signals: &mut Signals) -> (Ended, String) {
    match signals.same().await {
        Some(name) => interrupted(name),
        None => (Ended::ComponentFailed, why),
    }
}

fn at_once(scenario: &Scenario) -> usize {
    let most = scenario.at_once.and_then(|most| usize::try_from(most).ok());
    most.unwrap_or(Semaphore::MAX_PERMITS)
}

/// Makes all devices beforehand, so that the clock does not measure their factory; whoever waits for it may give it up
/// between any two of them.
async fn make(
    scenario: &Scenario,
    works: &[Works],
    coming: &[Coming],
    progress: Progress,
) -> anyhow::Result<Vec<Option<Pledge>>> {
    let bar = bar(coming.len(), progress, "devices made")?;
    let mut pledges = Vec::with_capacity(coming.len());
    for (position, each) in coming.iter().enumerate() {
        let fleet = scenario.fleets.get(each.fleet).context("a device has no fleet")?;
        let maker = scenario.manufacturers.get(fleet.maker).context("a fleet has no maker")?;
        let works = works.get(fleet.maker).context("a maker has no works")?;
        let position = u32::try_from(position)?;
        pledges.push(match each.intent {
            Intent::Join => Some(device(works, maker, fleet, each.number, position)?),
            Intent::Lie(_) => None,
        });
        bar.inc(1);
        tokio::task::yield_now().await;
    }
    bar.finish_and_clear();
    Ok(pledges)
}

fn begin_lives(
    scenario: &Scenario,
    coming: Vec<Coming>,
    pledges: Vec<Option<Pledge>>,
    stage: &Arc<Stage>,
    home: &Home,
) -> (JoinSet<()>, UnboundedReceiver<News>) {
    let (sender, receiver) = unbounded_channel();
    let mut lives = JoinSet::new();
    for (each, pledge) in coming.into_iter().zip(pledges) {
        if let Some(fleet) = scenario.fleets.get(each.fleet) {
            let life = live(Arc::clone(stage), each, fleet.clone(), pledge, sender.clone());
            home.add(&mut lives, life);
        }
    }
    (lives, receiver)
}

/// Counts what is heard until nobody is left to say anything.
async fn hear(news: &mut UnboundedReceiver<News>, tally: &mut Tally, bar: &ProgressBar) {
    while let Some(news) = news.recv().await {
        if tally.hear(news) {
            bar.inc(1);
        }
    }
}

/// What the site itself has to say.
async fn observe(report: &mut Report, site: &Site) {
    let masas = site.works.iter().map(|works| MasaReport {
        manufacturer: works.manufacturer.name.clone(),
        requests: works.masa.requests(),
        vouchers: works.masa.issued(),
    });
    report.masas = masas.collect();
    let registrar = site.registrar.process_id().map(|pid| format!("/proc/{pid}/status"));
    report.memory_mib = MemoryReport {
        lab: memory_mib(Path::new("/proc/self/status")),
        registrar: registrar.map_or(0, |file| memory_mib(Path::new(&file))),
    };
    // A registrar that is gone counts nothing any more.
    if let Ok(counters) = site.registrar.counters().await {
        report.dns_queries_answered = counters.dns_answers;
    }
}

/// The most memory that a process had resident, in MiB.
fn memory_mib(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(0, |kib| kib / 1024)
}

fn bar(length: usize, progress: Progress, what: &str) -> anyhow::Result<ProgressBar> {
    if progress == Progress::Hidden {
        return Ok(ProgressBar::hidden());
    }
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}}");
    let style = ProgressStyle::with_template(&template)?;
    Ok(ProgressBar::new(u64::try_from(length)?).with_style(style))
}
