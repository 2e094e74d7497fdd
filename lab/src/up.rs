//! A whole site on one machine: MASA, ACME CA, the real registrar, and as many pledges as are wanted.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::masa::Masa;
use crate::pebble::Pebble;
use crate::pki::Manufacturer;
use crate::pledge::Pledge;
use crate::pledge::journey::{self, Enrolled, Label};
use crate::process;
use crate::registrar::{Registrar, Site};
use crate::report::Report;

/// The zone that the lab's devices are named in.
pub const ZONE: &str = "iot.lab.example";
/// The lab's manufacturer.
pub const MANUFACTURER: &str = "lab-devices";

/// Where certificates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Issuer {
    /// Pebble, a real ACME CA for tests
    Acme,
    /// The device CA inside the registrar
    Local,
}

impl Issuer {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Local => "local",
        }
    }
}

/// What a site is made of.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// Where certificates come from.
    pub issuer: Issuer,
    /// Where everything is kept.
    pub folder: PathBuf,
    /// The registrar's program.
    pub registrar: PathBuf,
    /// Pebble's program.
    pub pebble: PathBuf,
}

/// A running site.
pub struct Lab {
    /// The manufacturer of all devices.
    pub manufacturer: Manufacturer,
    /// Its MASA.
    pub masa: Masa,
    /// The ACME CA, if there is one.
    pub pebble: Option<Pebble>,
    /// The registrar.
    pub registrar: Registrar,
}

impl Lab {
    /// Starts MASA, CA and registrar, and introduces the manufacturer to the registrar.
    ///
    /// # Errors
    /// What cannot be started, and what to do about it.
    pub async fn start(options: &SiteOptions) -> anyhow::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let manufacturer = Manufacturer::new(MANUFACTURER)?;
        let masa = Masa::start(loopback, &manufacturer).await?;
        std::fs::create_dir_all(&options.folder)?;
        let site = Site::new(&options.registrar, &options.folder.join("registrar"))?;
        let port = process::free_port()?;
        let mut arguments: Vec<OsString> =
            ["--domain", ZONE, "--listen"].iter().map(OsString::from).collect();
        arguments.push(format!("127.0.0.1:{port}").into());
        let pebble = match options.issuer {
            Issuer::Local => None,
            Issuer::Acme => {
                let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
                let pebble = Pebble::start(&options.pebble, &options.folder, dns).await?;
                arguments.extend(acme_arguments(&pebble.directory(), &pebble, dns));
                Some(pebble)
            }
        };
        site.init(&arguments).await?;
        let registrar = site.serve().await?;
        introduce(&site, &options.folder, &manufacturer).await?;
        Ok(Self { manufacturer, masa, pebble, registrar })
    }

    /// Makes a device.
    ///
    /// # Errors
    /// If its certificate cannot be made.
    pub fn pledge(&self, serial: &str) -> anyhow::Result<Pledge> {
        let idevid = self.manufacturer.authority.idevid(serial, &self.masa.url())?;
        Ok(Pledge::new(idevid, self.manufacturer.authority.certificate())?)
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.registrar.stop().await;
        if let Some(pebble) = self.pebble {
            pebble.stop().await;
        }
    }
}

/// The arguments of `registrar init` for this CA, whose directory may be reached by way of a proxy.
#[must_use]
pub fn acme_arguments(directory: &str, pebble: &Pebble, dns: SocketAddr) -> Vec<OsString> {
    vec![
        "--issuer".into(),
        "acme".into(),
        "--accept-terms".into(),
        "--acme-directory".into(),
        directory.into(),
        "--acme-ca".into(),
        pebble.tls_anchor().into(),
        "--acme-root".into(),
        pebble.root().into(),
        "--dns-listen".into(),
        dns.to_string().into(),
    ]
}

/// Tells the registrar of a manufacturer whose MASA is on this machine.
///
/// # Errors
/// What the registrar says.
pub async fn introduce(
    site: &Site,
    folder: &Path,
    manufacturer: &Manufacturer,
) -> anyhow::Result<()> {
    introduce_with(site, folder, manufacturer, &[]).await
}

/// As [`introduce`], with more arguments of `registrar manufacturer add`.
///
/// # Errors
/// What the registrar says.
pub async fn introduce_with(
    site: &Site,
    folder: &Path,
    manufacturer: &Manufacturer,
    more: &[OsString],
) -> anyhow::Result<()> {
    let anchor = folder.join("manufacturer-ca.pem");
    std::fs::write(&anchor, manufacturer.authority.pem())?;
    let mut arguments: Vec<OsString> = vec![
        "--name".into(),
        manufacturer.name.as_str().into(),
        "--ca".into(),
        anchor.clone().into(),
        "--masa-ca".into(),
        anchor.into(),
        "--masa-host".into(),
        "localhost".into(),
    ];
    arguments.extend_from_slice(more);
    site.command("manufacturer add", &arguments).await?;
    Ok(())
}

/// What `brski-lab up` is told.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// What the site is made of.
    pub site: SiteOptions,
    /// How many pledges.
    pub pledges: usize,
    /// How many at once.
    pub concurrency: usize,
    /// What shows progress.
    pub progress: Progress,
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On stderr, if that is a terminal.
    Shown,
    /// Not at all.
    Hidden,
}

/// Runs a site and its pledges, and stops it.
///
/// # Errors
/// If the site cannot be started; what goes wrong with a pledge stands in the report.
pub async fn up(options: &UpOptions) -> anyhow::Result<Report> {
    let lab = Lab::start(&options.site).await?;
    let report = tokio::select! {
        report = run(&lab, options) => report,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped by Ctrl-C")),
    };
    lab.stop().await;
    report
}

async fn run(lab: &Lab, options: &UpOptions) -> anyhow::Result<Report> {
    let pledges = (1..=options.pledges)
        .map(|number| lab.pledge(&format!("LAB-{number:04}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let begin = Instant::now();
    let outcomes = enroll_all(pledges, lab.registrar.address(), options).await?;
    let mut report = Report::new(options.site.issuer.as_str(), outcomes, begin.elapsed());
    report.dns_queries_answered = lab.registrar.counters().await?.dns_answers;
    if options.site.issuer == Issuer::Acme
        && report.enrolled > 0
        && report.dns_queries_answered == 0
    {
        bail!("certificates were issued and the CA asked for no proof: validation was not real");
    }
    Ok(report)
}

/// Takes all pledges through, so many at a time; the outcomes are in the order of the pledges.
async fn enroll_all(
    pledges: Vec<Pledge>,
    registrar: SocketAddr,
    options: &UpOptions,
) -> anyhow::Result<Vec<Result<Enrolled, String>>> {
    let bar = bar(options)?;
    let permits = Arc::new(Semaphore::new(options.concurrency));
    let mut tasks = JoinSet::new();
    for (position, pledge) in pledges.into_iter().enumerate() {
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let outcome = journey::run(&pledge, registrar, &Label::default()).await;
            (position, outcome.map_err(|error| format!("{}: {error}", pledge.serial())))
        });
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        bar.inc(1);
        outcomes.push(outcome.context("a pledge's task failed")?);
    }
    bar.finish_and_clear();
    outcomes.sort_by_key(|(position, _)| *position);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn bar(options: &UpOptions) -> anyhow::Result<ProgressBar> {
    if options.progress == Progress::Hidden {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pledges  {elapsed}")?;
    let length = u64::try_from(options.pledges).unwrap_or(u64::MAX);
    Ok(ProgressBar::new(length).with_style(style))
}
