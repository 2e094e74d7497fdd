//! `brski-lab faults`: lies to any registrar, and a report of what became of each.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use super::output;
use crate::acme::{AcmeCa, CaStyle};
use crate::fault::report::{Finding, Listed, Verdict, junit, text};
use crate::fault::run::{Workshop, run};
use crate::fault::{Fault, Liar};
use crate::masa::Masa;
use crate::pki::Manufacturer;
use crate::pledge::tls::{self, TlsVersions};
use crate::scenario::words::nearest;
use crate::signals::Signals;

/// The name of the manufacturer whose devices lie.
const MANUFACTURER: &str = "lab-liars";
/// How long a registrar may take to answer at all.
const REACH_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct FaultsArguments {
    /// Print every fault: its liar, the clause that it breaks, the status that it must meet (0: closed without an answer) and the event
    #[arg(long, conflicts_with_all = ["target", "dir", "introduce", "ca", "only", "junit"])]
    list: bool,
    /// The registrar, such as https://127.0.0.1:8443
    #[arg(long, value_name = "URL", required_unless_present = "list", requires = "dir", value_parser = target)]
    target: Option<String>,
    /// A new folder, for the CA of the devices that lie: the registrar must be told of it
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The program that tells the registrar, run as PROGRAM CA-FILE MASA-HOST:PORT, and with --ca DIRECTORY-URL
    /// TLS-CA-FILE ROOT-FILE behind; left out: you do, and press Enter
    #[arg(long, value_name = "PROGRAM")]
    introduce: Option<PathBuf>,
    /// Where the devices' MASA listens; the registrar must reach it as localhost
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    masa: SocketAddr,
    /// Where an ACME CA listens that lies, too; the registrar must have its certificates from there, reached as
    /// localhost, and require client-auth of them. Left out: no lies of CAs are told
    #[arg(long, value_name = "ADDR:PORT")]
    ca: Option<SocketAddr>,
    /// Have the MASA and the CA listen on other addresses than this machine's own: anybody who reaches them is served
    #[arg(long)]
    danger_bind: bool,
    /// This fault alone; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = fault)]
    only: Vec<Fault>,
    /// Print JSON: an array of faults, or of findings
    #[arg(long)]
    json: bool,
    /// Write the report as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Exit code 0 if every lie was refused as it must be, 1 if not.
pub(super) async fn faults(arguments: &FaultsArguments) -> anyhow::Result<ExitCode> {
    let (Some(target), Some(folder)) = (&arguments.target, &arguments.dir) else {
        list(arguments.json)?;
        return Ok(ExitCode::SUCCESS);
    };
    check(arguments)?;
    let mut signals = Signals::listen()?;
    let registrar = address(target)?;
    let manufacturer = Manufacturer::new(MANUFACTURER)?;
    let masa = Masa::start(arguments.masa, &manufacturer).await?;
    let ca = match arguments.ca {
        Some(address) => Some(AcmeCa::start(address, CaStyle::Plain).await?),
        None => None,
    };
    let program = arguments.introduce.as_deref();
    tokio::select! {
        biased;
        name = signals.next() => bail!("{name} before any lie was told"),
        ready = async {
            introduce(folder, program, &manufacturer, &masa, ca.as_ref()).await?;
            reach(target, registrar).await
        } => ready?,
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let prefix = format!("LIE{since:X}");
    let (manufacturer, masa, ca) = (&manufacturer, &masa, ca.as_ref());
    let workshop = Workshop { registrar, manufacturer, masa, ca, prefix };
    let (can, cannot): (Vec<Fault>, Vec<Fault>) =
        chosen(&arguments.only).into_iter().partition(|fault| workshop.can_tell(*fault));
    if !cannot.is_empty() {
        eprintln!("brski-lab: {} lies of CAs are left out: they need --ca", cannot.len());
    }
    let mut findings = Vec::with_capacity(can.len());
    let early = tokio::select! {
        biased;
        name = signals.next() => Some(format!("stopped by {name}")),
        why = masa.ended() => Some(format!("the MASA ended by itself: {why}")),
        why = ca_ended(ca) => Some(format!("the CA ended by itself: {why}")),
        told = tell(&workshop, target, &can, &mut findings) => told.err().map(|error| output::told(&error)),
    };
    let code = report(arguments, &findings)?;
    match early {
        None => Ok(code),
        Some(why) => bail!("{} of {} lies were told: {why}", findings.len(), can.len()),
    }
}

/// What makes no sense is refused before anything is started.
fn check(arguments: &FaultsArguments) -> anyhow::Result<()> {
    for address in [Some(arguments.masa), arguments.ca].into_iter().flatten() {
        ensure!(
            address.ip().is_loopback() || arguments.danger_bind,
            "{address} is reachable from elsewhere; use a loopback address, or --danger-bind"
        );
    }
    if let Some(folder) = arguments.junit.as_deref().and_then(Path::parent) {
        let is_here = folder.as_os_str().is_empty() || folder.is_dir();
        ensure!(is_here, "--junit: there is no folder {}", folder.display());
    }
    let is_of_ca = |fault: &Fault| fault.card().liar == Liar::Ca;
    let needs_ca = arguments.only.iter().any(is_of_ca);
    ensure!(arguments.ca.is_some() || !needs_ca, "a lie of a CA needs --ca");
    Ok(())
}

/// Tells one lie after the other, as long as somebody is there to be lied to.
async fn tell(
    workshop: &Workshop<'_>,
    target: &str,
    faults: &[Fault],
    findings: &mut Vec<Finding>,
) -> anyhow::Result<()> {
    for (number, fault) in faults.iter().enumerate() {
        eprintln!("brski-lab: {}", fault.card().name);
        let finding = run(workshop, number, *fault).await;
        let has_failed = finding.verdict == Verdict::Failed;
        findings.push(finding);
        if has_failed {
            reach(target, workshop.registrar).await?;
        }
    }
    Ok(())
}

/// Sees whether anybody is there.
async fn reach(target: &str, registrar: SocketAddr) -> anyhow::Result<()> {
    let tried = timeout(REACH_LIMIT, tls::provisional(registrar, None, TlsVersions::Any)).await;
    match tried {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => bail!("{target} cannot be reached; tried: {error}"),
        Err(_) => bail!(
            "{target} cannot be reached; tried: {registrar} gave no answer in {} seconds",
            REACH_LIMIT.as_secs()
        ),
    }
}

async fn ca_ended(ca: Option<&AcmeCa>) -> String {
    match ca {
        Some(ca) => ca.ended().await,
        None => std::future::pending().await,
    }
}

fn list(is_json: bool) -> anyhow::Result<()> {
    let listed: Vec<Listed> = Fault::ALL.iter().map(|fault| fault.card().into()).collect();
    if is_json {
        return output::print_pretty(&listed);
    }
    let line = |Listed { name, liar, clause, status, event }: &Listed| {
        format!("{:<6}  {status:>3}  {name:<46}  {event:<28}  {clause}\n", liar.as_str())
    };
    output::print(&listed.iter().map(line).collect::<String>())
}

fn chosen(only: &[Fault]) -> Vec<Fault> {
    match only {
        [] => Fault::ALL.to_vec(),
        only => only.to_vec(),
    }
}

fn fault(name: &str) -> Result<Fault, String> {
    if let Some(found) = Fault::ALL.iter().find(|fault| fault.card().name == name) {
        return Ok(*found);
    }
    let guess = nearest(name, Fault::ALL.iter().map(|fault| fault.card().name));
    let guess = guess.map_or_else(String::new, |word| format!("did you mean {word:?}? "));
    Err(format!("there is no such fault; {guess}--list prints them all"))
}

/// Takes https://HOST:PORT.
fn target(url: &str) -> Result<String, String> {
    let port = url.strip_prefix("https://").and_then(|rest| {
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
        let is_host = !host.is_empty() && !host.contains('/');
        is_host.then(|| port.parse::<u16>().ok())?
    });
    port.map(|_| url.to_owned()).ok_or_else(|| "it is not https://HOST:PORT".to_owned())
}

fn address(target: &str) -> anyhow::Result<SocketAddr> {
    let authority = target.trim_start_matches("https://").trim_end_matches('/');
    let wrong = || format!("{target} cannot be reached; tried: {authority} has no address");
    authority.to_socket_addrs().with_context(wrong)?.next().with_context(wrong)
}

/// Has the registrar told of the manufacturer: by a program, or by whoever sits here.
async fn introduce(
    folder: &Path,
    program: Option<&Path>,
    manufacturer: &Manufacturer,
    masa: &Masa,
    ca: Option<&AcmeCa>,
) -> anyhow::Result<()> {
    std::fs::create_dir(folder).with_context(|| format!("{}: must be new", folder.display()))?;
    let anchor = folder.join("manufacturer-ca.pem");
    std::fs::write(&anchor, manufacturer.authority.pem())?;
    let mut words: Vec<OsString> = vec![anchor.clone().into(), masa.url().into()];
    if let Some(ca) = ca {
        let (tls, root) = (folder.join("acme-tls-ca.pem"), folder.join("acme-root.pem"));
        std::fs::write(&tls, ca.tls_anchor())?;
        std::fs::write(&root, ca.root())?;
        words.extend([ca.directory().into(), tls.into(), root.into()]);
    }
    let Some(program) = program else {
        eprintln!(
            "brski-lab: tell the registrar that {} vouches for devices, for their MASA at {} and for its vouchers; \
             then press Enter",
            anchor.display(),
            masa.url(),
        );
        if let [_, _, directory, tls, root] = words.as_slice() {
            eprintln!(
                "brski-lab: its ACME directory is {}, whose TLS is vouched for by {} and whose chains end at {}",
                directory.display(),
                tls.display(),
                root.display(),
            );
        }
        let waited = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        ensure!(waited.await?? > 0, "nobody pressed Enter; --introduce names a program instead");
        return Ok(());
    };
    let mut command = Command::new(program);
    // What it prints is no result of this program.
    command.args(&words).stdout(std::io::stderr().as_fd().try_clone_to_owned()?);
    let status = command.kill_on_drop(true).status().await;
    let status = status.with_context(|| format!("{}: cannot be run", program.display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{} ended with {status}", program.display()),
    }
}

fn report(arguments: &FaultsArguments, findings: &[Finding]) -> anyhow::Result<ExitCode> {
    match arguments.json {
        true => output::print_pretty(findings)?,
        false => output::print(&text(findings))?,
    }
    if let Some(file) = &arguments.junit {
        let written = std::fs::write(file, junit(findings));
        written.with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    match findings.iter().all(|finding| finding.verdict == Verdict::Passed) {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}
