//! A site whose parts are each on a machine of its own: what is started where, and what it is connected by.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::NetOptions;
use super::link::{LinkName, LinkWish, Quality};
use super::machine::{Machine, Tools};
use super::shaper::{End, Link, Shaper};
use crate::discovery::Announcement;
use crate::masa::{Masa, MasaOptions};
use crate::pebble::{Pebble, PebbleOptions};
use crate::pki::Manufacturer;
use crate::pledge::Pledge;
use crate::process;
use crate::proxy::{JoinProxy, ProxyOptions};
use crate::registrar::{Registrar, Site};
use crate::up::{self, Issuer, SiteOptions};

/// The interface that pledges look on, on their machine.
pub(super) const PLEDGES_INTERFACE: &str = "to-proxy";
/// How long the join proxy bears silence: longer than a registrar holds a request.
const PROXY_IDLE: Duration = Duration::from_secs(180);
/// How many connections the join proxy carries for each pledge that may be under way: one ends when another begins.
const CONNECTIONS_EACH: usize = 4;
/// How many of a log's last lines are shown.
const LOG_LINES: usize = 12;

// Each machine has a network of its own, so that nothing else can have these ports and addresses.
const REGISTRAR_PORT: u16 = 8443;
const PROXY_PORT: u16 = 8443;
const MASA_PORT: u16 = 9443;
const DNS_PORT: u16 = 5353;

/// The address of a machine on a link; each link is a network of its own.
fn address(link: LinkName, host: u8) -> Ipv4Addr {
    let net = match link {
        LinkName::Pledges => 1,
        LinkName::Site => 2,
        LinkName::Masa => 3,
        LinkName::Ca => 4,
    };
    Ipv4Addr::new(10, 77, net, host)
}

/// The machines of a site.
pub(super) struct Machines {
    pub(super) pledges: Machine,
    proxy: Machine,
    registrar: Machine,
    masa: Machine,
    ca: Option<Machine>,
}

impl Machines {
    fn start(tools: &Tools, issuer: Issuer) -> anyhow::Result<Self> {
        let machine = |role: &str| Machine::start(tools, role);
        Ok(Self {
            pledges: machine("pledges")?,
            proxy: machine("proxy")?,
            registrar: machine("registrar")?,
            masa: machine("masa")?,
            ca: match issuer {
                Issuer::Acme => Some(machine("ca")?),
                Issuer::Local => None,
            },
        })
    }

    /// The two ends of a link, where it leads anywhere.
    fn ends(&self, link: LinkName) -> Option<[End<'_>; 2]> {
        let (one, other, there, here) = match link {
            LinkName::Pledges => (&self.pledges, &self.proxy, PLEDGES_INTERFACE, "to-pledges"),
            LinkName::Site => (&self.proxy, &self.registrar, "to-registrar", "to-proxy"),
            LinkName::Masa => (&self.registrar, &self.masa, "to-masa", "to-registrar"),
            LinkName::Ca => (&self.registrar, self.ca.as_ref()?, "to-ca", "to-registrar"),
        };
        let end = |machine, interface: &str, host| End {
            machine,
            interface: interface.to_owned(),
            address: address(link, host),
        };
        Some([end(one, there, 1), end(other, here, 2)])
    }
}

/// What runs, apart from the machines: it ends first.
pub(super) struct Parts {
    pub(super) registrar: Registrar,
    pebble: Option<Pebble>,
    proxy: JoinProxy,
    announcement: Announcement,
    masa: Masa,
}

impl Parts {
    /// Waits until a part ends that should not; gives which, why, and what it wrote last.
    pub(super) async fn failure(&mut self) -> anyhow::Error {
        let (who, how, log) = tokio::select! {
            how = self.registrar.ended() => ("the registrar", how, self.registrar.log()),
            (how, log) = ended(self.pebble.as_mut()) => ("the ACME CA", how, log),
        };
        let last = process::last_lines(&log, LOG_LINES);
        anyhow::anyhow!("{who} ended by itself ({how}); the last lines of its log:\n{last}")
    }
}

/// Never, where there is no CA.
async fn ended(pebble: Option<&mut Pebble>) -> (String, std::path::PathBuf) {
    match pebble {
        Some(pebble) => (pebble.ended().await, pebble.log()),
        None => std::future::pending().await,
    }
}

/// A running site. What is first ends first.
pub(super) struct NetSite {
    pub(super) parts: Parts,
    pub(super) links: Vec<Link>,
    pub(super) machines: Machines,
    pub(super) shaper: Shaper,
    manufacturer: Manufacturer,
}

impl NetSite {
    /// Makes the machines, lays the links, and starts MASA, CA, registrar and join proxy.
    ///
    /// When this is given up half-way, what was made until then is removed.
    pub(super) async fn start(tools: &Tools, options: &NetOptions) -> anyhow::Result<Self> {
        let site = &options.site;
        let machines = Machines::start(tools, site.issuer)?;
        let shaper = Shaper::choose(options.shaper, &machines.pledges)?;
        eprintln!("brski-lab: {}", shaper.told());
        let links = lay(&machines, &shaper, &options.links).await?;
        std::fs::create_dir_all(&site.folder)?;
        let mut manufacturer = Manufacturer::new(up::MANUFACTURER)?;
        let masa = masa(&machines, &mut manufacturer).await?;
        let pebble = match &machines.ca {
            Some(machine) => Some(pebble(machine, site).await?),
            None => None,
        };
        let registrar = registrar(&machines.registrar, site, pebble.as_ref()).await?;
        let host: OsString = address(LinkName::Masa, 2).to_string().into();
        let host = ["--masa-host".into(), host];
        up::introduce_with(registrar.site(), &site.folder, &manufacturer, &host).await?;
        let connections = options.crew.concurrency.saturating_mul(CONNECTIONS_EACH);
        let (proxy, announcement) = proxy(&machines.proxy, connections).await?;
        let parts = Parts { registrar, pebble, proxy, announcement, masa };
        Ok(Self { parts, links, machines, shaper, manufacturer })
    }

