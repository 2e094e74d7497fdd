//! `brski-lab net`: a site across machines of a network of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use brski_voucher::encoding::Encoding;
use clap::Args;

use super::folder::RunFolder;
use super::output;
use super::up::PartArguments;
use crate::net::link::LinkWish;
use crate::net::scenario::{self, ScenarioReport};
use crate::net::shaper::ShaperWish;
use crate::net::{self, Crew, NetOptions};
use crate::scenario::Scenario;
use crate::scenario::plan::Scale;
use crate::scenario::run::{Programs, Progress};
use crate::up::Issuer;

#[derive(Debug, Args)]
pub(super) struct NetArguments {
    /// Who comes, when, and what shall become of it, as for 'brski-lab up': docs/LAB.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pledges", "concurrency", "encoding", "issuer"])]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    part: PartArguments,
    /// How many pledges, all on one link
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pledges: u16,
    /// How many of them at once
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=200))]
    concurrency: u16,
    /// How they write their voucher requests: cms, jws or cose
    #[arg(long, value_parser = super::encoding, default_value = "cms")]
    encoding: Encoding,
    /// Where certificates come from
    #[arg(long, value_enum, default_value = "acme")]
    issuer: Issuer,
    /// What a link (pledges, site, masa or ca) is like: delay_ms, loss_percent, rate_kbit and cut_secs=FROM-TO, with commas
    ///
    /// NAME is pledges (pledges to join proxy), site (join proxy to registrar), masa (registrar to MASA) or ca
    /// (registrar to ACME CA). In each direction: delay_ms, how late a frame is, in milliseconds; loss_percent, how many
    /// frames of a hundred are lost; rate_kbit, how much is carried, in kilobits (1,000 bits) a second; and
    /// cut_secs=FROM-TO, when nothing is carried, in seconds from when the pledges set out, as often as you like.
    /// Each link may be described once.
    #[arg(long = "link", value_name = "NAME:KEY=VALUE,...")]
    links: Vec<LinkWish>,
    /// Who spoils the links
    #[arg(long, value_enum, default_value = "auto")]
    shaper: ShaperWish,
    /// How long a pledge looks for places to join before it tries them, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = clap::value_parser!(u64).range(1..=600))]
    discover_secs: u64,
    /// How often a pledge looks and tries before it gives up
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Keep everything in this new folder; a temporary one if left out
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The registrar's program; the one beside this program if left out
    #[arg(long, value_name = "FILE")]
    registrar: Option<PathBuf>,
    /// Pebble's program
    #[arg(long, value_name = "FILE", default_value = "pebble")]
    pebble: PathBuf,
    /// Print one JSON object alone
    #[arg(long)]
    json: bool,
}

/// Exit code 0 if every pledge joined, or did what its scenario expects, 1 if not, 2 if what is wished for makes no sense.
pub(super) async fn net(arguments: NetArguments) -> anyhow::Result<ExitCode> {
    let scenario = match arguments.scenario.as_deref().map(Scenario::load).transpose() {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("brski-lab: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    if scenario.is_none() && !arguments.part.is_whole() {
        eprintln!("brski-lab: --at-most, --scale and --speed are of a --scenario");
        return Ok(ExitCode::from(2));
    }
    let registrar = match arguments.registrar {
        Some(program) => program,
        None => super::beside("registrar")?,
    };
    let folder = RunFolder::new(arguments.dir.as_deref())?;
    let options = NetOptions {
        programs: Programs {
            folder: folder.path().to_owned(),
            registrar,
            pebble: arguments.pebble,
        },
        links: arguments.links,
        shaper: arguments.shaper,
        period: Duration::from_secs(arguments.discover_secs),
        rounds: arguments.rounds,
    };
    if let Some(scenario) = scenario {
        let scale = arguments.part.scale();
        return across(scenario, &options, scale, arguments.json, folder).await;
    }
    let crew = Crew {
        pledges: arguments.pledges.into(),
        concurrency: arguments.concurrency.into(),
        encoding: arguments.encoding,
        issuer: arguments.issuer,
    };
    let report = net::run(&options, &crew).await;
    let is_wanted = match &report {
        Ok(report) => !report.is_good() && report.interrupted_by.is_none(),
        Err(_) => true,
    };
    if is_wanted {
        folder.keep();
    }
    let report = report?;
    match arguments.json {
        true => output::print_json(&report)?,
        false => output::print(&report.text())?,
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a scenario across the network.
async fn across(
    scenario: Scenario,
    options: &NetOptions,
    scale: Scale,
    is_json: bool,
    folder: RunFolder,
) -> anyhow::Result<ExitCode> {
    let progress = if is_json { Progress::Hidden } else { Progress::Shown };
    let tell = |report: &ScenarioReport<'_>| match is_json {
        true => output::print_json(report),
        false => output::print(&report.text()),
    };
    let outcome = scenario::run(scenario, options, scale, progress, tell).await;
    let is_good = *outcome.as_ref().unwrap_or(&false);
    if !is_good {
        folder.keep();
    }
    outcome?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
