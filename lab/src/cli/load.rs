//! `brski-lab load`: what a server bears.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use brski_est::authentication::Credentials;
use brski_est::client::EstServer;
use brski_est::path::Label;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::est::secret;
use super::{certificate, credential, output};
use crate::est::trust::Identity;
use crate::est::{KeyType, Trust};
use crate::load::{
    self, Arrival, ClientOptions, Connections, End, Ended, Facts, Moment, Need, Plan, Proof,
    Question, Rate, Report, Target, Work,
};
use crate::pki;
use crate::pledge::Pledge;
use crate::pledge::tls::TlsVersions;

/// The exit code of a command line that makes no sense.
const USAGE: u8 = 2;
const CONNECTIONS_MOST: usize = 60_000;
const DURATION_MOST_SECS: u64 = 24 * 60 * 60;
const REQUESTS_MOST: u64 = 1_000_000_000;
const MESSAGES_MOST: usize = 5_000_000;
const THREADS_MOST: usize = 256;
/// How long a run takes where nothing is said.
const DURATION_SECS: u64 = 10;
/// How many CSRs or voucher requests are made where the run ends by time.
const MESSAGES: usize = 10_000;
/// Between two lines where stderr is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(10);

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Fetch the CA certificates
    Cacerts,
    /// Ask what to put into a CSR
    Csrattrs,
    /// Get certificates, each for a new key
    Simpleenroll,
    /// Renew the certificates of the clients, each time for a new key
    Simplereenroll,
    /// Get vouchers for the pledges of --pki
    Requestvoucher,
    /// Take the pledges of --pki from the voucher to the report of their enrollment
    Onboard,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TlsVersion {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

#[derive(Debug, Args)]
pub(super) struct LoadArguments {
    /// What is done over and over
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// The server: https://HOST[:PORT], perhaps with /.well-known/est and a label behind it
    #[arg(long, value_name = "URL", value_parser = EstServer::from_url)]
    url: EstServer,
    /// The EST label, which selects one of several CAs
    #[arg(long, value_parser = Label::parse)]
    label: Option<Label>,
    /// How many connections, or onboardings, at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// Stop after so many requests
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Stop after this time, in seconds; after 10 if neither is given
    #[arg(long, value_name = "SECS")]
    duration: Option<u64>,
    /// Requests a second, whatever the server does: latency counts from when each was due, so no waiting is hidden
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<Rate>,
    /// Send one request after the other over each connection; a new connection for each request if left out
    #[arg(long)]
    keep_alive: bool,
    /// The version of TLS
    #[arg(long, value_enum, default_value = "1.3")]
    tls: TlsVersion,
    /// The CA certificates (PEM) that the server's certificate must lead to; those of this system if left out
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Put load on any server that answers, whatever its certificate says
    #[arg(long, conflicts_with = "cacert")]
    danger_any_server: bool,
    /// The user name, for servers that ask for one (HTTP Basic)
    #[arg(long, value_name = "NAME", requires = "secret_file")]
    user: Option<String>,
    /// The file with the secret that belongs to --user; nobody else may read it
    #[arg(long, value_name = "FILE", requires = "user")]
    secret_file: Option<PathBuf>,
    /// The client certificate (PEM), with those above it behind it
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "user")]
    cert: Option<PathBuf>,
    /// The key of --cert (PEM, PKCS#8)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A folder of client certificates, as 'brski-lab pledge' and --keep write them: certificate-*.pem with *.key
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cert", "user"])]
    clients: Option<PathBuf>,
    /// A folder of 'brski-lab pki': the clients are the pledges in it, with their IDevIDs
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cert", "user", "clients"])]
    pki: Option<PathBuf>,
    /// The DNS name in CSRs, where the server gives none; {number} in it becomes the number of the client
    #[arg(long, value_name = "DNSNAME")]
    name: Option<String>,
    /// The kind of keys in CSRs; what the server asks for if left out
    #[arg(long, value_enum)]
    key_type: Option<KeyType>,
    /// How many CSRs or voucher requests to make beforehand; enough for --requests, or 10000, if left out
    #[arg(long, value_name = "N")]
    messages: Option<usize>,
    /// How many threads; one for each processor if left out
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Measure the processor time of this process too, which should be the server's
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Keep the certificates of an onboarding in this folder, for --clients
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Draw latency over time and its distribution (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one JSON object alone
    #[arg(long)]
    json: bool,
}

