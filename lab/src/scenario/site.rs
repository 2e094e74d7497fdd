//! Starts what a scenario runs against: each manufacturer's MASA, the CA, the real registrar, introduced to each other.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use brski_est::authentication::Credentials;
use brski_voucher::artefact::Assertion;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::ca::Ca;
use super::factory::{Works, prefix};
use super::turn::Turns;
use super::words::{ClientKind, IssuerKind, LoginKind, MasaPolicy, UrlStyle};
use super::{Fleet, Maker, Scenario};
use crate::home::{Home, Homes};
use crate::masa::{Login, Masa, MasaError, MasaOptions, Misbehaviour, Scheme};
use crate::pki::{self, Manufacturer};
use crate::pledge::{Pledge, random};
use crate::process;
use crate::registrar::{self, Registrar};
use crate::report::hexadecimal;
use crate::service;
use crate::up::{ZONE, introduce_with};

/// How long `registrar init` has a registrar hold a request.
const HOLD_SECS: u32 = 10;
/// The profile that is always there.
const DEFAULT_PROFILE: &str = "default";
/// What a profile demands of a CA that may lie about it.
const CLIENT_AUTH: &str = "require_eku = [\"client-auth\"]\n";
/// Whom a MASA lets in, where it asks for a name.
const MASA_USER: &str = "registrar";

/// Whether the operators' web page is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// It is not.
    Closed,
    /// It is, and the run stays when everybody came, until it is told to end.
    Open,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Where everything is kept.
    pub folder: PathBuf,
    /// The registrar's program.
    pub registrar: PathBuf,
    /// Pebble's program.
    pub pebble: PathBuf,
}

/// A running site.
pub(crate) struct Site {
    pub(super) works: Arc<Vec<Works>>,
    pub(super) ca: Ca,
    pub(crate) registrar: Registrar,
    /// Where the console is, if it is open.
    pub(super) console: Option<SocketAddr>,
}

impl Site {
    pub(crate) async fn start(
        scenario: &Scenario,
        programs: &Programs,
        console: Console,
        homes: &Homes,
    ) -> anyhow::Result<Self> {
        let folder = &programs.folder;
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot be made", folder.display()))?;
        let site = registrar::Site::new(&programs.registrar, &folder.join("registrar"))?;
        let listen = homes.listen.to_string();
        let mut arguments: Vec<OsString> =
            ["--domain", ZONE, "--listen", &listen].map(OsString::from).into();
        let ca = Ca::start(&scenario.issuer, programs, homes).await?;
        arguments.extend(ca.arguments(programs, homes.dns));
        let made = site.clone();
        homes.registrar.run(move || async move { made.init(&arguments).await }).await??;
        let console = match console {
            Console::Closed => None,
            Console::Open => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?))),
        };
        configure(&site.config(), scenario, console)?;
        let mut works = Vec::with_capacity(scenario.manufacturers.len());
        for maker in &scenario.manufacturers {
            works.push(Work::start(maker, folder, site.folder(), &homes.masa).await?);
        }
        let served = site.clone();
        let registrar = homes.registrar.run(move || async move { served.serve().await }).await??;
        for work in &works {
            let Work { folder, arguments, works } = work;
            introduce_with(&site, folder, &works.manufacturer, arguments).await?;
        }
        let works = Arc::new(works.into_iter().map(|work| work.works).collect());
        Ok(Self { works, ca, registrar, console })
    }

    /// Makes a device of the first manufacturer, with nothing odd about it.
    pub(crate) fn pledge(&self, serial: &str) -> anyhow::Result<Pledge> {
        let Works { manufacturer, masa, .. } =
            self.works.first().context("nobody makes devices")?;
        let authority = &manufacturer.authority;
        let idevid = authority.idevid(serial, &masa.url())?;
        let signer = &manufacturer.voucher_signer.certificate;
        Ok(Pledge::new(idevid, authority.certificate())?.knowing(signer)?)
    }

    /// A link that logs in to the console once.
    pub(super) async fn link(&self) -> anyhow::Result<String> {
        let none: [&str; 0] = [];
        Ok(self.registrar.site().command("console link", &none).await?.trim().to_owned())
    }

    /// Waits until a component ends that should not; says which, how, and what it said last.
    pub(crate) async fn failure(&mut self) -> String {
        let log = self.registrar.log();
        tokio::select! {
            how = self.registrar.ended() => process::last_words("the registrar", &how, &log),
            why = self.ca.failure() => why,
            why = service::first(self.works.iter().map(Works::failure)) => why,
        }
    }

    pub(crate) async fn stop(self) {
        self.registrar.stop().await;
        self.ca.stop().await;
    }
}

/// A manufacturer, and how the registrar is told of it.
struct Work {
    works: Works,
    folder: PathBuf,
    arguments: Vec<OsString>,
}

