//! The bridge against a scripted CA and a store in memory: every state resumes, nothing is sent twice, every end is written.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::account::Connect;
use acme_bridge::bridge::{Bridge, BridgeConfig, Progress};
use acme_bridge::challenge::KeyAuthorization;
use acme_bridge::check::{self, ChainRefusal};
use acme_bridge::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress,
    OfferedChallenge, OrderStatus, OrderView,
};
use acme_bridge::solver::BuiltIn;
use acme_bridge::{
    AccountRecord, AnswerKind, AnswerStore, Challenge, ChallengeAnswer, ChallengeType, Clock, Csr,
    IssuerName, Lease, OrderId, OrderRecord, OrderState, OrderStore, OrderStoreError, Problem,
    ProblemKind,
};
use async_trait::async_trait;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

const NAME: &str = "dev-1.iot.example.org";
const URL: &str = "https://ca.example/order/1";
const NODE: &str = "node";

/// A CA that does what a test tells it, and counts.
#[derive(Default)]
struct Script {
    calls: BTreeMap<&'static str, u32>,
    status: Option<OrderStatus>,
    authorization: Option<AuthorizationStatus>,
    problem: Option<Problem>,
    new_order: Option<Problem>,
    finalize: Option<Problem>,
    unreachable: u32,
    chain: String,
}

struct Ca(Mutex<Script>);

impl Ca {
    fn call(&self, name: &'static str) -> Result<std::sync::MutexGuard<'_, Script>, AcmeError> {
        let mut script = self.0.lock().unwrap();
        *script.calls.entry(name).or_default() += 1;
        if script.unreachable > 0 {
            script.unreachable -= 1;
            return Err(AcmeError::Unreachable("out to lunch".into()));
        }
        Ok(script)
    }

    fn count(&self, name: &str) -> u32 {
        self.0.lock().unwrap().calls.get(name).copied().unwrap_or(0)
    }

    fn view(script: &Script) -> OrderView {
        OrderView {
            url: URL.into(),
            status: script.status.unwrap_or(OrderStatus::Pending),
            problem: script.problem.clone(),
        }
    }
}

#[async_trait]
impl AcmeClient for Ca {
    async fn new_order(&self, names: &[String]) -> Result<OrderView, AcmeError> {
        assert_eq!(names, [NAME]);
        let mut script = self.call("new_order")?;
        if let Some(problem) = script.new_order.clone() {
            return Err(AcmeError::Problem(problem));
        }
        script.status = Some(OrderStatus::Pending);
        Ok(Self::view(&script))
    }

    async fn order(&self, url: &str) -> Result<OrderView, AcmeError> {
        assert_eq!(url, URL);
        Ok(Self::view(&*self.call("order")?))
    }

    async fn authorizations(&self, _url: &str) -> Result<Vec<AuthorizationView>, AcmeError> {
        let script = self.call("authorizations")?;
        let authorization = KeyAuthorization::new("token.thumbprint").unwrap();
        let challenge = Challenge::Dns01 { authorization };
        let offered = vec![OfferedChallenge { challenge, progress: ChallengeProgress::Open }];
        let open = AuthorizationStatus::Pending { offered };
        let status = script.authorization.clone().unwrap_or(open);
        Ok(vec![AuthorizationView { name: NAME.into(), status }])
    }

    async fn validate(&self, _url: &str, name: &str, kind: ChallengeType) -> Result<(), AcmeError> {
        assert_eq!((name, kind), (NAME, ChallengeType::Dns01));
        let mut script = self.call("validate")?;
        if script.problem.is_some() {
            script.status = Some(OrderStatus::Invalid);
            let problem = script.problem.clone().unwrap();
            script.authorization = Some(AuthorizationStatus::Failed { problem });
        } else {
            script.authorization = Some(AuthorizationStatus::Valid);
            script.status = Some(OrderStatus::Ready);
        }
        Ok(())
    }

