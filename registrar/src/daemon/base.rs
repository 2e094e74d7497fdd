//! What every part of the daemon stands on: the clock, the cryptography, the store, and the registrar's identity.

use std::sync::Arc;

use acme_bridge::{AnswerStore, Clock, OrderStore};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::sync::watch;

use super::observing::Observing;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::identity::live::LiveIdentity;
use crate::issue::answers::Answers;
use crate::issue::orders::Orders;
use crate::observe::health::Health;
use crate::observe::reporter::Reporter;
use crate::store::model::Millis;
use crate::store::watch::Watcher;
use crate::store::{self, Store};

/// What every part of the daemon stands on.
pub(super) struct Base {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observing: Observing,
    pub(super) store: Arc<dyn Store>,
    pub(super) identity: Arc<LiveIdentity>,
    pub(super) orders: Arc<dyn OrderStore>,
    pub(super) answers: Arc<dyn AnswerStore>,
    /// True when the daemon ends.
    pub(super) shutdown: watch::Receiver<bool>,
}

impl Base {
    /// Opens the store, which tells the metrics and the log how it does, and loads the identity.
    pub(super) async fn open(
        config: &Config,
        shutdown: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let observing = Observing::new(config, &clock);
        let watcher: Arc<dyn Watcher> = Arc::<Reporter>::clone(&observing.reporter);
        let store = store::open_watched(&config.store, &config.store.node, watcher).await?;
        let orders = Orders::new(Arc::clone(&store), Arc::clone(&observing.metrics));
        let answers = Answers::new(Arc::clone(&store));
        let now = Millis(clock.now());
        let identity = LiveIdentity::open(&config.identity, &*store, now).await?;
        Ok(Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            clock,
            observing,
            store,
            identity: Arc::new(identity),
            orders: Arc::new(orders),
            answers: Arc::new(answers),
            shutdown,
        })
    }

    /// Whether this daemon can do its work.
    pub(super) fn health(&self, config: &Config) -> Arc<Health> {
        let (store, reporter) = (Arc::clone(&self.store), Arc::clone(&self.observing.reporter));
        let (clock, node) = (Arc::clone(&self.clock), &config.store.node);
        Arc::new(Health::new(store, clock, reporter, node, self.shutdown.clone()))
    }
}
