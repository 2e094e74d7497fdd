//! The commands of `brski-lab`. Results go to stdout, everything else to stderr.

mod est;
mod faults;
mod folder;
mod join;
mod load;
mod masa;
mod net;
mod output;
mod up;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use brski_voucher::encoding::Encoding;
use clap::{Args, Parser, Subcommand};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::pki::{self, Credential, Manufacturer};
use crate::pledge::Pledge;
use crate::pledge::journey::{self, Label};
use crate::report::DeviceReport;
use crate::up::MANUFACTURER;

/// Simulated pledges and MASAs: a whole site on one machine, or each part alone
#[derive(Debug, Parser)]
#[command(name = "brski-lab", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a MASA, an ACME CA and the real registrar, take pledges through, and stop everything
    Up(Box<up::UpArguments>),
    /// Start the same site across machines of a network of its own, with bad links, and remove it again (Linux, root)
    Net(Box<net::NetArguments>),
    /// Make a manufacturer: its CA, its MASA's certificates, IDevIDs
    Pki(PkiArguments),
    /// Run the MASA of a manufacturer made with 'brski-lab pki'
    Masa(Box<masa::MasaArguments>),
    /// Take one pledge made with 'brski-lab pki' through any registrar
    Pledge(PledgeArguments),
    /// Be a join proxy: carry pledges' connections to a registrar, and say so by mDNS
    Proxy(join::ProxyArguments),
    /// Lie to a registrar in every way that a pledge, a proxy, a MASA or a CA can, and report what became of it
    Faults(faults::FaultsArguments),
    /// Be an EST client of any server: fetch, enroll, renew
    Est(Box<est::EstArguments>),
    /// Put load on an EST server or a registrar, and measure what it bears
    Load(Box<load::LoadArguments>),
}

#[derive(Debug, Args)]
struct PkiArguments {
    /// The folder
    #[arg(long)]
    dir: PathBuf,
    /// The manufacturer's name
    #[arg(long, default_value = MANUFACTURER)]
    manufacturer: String,
    /// A serial number; an IDevID is made for each
    #[arg(long = "serial")]
    serials: Vec<String>,
    /// How many IDevIDs to make beside those, with serial numbers LAB-000001 and so on
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pledges: u32,
    /// The MASA's URL in the IDevIDs
    #[arg(long, default_value = "localhost:9443")]
    masa_url: String,
}

#[derive(Debug, Args)]
struct PledgeArguments {
    /// The folder of 'brski-lab pki'
    #[arg(long)]
    dir: PathBuf,
    /// The serial number
    #[arg(long)]
    serial: String,
    /// The registrar, such as https://127.0.0.1:8443
    #[arg(long, value_name = "URL", required_unless_present = "discover")]
    registrar: Option<String>,
    #[command(flatten)]
    discover: join::DiscoverArguments,
    /// The EST label
    #[arg(long, value_parser = brski_est::path::Label::parse)]
    label: Option<brski_est::path::Label>,
    /// How it writes its voucher request: cms, jws or cose
    #[arg(long, value_parser = encoding, default_value = "cms")]
    encoding: Encoding,
}

fn encoding(word: &str) -> Result<Encoding, String> {
    let all = [Encoding::Cms, Encoding::Jws, Encoding::Cose];
    let found = all.into_iter().find(|encoding| encoding.as_str() == word);
    found.ok_or_else(|| "it is none of cms, jws, cose".to_owned())
}

/// Runs the command of this process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("brski-lab: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Up(arguments) => up::up(*arguments).await,
            Command::Net(arguments) => net::net(*arguments).await,
            Command::Pki(arguments) => pki(&arguments),
            Command::Masa(arguments) => masa::masa(&arguments).await,
            Command::Pledge(arguments) => pledge(&arguments).await,
            Command::Proxy(arguments) => join::proxy(arguments).await,
            Command::Faults(arguments) => faults::faults(&arguments).await,
            Command::Est(arguments) => est::run(*arguments).await,
            Command::Load(arguments) => load::run(*arguments).await,
        }
    });
    // Whatever still waits for somebody at a terminal is left to the end of the process.
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("brski-lab: {}", output::told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The program of this name beside the one that runs.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("this program is in no folder")?;
    Ok(folder.join(name))
}

