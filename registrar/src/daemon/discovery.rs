//! Devices find the registrar: the service `_brski-registrar._tcp` over DNS-SD and mDNS, on chosen interfaces alone.
//!
//! RFC 8995 §4.3 and appendix B; RFC 6762, RFC 6763.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use mdns_sd::{DaemonEvent, IfKind, IfPredicate, ServiceDaemon, ServiceInfo, TxtProperty};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::config::{Config, DiscoveryConfig};

/// The service of a registrar.
const SERVICE: &str = "_brski-registrar._tcp.local.";
/// How devices enroll here: RFC 8995 over TLS.
const VARIANT: &str = "est-tls";
/// The goodbye goes out twice, 120 ms apart, since datagrams are lost.
const GOODBYE: Duration = Duration::from_millis(200);
/// How long the thread of mDNS may take to end.
const END_LIMIT: Duration = Duration::from_secs(2);

/// What will be announced, and where.
pub(super) struct Announcement {
    interfaces: Vec<String>,
    service: ServiceInfo,
}

impl Announcement {
    /// Reads what shall be announced, if anything.
    ///
    /// `address`: where the listener of devices listens.
    pub(super) fn prepare(config: &Config, address: SocketAddr) -> anyhow::Result<Option<Self>> {
        let Some(discovery) = &config.discovery else {
            return Ok(None);
        };
        let service = service(discovery, address).context("discovery")?;
        Ok(Some(Self { interfaces: discovery.interfaces.clone(), service }))
    }

    /// Announces until the daemon ends, and says goodbye.
    pub(super) async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let daemon = match self.announce() {
            Ok(daemon) => daemon,
            Err(error) => {
                // Devices that know the address are served all the same.
                warn!(%error, "the registrar cannot be announced");
                return;
            }
        };
        let told = tokio::select! {
            () = tell(&daemon) => "its thread ended",
            _ = shutdown.wait_for(|ends| *ends) => "the registrar ends",
        };
        debug!("the announcement ends: {told}");
        if daemon.unregister(self.service.get_fullname()).is_ok() {
            tokio::time::sleep(GOODBYE).await;
        }
        if let Ok(ended) = daemon.shutdown() {
            // The process ends in any case.
            let _ = tokio::time::timeout(END_LIMIT, ended.recv_async()).await;
        }
    }

    fn announce(&self) -> Result<ServiceDaemon, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(self.interfaces.iter().collect::<Vec<_>>())?;
        daemon.register(self.service.clone())?;
        Ok(daemon)
    }
}

/// Writes what becomes of the announcement into the log.
async fn tell(daemon: &ServiceDaemon) {
    let Ok(events) = daemon.monitor() else {
        return;
    };
    while let Ok(event) = events.recv_async().await {
        match event {
            DaemonEvent::Announce(service, addresses) => {
                info!(service, addresses, "announced");
            }
            DaemonEvent::NameChange(change) => {
                warn!(
                    name = change.original,
                    now = change.new_name,
                    "another one on the network has this name"
                );
            }
            DaemonEvent::Error(error) => warn!(%error, "announcing"),
            _ => {}
        }
    }
}

/// The records: an instance, its host, its port and addresses.
///
/// An unspecified address stands for whatever addresses the interfaces have, now and later.
fn service(
    discovery: &DiscoveryConfig,
    address: SocketAddr,
) -> Result<ServiceInfo, mdns_sd::Error> {
    // A host name of its own, apart from what the machine may announce for itself.
    let host = format!("brski-{}.local.", host_label(&discovery.name));
    let port = discovery.port.unwrap_or(address.port());
    let properties = vec![TxtProperty::from(VARIANT)];
    let is_automatic = address.ip().is_unspecified() || discovery.port.is_some();
    let given = if is_automatic { String::new() } else { address.ip().to_string() };
    let service =
        ServiceInfo::new(SERVICE, &discovery.name, &host, given.as_str(), port, properties)?;
    if !is_automatic {
        return Ok(service);
    }
    let mut service = service.enable_addr_auto();
    let interfaces = discovery.interfaces.clone();
    // A listener on 0.0.0.0 takes nothing from IPv6; whether a balancer does is not known.
    let is_ipv4_alone = address.is_ipv4() && discovery.port.is_none();
    let chosen = IfPredicate::new(move |interface| {
        interfaces.contains(&interface.name) && (!is_ipv4_alone || interface.ip().is_ipv4())
    });
    service.set_interfaces(vec![IfKind::Predicate(chosen)]);
    Ok(service)
}

/// The name in lower case; runs of what is not a letter or a digit are one '-'.
fn host_label(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|each: char| !each.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let label = if words.is_empty() { "registrar".to_owned() } else { words.join("-") };
    // With its prefix, a label of 63 octets at most.
    label.chars().take(56).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(name: &str, port: Option<u16>) -> DiscoveryConfig {
        DiscoveryConfig { interfaces: vec!["eth1".to_owned()], name: name.to_owned(), port }
    }

    #[test]
    fn one_address_is_announced_as_it_is_and_its_port() {
        let service = service(&discovery("Gate 1", None), "192.0.2.7:8443".parse().unwrap());
        let service = service.unwrap();
        assert_eq!(service.get_fullname(), "Gate 1._brski-registrar._tcp.local.");
        assert_eq!(service.get_hostname(), "brski-gate-1.local.");
        assert_eq!(service.get_port(), 8443);
        assert!(!service.is_addr_auto());
        let addresses: Vec<String> =
            service.get_addresses().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["192.0.2.7"]);
        assert_eq!(service.get_property_val("est-tls"), Some(None));
    }

    #[test]
    fn an_unspecified_address_stands_for_those_of_the_interfaces() {
        let service = service(&discovery("a", None), "0.0.0.0:8443".parse().unwrap()).unwrap();
        assert!(service.is_addr_auto() && service.get_addresses().is_empty());
    }

    #[test]
    fn the_port_of_a_balancer_stands_for_the_listeners() {
        let service = service(&discovery("a", Some(443)), "127.0.0.1:8443".parse().unwrap());
        let service = service.unwrap();
        assert_eq!(service.get_port(), 443);
        assert!(service.is_addr_auto() && service.get_addresses().is_empty());
    }

    #[test]
    fn a_host_label_is_one_whatever_the_name() {
        assert_eq!(host_label("Halle 3 / Tor_2"), "halle-3-tor-2");
        assert_eq!(host_label("…"), "registrar");
        assert_eq!(host_label(&"x".repeat(63)).len(), 56);
    }
}
