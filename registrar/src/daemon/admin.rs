//! The admin listener over TLS: the API and, where the configuration says so, the console.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use acme_bridge::bridge::Bridge;
use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, watch};

use super::base::Base;
use super::bind;
use crate::admin::registry::Registry;
use crate::admin::server::identity::ServerIdentity;
use crate::admin::server::tls;
use crate::admin::service::Service;
use crate::config::Config;
#[cfg(feature = "openid")]
use crate::console::openid::provider::Provider;
use crate::console::session::Sessions;
use crate::console::{self, Console};
use crate::http::listener::{self, Bounds};
use crate::observe::health::Health;
use crate::policy::attempts::Attempts;
use crate::tls::door::Door;

/// Who may use the admin API over TLS.
pub(super) fn registry(config: &Config) -> anyhow::Result<Arc<ArcSwap<Registry>>> {
    let registry = Registry::load(&config.admin, &config.file).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    Ok(Arc::new(ArcSwap::from_pointee(registry)))
}

/// A listener that is bound and answers nobody yet.
pub(super) struct AdminListener {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    door: Door,
    pub(super) identity: Arc<ServerIdentity>,
    registry: Arc<ArcSwap<Registry>>,
    sessions: Option<Arc<Sessions>>,
    #[cfg(feature = "openid")]
    openid: Option<Provider>,
}

/// What the console shows.
pub(super) struct Shown {
    pub(super) service: Arc<Service>,
    pub(super) health: Arc<Health>,
    pub(super) bridges: BTreeMap<String, Arc<Bridge>>,
}

impl AdminListener {
    /// Opens the listener, if there shall be one.
    pub(super) async fn bind(
        config: &Config,
        base: &Base,
        registry: &Arc<ArcSwap<Registry>>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(address) = config.listen.admin else {
            return Ok(None);
        };
        let own = Arc::clone(&base.identity);
        let identity = Arc::new(ServerIdentity::load(config.admin.server.as_ref(), own)?);
        let (provider, known) = (Arc::clone(&base.provider), Arc::clone(registry));
        let (shown, clock) = (Arc::clone(&identity), Arc::clone(&base.clock));
        let tls = tls::server_config(provider, shown, Arc::clone(&known), clock)?;
        let listener = bind(address, "listen.admin").await?;
        Ok(Some(Self {
            address: listener.local_addr()?,
            listener,
            door: Door::new(tls, None),
            identity,
            registry: known,
            sessions: config.admin.console.then(Arc::default),
            #[cfg(feature = "openid")]
            openid: openid(config, base)?,
        }))
    }

    /// Where the console is, and who is logged in there; `None` where there is none.
    pub(super) fn console(&self) -> Option<(SocketAddr, Arc<Sessions>)> {
        Some((self.address, self.sessions.clone()?))
    }

    /// Answers until `shutdown` turns true.
    pub(super) async fn run(
        self,
        api: Router,
        shown: Shown,
        bounds: Bounds,
        shutdown: watch::Receiver<bool>,
    ) {
        let Shown { service, health, bridges } = shown;
        let mut router = tls::guarded(api, Arc::clone(&self.registry), Arc::clone(&service));
        if let Some(sessions) = self.sessions {
            router = router.merge(console::router(Arc::new(Console {
                service,
                registry: self.registry,
                sessions,
                health,
                bridges,
                attempts: Attempts::default(),
                streams: Arc::new(Semaphore::new(console::STREAMS)),
                shutdown: shutdown.clone(),
                counted: Mutex::default(),
                #[cfg(feature = "openid")]
                openid: self.openid,
            })));
        }
        listener::run(self.listener, self.door, router, bounds, shutdown).await;
    }
}

/// Where people may log in to the console elsewhere.
#[cfg(feature = "openid")]
fn openid(config: &Config, base: &Base) -> anyhow::Result<Option<Provider>> {
    let openid = config.admin.openid.clone();
    let provider = openid.map(|openid| {
        let tls = Arc::clone(&base.provider);
        let provider = Provider::new(openid, tls, super::issuers::system_anchors());
        provider.map_err(|error| anyhow::anyhow!("{}: {error}", error.key()))
    });
    provider.transpose()
}