/// Runs a load; fails where nothing succeeded or the server was gone.
pub(super) async fn run(arguments: LoadArguments) -> anyhow::Result<ExitCode> {
    let plan = match arguments.plan() {
        Ok(plan) => plan,
        Err(wrong) => {
            eprintln!("brski-lab: {wrong}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    if let Err(impossible) = arguments.need()?.secure() {
        eprintln!("brski-lab: {impossible}");
        return Ok(ExitCode::from(USAGE));
    }
    if let Some(pid) = arguments.server_pid {
        load::ProcessTime::of(pid).context("--server-pid")?;
    }
    let (target, work) = prepare(&arguments).await?;
    let mut live = Live::new();
    // The end of a terminal is nothing that a run of hours minds.
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        tokio::select! {
            // Without signals nobody can stop it.
            Ok(()) = tokio::signal::ctrl_c() => {}
            Some(()) = terminate.recv() => {}
            else => std::future::pending().await,
        }
    };
    let outcome = load::run(&target, work, &plan, stop, |moment| live.show(moment)).await?;
    live.end();
    let report = Report::new(arguments.facts(), &plan, &outcome);
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text())?;
    }
    if let Some(file) = arguments.plot.as_ref().filter(|_| report.succeeded > 0) {
        let title = format!("{} at {}", report.scenario, report.url);
        load::plot::keep(file, &title, &outcome)?;
    }
    if let Some(folder) = &arguments.keep {
        for (serial, credential) in &outcome.credentials {
            pki::write(folder, &format!("certificate-{serial}"), credential)?;
        }
    }
    let is_good = report.succeeded > 0 && !matches!(outcome.ended, Ended::Gone { .. });
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl LoadArguments {
    /// What is to be done, or what is wrong with it.
    fn plan(&self) -> Result<Plan, String> {
        let bounded = |name: &str, number: usize, most: usize| match (1..=most).contains(&number) {
            true => Ok(number),
            false => Err(format!("--{name} is from 1 to {most}")),
        };
        let connections = bounded("connections", self.connections, CONNECTIONS_MOST)?;
        if self.requests.is_some_and(|number| !(1..=REQUESTS_MOST).contains(&number)) {
            return Err(format!("--requests is from 1 to {REQUESTS_MOST}"));
        }
        if self.duration.is_some_and(|seconds| !(1..=DURATION_MOST_SECS).contains(&seconds)) {
            return Err(format!("--duration is from 1 to {DURATION_MOST_SECS} seconds"));
        }
        let _ = bounded("messages", self.messages.unwrap_or(1), MESSAGES_MOST)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = bounded("threads", self.threads.unwrap_or(processors), THREADS_MOST)?;
        self.check()?;
        let duration = self.duration.map(Duration::from_secs);
        Ok(Plan {
            connections,
            reuse: if self.keep_alive { Connections::Kept } else { Connections::OneRequest },
            arrival: self.rate.map_or(Arrival::AsAnswered, Arrival::At),
            end: match (self.requests, duration) {
                (Some(requests), Some(time)) => End::Either(requests, time),
                (Some(requests), None) => End::Requests(requests),
                (None, time) => End::After(time.unwrap_or(Duration::from_secs(DURATION_SECS))),
            },
            threads: threads.min(connections),
            server_pid: self.server_pid,
        })
    }

    /// What goes together, and what does not.
    fn check(&self) -> Result<(), String> {
        let is_for_pledges = matches!(self.scenario, Scenario::Requestvoucher | Scenario::Onboard);
        let has_certificate = self.cert.is_some() || self.clients.is_some();
        let wrong = match self.scenario {
            _ if is_for_pledges && self.pki.is_none() => {
                "pledges ask for vouchers: make some with 'brski-lab pki --pledges N', and name the folder with --pki"
            }
            Scenario::Simplereenroll if !has_certificate => {
                "a renewal needs the certificates that are renewed: --clients, or --cert and --key"
            }
            Scenario::Onboard if self.keep_alive => {
                "an onboarding opens the connections that RFC 8995 asks for: leave --keep-alive out"
            }
            _ if self.keep.is_some() && self.scenario != Scenario::Onboard => {
                "--keep keeps the certificates of --scenario onboard"
            }
            _ => return Ok(()),
        };
        Err(wrong.to_owned())
    }

    /// How many CSRs or voucher requests are made beforehand.
    fn messages(&self) -> usize {
        let asked = self.requests.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        // Kept connections take turns as they get answers, so that some clients send more than others.
        let beside = match (self.keep_alive, asked) {
            (true, Some(number)) => number / 4 + 8 * self.connections,
            _ => 0,
        };
        self.messages.unwrap_or_else(|| asked.unwrap_or(MESSAGES).saturating_add(beside))
    }

    fn need(&self) -> anyhow::Result<Need> {
        let whole = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let clients = match (&self.pki, &self.clients) {
            (Some(folder), _) => names(folder, "idevid-")?.len(),
            (_, Some(folder)) => names(folder, "certificate-")?.len(),
            _ => 1,
        };
        let messages = match self.scenario {
            Scenario::Cacerts | Scenario::Csrattrs | Scenario::Onboard => 0,
            _ => self.messages(),
        };
        let connections = whole(self.connections);
        Ok(Need { connections, clients: whole(clients), messages: whole(messages) })
    }

    fn server(&self) -> EstServer {
        match &self.label {
            Some(label) => self.url.clone().with_label(label.clone()),
            None => self.url.clone(),
        }
    }

    fn versions(&self) -> TlsVersions {
        match self.tls {
            TlsVersion::Tls12 => TlsVersions::Tls12,
            TlsVersion::Tls13 => TlsVersions::Tls13,
        }
    }

    fn facts(&self) -> Facts {
        let word = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        Facts {
            scenario: word(self.scenario.to_possible_value()),
            url: format!("https://{}", self.url.authority()),
            tls: word(self.tls.to_possible_value()),
        }
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        Ok(match (self.danger_any_server, &self.cacert, &self.pki) {
            (true, ..) => Trust::DangerAnybody,
            // RFC 8995 §5.1: a pledge does not know the registrar.
            (_, None, Some(_)) => Trust::DangerAnybody,
            (_, file, _) => Trust::of_file(file.as_deref())?,
        })
    }

    fn proofs(&self) -> anyhow::Result<Vec<Proof>> {
        if let Some(folder) = &self.clients {
            let all = names(folder, "certificate-")?;
            let proof = |name: &String| {
                let credential = credential(folder, name)?;
                Ok(Proof::Certificate(Identity::from(&credential)))
            };
            return all.iter().map(proof).collect();
        }
        if self.pki.is_some() {
            let pledges = self.pledges()?;
            let proof = |pledge: &Pledge| Proof::Certificate(pledge.credential().into());
            return Ok(pledges.iter().map(proof).collect());
        }
        let proof = match (&self.user, &self.secret_file, &self.cert, &self.key) {
            (Some(user), Some(file), ..) => Proof::Basic(Credentials::new(user, &secret(file)?)?),
            (_, _, Some(own), Some(key)) => Proof::Certificate(Identity::of_files(own, key)?),
            _ => Proof::None,
        };
        Ok(vec![proof])
    }

    fn pledges(&self) -> anyhow::Result<Vec<Pledge>> {
        let folder = self.pki.as_ref().context("there is no --pki")?;
        let manufacturer = certificate(&folder.join("ca.pem"))?;
        let pledge = |name: &String| {
            let idevid = credential(folder, name)?;
            Ok(Pledge::new(idevid, &manufacturer)?.speaking(self.versions()))
        };
        names(folder, "idevid-")?.iter().map(pledge).collect()
    }
}

