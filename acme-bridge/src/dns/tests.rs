//! What the responder says of each message, without sockets; and that no message panics.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;

use super::answer::{Authority, Counters, Transport};
use super::zone::Zone;
use crate::answer::{AnswerKind, AnswerStore, ChallengeAnswer};
use crate::order::OrderId;
use crate::store::OrderStoreError;

/// A store that knows some values, and fails below `broken`.
struct Answers(BTreeMap<String, Vec<String>>);

fn broken<T>() -> Result<T, OrderStoreError> {
    Err(OrderStoreError("the disk is gone".into()))
}

#[async_trait]
impl AnswerStore for Answers {
    async fn put(&self, _: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        broken()
    }

    async fn retire(&self, _: &OrderId) -> Result<(), OrderStoreError> {
        broken()
    }

    async fn retired(&self, _: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        broken()
    }

    async fn is_in_force(&self, _: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        broken()
    }

    async fn in_force_at(&self, _: &str) -> Result<Vec<String>, OrderStoreError> {
        broken()
    }

    async fn remove(&self, _: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        broken()
    }

    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        assert_eq!(kind, AnswerKind::Txt);
        if owner.ends_with("broken.iot.example.org") {
            return broken();
        }
        Ok(self.0.get(owner).cloned().unwrap_or_default())
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError> {
        let below = format!(".{name}");
        Ok(self.0.keys().any(|owner| owner.ends_with(&below)))
    }
}

