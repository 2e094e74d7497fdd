//! The zone of a name decides; what was put elsewhere is taken back, however often that takes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::solver::{Records, Solver as _, SolverError, TxtRecord, Way, ZoneSolver, Zones};
use acme_bridge::{AnswerKind, AnswerStore as _, ChallengeAnswer, ChallengeType, OrderId, Place};
use async_trait::async_trait;
use tokio::sync::watch;

use crate::memory::{Memory, NAME, OWNER, challenge, value};

/// A DNS server that a test can take away.
#[derive(Default)]
struct Server {
    records: Mutex<Vec<(String, String)>>,
    fails: Mutex<u32>,
    calls: Mutex<Vec<String>>,
}

impl Server {
    fn call(&self, words: String) -> Result<(), SolverError> {
        self.calls.lock().unwrap().push(words);
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err(SolverError::Passing("it is away".into()));
        }
        Ok(())
    }

    fn records(&self) -> Vec<(String, String)> {
        self.records.lock().unwrap().clone()
    }
}

#[async_trait]
impl Records for Server {
    fn place(&self) -> Place {
        Place::Rfc2136
    }

    async fn add(&self, record: &TxtRecord) -> Result<(), SolverError> {
        self.call(format!("add {}", record.value))?;
        let record = (record.owner.clone(), record.value.clone());
        let mut records = self.records.lock().unwrap();
        if !records.contains(&record) {
            records.push(record);
        }
        Ok(())
    }

    async fn remove(&self, record: &TxtRecord) -> Result<(), SolverError> {
        self.call(format!("remove {}", record.value))?;
        let gone = (record.owner.clone(), record.value.clone());
        self.records.lock().unwrap().retain(|record| *record != gone);
        Ok(())
    }
}

struct Bench {
    server: Arc<Server>,
    store: Arc<Memory>,
    zones: Arc<Zones>,
}

fn zone(zone: &str, challenges: &[ChallengeType], way: Way) -> ZoneSolver {
    ZoneSolver { zone: zone.into(), challenges: challenges.to_vec(), alias: None, way }
}

impl Bench {
    fn new(change: impl FnOnce(&Arc<Server>) -> Vec<ZoneSolver>) -> Self {
        let (server, store) = (Arc::<Server>::default(), Memory::new());
        let zones = Arc::new(Zones::new(change(&server), store.clone()));
        Self { server, store, zones }
    }

    fn elsewhere() -> Self {
        Self::new(|server| {
            let way = Way::Records(Arc::<Server>::clone(server));
            vec![zone("iot.example.org", &[ChallengeType::Dns01], way)]
        })
    }

    async fn publish(&self, order: &str, token: &str) -> Result<(), SolverError> {
        let challenge = challenge(ChallengeType::Dns01, token);
        self.zones.publish(&OrderId::new(order), NAME, &challenge).await
    }

    async fn end(&self, order: &str) {
        self.zones.clean_up(&OrderId::new(order)).await.unwrap();
        self.zones.sweep().await.unwrap();
    }
}

#[tokio::test]
async fn the_innermost_zone_answers_and_whole_labels_are_compared() {
    let bench = Bench::new(|_| {
        vec![
            zone("example.org", &[ChallengeType::Http01], Way::BuiltIn),
            zone("iot.example.org", &[ChallengeType::Dns01], Way::BuiltIn),
        ]
    });
    for (name, expected) in [
        ("dev-1.iot.example.org", [ChallengeType::Dns01].as_slice()),
        ("IOT.example.org.", &[ChallengeType::Dns01]),
        ("eviliot.example.org", &[ChallengeType::Http01]),
        ("example.com", &[]),
        ("evilexample.org", &[]),
    ] {
        assert_eq!(bench.zones.challenges(name), expected, "{name}");
    }
}

#[tokio::test]
async fn what_no_zone_answers_is_unsupported() {
    let bench = Bench::elsewhere();
    let order = OrderId::new("1");
    for (name, kind) in [
        ("dev-1.example.com", ChallengeType::Dns01),
        (NAME, ChallengeType::Http01),
        (NAME, ChallengeType::DnsAccount01),
    ] {
        let result = bench.zones.publish(&order, name, &challenge(kind, "t")).await;
        assert!(matches!(result, Err(SolverError::Unsupported { .. })), "{name} {kind}");
    }
    assert_eq!(bench.store.len(), 0);
}

#[tokio::test]
async fn a_record_elsewhere_comes_and_goes_and_others_stay() {
    let bench = Bench::elsewhere();
    bench.server.records.lock().unwrap().push((OWNER.into(), "other".into()));
    bench.publish("1", "a").await.unwrap();
    bench.publish("1", "a").await.unwrap();
    bench.publish("2", "b").await.unwrap();
    assert_eq!(bench.server.records().len(), 3);
    assert!(bench.store.values(AnswerKind::Txt, OWNER).await.unwrap().contains(&value("a")));
    bench.end("1").await;
    assert_eq!(
        bench.server.records(),
        [(OWNER.into(), "other".into()), (OWNER.into(), value("b"))]
    );
    bench.end("2").await;
    assert_eq!(bench.server.records(), [(OWNER.to_owned(), "other".to_owned())]);
    assert_eq!(bench.store.len(), 0);
}

