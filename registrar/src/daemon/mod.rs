//! Puts the daemon together, runs it, and stops it cleanly.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use acme_bridge::dns::Responder;
use acme_bridge::solver::{Solver, Zones};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use self::base::Base;
use self::challenges::{Responders, SolverBuilder, tls_alpn};
use self::issuers::{IssuerBuilder, Issuers, system_anchors};
use self::observer::Daemon;
use self::observing::MetricsListener;
use crate::admin::registry::Registry;
use crate::admin::server::{self, socket, tls};
use crate::admin::service::{Observer as _, Service};
use crate::config::Config;
use crate::http::app::App;
use crate::http::crl::{self, Lists};
use crate::http::listener::{self, Bounds};
use crate::http::locks::Locks;
use crate::http::routes::router;
use crate::identity::{read_certificates, read_key};
use crate::issue::desk::CaAccount;
use crate::issue::{Issuer, resume};
use crate::masa::client::MasaClient;
use crate::observe;
use crate::observe::log::Log;
use crate::observe::metrics::labels::Listener;
use crate::policy::attempts::Attempts;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::tls::door::Door;
use crate::tls::server::server_config;
use crate::trail::keeper::Keeper;

pub(crate) mod accounts;
mod base;
mod challenges;
mod issuers;
mod observer;
mod observing;
pub(crate) mod probe;

/// Connections to the admin listener at once.
const ADMIN_CONNECTIONS: usize = 64;

/// Runs the registrar until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting, with the file or address that it is about.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let log = Arc::new(Log::start(&config.log)?);
    let (stop, stopped) = watch::channel(false);
    let base = Base::open(&config, stopped.clone()).await?;
    let metrics = &base.observing.metrics;
    let listener = bind(config.listen.est, "listen.est").await?;
    let address = listener.local_addr()?;
    let responders = Responders::start(&config, &base.answers).await?;
    let mut tasks = JoinSet::new();
    let Issuers { by_name: issuers, bridges, locals } = start_issuers(&config, &base, &mut tasks)?;
    let lists = Lists::new(Arc::clone(&base.store), Arc::clone(&base.clock), locals);
    let lists = crl::routes(Arc::new(lists));
    base.observing.watch(responders.dns.as_ref());
    let registry = registry(&config)?;
    let socket_path = config.admin_socket();
    let admin_socket = socket::bind(&socket_path)?;
    let admin_listener = bind_admin(&config, &base, &registry).await?;
    let health = base.health(&config);
    let shown = observe::routes(Arc::clone(&health), Arc::clone(metrics));
    let metrics_listener =
        MetricsListener::start(&config, shown.clone().merge(lists.clone())).await?;
    let accounts = accounts::driven(&bridges);
    base.observing.start(&config, &base, bridges, &mut tasks)?;
    let limits = config.limits;
    let bounds = Bounds::new(limits.connections, limits.timeouts, metrics, Listener::Est);
    let challenges = tls_alpn(&config, &base.provider, &base.answers);
    let door = Door::new(server_config(Arc::clone(&base.provider), &base.identity)?, challenges);
    let app = Arc::new(app(config, &base, issuers).await?);
    let daemon = Arc::new(Daemon {
        app: Arc::clone(&app),
        dns: responders.dns.as_ref().map(Responder::counters),
        registry: Arc::clone(&registry),
        log: Arc::clone(&log),
        generation: AtomicI64::new(app.store.generation().await?),
    });
    let service = service(&daemon, accounts);
    let admin = server::router(Arc::clone(&service), shown);
    tasks.spawn(socket::run(admin_socket, admin.clone(), stopped.clone()));
    let admin_address = admin_listener.as_ref().map(|(_, address, _)| *address);
    if let Some((listener, _, door)) = admin_listener {
        let guarded = tls::guarded(admin, registry, service);
        let bounds = Bounds::new(ADMIN_CONNECTIONS, limits.timeouts, metrics, Listener::Admin);
        tasks.spawn(listener::run(listener, door, guarded, bounds, stopped.clone()));
    }
    tasks.spawn(Arc::clone(&daemon).follow(stopped.clone()));
    resume::approved(&app).await;
    let keeper = Arc::new(keeper(&app));
    let keeping = Arc::clone(&keeper);
    let ending = stopped.clone();
    tasks.spawn(async move { keeping.run(ending).await });
    let router = router(app).merge(lists);
    tasks.spawn(async move {
        let _listening = health.listening();
        listener::run(listener, door, router, bounds, stopped).await;
    });
    announce(&[
        ("", Some(format!("https://{address}"))),
        ("admin ", admin_address.map(|address| format!("https://{address}"))),
        ("dns ", responders.dns.as_ref().map(|dns| dns.address().to_string())),
        ("http-01 ", responders.http.as_ref().map(|http| http.address().to_string())),
        ("metrics ", metrics_listener.as_ref().map(|each| format!("http://{}", each.address))),
    ]);
    wait_for_signal(&daemon).await?;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    responders.stop().await;
    // Last of all: nobody writes any more.
    keeper.end().await;
    if let Some(listener) = metrics_listener {
        listener.end().await;
    }
    remove_socket(&socket_path);
    log.end().await;
    Ok(())
}

