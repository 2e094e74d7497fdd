//! Puts the daemon together, runs it, and stops it cleanly.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use acme_bridge::dns::Responder;
use acme_bridge::solver::{Solver, Zones};
use acme_bridge::{AnswerStore, Clock, OrderStore};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{any, post};
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;
use tracing_subscriber::EnvFilter;

use self::challenges::{Responders, SolverBuilder, tls_alpn};
use self::issuers::{IssuerBuilder, Issuers, system_anchors};
use self::observer::Daemon;
use crate::admin::lock::FolderLock;
use crate::admin::server;
use crate::admin::service::Service;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::http::app::App;
use crate::http::locks::Locks;
use crate::http::{brski, est, listener};
use crate::identity::RegistrarIdentity;
use crate::issue::answers::Answers;
use crate::issue::orders::Orders;
use crate::issue::resume;
use crate::masa::client::MasaClient;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::store;
use crate::tls::door::Door;
use crate::tls::server::server_config;
use crate::trail::keeper::Keeper;

mod challenges;
mod issuers;
mod observer;
pub(crate) mod probe;

/// Runs the registrar until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting, with the file or address that it is about.
pub async fn run(config: Config) -> anyhow::Result<()> {
    start_log(&config.log)?;
    let _lock = FolderLock::take(&config.folder)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open(&config.store, &config.store.node).await?;
    let identity = Arc::new(RegistrarIdentity::load(&config.identity)?);
    let orders: Arc<dyn OrderStore> = Arc::new(Orders::new(Arc::clone(&store)));
    let answers: Arc<dyn AnswerStore> = Arc::new(Answers::new(Arc::clone(&store)));
    let listener = TcpListener::bind(config.listen.est)
        .await
        .with_context(|| format!("cannot listen on {} (listen.est)", config.listen.est))?;
    let address = listener.local_addr()?;
    let responders = Responders::start(&config, &answers).await?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let node = config.store.node.clone();
    let solvers = SolverBuilder { provider: &provider, clock: &clock, answers: &answers };
    let zones = Arc::new(solvers.all(&config.zones)?);
    let solver: Arc<dyn Solver> = Arc::<Zones>::clone(&zones);
    tasks.spawn(zones.run(stopped.clone()));
    let build = IssuerBuilder {
        provider: &provider,
        clock: &clock,
        orders: &orders,
        solver: &solver,
        node: &node,
    };
    let Issuers { by_name: issuers, bridges, .. } = build.all(&config)?;
    for bridge in bridges.into_values() {
        tasks.spawn(bridge.run(stopped.clone()));
    }
    let masa = MasaClient::new(
        Arc::clone(&provider),
        Arc::clone(&identity),
        Arc::new(system_anchors()),
        config.limits.masa_timeout,
    );
    let manufacturers = ManufacturerDirectory::new(store.manufacturers().await?)?;
    let socket = server::bind(&config.admin_socket())?;
    let socket_path = config.admin_socket();
    let connections = config.limits.connections;
    let challenges = tls_alpn(&config, &provider, &answers);
    let door = Door::new(server_config(provider, &identity)?, challenges);
    let app = Arc::new(App {
        config,
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        identity,
        manufacturers: ArcSwap::from_pointee(manufacturers),
        masa,
        issuers,
        locks: Locks::default(),
        requests: AtomicU64::new(0),
    });
    let daemon =
        Daemon { app: Arc::clone(&app), dns: responders.dns.as_ref().map(Responder::counters) };
    let service = Arc::new(Service::new(store, clock, Arc::new(daemon)));
    tasks.spawn(server::run(socket, service, stopped.clone()));
    resume::approved(&app).await;
    let keeper = Arc::new(keeper(&app));
    let keeping = Arc::clone(&keeper);
    let ending = stopped.clone();
    tasks.spawn(async move { keeping.run(ending).await });
    tasks.spawn(listener::run(listener, door, router(app), connections, stopped));
    announce(address, &responders);
    wait_for_signal().await?;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    responders.stop().await;
    // Last of all: nobody writes any more.
    keeper.end().await;
    remove_socket(&socket_path);
    Ok(())
}

/// What signs and prunes the trail.
fn keeper(app: &App) -> Keeper {
    Keeper {
        store: Arc::clone(&app.store),
        clock: Arc::clone(&app.clock),
        identity: Arc::clone(&app.identity),
        node: app.config.store.node.clone(),
        retention: app.config.store.retention,
    }
}

fn start_log(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("log.level {level:?} is no level and no filter"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("{error}"))
}

fn router(app: Arc<App>) -> Router {
    use brski_voucher::path;

    Router::new()
        .route(path::REQUEST_VOUCHER, post(brski::request_voucher).fallback(brski::only_post))
        .route(path::VOUCHER_STATUS, post(brski::voucher_status).fallback(brski::only_post))
        .route(path::ENROLL_STATUS, post(brski::enroll_status).fallback(brski::only_post))
        .route("/.well-known/est/{*rest}", any(est::dispatch))
        .fallback(brski::unknown_path)
        .with_state(app)
}

/// One line, which says that requests are taken from now on, and where.
fn announce(est: SocketAddr, responders: &Responders) {
    let dns = responders.dns.as_ref().map(|dns| format!(", dns {}", dns.address()));
    let http = responders.http.as_ref().map(|http| format!(", http-01 {}", http.address()));
    let (dns, http) = (dns.unwrap_or_default(), http.unwrap_or_default());
    eprintln!("registrar: listening on https://{est}{dns}{http}");
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn remove_socket(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!(%error, "cannot remove the admin socket");
    }
}
