//! Which of the challenges that a CA offers is answered, and what becomes of an order while none can be.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
// The store is shared with tests that ask more of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::ChallengeType::{self, Dns01, DnsAccount01, Http01, TlsAlpn01};
use acme_bridge::account::{AccountShown, Connect};
use acme_bridge::bridge::{Bridge, BridgeConfig, Progress};
use acme_bridge::challenge::KeyAuthorization;
use acme_bridge::client::ChallengeProgress::{self, Open, Validating};
use acme_bridge::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, Downloaded, Offer,
    OfferedChallenge, OrderRequest, OrderStatus, OrderView, RenewalWindow, RevocationReason,
};
use acme_bridge::solver::{Solver, SolverError};
use acme_bridge::{
    Challenge, Csr, IssuerName, OrderId, OrderState, OrderStore, OrderStoreError, OrderTerms,
};
use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use self::memory::{Hands, Memory};

mod memory;

const NAME: &str = "dev-1.iot.example.org";
const URL: &str = "https://ca.example/order/1";

fn challenge(kind: ChallengeType) -> Challenge {
    let authorization = KeyAuthorization::new("token.thumbprint").unwrap();
    Challenge::authorized(kind, authorization, "https://ca.example/account/1").unwrap()
}

/// A CA and a solver that write down what is asked of them, in one list.
struct Both {
    offered: Vec<(ChallengeType, ChallengeProgress)>,
    answered: Vec<ChallengeType>,
    failures: Mutex<VecDeque<SolverError>>,
    calls: Mutex<Vec<String>>,
}

