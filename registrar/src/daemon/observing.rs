//! What watches the daemon: metrics, health, their listener, and those who are told of events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use acme_bridge::Clock;
use acme_bridge::bridge::Bridge;
use acme_bridge::dns::Responder;
use anyhow::Context as _;
use rustls::crypto::CryptoProvider;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::base::Base;
use super::issuers::system_anchors;
use crate::config::{Config, IssuerConfig};
use crate::notify::Receiver;
use crate::notify::follower::Follower;
use crate::notify::post::Post;
use crate::notify::program::Program;
use crate::observe;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::Target;
use crate::observe::reporter::Reporter;
use crate::observe::survey::Surveyor;
use crate::store::model::Millis;

/// What hears of everything from the start.
pub(super) struct Observing {
    pub(super) metrics: Arc<Metrics>,
    pub(super) reporter: Arc<Reporter>,
}

impl Observing {
    pub(super) fn new(config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let acme = config.issuers.iter().filter(|(_, each)| matches!(each, IssuerConfig::Acme(_)));
        let issuers = acme.map(|(name, _)| name.as_str());
        let metrics = Arc::new(Metrics::new(issuers, Millis(clock.now())));
        let reporter = Arc::new(Reporter::new(Arc::clone(&metrics)));
        Self { metrics, reporter }
    }

    /// Names the DNS responder, whose numbers are read when somebody asks.
    pub(super) fn watch(&self, responder: Option<&Responder>) {
        if let Some(responder) = responder {
            self.metrics.watch_dns(responder.counters());
        }
    }

    /// Starts what counts at intervals, and what tells of events.
    pub(super) fn start(
        &self,
        config: &Config,
        base: &Base,
        bridges: BTreeMap<String, Arc<Bridge>>,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let surveyor = Surveyor {
            store: Arc::clone(&base.store),
            clock: Arc::clone(&base.clock),
            metrics: Arc::clone(&self.metrics),
            intervals: config.metrics,
            bridges,
        };
        tasks.spawn(surveyor.run(base.shutdown.clone()));
        for (target, receiver) in receivers(config, &base.provider)? {
            let follower = Follower {
                store: Arc::clone(&base.store),
                metrics: Arc::clone(&self.metrics),
                node: config.store.node.clone(),
                chosen: config.notify.events.clone(),
                receiver,
                target,
                written: self.reporter.written(),
                shutdown: base.shutdown.clone(),
            };
            tasks.spawn(follower.run());
        }
        Ok(())
    }
}

/// Whoever is told of events.
fn receivers(
    config: &Config,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Vec<(Target, Box<dyn Receiver>)>> {
    let notify = &config.notify;
    let mut receivers: Vec<(Target, Box<dyn Receiver>)> = Vec::new();
    if let Some(program) = &notify.program {
        let program = Program::new(program, notify.timeout);
        receivers.push((Target::Program, Box::new(program)));
    }
    if let Some(post) = &notify.post {
        let provider = Arc::clone(provider);
        let post = Post::new(post, provider, system_anchors(), notify.timeout).context("notify")?;
        receivers.push((Target::Url, Box::new(post)));
    }
    Ok(receivers)
}

/// The metrics' own listener, which goes on while the daemon ends, to say that it does.
pub(super) struct MetricsListener {
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl MetricsListener {
    /// Starts it, if there shall be one.
    pub(super) async fn start(
        config: &Config,
        router: axum::Router,
    ) -> anyhow::Result<Option<Self>> {
        let Some(address) = config.listen.metrics else {
            return Ok(None);
        };
        let listener = super::bind(address, "listen.metrics").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(observe::listener::run(listener, router, stopped));
        Ok(Some(Self { address, stop, task }))
    }

    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        // It cannot fail, and a panic in it was printed already.
        let _ = self.task.await;
    }
}