impl Work {
    async fn start(
        maker: &Maker,
        folder: &Path,
        registrar: &Path,
        home: &Home,
    ) -> anyhow::Result<Self> {
        let folder = folder.join(&maker.name);
        std::fs::create_dir_all(&folder)?;
        let manufacturer = Manufacturer::at(&maker.name, home.address())?;
        let mut arguments: Vec<OsString> = Vec::new();
        let login = match maker.masa.login {
            LoginKind::None => None,
            LoginKind::Basic => Some(Scheme::Basic),
            LoginKind::Digest => Some(Scheme::Digest),
        };
        let login = match login {
            None => None,
            Some(scheme) => {
                let password = hexadecimal(&random::<16>()?);
                let file = folder.join("masa-password");
                pki::write_secret(&file, &format!("{MASA_USER}:{password}\n"))?;
                arguments.extend(["--masa-credential".into(), file.into()]);
                Some(Login { scheme, credentials: Credentials::new(MASA_USER, &password)? })
            }
        };
        let clients = match maker.masa.clients {
            ClientKind::None => None,
            ClientKind::Domain => {
                Some(CertificateDer::from_pem_file(registrar.join("domain-ca.pem"))?)
            }
        };
        let plan = &maker.masa;
        let options = MasaOptions {
            policy: assertion(plan.policy),
            mood: plan.mood,
            numbers: plan.numbers,
            pinning: plan.pinning,
            login,
            clients,
            log: plan.log,
            ..MasaOptions::default()
        };
        let listen = SocketAddr::new(home.address(), 0);
        let started = home.run(move || async move {
            let masa = Masa::start_with(listen, &manufacturer, options).await?;
            Ok::<_, MasaError>((manufacturer, masa))
        });
        let (manufacturer, masa) = started.await??;
        if !home.address().is_loopback() {
            arguments.extend(["--masa-host".into(), masa.host().into()]);
        }
        if plan.policy == MasaPolicy::Refuse {
            masa.behave(Misbehaviour::Refuses);
        }
        if maker.masa_url == UrlStyle::Absent {
            arguments.extend(["--masa-url".into(), masa.url().into()]);
        }
        let works = Works { manufacturer, masa, turns: Turns::default() };
        Ok(Self { works, folder, arguments })
    }
}

/// What a MASA asserts in its vouchers, if it signs any.
fn assertion(policy: MasaPolicy) -> Assertion {
    match policy {
        MasaPolicy::Proximity | MasaPolicy::Refuse => Assertion::Proximity,
        MasaPolicy::Verified => Assertion::Verified,
        MasaPolicy::Logged => Assertion::Logged,
    }
}

/// Tells the registrar's configuration what the scenario says of it.
fn configure(
    config: &Path,
    scenario: &Scenario,
    console: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let mut text = std::fs::read_to_string(config)?;
    let settings = &scenario.registrar;
    let hold = format!("hold_secs = {HOLD_SECS}");
    let numbers = [
        (hold.as_str(), "hold_secs", settings.hold_secs),
        ("\nconnections = 1000", "\nconnections", settings.connections),
        ("handshake_timeout_secs = 10", "handshake_timeout_secs", settings.handshake_timeout_secs),
        ("orders_in_flight = 8", "orders_in_flight", scenario.issuer.orders_in_flight),
    ];
    for (from, key, value) in numbers {
        if let Some(value) = value {
            text = edit(&text, from, &format!("{key} = {value}"))?;
        }
    }
    if scenario.issuer.kind == IssuerKind::Lying {
        text = edit(&text, "[profile.default]\n", &format!("[profile.default]\n{CLIENT_AUTH}"))?;
    }
    if let Some(address) = console {
        text = edit(&text, "[admin]\n", "[admin]\nconsole = true\n")?;
        text = edit(&text, "# admin = \"0.0.0.0:8444\"", &format!("admin = \"{address}\""))?;
    }
    text.push_str(&profiles(scenario));
    Ok(std::fs::write(config, text)?)
}

/// A profile for each label that is not the default one's, the same certificates under another path; and a rule for each
/// fleet that has one, since a device is admitted with its profile.
fn profiles(scenario: &Scenario) -> String {
    let (issuer, usage) = match scenario.issuer.kind {
        IssuerKind::Local => ("local", ""),
        IssuerKind::Pebble => ("acme", ""),
        IssuerKind::Lying => ("acme", CLIENT_AUTH),
    };
    let hold_secs = scenario.registrar.hold_secs.unwrap_or(HOLD_SECS);
    let labels = scenario.fleets.iter().filter_map(|fleet| Some((fleet.label.as_ref()?, fleet)));
    let labels: Vec<(&str, &Fleet)> = labels
        .map(|(label, fleet)| (label.as_str(), fleet))
        .filter(|(label, _)| *label != DEFAULT_PROFILE)
        .collect();
    let names: BTreeSet<&str> = labels.iter().map(|(label, _)| *label).collect();
    let profiles = names.into_iter().map(|label| {
        format!(
            "\n[profile.{label:?}]\nissuer = \"{issuer}\"\nzone = \"{ZONE}\"\nhold_secs = {hold_secs}\n{usage}"
        )
    });
    let rules = labels.iter().map(|(label, fleet)| {
        let pattern = format!("(.*[^A-Z0-9-])?{}-[0-9]+", prefix(&fleet.name));
        format!(
            "\n[[policy.rule]]\ndecision = \"admit\"\nserial_pattern = {pattern:?}\nprofile = {label:?}\n"
        )
    });
    profiles.chain(rules).collect()
}

fn edit(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    ensure!(text.contains(from), "the registrar's configuration has no {from:?}");
    Ok(text.replacen(from, to, 1))
}

/// The longest that stopping may take, so that nobody waits for ever.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(30);
