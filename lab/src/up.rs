//! A whole site on one machine: the MASA of one manufacturer, an ACME CA, the real registrar.
//!
//! Tests drive it step by step; [`crate::scenario`] runs sites of many manufacturers by themselves.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::masa::Masa;
use crate::pebble::Pebble;
use crate::pki::Manufacturer;
use crate::pledge::Pledge;
use crate::process;
use crate::registrar::{Registrar, Site};

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
    acme_arguments_of(directory, &pebble.tls_anchor(), &pebble.root(), dns)
}

/// The arguments of `registrar init` for the CA with this directory, anchor of its TLS certificate, and root.
pub(crate) fn acme_arguments_of(
    directory: &str,
    tls_anchor: &Path,
    root: &Path,
    dns: SocketAddr,
) -> Vec<OsString> {
    vec![
        "--issuer".into(),
        "acme".into(),
        "--accept-terms".into(),
        "--acme-directory".into(),
        directory.into(),
        "--acme-ca".into(),
        tls_anchor.into(),
        "--acme-root".into(),
        root.into(),
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
