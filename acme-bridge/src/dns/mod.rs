//! An authoritative DNS responder for the zones of a bridge: it answers a CA's queries from the answer store.
//!
//! The zone is delegated to it, so no credential for anybody's DNS is needed (draft-ietf-acme-integrations §3, the RA's
//! own name server). It knows the zone's apex, the fixed records of the configuration, and the TXT records of open
//! challenges, and nothing else: it resolves nothing for anybody, and transfers no zone.
//!
//! `zone.rs` holds what is fixed, `answer.rs` makes an answer of a query, `sockets.rs` bounds how much of that goes on.
//!
//! RFC 1034 §4.3.2, RFC 8555 §8.4.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::task::JoinSet;

use self::answer::Authority;
use self::limit::RateLimit;
use crate::answer::AnswerStore;

mod answer;
mod limit;
mod sockets;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
mod zone;

pub use self::answer::Counters;
pub use self::zone::{Zone, ZoneError};

/// Why the responder cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DnsError {
    /// The address cannot be listened on.
    #[error("cannot listen for DNS on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How a responder works.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Where it listens, UDP and TCP; port 0 takes a free one.
    pub address: SocketAddr,
    /// What it answers for.
    pub zones: Vec<Zone>,
    /// How many answers a second may go over UDP to one network: an IPv4 /24, an IPv6 /56.
    pub answers_per_second: u32,
}

/// A running responder; it stops when it is dropped.
pub struct Responder {
    tasks: JoinSet<()>,
    address: SocketAddr,
    counters: Arc<Counters>,
}

impl Responder {
    /// Listens, and answers from then on.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn start(config: DnsConfig, store: Arc<dyn AnswerStore>) -> Result<Self, DnsError> {
        let DnsConfig { address, zones, answers_per_second } = config;
        let bound = sockets::bind(address).await;
        let (udp, tcp) = bound.map_err(|source| DnsError::Bind { address, source })?;
        let address = udp.local_addr().unwrap_or(address);
        let counters = Arc::new(Counters::default());
        let authority = Arc::new(Authority { zones, store, counters: Arc::clone(&counters) });
        let limit = RateLimit::new(answers_per_second);
        let mut tasks = JoinSet::new();
        tasks.spawn(sockets::serve_udp(udp, Arc::clone(&authority), limit));
        tasks.spawn(sockets::serve_tcp(tcp, authority));
        Ok(Self { tasks, address, counters })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it did; shared with it.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Takes no more queries, and stops.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
