//! The section `[listen]`: the addresses.

use std::net::SocketAddr;

use super::raw;
use super::reader::Reader;

/// Where the daemon listens.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Pledges and EST clients, TCP.
    pub est: SocketAddr,
    /// The DNS responder, UDP and TCP.
    pub dns: Option<SocketAddr>,
    /// The admin API over TLS, TCP.
    pub admin: Option<SocketAddr>,
    /// Health and metrics, plain HTTP, TCP.
    pub metrics: Option<SocketAddr>,
    /// The responder of http-01, TCP.
    pub http01: Option<SocketAddr>,
}

impl Reader {
    pub(super) fn listen(&mut self, listen: &raw::Listen) -> Option<Listen> {
        let est = self.address("listen.est", &listen.est);
        let dns = listen.dns.as_deref().and_then(|text| self.address("listen.dns", text));
        let admin = listen.admin.as_deref().and_then(|text| self.address("listen.admin", text));
        let metrics =
            listen.metrics.as_deref().and_then(|text| self.address("listen.metrics", text));
        let http01 = listen.http01.as_deref().and_then(|text| self.address("listen.http01", text));
        Some(Listen { est: est?, dns, admin, metrics, http01 })
    }
}
