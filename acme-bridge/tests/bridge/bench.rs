//! A bridge with a scripted CA, a store in memory and a clock that a test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::bridge::{Bridge, BridgeConfig, Progress};
use acme_bridge::quota::Limits;
use acme_bridge::solver::BuiltIn;
use acme_bridge::{
    ChallengeType, Csr, IssuerName, OrderId, OrderState, OrderStore, OrderStoreError, OrderTerms,
};
use rcgen::{
    CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::memory::{Hands, Memory};
use super::script::{Ca, Direct, NAME, Script};

const NODE: &str = "node";

pub(super) struct Bench {
    pub(super) ca: Arc<Ca>,
    pub(super) store: Arc<Memory>,
    pub(super) clock: Arc<Hands>,
    pub(super) csr: Csr,
    pub(super) terms: OrderTerms,
    pub(super) limits: Limits,
    pub(super) root: CertificateDer<'static>,
}

impl Bench {
    pub(super) fn new() -> Self {
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

    pub(super) fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.ca.0.lock().unwrap()
    }

    /// A process: what it knows of is the store's alone.
    pub(super) fn process(&self) -> Arc<Bridge> {
        self.process_for("ca", Arc::clone(&self.ca), self.limits.clone())
    }

    pub(super) fn process_for(&self, issuer: &str, ca: Arc<Ca>, limits: Limits) -> Arc<Bridge> {
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

    pub(super) async fn place(&self) -> Result<(), OrderStoreError> {
        self.process().place(OrderId::new("1"), self.csr.clone(), self.terms.clone()).await
    }

    /// As if the order had come so far.
    pub(super) fn set_state(&self, state: OrderState) {
        self.store.orders().get_mut(&OrderId::new("1")).unwrap().state = state;
    }

    /// Runs a process until the order ends, or for so long (of paused time), and kills it.
    pub(super) async fn run(&self, limit: Duration) -> Progress {
        let bridge = self.process();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&bridge).run(stopped));
        let progress = bridge.wait(&OrderId::new("1"), limit).await.unwrap();
        task.abort();
        drop(stop);
        progress
    }
}

pub(super) fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

pub(super) fn leaf() -> CertificateParams {
    let mut leaf = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2026, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(2027, 1, 1);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf
}
