//! The bridge against a scripted CA and a store in memory: every state resumes, nothing is sent twice, every end is written.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::account::{AccountShown, Connect};
use acme_bridge::bridge::{Bridge, BridgeConfig, Progress};
use acme_bridge::challenge::KeyAuthorization;
use acme_bridge::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress, Downloaded,
    Offer, OfferedChallenge, OrderRequest, OrderStatus, OrderView, RenewalWindow, RevocationReason,
};
use acme_bridge::quota::{Limits, Rate};
use acme_bridge::solver::BuiltIn;
use acme_bridge::{
    Alarm, Challenge, ChallengeType, Clock as _, Csr, IssuerName, Lease, OrderId, OrderState,
    OrderStore, OrderStoreError, OrderTerms, Problem, ProblemKind,
};
use async_trait::async_trait;
use rcgen::{
    CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use self::memory::{Hands, Memory};

mod memory;

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
    alternates: Vec<String>,
    revoked: Vec<Vec<u8>>,
    replaces: Vec<Option<String>>,
    resources: Vec<&'static str>,
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
            retry_after_secs: None,
        }
    }
}

#[async_trait]
impl AcmeClient for Ca {
    async fn new_order(&self, order: &OrderRequest<'_>) -> Result<OrderView, AcmeError> {
        assert_eq!(order.names, [NAME]);
        let mut script = self.call("new_order")?;
        script.replaces.push(order.replaces.map(str::to_owned));
        if order.replaces == Some("gone") {
            return Err(AcmeError::Problem(problem("alreadyReplaced")));
        }
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

    async fn certificate(&self, _url: &str) -> Result<Downloaded, AcmeError> {
        let script = self.call("certificate")?;
        let alternates = (0..script.alternates.len()).map(|number| number.to_string()).collect();
        Ok(Downloaded { pem: script.chain.clone(), alternates })
    }

    async fn alternate(&self, url: &str) -> Result<String, AcmeError> {
        Ok(self.call("alternate")?.alternates[url.parse::<usize>().unwrap()].clone())
    }

    async fn revoke(
        &self,
        certificate: &CertificateDer<'_>,
        _reason: RevocationReason,
    ) -> Result<(), AcmeError> {
        self.call("revoke")?.revoked.push(certificate.to_vec());
        Ok(())
    }

    async fn renewal_info(&self, _identifier: &str) -> Result<RenewalWindow, AcmeError> {
        Err(AcmeError::Unsupported("renewalInfo"))
    }

    fn offer(&self) -> Offer {
        Offer { resources: self.0.lock().unwrap().resources.clone(), ..Offer::default() }
    }
}

struct Direct(Arc<Ca>);

#[async_trait]
impl Connect for Direct {
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError> {
        let client: Arc<Ca> = Arc::clone(&self.0);
        Ok(client)
    }

    async fn show(&self) -> Result<AccountShown, AcmeError> {
        Err(AcmeError::Unsupported("accounts"))
    }

    async fn rotate_key(&self) -> Result<AccountShown, AcmeError> {
        Err(AcmeError::Unsupported("keyChange"))
    }

    async fn deactivate(&self) -> Result<AccountShown, AcmeError> {
        Err(AcmeError::Unsupported("accounts"))
    }
}

struct Bench {
    ca: Arc<Ca>,
    store: Arc<Memory>,
    clock: Arc<Hands>,
    csr: Csr,
    terms: OrderTerms,
    limits: Limits,
    root: CertificateDer<'static>,
}

impl Bench {
    fn new() -> Self {
        let root = root();
        let key = KeyPair::generate().unwrap();
        let leaf = leaf().signed_by(&key, &root).unwrap();
        let csr = Csr {
            der: b"csr".to_vec(),
            names: vec![NAME.into()],
            spki: key.subject_public_key_info(),
        };
        let script = Script { chain: leaf.pem(), ..Script::default() };
        Self {
            ca: Arc::new(Ca(Mutex::new(script))),
            store: Arc::default(),
            clock: Arc::new(Hands::new()),
            csr,
            terms: OrderTerms { device: "device".into(), ..OrderTerms::default() },
            limits: Limits::default(),
            root: root.der().clone(),
        }
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.ca.0.lock().unwrap()
    }

    /// A process: what it knows of is the store's alone.
    fn process(&self) -> Arc<Bridge> {
        self.process_for("ca", Arc::clone(&self.ca), self.limits.clone())
    }

    fn process_for(&self, issuer: &str, ca: Arc<Ca>, limits: Limits) -> Arc<Bridge> {
        let roots = vec![self.root.clone()];
        let config = BridgeConfig {
            orders_in_flight: 4,
            limits,
            ..BridgeConfig::new(IssuerName::new(issuer), NODE, roots)
        };
        let store: Arc<dyn OrderStore> = self.store.clone();
        let solver = Arc::new(BuiltIn::new(self.store.clone(), vec![ChallengeType::Dns01]));
        let account = Arc::new(Direct(ca));
        Arc::new(Bridge::new(config, store, solver, account, self.clock.clone()))
    }

