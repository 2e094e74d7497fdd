//! The section `[discovery]`: whether devices find the registrar by DNS-SD, and on which networks.

use super::raw;
use super::reader::Reader;

/// The longest name of a network interface, in octets.
const INTERFACE_OCTETS: usize = 15;
/// The longest label of a DNS name, in octets.
const LABEL_OCTETS: usize = 63;

/// Where and as what the registrar is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// The network interfaces that it is announced on, and no other; at least one.
    pub interfaces: Vec<String>,
    /// The instance's name.
    pub name: String,
    /// The port that devices are sent to; none: the one of `listen.est`.
    pub port: Option<u16>,
}

impl Reader {
    /// `node`: what the instance is called where no name is given.
    pub(super) fn discovery(
        &mut self,
        discovery: Option<raw::Discovery>,
        node: &str,
    ) -> Option<DiscoveryConfig> {
        let raw::Discovery { interfaces, name, port } = discovery?;
        if interfaces.is_empty() {
            let reason = "names no interface; leave [discovery] out to announce nothing";
            self.problem("discovery.interfaces", reason.to_owned());
        }
        for interface in &interfaces {
            if !is_interface(interface) {
                let reason = format!("{interface:?} is no name of a network interface");
                self.problem("discovery.interfaces", reason);
            }
        }
        let name = name.unwrap_or_else(|| node.to_owned());
        if name.is_empty() || name.len() > LABEL_OCTETS || name.chars().any(char::is_control) {
            let reason = format!("{name:?} is not 1 to {LABEL_OCTETS} octets of printable text");
            self.problem("discovery.name", reason);
        }
        if port == Some(0) {
            self.problem("discovery.port", "0 is no port that a device can reach".to_owned());
        }
        Some(DiscoveryConfig { interfaces, name, port })
    }
}

/// What Linux takes as the name of an interface.
fn is_interface(name: &str) -> bool {
    (1..=INTERFACE_OCTETS).contains(&name.len())
        && ![".", ".."].contains(&name)
        && name.bytes().all(|each| each.is_ascii_graphic() && each != b'/' && each != b':')
}
