//! From a query's octets to the answer's: no socket, no clock, nothing but the zones and the store.
//!
//! Inside a zone the answer is a record, NODATA or NXDOMAIN, never SERVFAIL or NOTIMP: resolvers remember those, and a
//! CA takes them for a broken zone. When the store fails there is no answer at all: a resolver asks again after a
//! second or two, and another server of the zone if there is one, and remembers nothing.
//! Outside the zones, for other operations than QUERY, and for transfers, it is REFUSED.
//!
//! RFC 1034 §4.3.2, RFC 2308 §2, RFC 4343 (case), RFC 6891 (EDNS), RFC 8020 (NXDOMAIN), RFC 8482 (ANY).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tracing::warn;

use super::zone::Zone;
use crate::answer::{AnswerKind, AnswerStore};
use crate::store::OrderStoreError;

/// Challenge answers come and go: nobody may keep one.
const ANSWER_TTL: u32 = 0;
/// The largest UDP answer that is offered (DNS Flag Day 2020), in octets.
const UDP_OCTETS: u16 = 1232;
/// What a client without EDNS takes over UDP (RFC 1035 §4.2.1), in octets.
const PLAIN_OCTETS: u16 = 512;
/// The length of a header, in octets.
const HEADER_OCTETS: usize = 12;
/// How long a store that fails is asked again.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// The longest string in a TXT record, in octets.
const STRING_OCTETS: usize = 255;

/// How a query came, which says how long its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// At most what the client says it takes.
    Udp,
    /// 65535 octets.
    Tcp,
}

/// What the responder did since its start.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) queries: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) unanswered: AtomicU64,
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

    /// How many were not answered in full because too many came from one network, or too many at once.
    #[must_use]
    pub fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    /// How many were not answered because the store failed.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }
}

/// The zones, and where the answers to challenges are.
pub(super) struct Authority {
    pub(super) zones: Vec<Zone>,
    pub(super) store: Arc<dyn AnswerStore>,
    pub(super) counters: Arc<Counters>,
}

/// What a query is answered with.
enum Outcome {
    /// Records that there are.
    Records(Vec<Record>),
    /// The name is there, and what is asked for is not.
    NoData(Record),
    /// There is no such name.
    NoName(Record),
    /// Not our business.
    Refused,
    /// Nothing can be said now.
    Silence,
}

