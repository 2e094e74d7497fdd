//! Puts the daemon together, runs it, and stops it cleanly.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use acme_bridge::dns::Responder;
use acme_bridge::solver::{Solver, Zones};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use self::admin::{AdminListener, Shown, registry};
use self::agreement::Agreement;
use self::base::Base;
use self::challenges::{Responders, SolverBuilder, tls_alpn};
use self::discovery::Announcement;
use self::issuers::{IssuerBuilder, Issuers, system_anchors};
use self::manager::Living;
use self::observer::Daemon;
use self::observing::MetricsListener;
use self::timekeeper::Timekeeper;
use crate::admin::server::{self, socket};
use crate::admin::service::{Observer as _, Service};
use crate::config::{Config, ConnectionLimits, LabAnchors, danger};
use crate::http::app::App;
use crate::http::crl::{self, Lists};
use crate::http::listener::{self, Bounds};
use crate::http::locks::Locks;
use crate::http::routes::router;
use crate::identity::custodian::Custodian;
use crate::issue::desk::CaAccount;
use crate::issue::{Issuer, resume};
use crate::masa::client::MasaClient;
use crate::observe;
use crate::observe::log::Log;
use crate::observe::metrics::labels::Listener;
use crate::policy::attempts::Attempts;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::policy::told::Told;
use crate::tls::door::Door;
use crate::tls::server::server_config;
use crate::trail::keeper::Keeper;

pub(crate) mod accounts;
mod admin;
mod agreement;
mod base;
mod challenges;
mod discovery;
mod issuers;
mod manager;
mod observer;
mod observing;
mod prefetch;
pub(crate) mod probe;
mod timekeeper;

/// Connections to the admin listener at once.
const ADMIN_CONNECTIONS: ConnectionLimits =
    ConnectionLimits { all: 64, of_one_address: 48, handshakes: 32 };

/// Runs the registrar until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting, with the file or address that it is about.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let log = Arc::new(Log::start(&config.log)?);
    let (stop, stopped) = watch::channel(false);
    let base = Base::open(&config, stopped.clone()).await?;
    refuse_lab_anchors(&config, &base).await?;
    let metrics = &base.observing.metrics;
    let listener = bind(config.listen.est, "listen.est").await?;
    let address = listener.local_addr()?;
    let announcement = Announcement::prepare(&config, address)?;
    let responders = Responders::start(&config, &base.answers).await?;
    let mut tasks = JoinSet::new();
    let Issuers { by_name: issuers, bridges, locals } = start_issuers(&config, &base, &mut tasks)?;
    let lists = Lists::new(Arc::clone(&base.store), Arc::clone(&base.clock), locals);
    let lists = crl::routes(Arc::new(lists));
    base.observing.watch(responders.dns.as_ref());
    let registry = registry(&config)?;
    let socket_path = config.admin_socket();
    let admin_socket = socket::bind(&socket_path)?;
    let admin_listener = AdminListener::bind(&config, &base, &registry).await?;
    let health = base.health(&config);
    let shown = observe::routes(Arc::clone(&health), Arc::clone(metrics));
    let metrics_listener =
        MetricsListener::start(&config, shown.clone().merge(lists.clone())).await?;
    let accounts = accounts::driven(&bridges);
    base.observing.start(&config, &base, bridges.clone(), &mut tasks)?;
    let limits = config.limits;
    let bounds = Bounds::new(limits.connections, limits.timeouts, metrics, Listener::Est);
    let challenges = tls_alpn(&config, &base.provider, &base.answers);
    let tls = server_config(Arc::clone(&base.provider), Arc::clone(&base.identity))?;
    let door = Door::new(tls, challenges);
    let (app, masa) = app(config, &base, issuers).await?;
    let daemon = Arc::new(Daemon {
        app: Arc::clone(&app),
        dns: responders.dns.as_ref().map(Responder::counters),
        registry: Arc::clone(&registry),
        admin: admin_listener.as_ref().map(|each| Arc::clone(&each.identity)),
        log: Arc::clone(&log),
        agreement: Arc::new(agreement(&app)),
        console: admin_listener.as_ref().and_then(AdminListener::console),
        masa,
        generation: AtomicI64::new(app.store.generation().await?),
    });
    let service = service(&daemon, accounts);
    let admin = server::router(Arc::clone(&service), shown);
    tasks.spawn(socket::run(admin_socket, admin.clone(), stopped.clone()));
    let admin_address = admin_listener.as_ref().map(|each| each.address);
    if let Some(admin_listener) = admin_listener {
        let shown = Shown { service, health: Arc::clone(&health), bridges };
        let bounds = Bounds::new(ADMIN_CONNECTIONS, limits.timeouts, metrics, Listener::Admin);
        tasks.spawn(admin_listener.run(admin, shown, bounds, stopped.clone()));
    }
    resume::approved(&app).await;
    let keeper = caretakers(&daemon, &stopped, &mut tasks);
    if let Some(announcement) = announcement {
        tasks.spawn(announcement.run(stopped.clone()));
    }
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
    let _living = until_signal(&daemon).await?;
    stop.send_replace(true);
    finish(tasks, limits.timeouts.shutdown).await;
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