fn authority(records: &[&str]) -> Authority {
    let records: Vec<String> = records.iter().map(|text| (*text).to_owned()).collect();
    let values = |count: usize| (0..count).map(|number| format!("{number:043}")).collect();
    let answers = BTreeMap::from([
        ("_acme-challenge.dev-1.iot.example.org".to_owned(), vec!["one".into(), "two".into()]),
        ("_acme-challenge.busy.iot.example.org".to_owned(), values(40)),
        ("_x._acme-challenge.dev-2.iot.example.org".to_owned(), vec!["three".into()]),
        ("_validation-persist.dev-3.iot.example.org".to_owned(), vec!["y".repeat(300)]),
    ]);
    Authority {
        zones: vec![
            Zone::new("iot.example.org", &records).unwrap(),
            Zone::new("inner.iot.example.org", &[]).unwrap(),
        ],
        store: Arc::new(Answers(answers)),
        counters: Arc::new(Counters::default()),
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

async fn send(authority: &Authority, message: &Message, transport: Transport) -> Option<Message> {
    let reply = authority.reply(&message.to_vec().unwrap(), transport).await?;
    Some(Message::from_vec(&reply).unwrap())
}

async fn ask(authority: &Authority, name: &str, kind: RecordType) -> Message {
    send(authority, &question(name, kind), Transport::Udp).await.unwrap()
}

fn texts(message: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => Some(text.to_string()),
        _ => None,
    };
    message.answers.iter().filter_map(|record| text(&record.data)).collect()
}

#[track_caller]
fn assert_denied(message: &Message, code: ResponseCode) {
    assert_eq!(message.metadata.response_code, code);
    assert!(message.metadata.authoritative && message.answers.is_empty());
    let RData::SOA(soa) = &message.authorities[0].data else { panic!("no SOA") };
    assert!(soa.minimum <= 5 && message.authorities[0].ttl <= 5);
}

#[tokio::test]
async fn answers_a_challenge_in_the_case_of_the_question() {
    let authority = authority(&[]);
    let name = "_ACME-challenge.Dev-1.IOT.example.org.";
    let message = ask(&authority, name, RecordType::TXT).await;
    assert_eq!(texts(&message), ["one", "two"]);
    assert_eq!((message.metadata.id, message.metadata.authoritative), (7, true));
    assert!(message.metadata.recursion_desired && !message.metadata.recursion_available);
    assert_eq!(message.queries[0].name().to_ascii(), name);
    assert_eq!(message.answers[0].name.to_ascii(), name);
    assert_eq!(message.answers[0].ttl, 0);
    assert_eq!(authority.counters.answers(), 1);
    let labelled = ask(&authority, "_x._acme-challenge.dev-2.iot.example.org.", RecordType::TXT);
    assert_eq!(texts(&labelled.await), ["three"]);
}

#[tokio::test]
async fn a_value_longer_than_a_string_is_split() {
    let name = "_validation-persist.dev-3.iot.example.org.";
    let message = ask(&authority(&[]), name, RecordType::TXT).await;
    let RData::TXT(text) = &message.answers[0].data else { panic!("no TXT") };
    let lengths: Vec<usize> = text.txt_data.iter().map(|string| string.len()).collect();
    assert_eq!(lengths, [255, 45]);
}

#[tokio::test]
async fn what_stands_above_an_answer_is_there_and_empty() {
    let authority = authority(&[]);
    for name in [
        "iot.example.org.",
        "dev-1.iot.example.org.",
        "_acme-challenge.dev-1.iot.example.org.",
        "dev-2.iot.example.org.",
        "_acme-challenge.dev-2.iot.example.org.",
    ] {
        for kind in [
            RecordType::A,
            RecordType::AAAA,
            RecordType::CAA,
            RecordType::DS,
            RecordType::DNSKEY,
            RecordType::HTTPS,
            RecordType::Unknown(65_280),
        ] {
            assert_denied(&ask(&authority, name, kind).await, ResponseCode::NoError);
        }
    }
}

#[tokio::test]
async fn what_has_nothing_below_it_is_not_there() {
    let authority = authority(&[]);
    for name in [
        "dev-9.iot.example.org.",
        "_acme-challenge.dev-9.iot.example.org.",
        "x._acme-challenge.dev-1.iot.example.org.",
        "v-1.iot.example.org.",
        "*.iot.example.org.",
    ] {
        for kind in [RecordType::TXT, RecordType::CAA, RecordType::ANY] {
            assert_denied(&ask(&authority, name, kind).await, ResponseCode::NXDomain);
        }
    }
}

#[tokio::test]
async fn the_apex_has_a_soa_and_a_name_server() {
    let authority = authority(&["@ 300 IN NS ns1", "ns1 300 IN A 192.0.2.1"]);
    for kind in [RecordType::SOA, RecordType::NS] {
        let message = ask(&authority, "iot.example.org.", kind).await;
        assert_eq!(message.answers.len(), 1, "{kind}");
    }
    let message = ask(&authority, "NS1.iot.example.org.", RecordType::A).await;
    assert_eq!(message.answers.len(), 1);
    let inner = ask(&authority, "inner.iot.example.org.", RecordType::SOA).await;
    assert_eq!(inner.answers[0].name.to_ascii(), "inner.iot.example.org.");
}

#[tokio::test]
async fn any_gets_one_set_of_records() {
    let authority = authority(&["two 1 IN A 192.0.2.1", "two 1 IN AAAA 2001:db8::1"]);
    let message = ask(&authority, "two.iot.example.org.", RecordType::ANY).await;
    assert_eq!(message.answers.len(), 1);
    let name = "_acme-challenge.dev-1.iot.example.org.";
    assert_eq!(texts(&ask(&authority, name, RecordType::ANY).await), ["one", "two"]);
}

#[tokio::test]
async fn an_alias_answers_every_type() {
    let authority = authority(&["www 60 IN CNAME www.example.com."]);
    for kind in [RecordType::A, RecordType::TXT, RecordType::CNAME] {
        let message = ask(&authority, "www.iot.example.org.", kind).await;
        assert_eq!(message.answers[0].record_type(), RecordType::CNAME, "{kind}");
    }
}

#[tokio::test]
async fn a_wildcard_address_neither_hides_nor_makes_a_challenge() {
    let authority = authority(&["* 60 IN A 192.0.2.1"]);
    let address = async |name| ask(&authority, name, RecordType::A).await.answers.len();
    assert_eq!(address("dev-1.iot.example.org.").await, 1, "while its name is being proven");
    assert_eq!(address("dev-9.iot.example.org.").await, 1);
    let name = "_acme-challenge.dev-1.iot.example.org.";
    assert_eq!(texts(&ask(&authority, name, RecordType::TXT).await).len(), 2);
    let name = "_acme-challenge.dev-9.iot.example.org.";
    assert_denied(&ask(&authority, name, RecordType::TXT).await, ResponseCode::NoError);
}

#[tokio::test]
async fn refuses_what_is_not_its_business() {
    let authority = authority(&[]);
    for name in ["example.org.", "eviliot.example.org.", "www.example.com.", "."] {
        let message = ask(&authority, name, RecordType::TXT).await;
        assert_eq!(message.metadata.response_code, ResponseCode::Refused, "{name}");
        assert!(!message.metadata.authoritative && message.authorities.is_empty());
    }
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        let message = question("iot.example.org.", kind);
        for transport in [Transport::Udp, Transport::Tcp] {
            let message = send(&authority, &message, transport).await.unwrap();
            assert_eq!(message.metadata.response_code, ResponseCode::Refused, "{kind}");
        }
    }
    for operation in [OpCode::Update, OpCode::Notify, OpCode::Status, OpCode::Unknown(9)] {
        let mut message = question("iot.example.org.", RecordType::SOA);
        message.metadata.op_code = operation;
        let message = send(&authority, &message, Transport::Udp).await.unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::Refused, "{operation:?}");
    }
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let message = send(&authority, &chaos, Transport::Udp).await.unwrap();
    assert_eq!(message.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn says_nothing_to_what_is_no_query() {
    let authority = authority(&[]);
    let mut response = question("iot.example.org.", RecordType::SOA);
    response.metadata.message_type = MessageType::Response;
    assert!(send(&authority, &response, Transport::Udp).await.is_none());
    assert!(authority.reply(&[0; 11], Transport::Udp).await.is_none());
}

#[tokio::test]
async fn says_formerr_to_what_cannot_be_read() {
    let authority = authority(&[]);
    let octets = question("iot.example.org.", RecordType::SOA).to_vec().unwrap();
    let cut = &octets[..octets.len() - 3];
    let reply = authority.reply(cut, Transport::Udp).await.unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, ResponseCode::FormErr));
    let mut none = question("iot.example.org.", RecordType::SOA);
    none.queries.clear();
    let mut two = question("iot.example.org.", RecordType::SOA);
    two.queries.push(two.queries[0].clone());
    for message in [none, two] {
        let reply = send(&authority, &message, Transport::Udp).await.unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::FormErr);
    }
}