#[tokio::test]
async fn a_record_that_another_order_needs_stays_until_both_end() {
    let bench = Bench::elsewhere();
    // A CA that reuses a pending authorization gives two orders the same token.
    bench.publish("1", "a").await.unwrap();
    bench.publish("2", "a").await.unwrap();
    bench.end("1").await;
    assert_eq!(bench.server.records().len(), 1);
    assert_eq!(bench.store.len(), 1);
    bench.end("2").await;
    assert!(bench.server.records().is_empty() && bench.store.len() == 0);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_is_tried_again_and_holds_no_order_up() {
    let bench = Bench::elsewhere();
    bench.publish("1", "a").await.unwrap();
    *bench.server.fails.lock().unwrap() = 3;
    let (stop, stopped) = watch::channel(false);
    let sweeping = tokio::spawn(Arc::clone(&bench.zones).run(stopped));
    bench.zones.clean_up(&OrderId::new("1")).await.unwrap();
    // The clock is virtual: it goes on when everything waits.
    tokio::time::timeout(Duration::from_secs(600), async {
        while bench.store.len() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await
    .unwrap();
    assert!(bench.server.records().is_empty());
    let removals =
        bench.server.calls.lock().unwrap().iter().filter(|c| c.starts_with("remove")).count();
    assert_eq!(removals, 4, "three that failed and one that did not");
    stop.send_replace(true);
    sweeping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_removed_when_the_next_one_starts() {
    let bench = Bench::elsewhere();
    bench.publish("1", "a").await.unwrap();
    bench.store.retire(&OrderId::new("1")).await.unwrap();
    assert_eq!(bench.server.records().len(), 1, "the process ends here");
    let zones = vec![zone(
        "iot.example.org",
        &[ChallengeType::Dns01],
        Way::Records(Arc::<Server>::clone(&bench.server)),
    )];
    let next = Arc::new(Zones::new(zones, bench.store.clone()));
    let (stop, stopped) = watch::channel(false);
    let sweeping = tokio::spawn(next.run(stopped));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(bench.server.records().is_empty() && bench.store.len() == 0);
    stop.send_replace(true);
    sweeping.await.unwrap();
}

#[tokio::test]
async fn a_record_whose_addition_failed_is_taken_back_too() {
    let bench = Bench::elsewhere();
    *bench.server.fails.lock().unwrap() = 1;
    assert!(matches!(bench.publish("1", "a").await, Err(SolverError::Passing(_))));
    // The server may have it all the same: the row says so.
    assert_eq!(bench.store.len(), 1);
    bench.end("1").await;
    assert_eq!(
        bench.server.calls.lock().unwrap().last().unwrap(),
        &format!("remove {}", value("a"))
    );
    assert_eq!(bench.store.len(), 0);
}

#[tokio::test]
async fn a_store_that_fails_lets_nothing_out() {
    let bench = Bench::elsewhere();
    bench.store.set_broken(true);
    assert!(matches!(bench.publish("1", "a").await, Err(SolverError::Store(_))));
    assert!(bench.zones.clean_up(&OrderId::new("1")).await.is_err());
    assert!(bench.zones.sweep().await.is_err());
    assert!(bench.server.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_record_of_an_earlier_configuration_is_told_of_and_forgotten() {
    let bench = Bench::elsewhere();
    let left = ChallengeAnswer {
        order: OrderId::new("1"),
        name: NAME.into(),
        kind: AnswerKind::Txt,
        owner: OWNER.into(),
        value: "v".into(),
        place: Place::Exec,
    };
    bench.store.put(&left).await.unwrap();
    bench.end("1").await;
    assert_eq!(bench.store.len(), 0);
    assert!(bench.server.calls.lock().unwrap().is_empty(), "it is not this server's");
}

#[tokio::test]
async fn an_alias_takes_the_place_of_the_owner_for_dns_01_alone() {
    let bench = Bench::new(|server| {
        let way = Way::Records(Arc::<Server>::clone(server));
        let kinds = [ChallengeType::Dns01, ChallengeType::DnsAccount01];
        vec![ZoneSolver {
            alias: Some("all.acme.example.net".into()),
            ..zone("iot.example.org", &kinds, way)
        }]
    });
    bench.publish("1", "a").await.unwrap();
    let labelled = challenge(ChallengeType::DnsAccount01, "b");
    bench.zones.publish(&OrderId::new("1"), NAME, &labelled).await.unwrap();
    let owners: Vec<String> = bench.server.records().into_iter().map(|(owner, _)| owner).collect();
    assert_eq!(owners[0], "all.acme.example.net");
    assert!(owners[1].ends_with("._acme-challenge.dev-1.iot.example.org"));
    bench.end("1").await;
    assert!(bench.server.records().is_empty());
}

#[tokio::test]
async fn one_order_at_a_time_proves_a_name_by_tls_alpn_01() {
    let bench = Bench::new(|_| vec![zone("iot.example.org", &ChallengeType::ALL, Way::BuiltIn)]);
    let publish = async |order: &str, kind, token: &str| {
        bench.zones.publish(&OrderId::new(order), NAME, &challenge(kind, token)).await
    };
    publish("1", ChallengeType::TlsAlpn01, "a").await.unwrap();
    publish("1", ChallengeType::TlsAlpn01, "a").await.unwrap();
    let second = publish("2", ChallengeType::TlsAlpn01, "b").await;
    assert!(matches!(second, Err(SolverError::Busy(_))));
    publish("2", ChallengeType::Http01, "c").await.unwrap();
    bench.end("1").await;
    publish("2", ChallengeType::TlsAlpn01, "b").await.unwrap();
}

#[tokio::test]
async fn records_that_an_operator_keeps_are_left_to_him() {
    let kinds = [ChallengeType::DnsPersist01];
    let bench = Bench::new(|_| vec![zone("iot.example.org", &kinds, Way::Lasting)]);
    let lasting = acme_bridge::Challenge::DnsPersist01 {
        issuers: vec!["ca.example".into()],
        account: "https://ca.example/account/1".into(),
    };
    bench.zones.publish(&OrderId::new("1"), NAME, &lasting).await.unwrap();
    assert_eq!(bench.store.len(), 0);
    bench.end("1").await;
}