/// The certificates of a folder whose names begin like this, in order.
fn names(folder: &Path, beginning: &str) -> anyhow::Result<Vec<String>> {
    let read = || format!("{}", folder.display());
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(read)? {
        let name = entry.with_context(read)?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".pem").filter(|name| name.starts_with(beginning)) {
            all.push(name.to_owned());
        }
    }
    ensure!(!all.is_empty(), "{} holds no {beginning}*.pem", folder.display());
    all.sort();
    Ok(all)
}

/// Sees whether the server is there, and makes everything that is sent.
async fn prepare(arguments: &LoadArguments) -> anyhow::Result<(Target, Work)> {
    if let Some(folder) = arguments.plot.as_ref().and_then(|file| file.parent()) {
        let is_here = folder.as_os_str().is_empty() || folder.is_dir();
        ensure!(is_here, "--plot: there is no folder {}", folder.display());
    }
    if let Some(folder) = &arguments.keep {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let (trust, versions) = (arguments.trust()?, arguments.versions());
    let plain = load::tls(&trust, None, versions)?;
    let target = Target::find(arguments.server(), &plain).await?;
    let options = ClientOptions {
        trust,
        versions,
        name: arguments.name.clone(),
        key_type: arguments.key_type,
        messages: arguments.messages(),
    };
    let question = match arguments.scenario {
        Scenario::Onboard => return Ok((target, Work::Onboardings(arguments.pledges()?))),
        Scenario::Cacerts => Question::CaCertificates,
        Scenario::Csrattrs => Question::CsrAttributes,
        Scenario::Simpleenroll => Question::Enroll,
        Scenario::Simplereenroll => Question::Reenroll,
        Scenario::Requestvoucher => Question::Voucher,
    };
    let clients = match question {
        Question::Voucher => load::voucher_clients(&target, &arguments.pledges()?, &options).await,
        _ => {
            let mut proofs = arguments.proofs()?;
            if arguments.keep_alive {
                // A kept connection belongs to one client.
                proofs.truncate(arguments.connections);
            }
            load::est_clients(question, &target, proofs, &options).await
        }
    };
    Ok((target, Work::Questions(question, clients?)))
}

/// What is shown of a run while it lasts.
struct Live {
    bar: Option<ProgressBar>,
    last: Duration,
}

impl Live {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{msg}").ok();
        let is_terminal = std::io::stderr().is_terminal();
        let bar =
            style.filter(|_| is_terminal).map(|style| ProgressBar::new_spinner().with_style(style));
        Self { bar, last: Duration::ZERO }
    }

    /// One line that is written over; where stderr is no terminal, a line now and then.
    fn show(&mut self, moment: &Moment) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(moment.to_string());
                bar.tick();
            }
            None if self.last.is_zero() || moment.at >= self.last + LINE_PAUSE => {
                self.last = moment.at;
                eprintln!("{moment}");
            }
            None => {}
        }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
