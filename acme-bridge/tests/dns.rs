//! The DNS responder over real sockets: what it answers for, and what it refuses.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::dns::Responder;
use acme_bridge::{
    AccountRecord, ChallengeAnswer, IssuerName, OrderId, OrderRecord, OrderStore, OrderStoreError,
    Revocation, RevocationOutcome, Spending, Step, Which,
};
use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// A store that knows two values at one name.
struct Answers;

fn unused<T>() -> Result<T, OrderStoreError> {
    Err(OrderStoreError("the responder only reads answers".into()))
}

#[async_trait]
impl OrderStore for Answers {
    async fn insert(&self, _: &OrderRecord) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn load(&self, _: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError> {
        unused()
    }

    async fn claim(
        &self,
        _: &IssuerName,
        _: &str,
        _: i64,
        _: i64,
        _: u32,
        _: Which,
    ) -> Result<Vec<OrderRecord>, OrderStoreError> {
        unused()
    }

    async fn advance(
        &self,
        _: &OrderRecord,
        _: &str,
        _: &Step,
        _: i64,
    ) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn release(&self, _: &IssuerName, _: &str) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn tally(&self, _: &IssuerName) -> Result<Vec<(String, u64)>, OrderStoreError> {
        unused()
    }

    async fn buckets(&self, _: &[String]) -> Result<Vec<Option<i64>>, OrderStoreError> {
        unused()
    }

    async fn spend(&self, _: &[Spending]) -> Result<bool, OrderStoreError> {
        unused()
    }

    async fn revocations(
        &self,
        _: &IssuerName,
        _: i64,
        _: u32,
    ) -> Result<Vec<Revocation>, OrderStoreError> {
        unused()
    }

    async fn revoked(
        &self,
        _: &Revocation,
        _: &RevocationOutcome,
        _: i64,
    ) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn account(&self, _: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError> {
        unused()
    }

    async fn save_account(&self, _: &IssuerName, _: &AccountRecord) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn put_answer(&self, _: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn remove_answers(&self, _: &OrderId) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn answers(&self, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        match owner {
            "_acme-challenge.dev-1.iot.example.org" => Ok(vec!["one".into(), "two".into()]),
            "_acme-challenge.broken.iot.example.org" => unused(),
            _ => Ok(Vec::new()),
        }
    }
}

async fn responder() -> Responder {
    let zones = ["iot.example.org".to_owned()];
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Responder::start(loopback, &zones, Arc::new(Answers)).await.unwrap()
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

async fn ask(address: SocketAddr, name: &str, kind: RecordType) -> Message {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    socket.send_to(&question(name, kind), address).await.unwrap();
    let mut octets = [0; 2048];
    let read = socket.recv(&mut octets);
    let length = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    Message::from_vec(&octets[..length]).unwrap()
}

fn texts(message: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => Some(text.to_string()),
        _ => None,
    };
    message.answers.iter().filter_map(|record| text(&record.data)).collect()
}

#[tokio::test]
async fn answers_challenges_over_udp_and_tcp_in_any_case() {
    let responder = responder().await;
    let name = "_ACME-challenge.Dev-1.IOT.example.org.";
    let message = ask(responder.address(), name, RecordType::TXT).await;
    assert_eq!(texts(&message), ["one", "two"]);
    assert!(message.metadata.authoritative);
    assert_eq!(message.answers[0].ttl, 0);

    let mut stream = TcpStream::connect(responder.address()).await.unwrap();
    let octets = question(name, RecordType::TXT);
    stream.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
    stream.write_all(&octets).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await.unwrap();
    assert_eq!(texts(&Message::from_vec(&octets).unwrap()), ["one", "two"]);

    assert_eq!(responder.counters().queries(), 2);
    assert_eq!(responder.counters().answers(), 2);
    responder.stop().await;
}

#[tokio::test]
async fn knows_its_apex_and_denies_what_is_not_there_with_the_soa() {
    let responder = responder().await;
    let apex = "iot.example.org.";
    for kind in [RecordType::SOA, RecordType::NS] {
        let message = ask(responder.address(), apex, kind).await;
        assert_eq!(message.answers.len(), 1, "{kind}");
    }
    for (name, kind) in [
        (apex, RecordType::A),
        ("_acme-challenge.dev-2.iot.example.org.", RecordType::TXT),
        ("_acme-challenge.dev-1.iot.example.org.", RecordType::CAA),
        ("dev-1.iot.example.org.", RecordType::CAA),
    ] {
        let message = ask(responder.address(), name, kind).await;
        assert_eq!(message.metadata.response_code, ResponseCode::NoError, "{name}");
        assert!(message.answers.is_empty());
        assert_eq!(message.authorities[0].record_type(), RecordType::SOA);
    }
    assert_eq!(responder.counters().answers(), 0);
    responder.stop().await;
}

#[tokio::test]
async fn refuses_other_zones_and_says_when_it_cannot_look() {
    let responder = responder().await;
    for name in ["example.org.", "eviliot.example.org.", "www.example.com."] {
        let message = ask(responder.address(), name, RecordType::TXT).await;
        assert_eq!(message.metadata.response_code, ResponseCode::Refused, "{name}");
        assert!(!message.metadata.authoritative);
    }
    let broken = "_acme-challenge.broken.iot.example.org.";
    let message = ask(responder.address(), broken, RecordType::TXT).await;
    assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
    responder.stop().await;
}
