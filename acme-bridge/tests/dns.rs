//! The DNS responder over real sockets: UDP and TCP on one port, and how much of either it takes.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::dns::{DnsConfig, Responder, Zone};
use acme_bridge::{AnswerKind, AnswerStore, ChallengeAnswer, OrderId, OrderStoreError};
use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

const NAME: &str = "_acme-challenge.dev-1.iot.example.org.";

/// A store that knows two values at one name.
struct Answers;

fn unused<T>() -> Result<T, OrderStoreError> {
    Err(OrderStoreError("the responder only reads answers".into()))
}

#[async_trait]
impl AnswerStore for Answers {
    async fn put(&self, _: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn retire(&self, _: &OrderId) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn retired(&self, _: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        unused()
    }

    async fn is_in_force(&self, _: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        unused()
    }

    async fn in_force_at(&self, _: &str) -> Result<Vec<String>, OrderStoreError> {
        unused()
    }

    async fn remove(&self, _: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        unused()
    }

    async fn values(&self, _: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        match owner {
            "_acme-challenge.dev-1.iot.example.org" => Ok(vec!["one".into(), "two".into()]),
            _ => Ok(Vec::new()),
        }
    }

    async fn is_above_answer(&self, _: &str) -> Result<bool, OrderStoreError> {
        Ok(false)
    }
}

async fn responder(answers_per_second: u32) -> Responder {
    let config = DnsConfig {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        zones: vec![Zone::new("iot.example.org", &[]).unwrap()],
        answers_per_second,
    };
    Responder::start(config, Arc::new(Answers)).await.unwrap()
}

fn question() -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(NAME).unwrap(), RecordType::TXT));
    message.to_vec().unwrap()
}

fn texts(octets: &[u8]) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => Some(text.to_string()),
        _ => None,
    };
    let message = Message::from_vec(octets).unwrap();
    message.answers.iter().filter_map(|record| text(&record.data)).collect()
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut octets = vec![0; 2048];
    let read = socket.recv(&mut octets);
    let length = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    octets.truncate(length);
    octets
}

async fn over_tcp(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let octets = question();
    stream.write_u16(u16::try_from(octets.len()).unwrap()).await?;
    stream.write_all(&octets).await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await?;
    Ok(octets)
}

#[tokio::test]
async fn answers_over_udp_and_over_one_tcp_connection_again_and_again() {
    let responder = responder(1000).await;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    socket.send_to(&question(), responder.address()).await.unwrap();
    assert_eq!(texts(&receive(&socket).await), ["one", "two"]);
    let mut stream = TcpStream::connect(responder.address()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(texts(&over_tcp(&mut stream).await.unwrap()), ["one", "two"]);
    }
    assert_eq!(responder.counters().queries(), 4);
    assert_eq!(responder.counters().answers(), 4);
    responder.stop().await;
}

#[tokio::test]
async fn a_flood_over_udp_is_cut_and_tcp_still_answers() {
    let responder = responder(5).await;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    for _ in 0..30 {
        socket.send_to(&question(), responder.address()).await.unwrap();
    }
    let mut whole = 0;
    loop {
        let message = Message::from_vec(&receive(&socket).await).unwrap();
        if message.metadata.truncation {
            assert!(message.answers.is_empty());
            assert_eq!(message.metadata.message_type, MessageType::Response);
            break;
        }
        whole += 1;
    }
    assert!(whole >= 5, "{whole}");
    let mut stream = TcpStream::connect(responder.address()).await.unwrap();
    assert_eq!(texts(&over_tcp(&mut stream).await.unwrap()), ["one", "two"]);
    assert!(responder.counters().limited() > 0);
    responder.stop().await;
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_no_more() {
    let responder = responder(1000).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(responder.address()).await.unwrap();
        over_tcp(&mut stream).await.unwrap();
        open.push(stream);
    }
    let mut one_more = TcpStream::connect(responder.address()).await.unwrap();
    assert!(over_tcp(&mut one_more).await.is_err());
    drop(open);
    responder.stop().await;
}

#[tokio::test]
async fn a_query_that_is_too_long_ends_its_connection() {
    let responder = responder(1000).await;
    let mut stream = TcpStream::connect(responder.address()).await.unwrap();
    stream.write_u16(60_000).await.unwrap();
    let mut octets = Vec::new();
    assert!(!matches!(stream.read_to_end(&mut octets).await, Ok(length) if length > 0));
    responder.stop().await;
}