    async fn finalize(&self, _url: &str, csr: &[u8]) -> Result<OrderView, AcmeError> {
        assert_eq!(csr, b"csr");
        let mut script = self.call("finalize")?;
        if script.status == Some(OrderStatus::Ready) {
            *script.calls.entry("csr sent").or_default() += 1;
            if let Some(problem) = script.finalize.clone() {
                return Err(AcmeError::Problem(problem));
            }
            script.status = Some(OrderStatus::Valid);
        }
        Ok(Self::view(&script))
    }

    async fn certificate(&self, _url: &str) -> Result<String, AcmeError> {
        Ok(self.call("certificate")?.chain.clone())
    }
}

struct Direct(Arc<Ca>);

#[async_trait]
impl Connect for Direct {
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError> {
        let client: Arc<Ca> = Arc::clone(&self.0);
        Ok(client)
    }
}

/// A store in memory that can be told to fail after so many writes, as a disk or a power supply does.
#[derive(Default)]
struct Memory {
    orders: Mutex<BTreeMap<OrderId, OrderRecord>>,
    answers: Mutex<Vec<ChallengeAnswer>>,
    writes_left: Mutex<Option<u32>>,
}

impl Memory {
    fn write(&self) -> Result<(), OrderStoreError> {
        match &mut *self.writes_left.lock().unwrap() {
            Some(0) => Err(OrderStoreError("no more writes".into())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn state(&self) -> OrderState {
        self.orders.lock().unwrap()[&OrderId::new("1")].state.clone()
    }
}

#[async_trait]
impl OrderStore for Memory {
    async fn insert(&self, order: &OrderRecord) -> Result<(), OrderStoreError> {
        self.write()?;
        self.orders.lock().unwrap().entry(order.id.clone()).or_insert_with(|| order.clone());
        Ok(())
    }

    async fn load(&self, id: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError> {
        Ok(self.orders.lock().unwrap().get(id).cloned())
    }

    async fn claim(
        &self,
        _issuer: &IssuerName,
        node: &str,
        lease_until: i64,
        now: i64,
        _limit: u32,
    ) -> Result<Vec<OrderRecord>, OrderStoreError> {
        let mut claimed = Vec::new();
        for order in self.orders.lock().unwrap().values_mut() {
            let is_free =
                order.lease.as_ref().is_none_or(|lease| lease.node == node || lease.until <= now);
            if is_free && !order.state.is_final() && order.due <= now {
                order.lease = Some(Lease { node: node.into(), until: lease_until });
                claimed.push(order.clone());
            }
        }
        Ok(claimed)
    }

    async fn advance(
        &self,
        order: &OrderRecord,
        _node: &str,
        _step: &str,
        _now: i64,
    ) -> Result<(), OrderStoreError> {
        self.write()?;
        self.orders.lock().unwrap().insert(order.id.clone(), order.clone());
        Ok(())
    }

    async fn account(&self, _: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError> {
        Ok(None)
    }

    async fn save_account(&self, _: &IssuerName, _: &AccountRecord) -> Result<(), OrderStoreError> {
        Ok(())
    }
}

#[async_trait]
impl AnswerStore for Memory {
    async fn put(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.write()?;
        let mut answers = self.answers.lock().unwrap();
        if !answers.contains(answer) {
            answers.push(answer.clone());
        }
        Ok(())
    }

    async fn retire(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.write()?;
        self.answers.lock().unwrap().retain(|answer| answer.order != *order);
        Ok(())
    }

    async fn retired(&self, _: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        Ok(Vec::new())
    }

    async fn is_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        Ok(self.answers.lock().unwrap().contains(answer))
    }

    async fn in_force_at(&self, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().filter(|answer| answer.owner == owner);
        Ok(found.map(|answer| answer.value.clone()).collect())
    }

    async fn remove(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.answers.lock().unwrap().retain(|each| each != answer);
        Ok(())
    }

    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        let answers = self.answers.lock().unwrap();
        let found = answers.iter().filter(|answer| answer.kind == kind && answer.owner == owner);
        Ok(found.map(|answer| answer.value.clone()).collect())
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError> {
        let below = format!(".{name}");
        Ok(self.answers.lock().unwrap().iter().any(|answer| answer.owner.ends_with(&below)))
    }
}

/// A clock that a test moves.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Bench {
    ca: Arc<Ca>,
    store: Arc<Memory>,
    clock: Arc<Hands>,
    csr: Csr,
    root: CertificateDer<'static>,
}

impl Bench {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &root).unwrap();
        let csr = Csr {
            der: b"csr".to_vec(),
            names: vec![NAME.into()],
            spki: key.subject_public_key_info(),
        };
        let script = Script { chain: leaf.pem(), ..Script::default() };
        Self {
            ca: Arc::new(Ca(Mutex::new(script))),
            store: Arc::default(),
            // Now is 2026, within what rcgen's certificates are valid for.
            clock: Arc::new(Hands(AtomicI64::new(1_795_000_000_000))),
            csr,
            root: root.der().clone(),
        }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.ca.0.lock().unwrap()
    }

    /// A process: what it knows of is the store's alone.
    fn process(&self) -> Arc<Bridge> {
        let config = BridgeConfig {
            issuer: IssuerName::new("ca"),
            node: NODE.into(),
            roots: vec![self.root.clone()],
            orders_in_flight: 4,
        };
        let (store, answers) = (self.store.clone(), self.store.clone());
        let solver = Arc::new(BuiltIn::new(answers, vec![ChallengeType::Dns01]));
        let account = Arc::new(Direct(Arc::clone(&self.ca)));
        Arc::new(Bridge::new(config, store, solver, account, self.clock.clone()))
    }

    async fn place(&self) -> Result<(), OrderStoreError> {
        self.process().place(OrderId::new("1"), self.csr.clone()).await
    }

    /// Runs a process until the order ends, or for so long (of paused time), and kills it.
    async fn run(&self, limit: Duration) -> Progress {
        let bridge = self.process();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&bridge).run(stopped));
        let progress = bridge.wait(&OrderId::new("1"), limit).await.unwrap();
        task.abort();
        drop(stop);
        progress
    }
}

