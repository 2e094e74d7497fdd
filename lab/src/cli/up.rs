//! `brski-lab up`: a whole site on one machine, and everybody who comes to it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::folder::RunFolder;
use super::{beside, output};
use crate::scenario::Scenario;
use crate::scenario::plan::{Scale, Size, Speed};
use crate::scenario::report::Report;
use crate::scenario::run::{Console, Programs, Progress, RunOptions, run};
use crate::up::Issuer;

#[derive(Debug, Args)]
pub(super) struct UpArguments {
    /// Who comes, when, and what shall become of it: docs/LAB.md
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pledges", "concurrency", "issuer"])]
    scenario: Option<PathBuf>,
    /// How many pledges
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pledges: u32,
    /// How many of them at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrency: u32,
    /// Where certificates come from
    #[arg(long, value_enum, default_value = "acme")]
    issuer: Issuer,
    #[command(flatten)]
    part: PartArguments,
    /// Open the registrar's console, and stay until Ctrl-C after the report
    #[arg(long)]
    console: bool,
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

/// How much of a scenario is run.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct PartArguments {
    /// At most so many pledges of each fleet
    #[arg(long, value_name = "N", conflicts_with = "scale", value_parser = clap::value_parser!(u32).range(1..))]
    at_most: Option<u32>,
    /// This share of each fleet, such as 0.01; at least one pledge of each
    #[arg(long, value_name = "SHARE", value_parser = share)]
    scale: Option<f64>,
    /// So many times faster come all that have a time, and renewals
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    speed: Option<Speed>,
}

impl PartArguments {
    /// Whether all of it is run, as fast as it says.
    pub(super) fn is_whole(self) -> bool {
        self.scale() == Scale::default()
    }

    pub(super) fn scale(self) -> Scale {
        let size = match (self.at_most, self.scale) {
            (Some(most), _) => Size::AtMost(most),
            (None, Some(share)) => Size::Share(share),
            (None, None) => Size::Whole,
        };
        Scale { size, speed: self.speed.unwrap_or_default() }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "it is no number above 0 and up to 1".to_owned())
}

fn speed(text: &str) -> Result<Speed, String> {
    let speed = text.parse().ok().and_then(Speed::new);
    speed.ok_or_else(|| "it is no number from 0.1 to 100000".to_owned())
}

/// Exit code 0 if everything came out as the scenario expects, 1 if not, 2 if what is wished for makes no sense.
pub(super) async fn up(arguments: UpArguments) -> anyhow::Result<ExitCode> {
    let scenario = match &arguments.scenario {
        None => usual(&arguments),
        Some(file) => match Scenario::load(file) {
            Ok(scenario) => scenario,
            Err(error) => {
                eprintln!("brski-lab: {error}");
                return Ok(ExitCode::from(2));
            }
        },
    };
    let folder = RunFolder::new(arguments.dir.as_deref())?;
    let registrar = match arguments.registrar {
        Some(program) => program,
        None => beside("registrar")?,
    };
    let is_json = arguments.json;
    let options = RunOptions {
        programs: Programs {
            folder: folder.path().to_owned(),
            registrar,
            pebble: arguments.pebble,
        },
        scale: arguments.part.scale(),
        console: if arguments.console { Console::Open } else { Console::Closed },
        progress: if is_json { Progress::Hidden } else { Progress::Shown },
    };
    let report = run(scenario, &options, |report| tell(report, is_json)).await;
    let is_good = report.as_ref().is_ok_and(|report| report.as_expected);
    if !is_good {
        folder.keep();
    }
    report?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn usual(arguments: &UpArguments) -> Scenario {
    Scenario::usual(arguments.pledges, arguments.concurrency, arguments.issuer.into())
}

fn tell(report: &Report, is_json: bool) -> anyhow::Result<()> {
    match is_json {
        true => output::print_json(report),
        false => output::print(&report.text()),
    }
}