    /// Makes a device.
    pub(super) fn pledge(&self, serial: &str) -> anyhow::Result<Pledge> {
        let authority = &self.manufacturer.authority;
        let masa = SocketAddr::from((address(LinkName::Masa, 2), MASA_PORT));
        let idevid = authority.idevid(serial, &masa.to_string())?;
        let signer = &self.manufacturer.voucher_signer.certificate;
        Ok(Pledge::new(idevid, authority.certificate())?.knowing(signer)?)
    }

    /// Says goodbye, and ends everything.
    pub(super) async fn stop(self) {
        let Self { parts, links, machines, .. } = self;
        let Parts { registrar, pebble, proxy, announcement, masa } = parts;
        // A machine that is gone has nobody to say goodbye to.
        let _ = machines.proxy.run(move || announcement.end()).await;
        registrar.stop().await;
        if let Some(pebble) = pebble {
            pebble.stop().await;
        }
        drop((proxy, masa, links, machines));
    }
}

async fn lay(
    machines: &Machines,
    shaper: &Shaper,
    wishes: &[LinkWish],
) -> anyhow::Result<Vec<Link>> {
    let mut links = Vec::new();
    for name in LinkName::ALL {
        let mut wanted = wishes.iter().filter(|wish| wish.link == name);
        let quality = wanted.next().map_or_else(Quality::default, |wish| wish.quality.clone());
        if wanted.next().is_some() {
            bail!("link {} is described twice", name.as_str());
        }
        let Some([one, other]) = machines.ends(name) else {
            if quality != Quality::default() {
                bail!("link {} leads nowhere: the local issuer has no CA to ask", name.as_str());
            }
            continue;
        };
        eprintln!(
            "brski-lab: link {:<8} {} {} - {} {}: {quality}",
            name.as_str(),
            one.machine.namespace(),
            one.address,
            other.address,
            other.machine.namespace(),
        );
        links.push(shaper.lay(name, &quality, &one, &other).await?);
    }
    Ok(links)
}

async fn masa(machines: &Machines, manufacturer: &mut Manufacturer) -> anyhow::Result<Masa> {
    let host = address(LinkName::Masa, 2);
    let listen = SocketAddr::from((host, MASA_PORT));
    let tls = manufacturer.authority.server_at("MASA, LAB ONLY", IpAddr::V4(host))?;
    manufacturer.masa_tls = tls.clone();
    let authority = manufacturer.authority.certificate().clone();
    let signer = manufacturer.voucher_signer.clone();
    let started = machines.masa.run(move || async move {
        Masa::of(listen, &authority, &signer, &tls, MasaOptions::default()).await
    });
    Ok(started.await??)
}

/// Where the CA asks for proofs.
fn dns() -> SocketAddr {
    SocketAddr::from((address(LinkName::Ca, 1), DNS_PORT))
}

async fn pebble(machine: &Machine, site: &SiteOptions) -> anyhow::Result<Pebble> {
    let host = IpAddr::V4(address(LinkName::Ca, 2));
    let options = PebbleOptions { host, ..PebbleOptions::default() };
    let (program, folder) = (site.pebble.clone(), site.folder.clone());
    let started = machine
        .run(move || async move { Pebble::start_with(&program, &folder, dns(), &options).await });
    Ok(started.await??)
}

async fn registrar(
    machine: &Machine,
    options: &SiteOptions,
    pebble: Option<&Pebble>,
) -> anyhow::Result<Registrar> {
    let site = Site::new(&options.registrar, &folder(&options.folder))?;
    let listen = format!("0.0.0.0:{REGISTRAR_PORT}");
    let words = ["--domain", up::ZONE, "--listen", &listen];
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    if let Some(pebble) = pebble {
        arguments.extend(up::acme_arguments(&pebble.directory(), pebble, dns()));
    }
    let started = machine.run(move || async move {
        site.init(&arguments).await?;
        site.serve().await
    });
    Ok(started.await??)
}

fn folder(folder: &Path) -> std::path::PathBuf {
    folder.join("registrar")
}

async fn proxy(machine: &Machine, connections: usize) -> anyhow::Result<(JoinProxy, Announcement)> {
    let listen = SocketAddr::from((address(LinkName::Pledges, 2), PROXY_PORT));
    let registrar = SocketAddr::from((address(LinkName::Site, 2), REGISTRAR_PORT));
    let options = ProxyOptions { registrar: registrar.to_string(), connections, idle: PROXY_IDLE };
    let interfaces = ["to-pledges".to_owned()];
    let started = machine.run(move || async move {
        let proxy = JoinProxy::start(listen, options).await?;
        let announced = Announcement::proxy(&interfaces, "join proxy, LAB ONLY", listen)?;
        anyhow::Ok((proxy, announced))
    });
    started.await?.context("the join proxy")
}
