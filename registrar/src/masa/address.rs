//! Which MASA addresses may be called. Pure.
//!
//! The URL comes out of a certificate that some manufacturer signed, so it is hostile input:
//! without a list of hosts, anything that is not on the public Internet is refused,
//! or a manufacturer's key would be a way to reach the operator's own machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a manufacturer's list of hosts says about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// The operator named it: any address will do.
    Listed,
    /// There is no list: public addresses only.
    PublicOnly,
    /// There is a list, and it is not on it.
    Refused,
}

/// Judges a host against a manufacturer's list, whose entries are `host` or `host:port`.
#[must_use]
pub fn host_rule(host: &str, port: u16, allowed: &[String]) -> HostRule {
    if allowed.is_empty() {
        return HostRule::PublicOnly;
    }
    let with_port = format!("{host}:{port}");
    let listed = allowed
        .iter()
        .any(|entry| entry.eq_ignore_ascii_case(host) || entry.eq_ignore_ascii_case(&with_port));
    if listed { HostRule::Listed } else { HostRule::Refused }
}

/// Whether an address is reachable by everybody, hence no secret of the operator's network.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let protocol_assignments = first == 192 && second == 0 && third == 0;
    let benchmarking = first == 198 && (second == 18 || second == 19);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || shared
        || protocol_assignments
        || benchmarking
        || first == 0
        || first >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(embedded) = address.to_ipv4_mapped() {
        return is_public_v4(embedded);
    }
    let [first, second, ..] = address.segments();
    let global_unicast = (first & 0xe000) == 0x2000;
    let documentation = first == 0x2001 && second == 0x0db8;
    // 6to4 and Teredo carry an IPv4 address inside; nobody's MASA lives there.
    let tunnelled = first == 0x2002 || (first == 0x2001 && second == 0);
    global_unicast && !documentation && !tunnelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_every_address_that_is_not_public() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn accepts_public_addresses() {
        for text in ["9.9.9.9", "193.0.6.139", "2a00:1450::1", "2606:4700::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_list_of_hosts_is_exact() {
        let allowed = vec!["masa.example.com".to_owned(), "localhost:9443".to_owned()];
        assert_eq!(host_rule("MASA.example.com", 443, &allowed), HostRule::Listed);
        assert_eq!(host_rule("localhost", 9443, &allowed), HostRule::Listed);
        assert_eq!(host_rule("localhost", 22, &allowed), HostRule::Refused);
        assert_eq!(host_rule("evil.masa.example.com", 443, &allowed), HostRule::Refused);
        assert_eq!(host_rule("masa.example.com.evil", 443, &allowed), HostRule::Refused);
        assert_eq!(host_rule("masa.example.com", 443, &[]), HostRule::PublicOnly);
    }
}