fn problem(kind: &str) -> Problem {
    Problem::from_ca(&format!("urn:ietf:params:acme:error:{kind}"), "because")
}

#[tokio::test(start_paused = true)]
async fn an_order_goes_from_csr_to_chain_and_leaves_no_answer_behind() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    let Progress::Issued(chain) = bench.run(Duration::from_secs(60)).await else {
        panic!("not issued");
    };
    assert_eq!(chain.len(), 2, "the certificate and the root");
    assert_eq!(chain[1], bench.root);
    for (call, times) in [("new_order", 1), ("validate", 1), ("csr sent", 1), ("certificate", 1)] {
        assert_eq!(bench.ca.count(call), times, "{call}");
    }
    assert!(bench.store.answers.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_order_twice_is_one() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)));
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)));
    assert_eq!(bench.ca.count("new_order"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_at_any_write_is_resumed_and_sends_the_csr_once() {
    for writes in 1..12 {
        let bench = Bench::new();
        bench.place().await.unwrap();
        *bench.store.writes_left.lock().unwrap() = Some(writes);
        bench.run(Duration::from_secs(5)).await;
        *bench.store.writes_left.lock().unwrap() = None;
        assert!(
            matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)),
            "{writes}"
        );
        assert_eq!(bench.ca.count("csr sent"), 1, "after {writes} writes");
        // Only a crash between newOrder and its answer's write may cost an order.
        assert!(bench.ca.count("new_order") <= 2, "after {writes} writes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_found_finalizing_is_read_before_anything_is_sent() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().status = Some(OrderStatus::Valid);
    let id = OrderId::new("1");
    bench.store.orders.lock().unwrap().get_mut(&id).unwrap().state =
        OrderState::Finalizing { url: URL.into() };
    assert!(matches!(bench.run(Duration::from_secs(60)).await, Progress::Issued(_)));
    assert_eq!(bench.ca.count("csr sent"), 0);
    assert_eq!(bench.ca.count("new_order"), 0);
}

#[tokio::test(start_paused = true)]
async fn another_nodes_order_is_left_alone_until_its_lease_ends() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    let id = OrderId::new("1");
    let until = bench.clock.now() + 1000;
    bench.store.orders.lock().unwrap().get_mut(&id).unwrap().lease =
        Some(Lease { node: "another".into(), until });
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    assert_eq!(bench.ca.count("new_order"), 0);
    bench.clock.0.fetch_add(1000, Ordering::SeqCst);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_away_is_asked_again_later() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().unreachable = 1;
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    assert_eq!(bench.store.state(), OrderState::Intended);
    bench.clock.0.fetch_add(10_000, Ordering::SeqCst);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_csr_that_the_ca_refuses_ends_at_once_in_the_cas_words() {
    for kind in ["badCSR", "rejectedIdentifier", "caa", "unsupportedIdentifier"] {
        let bench = Bench::new();
        bench.place().await.unwrap();
        bench.script().finalize = Some(problem(kind));
        let Progress::Invalid(ended) = bench.run(Duration::from_secs(30)).await else {
            panic!("{kind} did not end");
        };
        assert_eq!((ended.kind, ended.detail.as_str()), (ProblemKind::Refused, "because"));
        assert_eq!(ended.to_string(), format!("{kind}: because"));
        assert_eq!(bench.ca.count("new_order"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_order_is_placed_anew_three_times_and_then_given_up() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().problem = Some(problem("unauthorized"));
    for times in 1..=4 {
        bench.script().authorization = None;
        bench.script().status = None;
        let progress = bench.run(Duration::from_secs(30)).await;
        assert_eq!(bench.ca.count("new_order"), times);
        assert_eq!(matches!(progress, Progress::Invalid(_)), times == 4, "{progress:?}");
        bench.clock.0.fetch_add(100_000, Ordering::SeqCst);
    }
    assert!(bench.store.answers.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_waits_and_is_no_end() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().new_order = Some(problem("rateLimited"));
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    bench.script().new_order = None;
    bench.clock.0.fetch_add(100_000, Ordering::SeqCst);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[test]
fn no_chain_is_handed_out_that_is_not_what_was_asked_for() {
    let bench = Bench::new();
    let pem = bench.script().chain.clone();
    let now = bench.clock.now();
    let roots = [bench.root.clone()];
    check::chain(&pem, &bench.csr, &roots, now).unwrap();
    let other = Bench::new();
    let refused = |pem: &str, csr: &Csr, roots: &[CertificateDer<'static>], now: i64| {
        check::chain(pem, csr, roots, now).unwrap_err()
    };
    assert_eq!(refused(&pem, &other.csr, &roots, now), ChainRefusal::Key);
    let names = Csr { names: vec!["dev-2.iot.example.org".into()], ..bench.csr.clone() };
    assert!(matches!(refused(&pem, &names, &roots, now), ChainRefusal::Names { .. }));
    let foreign = [other.root.clone()];
    assert!(matches!(refused(&pem, &bench.csr, &foreign, now), ChainRefusal::Path(_)));
    assert!(matches!(refused(&pem, &bench.csr, &roots, i64::MAX / 2), ChainRefusal::Path(_)));
    assert_eq!(refused("", &bench.csr, &roots, now), ChainRefusal::Unreadable);
    let label = ["PRIVATE", "KEY"].join(" ");
    let with_key = format!("{pem}-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    assert_eq!(refused(&with_key, &bench.csr, &roots, now), ChainRefusal::ForeignBlock { label });
    let long = pem.repeat(300);
    assert!(matches!(refused(&long, &bench.csr, &roots, now), ChainRefusal::TooLong { .. }));
}

#[test]
fn a_problem_says_whose_fault_it_is() {
    for (kind, fault) in [
        ("badCSR", ProblemKind::Refused),
        ("unauthorized", ProblemKind::Validation),
        ("dns", ProblemKind::Validation),
        ("accountDoesNotExist", ProblemKind::Account),
        ("serverInternal", ProblemKind::Ca),
        ("nobodyKnows", ProblemKind::Ca),
    ] {
        assert_eq!(problem(kind).kind, fault, "{kind}");
    }
    let hostile = Problem::from_ca("x", &"\u{1b}[31m".repeat(500));
    assert!(hostile.detail.len() <= 500 && !hostile.detail.contains('\u{1b}'));
}
