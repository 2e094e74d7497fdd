//! A site whose parts are each on a machine of its own: what is started where, and what it is connected by.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::Semaphore;

use super::link::{LinkName, LinkWish, Quality};
use super::machine::{Machine, MachineError, Tools};
use super::shaper::{End, Link, Shaper};
use super::{Crew, NetOptions, cuts};
use crate::discovery::Announcement;
use crate::home::Homes;
use crate::proxy::{JoinProxy, ProxyOptions};
use crate::scenario::Scenario;
use crate::scenario::run::Console;
use crate::scenario::site::Site;
use crate::scenario::words::IssuerKind;
use crate::service;

/// The interface that pledges look on, on their machine.
pub(super) const PLEDGES_INTERFACE: &str = "to-proxy";
/// How long the join proxy bears silence: longer than a registrar holds a request.
const PROXY_IDLE: Duration = Duration::from_secs(180);
/// How many connections the join proxy carries for each pledge that may be under way: one ends when another begins.
const CONNECTIONS_EACH: usize = 4;

// Each machine has a network of its own, so that nothing else can have these ports and addresses.
const REGISTRAR_PORT: u16 = 8443;
const PROXY_PORT: u16 = 8443;
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
    fn start(tools: &Tools, issuer: IssuerKind) -> anyhow::Result<Self> {
        let machine = |role: &str| Machine::start(tools, role);
        Ok(Self {
            pledges: machine("pledges")?,
            proxy: machine("proxy")?,
            registrar: machine("registrar")?,
            masa: machine("masa")?,
            ca: match issuer {
                IssuerKind::Pebble | IssuerKind::Lying => Some(machine("ca")?),
                IssuerKind::Local => None,
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

/// The network that a site stands on, and the join proxy on it. What is first ends first.
pub(super) struct Ground {
    proxy: JoinProxy,
    announcement: Announcement,
    pub(super) links: Vec<Link>,
    pub(super) machines: Machines,
    pub(super) shaper: Shaper,
}

impl Ground {
    /// Makes the machines, lays the links, and starts the join proxy, for so many pledges at once.
    ///
    /// When this is given up half-way, what was made until then is removed.
    pub(super) async fn start(
        tools: &Tools,
        options: &NetOptions,
        issuer: IssuerKind,
        at_once: usize,
    ) -> anyhow::Result<Self> {
        let machines = Machines::start(tools, issuer)?;
        let shaper = Shaper::choose(options.shaper, &machines.pledges)?;
        eprintln!("brski-lab: {}", shaper.told());
        let links = lay(&machines, &shaper, &options.links).await?;
        let connections = at_once.saturating_mul(CONNECTIONS_EACH).min(Semaphore::MAX_PERMITS);
        let (proxy, announcement) = proxy(&machines.proxy, connections).await?;
        Ok(Self { proxy, announcement, links, machines, shaper })
    }

    /// Where each part of a site lives.
    pub(super) fn homes(&self) -> Result<Homes, MachineError> {
        let Machines { pledges, registrar, masa, ca, .. } = &self.machines;
        Ok(Homes {
            pledges: pledges.home(address(LinkName::Pledges, 1))?,
            registrar: registrar.home(address(LinkName::Site, 2))?,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, REGISTRAR_PORT)),
            dns: SocketAddr::from((address(LinkName::Ca, 1), DNS_PORT)),
            masa: masa.home(address(LinkName::Masa, 2))?,
            ca: ca.as_ref().map(|ca| ca.home(address(LinkName::Ca, 2))).transpose()?,
        })
    }

    /// Cuts and mends the links when it is time, and waits until that fails or a part of it ends by itself; says which
    /// part, and why.
    pub(super) async fn failure(&self) -> String {
        let Self { proxy, announcement, links, .. } = self;
        tokio::select! {
            error = cuts(links) => format!("a link could not be cut or mended: {error}"),
            why = service::first(links.iter().map(Link::ended)) => why,
            why = proxy.ended() => format!(
                "the join proxy at {} ended by itself: {why}; it had carried {} connections",
                proxy.address(),
                proxy.relayed()
            ),
            why = announcement.ended() => format!("nobody announces the join proxy any more: {why}"),
        }
    }

    /// Says goodbye, and removes everything.
    pub(super) async fn stop(self) {
        let Self { proxy, announcement, links, machines, .. } = self;
        // A machine that is gone has nobody to say goodbye to.
        let _ = machines.proxy.run(move || announcement.end()).await;
        drop((proxy, links, machines));
    }
}

/// A running site. What is first ends first.
pub(super) struct NetSite {
    pub(super) site: Site,
    pub(super) ground: Ground,
}

impl NetSite {
    /// Makes the ground, and starts MASA, CA and registrar on it.
    ///
    /// When this is given up half-way, what was made until then is removed.
    pub(super) async fn start(
        tools: &Tools,
        options: &NetOptions,
        crew: &Crew,
    ) -> anyhow::Result<Self> {
        let at_once = u32::try_from(crew.concurrency)?;
        let scenario = Scenario::usual(u32::try_from(crew.pledges)?, at_once, crew.issuer.into());
        let ground = Ground::start(tools, options, crew.issuer.into(), crew.concurrency).await?;
        let homes = ground.homes()?;
        let site = Site::start(&scenario, &options.programs, Console::Closed, &homes).await?;
        Ok(Self { site, ground })
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        let Self { site, ground } = self;
        site.stop().await;
        ground.stop().await;
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