#[tokio::test]
async fn edns_is_answered_in_kind() {
    let authority = authority(&[]);
    let plain = ask(&authority, "iot.example.org.", RecordType::SOA).await;
    assert!(plain.edns.is_none());
    let mut message = question("iot.example.org.", RecordType::SOA);
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    message.set_edns(edns.clone());
    let reply = send(&authority, &message, Transport::Udp).await.unwrap().edns.unwrap();
    assert!(reply.flags().dnssec_ok);
    assert_eq!((reply.version(), reply.max_payload()), (0, 1232));
    edns.set_version(1);
    message.set_edns(edns);
    let reply = send(&authority, &message, Transport::Udp).await.unwrap();
    // BADVERS; the library reads it as BADSIG, which has the same number.
    assert_eq!(u16::from(reply.metadata.response_code), 16);
}

#[tokio::test]
async fn what_does_not_fit_is_truncated_and_comes_whole_over_tcp() {
    let authority = authority(&[]);
    let mut message = question("_acme-challenge.busy.iot.example.org.", RecordType::TXT);
    for size in [None, Some(100), Some(900), Some(4096)] {
        if let Some(size) = size {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            message.set_edns(edns);
        }
        let octets = authority.reply(&message.to_vec().unwrap(), Transport::Udp).await.unwrap();
        let bound = usize::from(size.unwrap_or(512).clamp(512, 1232));
        assert!(octets.len() <= bound, "{size:?}: {}", octets.len());
        let reply = Message::from_vec(&octets).unwrap();
        assert!(reply.metadata.truncation && reply.answers.is_empty(), "{size:?}");
        assert_eq!(reply.edns.is_some(), size.is_some());
    }
    let whole = send(&authority, &message, Transport::Tcp).await.unwrap();
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn says_nothing_while_the_store_fails_except_what_is_fixed() {
    let authority = authority(&["www 60 IN A 192.0.2.1"]);
    for name in ["_acme-challenge.broken.iot.example.org.", "broken.iot.example.org."] {
        let message = question(name, RecordType::TXT);
        assert!(send(&authority, &message, Transport::Udp).await.is_none(), "{name}");
    }
    assert_eq!(authority.counters.unanswered.load(Ordering::Relaxed), 2);
    assert_eq!(ask(&authority, "www.iot.example.org.", RecordType::A).await.answers.len(), 1);
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| authority(&["* 60 IN A 192.0.2.1"]));

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let authority = &*AUTHORITY;
        runtime().block_on(async {
            for transport in [Transport::Udp, Transport::Tcp] {
                let _ = authority.reply(&octets, transport).await;
            }
        });
    }

    #[test]
    fn no_changed_query_panics_or_gets_a_long_answer(
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        name in "([a-z0-9_]{1,12}[.]){0,4}",
    ) {
        let name = format!("{name}iot.example.org.");
        let mut message = question(&name, RecordType::TXT);
        message.set_edns(Edns::new());
        let mut octets = message.to_vec().unwrap();
        let length = octets.len();
        for (place, value) in changes {
            octets[usize::from(place) % length] = value;
        }
        let reply = runtime().block_on(AUTHORITY.reply(&octets, Transport::Udp));
        if let Some(reply) = reply {
            prop_assert!(reply.len() <= 1232);
            let code = Message::from_vec(&reply).unwrap().metadata.response_code;
            prop_assert!(!matches!(code, ResponseCode::ServFail | ResponseCode::NotImp));
        }
    }
}