fn pki(arguments: &PkiArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.dir;
    if folder.join("ca.pem").exists() {
        bail!("{} holds a manufacturer already; choose another --dir", folder.display());
    }
    let failed = || folder.display().to_string();
    std::fs::create_dir_all(folder).with_context(failed)?;
    let manufacturer = Manufacturer::new(&arguments.manufacturer)?;
    std::fs::write(folder.join("ca.pem"), manufacturer.authority.pem()).with_context(failed)?;
    pki::write(folder, "masa-tls", &manufacturer.masa_tls).with_context(failed)?;
    pki::write(folder, "voucher-signer", &manufacturer.voucher_signer).with_context(failed)?;
    let counted = (1..=arguments.pledges).map(|number| format!("LAB-{number:06}"));
    let serials: Vec<String> = arguments.serials.iter().cloned().chain(counted).collect();
    for serial in &serials {
        if serial.contains(['/', '\0']) {
            bail!("serial number {serial:?} does not make a file name");
        }
        let idevid = manufacturer.authority.idevid(serial, &arguments.masa_url)?;
        let name = format!("idevid-{serial}");
        pki::write(folder, &name, &idevid)
            .with_context(|| folder.join(name).display().to_string())?;
    }
    output::print(&format!(
        "made a manufacturer with {} IDevIDs in {folder}\n\n\
         Next:\n  \
         brski-lab masa --dir {folder}\n  \
         registrar manufacturer add --config FILE --name {} --ca {folder}/ca.pem --masa-ca {folder}/ca.pem --masa-host localhost\n",
        serials.len(),
        arguments.manufacturer,
        folder = folder.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn certificate(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let hint = || format!("{}: make it with 'brski-lab pki'", path.display());
    CertificateDer::from_pem_file(path).with_context(hint)
}

fn credential(folder: &Path, name: &str) -> anyhow::Result<Credential> {
    let key = folder.join(format!("{name}.key"));
    Ok(Credential {
        certificate: certificate(&folder.join(format!("{name}.pem")))?,
        key: PrivatePkcs8KeyDer::from_pem_file(&key)
            .with_context(|| format!("{}: make it with 'brski-lab pki'", key.display()))?,
    })
}

/// The address of https://HOST:PORT.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let hint = || format!("--registrar {url:?} is not https://HOST:PORT");
    let authority = url.strip_prefix("https://").with_context(hint)?.trim_end_matches('/');
    let mut addresses = authority.to_socket_addrs().with_context(hint)?;
    addresses.next().with_context(|| format!("{authority} has no address"))
}

async fn pledge(arguments: &PledgeArguments) -> anyhow::Result<ExitCode> {
    let manufacturer = certificate(&arguments.dir.join("ca.pem"))?;
    let idevid = credential(&arguments.dir, &format!("idevid-{}", arguments.serial))?;
    // In COSE a voucher does not carry its signer's certificate, so the device has it from the factory.
    let signer = certificate(&arguments.dir.join("voucher-signer.pem"))?;
    let pledge =
        Pledge::new(idevid, &manufacturer)?.writing(arguments.encoding).knowing(&signer)?;
    let label = Label::new(arguments.label.clone());
    let enrolled = match &arguments.registrar {
        Some(url) => journey::run(&pledge, address(url)?, &label).await?,
        None => join::discovered(&pledge, &label, &arguments.discover).await?,
    };
    let name = format!("certificate-{}", arguments.serial);
    pki::write(&arguments.dir, &name, &enrolled.credential)?;
    output::print_pretty(&DeviceReport::of(&enrolled))?;
    eprintln!("brski-lab: kept as {}/{name}.pem and .key", arguments.dir.display());
    Ok(ExitCode::SUCCESS)
}
