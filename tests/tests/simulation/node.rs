//! A registrar of the simulation: the real requests, decisions and operator's acts, on a store that outlives it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use acme_bridge::{Clock, Csr, IssuerName, OrderId, OrderRecord, OrderStore as _, OrderTerms};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use brski_est::renewal_info::Window;
use brski_registrar::admin::service::{NoDaemon, Service};
use brski_registrar::http::app::App;
use brski_registrar::http::locks::Locks;
use brski_registrar::http::routes::router;
use brski_registrar::issue::desk::OrderDesk;
use brski_registrar::issue::local::LocalIssuer;
use brski_registrar::issue::orders::Orders;
use brski_registrar::issue::{ApprovedCsr, IssueError, Issuer, Submission};
use brski_registrar::masa::Masa;
use brski_registrar::policy::attempts::Attempts;
use brski_registrar::policy::manufacturers::ManufacturerDirectory;
use brski_registrar::policy::told::Told;
use brski_registrar::store::Store;
use brski_registrar::store::memory::MemoryDatabase;
use brski_registrar::store::model::{EnrollmentState, Id, IssuedCertificate, Millis};
use brski_registrar::store::watch::Unwatched;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::gate::{Gate, HandClock, Masas};
use super::site::SITE;

static MANUFACTURERS: LazyLock<Arc<ManufacturerDirectory>> = LazyLock::new(|| {
    let rows = SITE.makers.iter().map(|maker| maker.row.clone()).collect();
    Arc::new(ManufacturerDirectory::new(rows).unwrap())
});

/// One process of the registrar.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) gate: Arc<Gate>,
    pub(super) app: Arc<App>,
    pub(super) router: Router,
    pub(super) service: Arc<Service>,
    pub(super) desk: Arc<OrderDesk>,
    pub(super) orders: Arc<Orders>,
}

impl Node {
    pub(super) fn start(
        number: usize,
        database: &MemoryDatabase,
        clock: &Arc<HandClock>,
        masas: &Arc<Masas>,
    ) -> Self {
        let name = format!("node-{number}");
        let gate = Arc::new(Gate::default());
        let turnstile = Arc::<Gate>::clone(&gate);
        let store = database.open_watched(&name, Arc::new(Unwatched), turnstile).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(clock);
        let orders = Arc::new(Orders::new(Arc::clone(&store), Arc::clone(&SITE.metrics)));
        let ca = BehindCa {
            orders: Arc::clone(&orders),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            gate: Arc::clone(&gate),
        };
        let local = Slow { local: Arc::clone(&SITE.local), gate: Arc::clone(&gate) };
        let issuers: [(&str, Arc<dyn Issuer>); 2] =
            [("acme", Arc::new(ca)), ("local", Arc::new(local))];
        let config = Arc::new(ArcSwap::from_pointee(SITE.config.clone()));
        let masa: Arc<dyn Masa> = Arc::<Masas>::clone(masas);
        let app = Arc::new(App {
            config: Arc::clone(&config),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            identity: Arc::clone(&SITE.identity),
            manufacturers: ArcSwap::from(Arc::clone(&MANUFACTURERS)),
            masa,
            issuers: issuers.map(|(name, issuer)| (name.to_owned(), issuer)).into(),
            attempts: Attempts::default(),
            locks: Locks::default(),
            requests: AtomicU64::new(0),
            metrics: Arc::clone(&SITE.metrics),
            told: Told::default(),
            stopping: watch::channel(false).1,
        });
        let key = SITE.identity.key().spki_der().to_vec();
        let (own, time) = (Arc::clone(&store), Arc::clone(&clock));
        let service = Service::new(own, time, Arc::new(NoDaemon), config, BTreeMap::new(), key);
        Self {
            router: router(Arc::clone(&app)),
            service: Arc::new(service),
            desk: Arc::new(OrderDesk::new(store, clock, BTreeMap::new())),
            name,
            gate,
            app,
            orders,
        }
    }
}

/// An issuer behind an ACME CA, as the real one is: it places an order, and somebody else drives it.
struct BehindCa {
    orders: Arc<Orders>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
}

#[async_trait]
impl Issuer for BehindCa {
    async fn submit(
        &self,
        enrollment: &Id,
        csr: &ApprovedCsr,
        _: Millis,
    ) -> Result<Submission, IssueError> {
        self.gate.pass().await;
        let plain = Csr {
            der: csr.csr().der().to_vec(),
            names: vec![csr.name().to_owned()],
            spki: csr.csr().spki_der().to_vec(),
        };
        let terms =
            OrderTerms { device: csr.admitted().device().id.to_string(), ..OrderTerms::default() };
        let (id, issuer) = (OrderId::new(enrollment.as_str()), IssuerName::new("acme"));
        let order = OrderRecord::new(id, issuer, plain, terms, self.clock.now());
        let failed = |reason: String| IssueError::Issuer { issuer: "acme".to_owned(), reason };
        self.orders.insert(&order).await.map_err(|error| failed(error.to_string()))?;
        Ok(Submission::Ordered)
    }

    /// As the bridge does: until the order has ended, or for so long.
    async fn wait(&self, enrollment: &Id, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let ended = self
                .store
                .enrollment(enrollment)
                .await
                .map(|found| found.is_none_or(|row| row.state != EnrollmentState::Ordered));
            if ended.unwrap_or(true) || tokio::time::Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn holds_key(&self, _: &[u8]) -> bool {
        false
    }

    async fn renewal_window(&self, _: &IssuedCertificate) -> Option<Window> {
        None
    }

    fn anchors(&self) -> &[CertificateDer<'static>] {
        &[]
    }
}

/// The real local issuer, before and after whose signature something may happen.
struct Slow {
    local: Arc<LocalIssuer>,
    gate: Arc<Gate>,
}

#[async_trait]
impl Issuer for Slow {
    async fn submit(
        &self,
        enrollment: &Id,
        csr: &ApprovedCsr,
        now: Millis,
    ) -> Result<Submission, IssueError> {
        self.gate.pass().await;
        let submission = self.local.submit(enrollment, csr, now).await;
        self.gate.pass().await;
        submission
    }

    async fn wait(&self, _: &Id, _: Duration) {}

    fn holds_key(&self, spki: &[u8]) -> bool {
        self.local.holds_key(spki)
    }

    async fn renewal_window(&self, _: &IssuedCertificate) -> Option<Window> {
        None
    }

    fn anchors(&self) -> &[CertificateDer<'static>] {
        self.local.anchors()
    }
}
