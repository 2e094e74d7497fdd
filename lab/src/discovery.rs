//! DNS-SD over mDNS for the lab: join proxies announce themselves, pledges look for them and for registrars.
//!
//! RFC 8995 §4.1, §4.3 and appendix B. Nothing is sent or heard on an interface that was not named.

use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;

use mdns_sd::{
    DaemonEvent, IfKind, Receiver, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo, TxtProperty,
};
use tokio::time::{Instant, timeout_at};

/// What goes wrong in mDNS.
pub use mdns_sd::Error as DiscoveryError;

/// The goodbye goes out twice, 120 ms apart, since datagrams are lost.
const GOODBYE: Duration = Duration::from_millis(200);
/// How many places a pledge remembers; on a hostile network there may be any number.
const PLACES: usize = 16;

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A join proxy, which pledges prefer.
    Proxy,
    /// A registrar.
    Registrar,
}

impl Kind {
    /// Its service type.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Proxy => "_brski-proxy._tcp.local.",
            Self::Registrar => "_brski-registrar._tcp.local.",
        }
    }
}

/// Where a pledge may join.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// The instance's full name.
    pub instance: String,
    /// Its address.
    pub address: SocketAddr,
}

/// Looks for places to join for a while.
///
/// Gives join proxies first, then registrars, each by name and address; never more than 16.
///
/// # Errors
/// If mDNS cannot be spoken.
pub async fn browse(interfaces: &[String], period: Duration) -> Result<Vec<Place>, DiscoveryError> {
    let browser = Browser::start(interfaces)?;
    let deadline = Instant::now() + period;
    let mut places = Vec::new();
    while let Ok(Some(event)) = timeout_at(deadline, browser.next()).await {
        if let Sighting::Here(found) = event {
            places.extend(found);
            places.sort();
            places.dedup();
            places.truncate(PLACES);
        }
    }
    browser.stop();
    Ok(places)
}

/// What was heard of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It is here, at these addresses.
    Here(Vec<Place>),
    /// It said goodbye, or was silent for too long.
    Gone {
        /// The instance's full name.
        instance: String,
    },
}

/// Looks for proxies and registrars.
pub struct Browser {
    daemon: ServiceDaemon,
    proxies: Receiver<ServiceEvent>,
    registrars: Receiver<ServiceEvent>,
}

impl Browser {
    /// Begins to look, on these interfaces alone.
    ///
    /// # Errors
    /// If mDNS cannot be spoken.
    pub fn start(interfaces: &[String]) -> Result<Self, DiscoveryError> {
        let daemon = daemon(interfaces)?;
        Ok(Self {
            proxies: daemon.browse(Kind::Proxy.service())?,
            registrars: daemon.browse(Kind::Registrar.service())?,
            daemon,
        })
    }

    /// The next thing that is heard; nothing when mDNS has ended.
    pub async fn next(&self) -> Option<Sighting> {
        loop {
            let (kind, event) = tokio::select! {
                event = self.proxies.recv_async() => (Kind::Proxy, event.ok()?),
                event = self.registrars.recv_async() => (Kind::Registrar, event.ok()?),
            };
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    let address = |each| socket_address(each, service.get_port());
                    let place = |address| Place {
                        kind,
                        instance: service.get_fullname().to_owned(),
                        address,
                    };
                    let places = service.get_addresses().iter().map(address).map(place);
                    return Some(Sighting::Here(places.collect()));
                }
                ServiceEvent::ServiceRemoved(_, instance) => {
                    return Some(Sighting::Gone { instance });
                }
                _ => {}
            }
        }
    }

    /// Looks no more.
    pub fn stop(self) {
        // Its thread ends by itself where it cannot be told.
        let _ = self.daemon.shutdown();
    }
}

/// Link-local addresses are reached by way of the interface that they were heard on.
fn socket_address(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(ip) => SocketAddrV6::new(*ip.addr(), port, 0, ip.scope_id().index).into(),
        _ => SocketAddr::new(ip.to_ip_addr(), port),
    }
}

/// A join proxy's announcement.
pub struct Announcement {
    daemon: ServiceDaemon,
    /// What is heard of the daemon.
    events: Receiver<DaemonEvent>,
    fullname: String,
}

impl Announcement {
    /// Announces a join proxy on these interfaces alone; an unspecified address stands for theirs.
    ///
    /// # Errors
    /// If mDNS cannot be spoken, or a name is none.
    pub fn proxy(
        interfaces: &[String],
        name: &str,
        address: SocketAddr,
    ) -> Result<Self, DiscoveryError> {
        let daemon = daemon(interfaces)?;
        let is_automatic = address.ip().is_unspecified();
        let ip = if is_automatic { String::new() } else { address.ip().to_string() };
        let host = format!("brski-proxy-{}.local.", address.port());
        let properties: Vec<TxtProperty> = Vec::new();
        let mut service = ServiceInfo::new(
            Kind::Proxy.service(),
            name,
            &host,
            ip.as_str(),
            address.port(),
            properties,
        )?;
        if is_automatic {
            service = service.enable_addr_auto();
            service.set_interfaces(interfaces.iter().map(IfKind::from).collect());
        }
        let fullname = service.get_fullname().to_owned();
        let events = daemon.monitor()?;
        daemon.register(service)?;
        Ok(Self { daemon, events, fullname })
    }

    /// Waits until nobody announces it any more; gives why.
    pub async fn ended(&self) -> String {
        loop {
            match self.events.recv_async().await {
                Ok(DaemonEvent::Error(error)) => return error.to_string(),
                // New addresses, other names, what was sent.
                Ok(_) => {}
                Err(_) => return "mDNS is spoken no more".to_owned(),
            }
        }
    }

    /// Says goodbye.
    pub async fn end(self) {
        if self.daemon.unregister(&self.fullname).is_ok() {
            tokio::time::sleep(GOODBYE).await;
        }
        // Its thread ends by itself where it cannot be told.
        let _ = self.daemon.shutdown();
    }
}

fn daemon(interfaces: &[String]) -> Result<ServiceDaemon, DiscoveryError> {
    let daemon = ServiceDaemon::new()?;
    daemon.disable_interface(IfKind::All)?;
    daemon.enable_interface(interfaces.iter().collect::<Vec<_>>())?;
    Ok(daemon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_announcement_whose_daemon_ends_says_so() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let announcement =
            Announcement::proxy(&["lo".to_owned()], "proxy, LAB ONLY", address).unwrap();
        announcement.daemon.shutdown().unwrap();
        assert_eq!(announcement.ended().await, "mDNS is spoken no more");
    }

    #[tokio::test]
    async fn an_announcement_that_cannot_be_made_says_so() {
        let daemon = daemon(&["lo".to_owned()]).unwrap();
        let events = daemon.monitor().unwrap();
        let kind = "_a-name-that-is-too-long-for-a-service._tcp.local.";
        let properties: Vec<TxtProperty> = Vec::new();
        let service = ServiceInfo::new(kind, "x", "x.local.", "127.0.0.1", 9, properties).unwrap();
        let fullname = service.get_fullname().to_owned();
        daemon.register(service).unwrap();
        let announcement = Announcement { daemon, events, fullname };
        let why = announcement.ended().await;
        assert!(why.contains("length"), "{why}");
        announcement.daemon.shutdown().unwrap();
    }
}
