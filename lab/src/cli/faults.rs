//! `brski-lab faults`: lies to any registrar, and a report of what became of each.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::acme::{AcmeCa, CaStyle};
use crate::fault::Fault;
use crate::fault::report::{Finding, Listed, Verdict, junit, text};
use crate::fault::run::{Workshop, run};
use crate::masa::Masa;
use crate::pki::Manufacturer;

/// The name of the manufacturer whose devices lie.
const MANUFACTURER: &str = "lab-liars";

#[derive(Debug, Args)]
pub(super) struct FaultsArguments {
    /// Print every fault: its liar, the clause that it breaks, the status that it must meet (0: closed without an answer) and the event
    #[arg(long, conflicts_with_all = ["target", "dir", "introduce", "ca", "only", "junit"])]
    list: bool,
    /// The registrar, such as https://127.0.0.1:8443
    #[arg(long, value_name = "URL", required_unless_present = "list", requires = "dir")]
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
    /// This fault alone; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
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
    let chosen = chosen(&arguments.only)?;
    let registrar = address(target)?;
    let manufacturer = Manufacturer::new(MANUFACTURER)?;
    let masa = Masa::start(arguments.masa, &manufacturer).await?;
    let ca = match arguments.ca {
        Some(address) => Some(AcmeCa::start(address, CaStyle::Plain).await?),
        None => None,
    };
    introduce(folder, arguments.introduce.as_deref(), &manufacturer, &masa, ca.as_ref()).await?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let prefix = format!("LIE{since:X}");
    let (manufacturer, masa, ca) = (&manufacturer, &masa, ca.as_ref());
    let workshop = Workshop { registrar, manufacturer, masa, ca, prefix };
    let (can, cannot): (Vec<Fault>, Vec<Fault>) =
        chosen.into_iter().partition(|fault| workshop.can_tell(*fault));
    if !cannot.is_empty() {
        ensure!(arguments.only.is_empty(), "a lie of a CA needs --ca");
        eprintln!("brski-lab: {} lies of CAs are left out: they need --ca", cannot.len());
    }
    let mut findings = Vec::with_capacity(can.len());
    for (number, fault) in can.into_iter().enumerate() {
        eprintln!("brski-lab: {}", fault.card().name);
        findings.push(run(&workshop, number, fault).await);
    }
    report(arguments, &findings)
}

fn list(is_json: bool) -> anyhow::Result<()> {
    let listed: Vec<Listed> = Fault::ALL.iter().map(|fault| fault.card().into()).collect();
    if is_json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(());
    }
    for Listed { name, liar, clause, status, event } in listed {
        println!("{:<6}  {status}  {name:<46}  {event:<28}  {clause}", liar.as_str());
    }
    Ok(())
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Fault>> {
    if names.is_empty() {
        return Ok(Fault::ALL.to_vec());
    }
    let find = |name: &String| {
        let found = Fault::ALL.iter().find(|fault| fault.card().name == name);
        found.copied().with_context(|| format!("there is no fault {name:?}; see --list"))
    };
    names.iter().map(find).collect()
}

fn address(target: &str) -> anyhow::Result<SocketAddr> {
    let wrong = || format!("--target {target:?} is not https://HOST:PORT");
    let authority = target.strip_prefix("https://").with_context(wrong)?.trim_end_matches('/');
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
    let status = tokio::process::Command::new(program).args(&words).status().await;
    let status = status.with_context(|| format!("{}: cannot be run", program.display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{} ended with {status}", program.display()),
    }
}

fn report(arguments: &FaultsArguments, findings: &[Finding]) -> anyhow::Result<ExitCode> {
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(findings)?),
        false => print!("{}", text(findings)),
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