/// Starts what works beside the listeners; gives the keeper of the trail, which ends last.
fn caretakers(
    daemon: &Arc<Daemon>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Arc<Keeper> {
    let app = &daemon.app;
    tasks.spawn(Arc::clone(daemon).follow(stopped.clone()));
    tasks.spawn(Arc::clone(&daemon.agreement).run(stopped.clone()));
    tasks.spawn(Timekeeper::new(app).run(stopped.clone()));
    tasks.spawn(prefetch::run(Arc::clone(app), stopped.clone()));
    tasks.spawn(custodian(app).run(stopped.clone()));
    let keeper = Arc::new(keeper(app));
    let (keeping, ending) = (Arc::clone(&keeper), stopped.clone());
    tasks.spawn(async move { keeping.run(ending).await });
    keeper
}

/// Lets everything end that runs, at most for `limit`.
///
/// What is cut off then is parked: orders, enrollments and exchanges are rows that go on where they stood.
async fn finish(mut tasks: JoinSet<()>, limit: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, all).await.is_err() {
        warn!(
            tasks = tasks.len(),
            "the time to end is over: what still runs goes on after the next start"
        );
        tasks.shutdown().await;
    }
}

/// Says what makes this registrar weak; one that trusts a lab by accident does not start.
async fn refuse_lab_anchors(config: &Config, base: &Base) -> anyhow::Result<()> {
    for (key, reason) in danger::warnings(&config.danger) {
        warn!("{key} {reason}");
    }
    if config.danger.lab_anchors == LabAnchors::Allowed {
        return Ok(());
    }
    let mut found = danger::lab_certificates(config);
    found.extend(danger::lab_manufacturers(config, &base.store.manufacturers().await?));
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    anyhow::ensure!(lines.is_empty(), lines.join("\n"));
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

/// What calls MASAs.
fn masa(config: &Config, base: &Base) -> MasaClient {
    MasaClient::new(
        Arc::clone(&base.provider),
        Arc::clone(&base.identity),
        Arc::new(system_anchors()),
        config.limits.masa_timeout,
        Arc::clone(&base.observing.metrics),
    )
}

/// Everything that a request may need, with what calls MASAs.
async fn app(
    config: Config,
    base: &Base,
    issuers: BTreeMap<String, Arc<dyn Issuer>>,
) -> anyhow::Result<(Arc<App>, Arc<MasaClient>)> {
    let masa = Arc::new(masa(&config, base));
    let manufacturers = ManufacturerDirectory::new(base.store.manufacturers().await?)?;
    let app = App {
        config: Arc::new(ArcSwap::from_pointee(config)),
        store: Arc::clone(&base.store),
        clock: Arc::clone(&base.clock),
        identity: Arc::clone(&base.identity),
        manufacturers: ArcSwap::from_pointee(manufacturers),
        masa: Arc::<MasaClient>::clone(&masa),
        issuers,
        attempts: Attempts::default(),
        told: Told::default(),
        locks: Locks::default(),
        requests: AtomicU64::new(0),
        metrics: Arc::clone(&base.observing.metrics),
        stopping: base.shutdown.clone(),
    };
    Ok((Arc::new(app), masa))
}

/// What compares the settings of the nodes.
fn agreement(app: &App) -> Agreement {
    Agreement {
        store: Arc::clone(&app.store),
        clock: Arc::clone(&app.clock),
        metrics: Arc::clone(&app.metrics),
        config: Arc::clone(&app.config),
        spki: app.identity.key().spki_der().to_vec(),
        found: ArcSwap::default(),
    }
}

/// The operators' side.
fn service(daemon: &Arc<Daemon>, accounts: BTreeMap<String, CaAccount>) -> Arc<Service> {
    let app = &daemon.app;
    let key = app.identity.key().spki_der().to_vec();
    let (store, clock) = (Arc::clone(&app.store), Arc::clone(&app.clock));
    let (observer, config) = (Arc::clone(daemon), Arc::clone(&app.config));
    Arc::new(Service::new(store, clock, observer, config, accounts, key))
}

/// Listens on an address. `key`: where the configuration names it.
async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} ({key})"))
}

/// What looks after the registrar's own certificates.
fn custodian(app: &App) -> Custodian {
    Custodian {
        store: Arc::clone(&app.store),
        clock: Arc::clone(&app.clock),
        live: Arc::clone(&app.identity),
        config: Arc::clone(&app.config),
        metrics: Arc::clone(&app.metrics),
    }
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
    // A disk that is full of logs keeps nobody from being served.
    let _ = writeln!(std::io::stderr(), "registrar: listening on {}", places.join(", "));
}

/// Tells the service manager that requests are taken, until a signal says that the daemon shall end.
///
/// What is given says that it lives until all has ended.
async fn until_signal(daemon: &Daemon) -> anyhow::Result<Living> {
    manager::ready();
    let living = manager::live();
    wait_for_signal(daemon).await?;
    manager::stopping();
    Ok(living)
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
