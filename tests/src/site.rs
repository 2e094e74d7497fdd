//! A site of the lab in a temporary folder, and what tests ask of it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use brski_lab::masa::Masa;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_lab::pki::Manufacturer;
use brski_lab::process;
use brski_lab::registrar::Site;
use brski_lab::up::{Issuer, Lab, MANUFACTURER, SiteOptions, ZONE, acme_arguments, introduce};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs;
use crate::proxy::Proxy;

/// A running site.
pub struct TestSite {
    /// The site.
    pub lab: Lab,
    /// Where it lives; removed with it.
    pub folder: TempDir,
}

/// Starts a site with Pebble, or says that Pebble is missing.
///
/// # Errors
/// What cannot be started.
pub async fn with_acme() -> anyhow::Result<Option<TestSite>> {
    match programs::outside("pebble", "pebble") {
        None => Ok(None),
        Some(pebble) => start(Issuer::Acme, pebble).await.map(Some),
    }
}

/// Starts a site with the local issuer.
///
/// # Errors
/// What cannot be started.
pub async fn local() -> anyhow::Result<TestSite> {
    start(Issuer::Local, "pebble".into()).await
}

/// Starts a site with Pebble behind a proxy, or says that Pebble is missing. No nonce is rejected.
///
/// # Errors
/// What cannot be started.
pub async fn behind_proxy() -> anyhow::Result<Option<(TestSite, Proxy)>> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let loopback = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let manufacturer = Manufacturer::new(MANUFACTURER)?;
    let masa = Masa::start(loopback(0), &manufacturer).await?;
    let dns = loopback(process::free_port()?);
    let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(&program, folder.path(), dns, &options).await?;
    let proxy = Proxy::start(pebble.address(), &pebble.tls_anchor()).await?;
    let anchor = folder.path().join("proxy-ca.pem");
    std::fs::write(&anchor, proxy.anchor())?;
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    let directory = format!("https://localhost:{}/dir", proxy.address().port());
    let mut arguments: Vec<OsString> = vec!["--domain".into(), ZONE.into(), "--listen".into()];
    arguments.push(loopback(process::free_port()?).to_string().into());
    let acme = acme_arguments(&directory, &pebble, dns).into_iter();
    arguments.extend(acme.map(|argument| {
        if argument == pebble.tls_anchor().as_os_str() { anchor.clone().into() } else { argument }
    }));
    site.init(&arguments).await?;
    let registrar = site.serve().await?;
    introduce(&site, folder.path(), &manufacturer).await?;
    let lab = Lab { manufacturer, masa, pebble: Some(pebble), registrar };
    Ok(Some((TestSite { lab, folder }, proxy)))
}

async fn start(issuer: Issuer, pebble: PathBuf) -> anyhow::Result<TestSite> {
    let folder = tempfile::tempdir()?;
    let options = SiteOptions {
        issuer,
        folder: folder.path().to_owned(),
        registrar: programs::ours("registrar")?,
        pebble,
    };
    let lab = Lab::start(&options).await?;
    Ok(TestSite { lab, folder })
}

/// Starts a site with the local issuer whose folder, configuration and launcher a test prepares.
///
/// `prepare`: gets the registrar's folder as `registrar init` made it, and gives what the daemon is started by.
///
/// # Errors
/// What cannot be started.
pub async fn prepared(
    prepare: impl FnOnce(&Path) -> anyhow::Result<Vec<OsString>>,
) -> anyhow::Result<TestSite> {
    let folder = tempfile::tempdir()?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let manufacturer = Manufacturer::new(MANUFACTURER)?;
    let masa = Masa::start(loopback, &manufacturer).await?;
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    let listen = format!("127.0.0.1:{}", process::free_port()?);
    site.init(&["--domain", ZONE, "--listen", &listen]).await?;
    let launcher = prepare(site.folder())?;
    let registrar = site.under(launcher).serve().await?;
    introduce(registrar.site(), folder.path(), &manufacturer).await?;
    let lab = Lab { manufacturer, masa, pebble: None, registrar };
    Ok(TestSite { lab, folder })
}

/// Replaces a text of the configuration.
///
/// # Errors
/// If it is not there.
pub fn edit(folder: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    let file = folder.join("registrar.toml");
    let text = std::fs::read_to_string(&file)?;
    anyhow::ensure!(text.contains(from), "{from:?} is not in the configuration: {text}");
    Ok(std::fs::write(&file, text.replacen(from, to, 1))?)
}

impl TestSite {
    /// The registrar's program and folder.
    #[must_use]
    pub fn site(&self) -> &Site {
        self.lab.registrar.site()
    }

    /// How many orders and certificates Pebble made.
    ///
    /// # Errors
    /// If there is no Pebble, or no log.
    pub fn pebble_counts(&self) -> anyhow::Result<(usize, usize)> {
        let pebble = self.lab.pebble.as_ref().context("there is no Pebble")?;
        Ok((pebble.count("Added order")?, pebble.count("Issued certificate serial")?))
    }
}

/// What a reading command prints with `--json`.
///
/// # Errors
/// If it fails or prints something else.
pub async fn json(site: &Site, command: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    Ok(serde_json::from_str(&site.command(command, &arguments).await?)?)
}

/// The kinds of all events, the oldest first.
///
/// # Errors
/// As [`json`].
pub async fn event_kinds(site: &Site) -> anyhow::Result<Vec<String>> {
    let events = json(site, "event list", &[]).await?;
    let events = events.as_array().context("events are a list")?;
    Ok(events.iter().filter_map(|event| Some(event.get("kind")?.as_str()?.to_owned())).collect())
}