    async fn place(&self) -> Result<(), OrderStoreError> {
        self.process().place(OrderId::new("1"), self.csr.clone(), self.terms.clone()).await
    }

    /// As if the order had come so far.
    fn set_state(&self, state: OrderState) {
        self.store.orders().get_mut(&OrderId::new("1")).unwrap().state = state;
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

fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn leaf() -> CertificateParams {
    let mut leaf = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2026, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(2027, 1, 1);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf
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
    bench.set_state(OrderState::Finalizing { url: URL.into() });
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
    bench.clock.advance(1000);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_away_is_asked_again_later() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().unreachable = 1;
    assert_eq!(bench.run(Duration::from_secs(30)).await, Progress::Pending);
    assert_eq!(bench.store.order().state, OrderState::Intended);
    bench.clock.advance(10_000);
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
        bench.clock.advance(700_000);
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
    bench.clock.advance(100_000);
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_down_is_asked_once_and_not_by_every_order() {
    let bench = Bench::new();
    for number in 0..100 {
        let id = OrderId::new(number.to_string());
        bench.process().place(id, bench.csr.clone(), bench.terms.clone()).await.unwrap();
    }
    bench.script().unreachable = u32::MAX;
    bench.run(Duration::from_secs(30)).await;
    // The clock stands still: four were in flight when the first one failed.
    assert!(bench.ca.count("new_order") <= 4, "{}", bench.ca.count("new_order"));
}

#[tokio::test(start_paused = true)]
async fn what_the_ca_asks_to_wait_is_waited() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    let limited = Problem { retry_after_secs: Some(3600), ..problem("rateLimited") };
    bench.script().new_order = Some(limited);
    bench.run(Duration::from_secs(5)).await;
    bench.script().new_order = None;
    bench.clock.advance(3_599_000);
    assert_eq!(bench.run(Duration::from_secs(5)).await, Progress::Pending);
    assert_eq!(bench.ca.count("new_order"), 1);
    assert_eq!(bench.store.order().problem.unwrap().kind, ProblemKind::RateLimited);
    bench.clock.advance(1_000);
    assert!(matches!(bench.run(Duration::from_secs(5)).await, Progress::Issued(_)));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_takes_over_from_a_ca_that_is_down_and_says_so() {
    let mut bench = Bench::new();
    bench.terms.fallback = Some(IssuerName::new("other"));
    bench.place().await.unwrap();
    bench.script().unreachable = u32::MAX;
    let first = bench.process();
    let (_stop, stopped) = watch::channel(false);
    let task = tokio::spawn(Arc::clone(&first).run(stopped.clone()));
    let id = OrderId::new("1");
    // Not at once: a CA may be away for a moment.
    first.wait(&id, Duration::from_secs(3)).await.unwrap();
    assert_eq!(bench.store.order().issuer, IssuerName::new("ca"));
    for _ in 0..10 {
        bench.clock.advance(20_000);
        first.wait(&id, Duration::from_secs(3)).await.unwrap();
    }
    let moved = bench.store.order();
    assert_eq!((moved.issuer.as_str(), moved.terms.fallback), ("other", None));
    let alarm = Alarm::Fallback { from: IssuerName::new("ca") };
    assert_eq!(*bench.store.alarms.lock().unwrap(), [alarm]);
    assert_eq!(first.counters().fallbacks(), 1);
    task.abort();
    let up = Arc::new(Ca(Mutex::new(Script {
        chain: bench.script().chain.clone(),
        ..Script::default()
    })));
    let second = bench.process_for("other", Arc::clone(&up), Limits::default());
    let task = tokio::spawn(Arc::clone(&second).run(stopped));
    let progress = second.wait(&id, Duration::from_secs(30)).await.unwrap();
    assert!(matches!(progress, Progress::Issued(_)), "{progress:?}");
    assert_eq!(up.count("new_order"), 1);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn no_fallback_takes_over_an_order_that_the_first_ca_has() {
    let mut bench = Bench::new();
    bench.terms.fallback = Some(IssuerName::new("other"));
    bench.place().await.unwrap();
    bench.set_state(OrderState::Finalizing { url: URL.into() });
    bench.script().unreachable = u32::MAX;
    for _ in 0..20 {
        bench.run(Duration::from_secs(5)).await;
        bench.clock.advance(60_000);
    }
    assert_eq!(bench.store.order().issuer, IssuerName::new("ca"));
    assert!(bench.store.alarms.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn our_own_limits_hold_orders_back_before_the_ca_has_to() {
    let mut bench = Bench::new();
    bench.limits.account = Some(Rate { orders: 2, period_secs: 600 });
    let process = bench.process();
    for number in 1..=3 {
        let id = OrderId::new(number.to_string());
        process.place(id, bench.csr.clone(), bench.terms.clone()).await.unwrap();
    }
    bench.run(Duration::from_secs(10)).await;
    bench.run(Duration::from_secs(10)).await;
    assert_eq!(bench.ca.count("new_order"), 2);
    assert_eq!(process.limits_left().await.unwrap()[0].left, 0);
    bench.clock.advance(301_000);
    bench.run(Duration::from_secs(10)).await;
    bench.run(Duration::from_secs(10)).await;
    assert_eq!(bench.ca.count("new_order"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_names_what_it_replaces_is_not_counted() {
    let mut bench = Bench::new();
    bench.limits.account = Some(Rate { orders: 1, period_secs: 600 });
    bench.terms.replaces = Some("aki.serial".into());
    bench.script().resources = vec!["renewalInfo"];
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
    assert_eq!(bench.process().limits_left().await.unwrap()[0].left, 1);
    assert_eq!(bench.script().replaces, [Some("aki.serial".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_was_replaced_already_is_not_named_again() {
    let mut bench = Bench::new();
    bench.terms.replaces = Some("gone".into());
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
    assert_eq!(bench.script().replaces, [Some("gone".to_owned()), None]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_is_revoked_alarmed_and_handed_to_nobody() {
    let mut bench = Bench::new();
    bench.terms.require_eku = vec!["1.3.6.1.5.5.7.3.2".into()];
    bench.place().await.unwrap();
    let Progress::Invalid(ended) = bench.run(Duration::from_secs(30)).await else {
        panic!("handed out");
    };
    assert_eq!(ended.kind, ProblemKind::WrongCertificate);
    assert!(ended.detail.contains("lacks 1.3.6.1.5.5.7.3.2"), "{ended}");
    assert_eq!(*bench.store.alarms.lock().unwrap(), [Alarm::WrongCertificate]);
    // The next look revokes it, once.
    for _ in 0..3 {
        bench.run(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(bench.process().run(stopped));
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(stop);
    task.abort();
    assert_eq!(bench.script().revoked.len(), 1);
    assert!(bench.store.revocations.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_chain_of_the_ca_is_tried_where_the_first_leads_elsewhere() {
    let mut bench = Bench::new();
    let (own, foreign) = (root(), root());
    let key = KeyPair::generate().unwrap();
    // One intermediate, signed by both roots.
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "intermediate");
    let middle_key = KeyPair::generate().unwrap();
    let by = |root: &CertifiedIssuer<'static, KeyPair>| {
        parameters.clone().signed_by(&middle_key, root).unwrap()
    };
    let (good, bad) = (by(&own), by(&foreign));
    let issuer = rcgen::Issuer::new(parameters.clone(), &middle_key);
    let certificate = leaf().signed_by(&key, &issuer).unwrap().pem();
    bench.root = own.der().clone();
    bench.csr.spki = key.subject_public_key_info();
    bench.script().chain = format!("{certificate}{}", bad.pem());
    bench.script().alternates = vec![certificate.clone(), format!("{certificate}{}", good.pem())];
    bench.place().await.unwrap();
    let Progress::Issued(chain) = bench.run(Duration::from_secs(30)).await else {
        panic!("not issued");
    };
    assert_eq!(chain[1..], [good.der().clone(), own.der().clone()]);
    assert_eq!(bench.ca.count("alternate"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_is_at_work_for_ever_is_given_up() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.set_state(OrderState::Finalizing { url: URL.into() });
    bench.script().status = Some(OrderStatus::Processing);
    let mut asked = 0;
    for _ in 0..400 {
        let progress = bench.run(Duration::from_secs(20)).await;
        asked = bench.ca.count("finalize");
        if let Progress::Invalid(ended) = progress {
            assert!(ended.detail.contains("more than a day"), "{ended}");
            assert!(asked < 10_000, "{asked}");
            return;
        }
        bench.clock.advance(300_000);
    }
    panic!("asked {asked} times and still waits");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_the_ca_does_not_want_is_alarmed_once() {
    let bench = Bench::new();
    bench.place().await.unwrap();
    bench.script().new_order = Some(problem("userActionRequired"));
    for _ in 0..5 {
        assert_eq!(bench.run(Duration::from_secs(5)).await, Progress::Pending);
        bench.clock.advance(61_000);
    }
    assert_eq!(*bench.store.alarms.lock().unwrap(), [Alarm::Account]);
    assert_eq!(bench.ca.count("new_order"), 5);
}
