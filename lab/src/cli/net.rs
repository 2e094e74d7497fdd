//! `brski-lab net`: a site across machines of a network of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use brski_voucher::encoding::Encoding;
use clap::Args;

use crate::net::link::LinkWish;
use crate::net::shaper::ShaperWish;
use crate::net::{self, Crew, NetOptions};
use crate::up::{Issuer, SiteOptions};

#[derive(Debug, Args)]
pub(super) struct NetArguments {
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

/// Exit code 0 if every pledge joined, 1 if not.
pub(super) async fn net(arguments: NetArguments) -> anyhow::Result<ExitCode> {
    let registrar = match arguments.registrar {
        Some(program) => program,
        None => super::beside("registrar")?,
    };
    let temporary = match &arguments.dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("brski-lab-net-").tempdir()?),
    };
    let folder = match (&arguments.dir, &temporary) {
        (Some(folder), _) => std::path::absolute(folder)?,
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => bail!("there is no folder"),
    };
    let site =
        SiteOptions { issuer: arguments.issuer, folder, registrar, pebble: arguments.pebble };
    let crew = Crew {
        pledges: arguments.pledges.into(),
        concurrency: arguments.concurrency.into(),
        encoding: arguments.encoding,
        period: Duration::from_secs(arguments.discover_secs),
        rounds: arguments.rounds,
    };
    let options = NetOptions { site, links: arguments.links, shaper: arguments.shaper, crew };
    let report = net::run(&options).await;
    let is_wanted = match &report {
        Ok(report) => !report.is_good() && report.interrupted_by.is_none(),
        Err(_) => options.site.folder.join("registrar").exists(),
    };
    if let (true, Some(temporary)) = (is_wanted, temporary) {
        eprintln!("brski-lab: the logs are kept in {}", temporary.keep().display());
    }
    let report = report?;
    match arguments.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{}", report.text()),
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