impl Both {
    fn new(
        offered: &[(ChallengeType, ChallengeProgress)],
        answered: &[ChallengeType],
    ) -> Arc<Self> {
        Arc::new(Self {
            offered: offered.to_vec(),
            answered: answered.to_vec(),
            failures: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    fn call(&self, words: String) {
        self.calls.lock().unwrap().push(words);
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn view() -> OrderView {
        let status = OrderStatus::Pending;
        OrderView { url: URL.into(), status, problem: None, retry_after_secs: None }
    }
}

fn unused<T>() -> Result<T, AcmeError> {
    Err(AcmeError::Unsupported("this"))
}

#[async_trait]
impl AcmeClient for Both {
    async fn new_order(&self, _order: &OrderRequest<'_>) -> Result<OrderView, AcmeError> {
        self.call("new order".into());
        Ok(Self::view())
    }

    async fn order(&self, _url: &str) -> Result<OrderView, AcmeError> {
        Ok(Self::view())
    }

    async fn authorizations(&self, _url: &str) -> Result<Vec<AuthorizationView>, AcmeError> {
        let is_told = self.calls().iter().any(|call| call.starts_with("validate"));
        let offered = self.offered.iter().map(|(kind, progress)| OfferedChallenge {
            challenge: challenge(*kind),
            progress: if is_told { Validating } else { *progress },
        });
        let status = AuthorizationStatus::Pending { offered: offered.collect() };
        Ok(vec![AuthorizationView { name: NAME.into(), status }])
    }

    async fn validate(&self, _url: &str, name: &str, kind: ChallengeType) -> Result<(), AcmeError> {
        assert_eq!(name, NAME);
        self.call(format!("validate {kind}"));
        Ok(())
    }

    async fn finalize(&self, _url: &str, _csr: &[u8]) -> Result<OrderView, AcmeError> {
        unused()
    }

    async fn certificate(&self, _url: &str) -> Result<Downloaded, AcmeError> {
        unused()
    }

    async fn alternate(&self, _url: &str) -> Result<String, AcmeError> {
        unused()
    }

    async fn revoke(
        &self,
        _certificate: &CertificateDer<'_>,
        _reason: RevocationReason,
    ) -> Result<(), AcmeError> {
        unused()
    }

    async fn renewal_info(&self, _identifier: &str) -> Result<RenewalWindow, AcmeError> {
        unused()
    }

    fn offer(&self) -> Offer {
        Offer::default()
    }
}

#[async_trait]
impl Solver for Both {
    fn challenges(&self, _name: &str) -> &[ChallengeType] {
        &self.answered
    }

    async fn publish(
        &self,
        _order: &OrderId,
        name: &str,
        challenge: &Challenge,
    ) -> Result<(), SolverError> {
        assert_eq!(name, NAME);
        self.call(format!("publish {}", challenge.kind()));
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    async fn clean_up(&self, _order: &OrderId) -> Result<(), OrderStoreError> {
        self.call("clean up".into());
        Ok(())
    }
}

struct Direct(Arc<Both>);

#[async_trait]
impl Connect for Direct {
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError> {
        let client: Arc<Both> = Arc::clone(&self.0);
        Ok(client)
    }

    async fn show(&self) -> Result<AccountShown, AcmeError> {
        unused()
    }

    async fn rotate_key(&self) -> Result<AccountShown, AcmeError> {
        unused()
    }

    async fn deactivate(&self) -> Result<AccountShown, AcmeError> {
        unused()
    }
}

/// An order that is driven for a while, with its store and its clock.
struct Bench {
    both: Arc<Both>,
    store: Arc<Memory>,
    clock: Arc<Hands>,
}

impl Bench {
    async fn new(both: Arc<Both>) -> Self {
        let bench = Self { both, store: Arc::default(), clock: Arc::new(Hands::new()) };
        let csr = Csr { der: b"csr".to_vec(), names: vec![NAME.into()], spki: vec![1] };
        let terms = OrderTerms::default();
        bench.bridge().place(OrderId::new("1"), csr, terms).await.unwrap();
        bench
    }

    fn bridge(&self) -> Arc<Bridge> {
        let config = BridgeConfig::new(IssuerName::new("ca"), "node", Vec::new());
        let store: Arc<dyn OrderStore> = self.store.clone();
        let account = Arc::new(Direct(Arc::clone(&self.both)));
        Arc::new(Bridge::new(config, store, self.both.clone(), account, self.clock.clone()))
    }

    /// Drives the order for half a minute of virtual time, and moves the wall clock by ten.
    async fn run(&self) -> Progress {
        let bridge = self.bridge();
        let (_stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&bridge).run(stopped));
        let limit = Duration::from_secs(30);
        let progress = bridge.wait(&OrderId::new("1"), limit).await.unwrap();
        task.abort();
        self.clock.advance(600_000);
        progress
    }

    fn state(&self) -> OrderState {
        self.store.orders()[&OrderId::new("1")].state.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_configured_type_that_the_ca_offers_is_answered() {
    let offered = [(Http01, Open), (Dns01, Open), (TlsAlpn01, Open)];
    for (answered, chosen) in [
        ([DnsAccount01, Dns01, Http01].as_slice(), "dns-01"),
        (&[TlsAlpn01], "tls-alpn-01"),
        (&[Http01, Dns01], "http-01"),
    ] {
        let bench = Bench::new(Both::new(&offered, answered)).await;
        bench.run().await;
        let expected =
            ["new order".to_owned(), format!("publish {chosen}"), format!("validate {chosen}")];
        assert_eq!(bench.both.calls(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_ca_validates_already_is_not_exchanged_for_another() {
    let offered = [(Http01, Open), (Dns01, Validating)];
    let bench = Bench::new(Both::new(&offered, &[Http01, Dns01])).await;
    bench.run().await;
    assert_eq!(bench.both.calls(), ["new order", "publish dns-01"], "and it is told nothing");
    assert_eq!(bench.state(), OrderState::Authorizing { url: URL.into() });
}

#[tokio::test(start_paused = true)]
async fn an_order_that_nothing_here_can_prove_ends_with_both_lists() {
    let bench = Bench::new(Both::new(&[(Http01, Open), (TlsAlpn01, Open)], &[Dns01])).await;
    let Progress::Invalid(problem) = bench.run().await else { panic!("it goes on") };
    for words in [NAME, "offered http-01, tls-alpn-01", "configured dns-01"] {
        assert!(problem.detail.contains(words), "{problem}");
    }
    let bench = Bench::new(Both::new(&[], &[])).await;
    let Progress::Invalid(problem) = bench.run().await else { panic!("it goes on") };
    assert!(problem.detail.contains("offered none, configured none"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn an_order_outlives_every_failure_of_its_solver() {
    let both = Both::new(&[(Dns01, Open)], &[Dns01]);
    both.failures.lock().unwrap().extend([
        SolverError::Passing("the server is away".into()),
        SolverError::Busy("another order is at it".into()),
        SolverError::Configuration("the key is wrong".into()),
        SolverError::Passing("the server is away again".into()),
    ]);
    let bench = Bench::new(Arc::clone(&both)).await;
    for words in ["is away", "another order", "key is wrong", "away again"] {
        assert_eq!(bench.run().await, Progress::Pending);
        assert_eq!(bench.state(), OrderState::Placed { url: URL.into() });
        let steps = bench.store.steps.lock().unwrap().clone();
        assert!(steps.iter().any(|(_, step)| step.contains(words)), "{words}: {steps:?}");
    }
    bench.run().await;
    let calls = both.calls();
    assert_eq!(calls.iter().filter(|call| *call == "new order").count(), 1);
    assert_eq!(calls.iter().filter(|call| *call == "publish dns-01").count(), 5);
    assert_eq!(calls.last().unwrap(), "validate dns-01");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_while_answers_go_out_costs_nothing() {
    let both = Both::new(&[(Dns01, Open)], &[Dns01]);
    let broken = SolverError::Store(OrderStoreError("the disk is gone".into()));
    both.failures.lock().unwrap().push_back(broken);
    let bench = Bench::new(Arc::clone(&both)).await;
    assert_eq!(bench.run().await, Progress::Pending);
    assert_eq!(both.calls().last().unwrap(), "validate dns-01");
}