impl Authority {
    /// Answers one message; none if it deserves none.
    pub(super) async fn reply(&self, octets: &[u8], transport: Transport) -> Option<Vec<u8>> {
        self.counters.queries.fetch_add(1, Ordering::Relaxed);
        // What is no query is not answered: two servers could keep each other busy for ever.
        if octets.len() < HEADER_OCTETS || octets.get(2).is_some_and(|flags| flags & 0x80 != 0) {
            return None;
        }
        let Ok(request) = Message::from_vec(octets) else {
            return unreadable(octets);
        };
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.checking_disabled = request.metadata.checking_disabled;
        response.queries.clone_from(&request.queries);
        if let Some(asked) = &request.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_OCTETS);
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            response.set_edns(edns);
        }
        self.fill(&request, &mut response).await?;
        encode(&response, limit(&request, transport))
    }

    /// Puts what is asked for into the response; none if nothing can be said now.
    async fn fill(&self, request: &Message, response: &mut Message) -> Option<()> {
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            // RFC 6891 §6.1.3.
            response.metadata.response_code = ResponseCode::BADVERS;
            return Some(());
        }
        if request.metadata.op_code != OpCode::Query {
            response.metadata.response_code = ResponseCode::Refused;
            return Some(());
        }
        let [query] = request.queries.as_slice() else {
            response.metadata.response_code = ResponseCode::FormErr;
            return Some(());
        };
        let mut code = ResponseCode::NoError;
        match self.look_up(query).await {
            Outcome::Records(records) => response.answers = records,
            Outcome::NoData(soa) => response.authorities = vec![soa],
            Outcome::NoName(soa) => {
                response.authorities = vec![soa];
                code = ResponseCode::NXDomain;
            }
            Outcome::Refused => code = ResponseCode::Refused,
            Outcome::Silence => return None,
        }
        response.metadata.response_code = code;
        response.metadata.authoritative = code != ResponseCode::Refused;
        Some(())
    }

    async fn look_up(&self, query: &Query) -> Outcome {
        let (name, kind) = (query.name(), query.query_type());
        let is_ours = matches!(query.query_class(), DNSClass::IN | DNSClass::ANY)
            && !matches!(kind, RecordType::AXFR | RecordType::IXFR);
        let zones = self.zones.iter().filter(|zone| zone.apex().zone_of(name));
        let Some(zone) = zones.max_by_key(|zone| zone.apex().num_labels()).filter(|_| is_ours)
        else {
            return Outcome::Refused;
        };
        let node = zone.node(name).unwrap_or_default();
        let mut found: Vec<Record> =
            select(node, kind).into_iter().map(|record| at(name, record)).collect();
        // Fixed records, and what stands beside them, are answered whatever the store does.
        let is_fixed = !node.is_empty() || zone.is_above_record(name);
        let is_live = matches!(kind, RecordType::TXT | RecordType::ANY) || !is_fixed;
        let live = match is_live {
            true => self.live(name).await,
            false => Some(Live::Nothing),
        };
        let is_there = match live {
            None => return Outcome::Silence,
            Some(Live::Nothing) => is_fixed,
            Some(Live::Below) => true,
            Some(Live::Values(values)) => {
                if matches!(kind, RecordType::TXT | RecordType::ANY) {
                    self.counters.answers.fetch_add(1, Ordering::Relaxed);
                    found.retain(|record| record.record_type() == RecordType::TXT);
                    found.extend(values.iter().map(|value| txt(name, value)));
                }
                true
            }
        };
        match (found.is_empty(), is_there) {
            (false, _) => Outcome::Records(found),
            (true, true) => Outcome::NoData(zone.denial().clone()),
            (true, false) => Outcome::NoName(zone.denial().clone()),
        }
    }

    /// What challenge answers say of a name, from a store that may need a moment; none if it keeps failing.
    async fn live(&self, name: &Name) -> Option<Live> {
        let owner = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let asking = async {
            loop {
                match self.ask_store(&owner).await {
                    Ok(found) => return found,
                    Err(error) => warn!(%error, "cannot look up challenge answers"),
                }
                tokio::time::sleep(STORE_PAUSE).await;
            }
        };
        let found = tokio::time::timeout(STORE_PATIENCE, asking).await.ok();
        if found.is_none() {
            self.counters.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    async fn ask_store(&self, owner: &str) -> Result<Live, OrderStoreError> {
        let values = self.store.values(AnswerKind::Txt, owner).await?;
        if !values.is_empty() {
            return Ok(Live::Values(values));
        }
        Ok(if self.store.is_above_answer(owner).await? { Live::Below } else { Live::Nothing })
    }
}

/// What challenge answers say of a name.
enum Live {
    /// There are some at it.
    Values(Vec<String>),
    /// There are some below it.
    Below,
    /// There are none.
    Nothing,
}

/// The records of a node that a query of this type gets; an alias is the answer to every type.
fn select(node: &[Record], kind: RecordType) -> Vec<&Record> {
    let of = |wanted: RecordType| -> Vec<&Record> {
        node.iter().filter(|record| record.record_type() == wanted).collect()
    };
    if kind == RecordType::ANY {
        // RFC 8482 §4.1: one set of records is enough.
        return node.first().map(|record| of(record.record_type())).unwrap_or_default();
    }
    match of(kind) {
        none if none.is_empty() => of(RecordType::CNAME),
        found => found,
    }
}

/// The record at the name that was asked for, in the case of the query.
fn at(name: &Name, record: &Record) -> Record {
    let mut record = record.clone();
    record.name = name.clone();
    record
}

fn txt(name: &Name, value: &str) -> Record {
    let data = TXT::from_bytes(value.as_bytes().chunks(STRING_OCTETS).collect());
    Record::from_rdata(name.clone(), ANSWER_TTL, RData::TXT(data))
}

/// The longest answer, in octets.
fn limit(request: &Message, transport: Transport) -> usize {
    usize::from(match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_OCTETS,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_OCTETS, UDP_OCTETS),
    })
}

fn encode(response: &Message, limit: usize) -> Option<Vec<u8>> {
    let octets = response.to_vec().ok()?;
    if octets.len() <= limit {
        return Some(octets);
    }
    // RFC 2181 §9: whoever sees the bit throws the rest away and asks over TCP.
    response.truncate().to_vec().ok().filter(|octets| octets.len() <= limit)
}

/// FORMERR for what has a header and nothing else that can be read.
fn unreadable(octets: &[u8]) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*octets.first()?, *octets.get(1)?]);
    let operation = OpCode::from_u8((octets.get(2)? >> 3) & 0x0f);
    Message::error_msg(id, operation, ResponseCode::FormErr).to_vec().ok()
}

/// The answer without records that makes a client ask over TCP; none for what is no query.
pub(super) fn truncated(octets: &[u8]) -> Option<Vec<u8>> {
    let request = Message::from_vec(octets).ok()?;
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.truncation = true;
    response.queries = request.queries;
    response.to_vec().ok().filter(|answer| answer.len() <= octets.len())
}
