//! The running daemon as the admin API sees it: what it counts, and what it takes up from the store and from its file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use acme_bridge::dns;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::admin::actor::Actor;
use crate::admin::api::status::{ConsoleLink, Counters, Reloaded};
use crate::admin::registry::Registry;
use crate::admin::service::Observer;
use crate::config::reload::{Reload, merge};
use crate::config::{Config, Problem};
use crate::console::session::Sessions;
use crate::http::app::App;
use crate::observe::log::Log;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::store::model::Millis;

/// How often the store is asked whether another node's operator changed something.
const TICK: Duration = Duration::from_secs(1);

/// The daemon as the admin API sees it.
pub(super) struct Daemon {
    pub(super) app: Arc<App>,
    pub(super) dns: Option<Arc<dns::Counters>>,
    pub(super) registry: Arc<ArcSwap<Registry>>,
    pub(super) log: Arc<Log>,
    /// Where the console is, and who is logged in there; `None` where there is none.
    pub(super) console: Option<(SocketAddr, Arc<Sessions>)>,
    /// The operators' changes up to this number are taken up.
    pub(super) generation: AtomicI64,
}

impl Daemon {
    /// Takes up what operators change at other nodes, until `shutdown` turns true.
    pub(super) async fn follow(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            // A store that is away is noticed by those who have something to do there.
            let Ok(generation) = self.app.store.generation().await else {
                continue;
            };
            if generation != self.generation.load(Ordering::Relaxed) && self.read_again().await {
                self.generation.store(generation, Ordering::Relaxed);
            }
        }
    }

    /// Reads the manufacturers; whether that was possible.
    async fn read_again(&self) -> bool {
        let rows = match self.app.store.manufacturers().await {
            Ok(rows) => rows,
            Err(error) => {
                error!(%error, "cannot read the manufacturers again");
                return false;
            }
        };
        match ManufacturerDirectory::new(rows) {
            Ok(directory) => self.app.manufacturers.store(Arc::new(directory)),
            Err(error) => error!(%error, "the manufacturers stay as they were"),
        }
        true
    }
}

#[async_trait]
impl Observer for Daemon {
    async fn manufacturers_changed(&self) {
        self.read_again().await;
    }

    fn counters(&self) -> Option<Counters> {
        Some(Counters {
            requests: self.app.requests.load(Ordering::Relaxed),
            dns_queries: self.dns.as_ref().map_or(0, |dns| dns.queries()),
            dns_answers: self.dns.as_ref().map_or(0, |dns| dns.answers()),
        })
    }

    fn console_link(&self, actor: &Actor) -> Option<ConsoleLink> {
        let (address, sessions) = self.console.as_ref()?;
        let now = Millis(self.app.clock.now());
        let actor = Actor { name: format!("{} by link", actor.name), role: actor.role };
        let link = sessions.invite(actor, now);
        // A listener on every address is on this machine's own, too.
        let host = match address.ip().is_unspecified() {
            true => format!("localhost:{}", address.port()),
            false => address.to_string(),
        };
        Some(ConsoleLink { url: format!("https://{host}/console/login?link={link}") })
    }

    async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        let lines = |problems: Vec<Problem>| -> Vec<String> {
            problems.iter().map(ToString::to_string).collect()
        };
        let running = self.app.config.load_full();
        let new = Config::load(&running.file).map_err(lines)?;
        let registry = Registry::load(&new.admin, &new.file).map_err(lines)?;
        let Reload { config, applied, needs_restart } = merge(&running, new);
        self.log.set_level(&config.log.level).map_err(|error| vec![error.to_string()])?;
        self.registry.store(Arc::new(registry));
        self.app.config.store(Arc::new(config));
        info!(applied = applied.join(", "), "the configuration was read again");
        if !needs_restart.is_empty() {
            warn!(keys = needs_restart.join(", "), "these keys apply after a restart");
        }
        Ok(Reloaded { applied, needs_restart })
    }
}
