//! The section `[limits]`: how much is too much, and how slow is too slow.

use std::time::Duration;

use super::raw;
use super::reader::Reader;

/// How much is too much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of pledges and EST clients at once.
    pub connections: ConnectionLimits,
    /// How long one call to a MASA may take.
    pub masa_timeout: Duration,
    /// How many DNS answers a second go over UDP to one network.
    pub dns_answers_per_second: u32,
    /// How slow a connection may be.
    pub timeouts: Timeouts,
    /// How long and how slow a request's body may be.
    pub body: BodyLimits,
}

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// All of them.
    pub all: usize,
    /// Those of one IPv4 address, or one IPv6 network of 64 bits.
    pub of_one_address: usize,
    /// Those whose TLS handshake is not done.
    pub handshakes: usize,
}

/// How slow a connection may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's header may take to arrive; an idle connection is closed after the same time.
    pub header: Duration,
    /// How long open requests may take to end when the daemon ends.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(30),
            shutdown: Duration::from_secs(20),
        }
    }
}

/// How long and how slow a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// The longest body that is read, in octets.
    pub octets: usize,
    /// How long a whole body may take to arrive.
    pub timeout: Duration,
}

/// The longest body that any reader of this program takes, in octets.
pub const BODY_OCTETS_MOST: u32 = 64 * 1024;

impl Reader {
    pub(super) fn limits(&mut self, limits: &raw::Limits) -> Limits {
        let connections = self.connections(limits);
        let octets = self.bounded("limits.body_octets", limits.body_octets, 4096, BODY_OCTETS_MOST);
        let answers = limits.dns_answers_per_second;
        let dns_answers_per_second =
            self.bounded("limits.dns_answers_per_second", answers, 10, 1_000_000);
        let mut seconds = |key: &str, value| {
            Duration::from_secs(u64::from(self.bounded(&format!("limits.{key}"), value, 1, 300)))
        };
        Limits {
            connections,
            dns_answers_per_second,
            masa_timeout: seconds("masa_timeout_secs", limits.masa_timeout_secs),
            timeouts: Timeouts {
                handshake: seconds("handshake_timeout_secs", limits.handshake_timeout_secs),
                header: seconds("header_timeout_secs", limits.header_timeout_secs),
                shutdown: seconds("shutdown_secs", limits.shutdown_secs),
            },
            body: BodyLimits {
                octets: whole(octets),
                timeout: seconds("body_timeout_secs", limits.body_timeout_secs),
            },
        }
    }
}

impl Reader {
    fn connections(&mut self, limits: &raw::Limits) -> ConnectionLimits {
        let all = self.bounded("limits.connections", limits.connections, 1, 100_000);
        // Half of all, if nothing is said: one address never takes every place.
        let half = all.div_ceil(2);
        let mut part = |key: &str, value: Option<u32>| match value {
            None => half,
            Some(value) => self.bounded(&format!("limits.{key}"), value, 1, all.max(1)),
        };
        ConnectionLimits {
            of_one_address: whole(part("connections_per_address", limits.connections_per_address)),
            handshakes: whole(part("handshakes", limits.handshakes)),
            all: whole(all),
        }
    }
}

fn whole(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