/// Starts what makes certificates.
fn start_issuers(config: &Config, base: &Base, tasks: &mut JoinSet<()>) -> anyhow::Result<Issuers> {
    let solvers =
        SolverBuilder { provider: &base.provider, clock: &base.clock, answers: &base.answers };
    let zones = Arc::new(solvers.all(&config.zones)?);
    let solver: Arc<dyn Solver> = Arc::<Zones>::clone(&zones);
    tasks.spawn(zones.run(base.shutdown.clone()));
    let build = IssuerBuilder {
        provider: &base.provider,
        clock: &base.clock,
        orders: &base.orders,
        solver: &solver,
        node: &config.store.node,
        metrics: &base.observing.metrics,
    };
    let issuers = build.all(config)?;
    for bridge in issuers.bridges.values() {
        tasks.spawn(Arc::clone(bridge).run(base.shutdown.clone()));
    }
    Ok(issuers)
}

/// Everything that a request may need.
async fn app(
    config: Config,
    base: &Base,
    issuers: BTreeMap<String, Arc<dyn Issuer>>,
) -> anyhow::Result<App> {
    let masa = MasaClient::new(
        Arc::clone(&base.provider),
        Arc::clone(&base.identity),
        Arc::new(system_anchors()),
        config.limits.masa_timeout,
        Arc::clone(&base.observing.metrics),
    );
    let manufacturers = ManufacturerDirectory::new(base.store.manufacturers().await?)?;
    Ok(App {
        config: Arc::new(ArcSwap::from_pointee(config)),
        store: Arc::clone(&base.store),
        clock: Arc::clone(&base.clock),
        identity: Arc::clone(&base.identity),
        manufacturers: ArcSwap::from_pointee(manufacturers),
        masa: Arc::new(masa),
        issuers,
        attempts: Attempts::default(),
        locks: Locks::default(),
        requests: AtomicU64::new(0),
        metrics: Arc::clone(&base.observing.metrics),
    })
}

/// The operators' side.
fn service(daemon: &Arc<Daemon>, accounts: BTreeMap<String, CaAccount>) -> Arc<Service> {
    let app = &daemon.app;
    let key = app.identity.certificate().spki_der().to_vec();
    let (store, clock) = (Arc::clone(&app.store), Arc::clone(&app.clock));
    let (observer, config) = (Arc::clone(daemon), Arc::clone(&app.config));
    Arc::new(Service::new(store, clock, observer, config, accounts, key))
}

/// Listens on an address. `key`: where the configuration names it.
async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} ({key})"))
}

/// Who may use the admin API over TLS.
fn registry(config: &Config) -> anyhow::Result<Arc<ArcSwap<Registry>>> {
    let registry = Registry::load(&config.admin, &config.file).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    Ok(Arc::new(ArcSwap::from_pointee(registry)))
}

/// Opens the admin listener, if there shall be one.
async fn bind_admin(
    config: &Config,
    base: &Base,
    registry: &Arc<ArcSwap<Registry>>,
) -> anyhow::Result<Option<(TcpListener, SocketAddr, Door)>> {
    let Some(address) = config.listen.admin else {
        return Ok(None);
    };
    let (chain, key) = match &config.admin.server {
        None => (base.identity.tls_chain(), base.identity.private_key()),
        Some(files) => {
            let chain = read_certificates(&files.certificate).context("admin.certificate")?;
            let key = read_key(&files.key).context("admin.key")?;
            (chain.iter().map(|each| each.der().clone()).collect(), key.into())
        }
    };
    let (provider, registry) = (Arc::clone(&base.provider), Arc::clone(registry));
    let tls = tls::server_config(provider, chain, key, registry, Arc::clone(&base.clock))
        .context("admin.certificate and admin.key do not make a TLS server")?;
    let listener = bind(address, "listen.admin").await?;
    let bound = listener.local_addr()?;
    Ok(Some((listener, bound, Door::new(tls, None))))
}

/// What signs and prunes the trail.
fn keeper(app: &App) -> Keeper {
    Keeper {
        store: Arc::clone(&app.store),
        clock: Arc::clone(&app.clock),
        identity: Arc::clone(&app.identity),
        node: app.config.load().store.node.clone(),
        config: Arc::clone(&app.config),
    }
}

/// One line, which says that requests are taken from now on, and where.
fn announce(places: &[(&str, Option<String>)]) {
    let places: Vec<String> = places
        .iter()
        .filter_map(|(name, place)| place.as_ref().map(|place| format!("{name}{place}")))
        .collect();
    eprintln!("registrar: listening on {}", places.join(", "));
}

/// Waits for SIGTERM or SIGINT; SIGHUP reads the configuration again.
async fn wait_for_signal(daemon: &Daemon) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                if let Err(lines) = daemon.reload().await {
                    for line in lines {
                        error!("the configuration stays as it was: {line}");
                    }
                }
            }
        }
    }
}

fn remove_socket(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!(%error, "cannot remove the admin socket");
    }
}
