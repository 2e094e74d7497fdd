//! An authoritative DNS responder for the zones of a bridge: it answers the CA's dns-01 queries from the order store.
//!
//! The zone is delegated to it, so no credential for anybody's DNS is needed (draft-ietf-acme-integrations §3, the RA's
//! own name server). It knows the apex (SOA, NS) and the TXT records of open challenges, and nothing else.
//!
//! RFC 1034 §4.3.2, RFC 2308, RFC 8555 §8.4.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tracing::{debug, warn};

use crate::answer::{AnswerKind, AnswerStore};

/// Challenge answers come and go: nobody may keep one.
const TTL: u32 = 0;
/// How long the apex and a denial may be kept, in seconds.
const APEX_TTL: u32 = 60;
/// How long a TCP connection may be idle.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_BUFFER: usize = 64;
/// The largest UDP answer that is offered (DNS Flag Day 2020), in octets.
const UDP_OCTETS: u16 = 1232;

/// What the responder did since its start.
#[derive(Debug, Default)]
pub struct Counters {
    queries: AtomicU64,
    answers: AtomicU64,
}

impl Counters {
    /// How many queries came.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// How many were answered with the value of a challenge.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

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
    /// A zone is no DNS name.
    #[error("the zone {zone:?} is not a DNS name")]
    Zone {
        /// The zone.
        zone: String,
    },
}

/// A running responder; it stops when it is dropped.
pub struct Responder {
    server: Server<Handler>,
    address: SocketAddr,
    counters: Arc<Counters>,
}

impl Responder {
    /// Listens on `address`, UDP and TCP, and answers for `zones`. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn start(
        address: SocketAddr,
        zones: &[String],
        store: Arc<dyn AnswerStore>,
    ) -> Result<Self, DnsError> {
        let zones = zones.iter().map(|zone| Zone::new(zone)).collect::<Result<_, _>>()?;
        let (udp, tcp) =
            bind(address).await.map_err(|source| DnsError::Bind { address, source })?;
        let address = udp.local_addr().unwrap_or(address);
        let counters = Arc::new(Counters::default());
        let handler = Handler { zones, store, counters: Arc::clone(&counters) };
        let mut server = Server::new(handler);
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_BUFFER);
        Ok(Self { server, address, counters })
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

    /// Lets queries in hand end, and stops.
    pub async fn stop(mut self) {
        if let Err(error) = self.server.shutdown_gracefully().await {
            debug!(%error, "the DNS responder did not stop cleanly");
        }
    }
}

/// Both sockets on one port; a free one is looked for a few times, since UDP and TCP are taken apart.
async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { 10 } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await?;
        tries -= 1;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// A zone with the records of its apex.
struct Zone {
    apex: Name,
    soa: Record,
    ns: Record,
}

impl Zone {
    fn new(zone: &str) -> Result<Self, DnsError> {
        let name = |text: String| {
            Name::from_ascii(text).map_err(|_| DnsError::Zone { zone: zone.to_owned() })
        };
        let apex = name(format!("{}.", zone.trim_end_matches('.').to_ascii_lowercase()))?;
        let server = name(format!("ns.{apex}"))?;
        let person = name(format!("hostmaster.{apex}"))?;
        let soa = SOA::new(server.clone(), person, 1, 3600, 600, 86_400, APEX_TTL);
        Ok(Self {
            soa: Record::from_rdata(apex.clone(), APEX_TTL, RData::SOA(soa)),
            ns: Record::from_rdata(apex.clone(), APEX_TTL, RData::NS(NS(server))),
            apex,
        })
    }
}

struct Handler {
    zones: Vec<Zone>,
    store: Arc<dyn AnswerStore>,
    counters: Arc<Counters>,
}

/// What a query is answered with.
struct Answer {
    code: ResponseCode,
    authority: Authority,
    answers: Vec<Record>,
    authorities: Vec<Record>,
}

enum Authority {
    Ours,
    Foreign,
}

impl Answer {
    fn refusal(code: ResponseCode) -> Self {
        Self { code, authority: Authority::Foreign, answers: Vec::new(), authorities: Vec::new() }
    }

    fn records(answers: Vec<Record>) -> Self {
        let code = ResponseCode::NoError;
        Self { code, authority: Authority::Ours, answers, authorities: Vec::new() }
    }

    /// RFC 2308: the SOA says how long the denial may be kept.
    fn denial(code: ResponseCode, zone: &Zone) -> Self {
        let authorities = vec![zone.soa.clone()];
        Self { code, authority: Authority::Ours, answers: Vec::new(), authorities }
    }
}

impl Handler {
    async fn answer(&self, name: &Name, kind: RecordType, class: DNSClass) -> Answer {
        let zone = self.zones.iter().find(|zone| zone.apex.zone_of(name));
        let Some(zone) = zone.filter(|_| class == DNSClass::IN) else {
            return Answer::refusal(ResponseCode::Refused);
        };
        if *name == zone.apex {
            return match kind {
                RecordType::SOA => Answer::records(vec![zone.soa.clone()]),
                RecordType::NS => Answer::records(vec![zone.ns.clone()]),
                _ => Answer::denial(ResponseCode::NoError, zone),
            };
        }
        let owner = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let values = match self.store.values(AnswerKind::Txt, &owner).await {
            Ok(values) => values,
            Err(error) => {
                warn!(%error, "cannot look up challenge answers");
                return Answer::refusal(ResponseCode::ServFail);
            }
        };
        if values.is_empty() {
            // A device's name may come to have something below it at any time, so it is never denied to exist.
            return Answer::denial(ResponseCode::NoError, zone);
        }
        if kind != RecordType::TXT {
            return Answer::denial(ResponseCode::NoError, zone);
        }
        self.counters.answers.fetch_add(1, Ordering::Relaxed);
        let record =
            |value| Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![value])));
        Answer::records(values.into_iter().map(record).collect())
    }

    async fn reply(&self, request: &Request) -> Answer {
        if request.metadata.message_type != MessageType::Query
            || request.metadata.op_code != OpCode::Query
        {
            return Answer::refusal(ResponseCode::NotImp);
        }
        match request.request_info() {
            Err(_) => Answer::refusal(ResponseCode::FormErr),
            Ok(info) => {
                let query = info.query;
                self.answer(query.name(), query.query_type(), query.query_class()).await
            }
        }
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        self.counters.queries.fetch_add(1, Ordering::Relaxed);
        let answer = self.reply(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code;
        metadata.authoritative = matches!(answer.authority, Authority::Ours);
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_OCTETS);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let message = builder.build(metadata, &answer.answers, &answer.authorities, [], []);
        match response.send_response(message).await {
            Ok(sent) => sent,
            Err(error) => {
                debug!(%error, "cannot send a DNS answer");
                Header { metadata, counts: HeaderCounts::default() }.into()
            }
        }
    }
}
