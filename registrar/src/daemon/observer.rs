//! The running daemon as the admin API sees it: what it counts, and what it takes up from the store and from its file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use acme_bridge::dns;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::MasaUrl;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::agreement::Agreement;
use super::manager;
use crate::admin::actor::Actor;
use crate::admin::api::status::{ConsoleLink, Counters, Reloaded};
use crate::admin::registry::Registry;
use crate::admin::server::identity::ServerIdentity;
use crate::admin::service::Observer;
use crate::config::reload::{Reload, merge};
use crate::config::{Config, Problem};
use crate::console::session::Sessions;
use crate::flow::nonceless::{self, Subject};
use crate::flow::refusal::Refusal;
use crate::http::app::App;
use crate::masa::client::MasaClient;
use crate::masa::probe::Found;
use crate::observe::log::Log;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::store::model::{Manufacturer, Millis, NoncelessVoucher};
use crate::store::{Conflict, StoreError};

/// How often the store is asked whether another node's operator changed something.
const TICK: Duration = Duration::from_secs(1);

/// The daemon as the admin API sees it.
pub(super) struct Daemon {
    pub(super) app: Arc<App>,
    pub(super) dns: Option<Arc<dns::Counters>>,
    pub(super) registry: Arc<ArcSwap<Registry>>,
    /// The certificate of the admin listener, where there is one.
    pub(super) admin: Option<Arc<ServerIdentity>>,
    pub(super) log: Arc<Log>,
    pub(super) agreement: Arc<Agreement>,
    /// Where the console is, and who is logged in there; `None` where there is none.
    pub(super) console: Option<(SocketAddr, Arc<Sessions>)>,
    /// What calls MASAs.
    pub(super) masa: Arc<MasaClient>,
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
            let is_new = generation != self.generation.load(Ordering::Relaxed);
            if is_new && self.read_again().await && self.read_identity().await {
                self.generation.store(generation, Ordering::Relaxed);
            }
        }
    }

    /// Takes up the registrar's own certificate; whether that was possible.
    async fn read_identity(&self) -> bool {
        match self.app.identity.refresh(&*self.app.store, self.app.now()).await {
            Ok(true) => info!("another certificate of the registrar, or root, is in use"),
            Ok(false) => {}
            Err(error) => {
                error!(%error, "cannot read the registrar's own certificates again");
                return false;
            }
        }
        true
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

impl Daemon {
    /// Reads again what the configuration's files hold: connections that are open go on with what they began with.
    async fn reload_files(&self, config: &Config, applied: &mut Vec<String>) -> Result<(), String> {
        let mut note = |key: &str| {
            if !applied.iter().any(|each| each == key) {
                applied.push(key.to_owned());
            }
        };
        if let Some(admin) = &self.admin
            && admin.reload(config.admin.server.as_ref()).map_err(|error| error.to_string())?
        {
            note("admin.certificate");
        }
        let (store, now) = (&*self.app.store, self.app.now());
        let reloaded = self.app.identity.reload(&config.identity, store, now).await;
        if reloaded.map_err(|error| error.to_string())? {
            note("identity.certificate");
        }
        Ok(())
    }
}

#[async_trait]
impl Observer for Daemon {
    async fn manufacturers_changed(&self) {
        self.read_again().await;
    }

    async fn identity_changed(&self) {
        self.read_identity().await;
    }

    async fn fetch_voucher(
        &self,
        row: NoncelessVoucher,
    ) -> Result<Option<NoncelessVoucher>, StoreError> {
        let (device, encoding) = (row.device.clone(), row.encoding);
        match super::prefetch::fetch(&self.app, row).await {
            // Another node was quicker.
            Ok(()) | Err(StoreError::Conflict(Conflict::VoucherLeased)) => {}
            Err(error) => return Err(error),
        }
        self.app.store.nonceless_voucher(&device, encoding).await
    }

    fn voucher_request(
        &self,
        subject: Subject<'_>,
        issuer: Vec<u8>,
        encoding: Encoding,
    ) -> Option<Result<Vec<u8>, Refusal>> {
        let identities = self.app.identity.load();
        Some(nonceless::request(
            identities.current(),
            subject,
            issuer,
            encoding,
            None,
            self.app.now(),
        ))
    }

    fn counters(&self) -> Option<Counters> {
        Some(Counters {
            requests: self.app.requests.load(Ordering::Relaxed),
            dns_queries: self.dns.as_ref().map_or(0, |dns| dns.queries()),
            dns_answers: self.dns.as_ref().map_or(0, |dns| dns.answers()),
            clock_behind_secs: self.app.metrics.clock_behind(),
            settings_differing: self.agreement.lines(),
        })
    }

    async fn test_masa(&self, url: &MasaUrl, manufacturer: &Manufacturer) -> Option<Vec<Found>> {
        Some(self.masa.probe(url, manufacturer).await)
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
        manager::reloading();
        let reloaded = self.read_file().await;
        manager::ready();
        reloaded
    }
}

impl Daemon {
    /// Reads the configuration again, with the files that it names.
    async fn read_file(&self) -> Result<Reloaded, Vec<String>> {
        let lines = |problems: Vec<Problem>| -> Vec<String> {
            problems.iter().map(ToString::to_string).collect()
        };
        let running = self.app.config.load_full();
        let new = Config::load(&running.file).map_err(lines)?;
        let registry = Registry::load(&new.admin, &new.file).map_err(lines)?;
        let Reload { config, mut applied, needs_restart } = merge(&running, new);
        self.log.set_level(&config.log.level).map_err(|error| vec![error.to_string()])?;
        self.reload_files(&config, &mut applied).await.map_err(|line| vec![line])?;
        self.registry.store(Arc::new(registry));
        self.app.config.store(Arc::new(config));
        info!(applied = applied.join(", "), "the configuration was read again");
        if !needs_restart.is_empty() {
            warn!(keys = needs_restart.join(", "), "these keys apply after a restart");
        }
        Ok(Reloaded { applied, needs_restart })
    }
}
