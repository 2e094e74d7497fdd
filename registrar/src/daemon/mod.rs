//! Puts the daemon together, runs it, and stops it cleanly.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use acme_bridge::dns::Responder;
use acme_bridge::{Clock, OrderStore};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{any, post};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

use self::issuers::{IssuerBuilder, Issuers, system_anchors};
use self::observer::Daemon;
use crate::admin::registry::Registry;
use crate::admin::server::{self, socket, tls};
use crate::admin::service::{Observer as _, Service};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::http::app::App;
use crate::http::locks::Locks;
use crate::http::{brski, est, listener};
use crate::identity::{RegistrarIdentity, read_certificates, read_key};
use crate::issue::orders::Orders;
use crate::issue::resume;
use crate::masa::client::MasaClient;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::store;
use crate::tls::server::server_config;
use crate::trail::keeper::Keeper;

mod issuers;
mod observer;

/// Connections to the admin listener at once.
const ADMIN_CONNECTIONS: usize = 64;

/// Runs the registrar until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps it from starting, with the file or address that it is about.
pub async fn run(config: Config) -> anyhow::Result<()> {
    start_log(&config.log)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open(&config.store, &config.store.node).await?;
    let identity = Arc::new(RegistrarIdentity::load(&config.identity)?);
    let orders: Arc<dyn OrderStore> = Arc::new(Orders::new(Arc::clone(&store)));
    let listener = TcpListener::bind(config.listen.est)
        .await
        .with_context(|| format!("cannot listen on {} (listen.est)", config.listen.est))?;
    let address = listener.local_addr()?;
    let responder = start_dns(&config, &orders).await?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let node = config.store.node.clone();
    let build = IssuerBuilder { provider: &provider, clock: &clock, orders: &orders, node: &node };
    let Issuers { by_name: issuers, bridges } = build.all(&config)?;
    for bridge in bridges {
        tasks.spawn(bridge.run(stopped.clone()));
    }
    let masa = MasaClient::new(
        Arc::clone(&provider),
        Arc::clone(&identity),
        Arc::new(system_anchors()),
        config.limits.masa_timeout,
    );
    let manufacturers = ManufacturerDirectory::new(store.manufacturers().await?)?;
    let registry = registry(&config)?;
    let socket_path = config.admin_socket();
    let admin_socket = socket::bind(&socket_path)?;
    let admin_listener = bind_admin(&config, &provider, &identity, &registry, &clock).await?;
    let connections = config.limits.connections;
    let acceptor = TlsAcceptor::from(Arc::new(server_config(provider, &identity)?));
    let app = Arc::new(App {
        config: Arc::new(ArcSwap::from_pointee(config)),
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        identity,
        manufacturers: ArcSwap::from_pointee(manufacturers),
        masa,
        issuers,
        locks: Locks::default(),
        requests: AtomicU64::new(0),
    });
    let daemon = Arc::new(Daemon {
        app: Arc::clone(&app),
        dns: responder.as_ref().map(Responder::counters),
        registry: Arc::clone(&registry),
        generation: AtomicI64::new(app.store.generation().await?),
    });
    let key = app.identity.certificate().spki_der().to_vec();
    let (observer, config) = (Arc::clone(&daemon), Arc::clone(&app.config));
    let service = Arc::new(Service::new(store, clock, observer, config, key));
    let admin = server::router(Arc::clone(&service), Router::new());
    tasks.spawn(socket::run(admin_socket, admin.clone(), stopped.clone()));
    let admin_address = admin_listener.as_ref().map(|(_, address, _)| *address);
    if let Some((listener, _, acceptor)) = admin_listener {
        let guarded = tls::guarded(admin, registry, service);
        let run = listener::run(listener, acceptor, guarded, ADMIN_CONNECTIONS, stopped.clone());
        tasks.spawn(run);
    }
    tasks.spawn(Arc::clone(&daemon).follow(stopped.clone()));
    resume::approved(&app).await;
    let keeper = Arc::new(keeper(&app));
    let keeping = Arc::clone(&keeper);
    let ending = stopped.clone();
    tasks.spawn(async move { keeping.run(ending).await });
    tasks.spawn(listener::run(listener, acceptor, router(app), connections, stopped));
    announce(address, admin_address, responder.as_ref().map(Responder::address));
    wait_for_signal(&daemon).await?;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    if let Some(responder) = responder {
        responder.stop().await;
    }
    // Last of all: nobody writes any more.
    keeper.end().await;
    remove_socket(&socket_path);
    Ok(())
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
    provider: &Arc<CryptoProvider>,
    identity: &RegistrarIdentity,
    registry: &Arc<ArcSwap<Registry>>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<(TcpListener, SocketAddr, TlsAcceptor)>> {
    let Some(address) = config.listen.admin else {
        return Ok(None);
    };
    let (chain, key) = match &config.admin.server {
        None => (identity.tls_chain(), identity.private_key()),
        Some(files) => {
            let chain = read_certificates(&files.certificate).context("admin.certificate")?;
            let key = read_key(&files.key).context("admin.key")?;
            (chain.iter().map(|each| each.der().clone()).collect(), key.into())
        }
    };
    let (provider, registry) = (Arc::clone(provider), Arc::clone(registry));
    let tls = tls::server_config(provider, chain, key, registry, Arc::clone(clock))
        .context("admin.certificate and admin.key do not make a TLS server")?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (listen.admin)"))?;
    let bound = listener.local_addr()?;
    Ok(Some((listener, bound, TlsAcceptor::from(Arc::new(tls)))))
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

async fn start_dns(
    config: &Config,
    orders: &Arc<dyn OrderStore>,
) -> anyhow::Result<Option<Responder>> {
    match config.listen.dns {
        None => Ok(None),
        Some(address) => {
            let responder = Responder::start(address, &config.zones, Arc::clone(orders)).await;
            Ok(Some(responder.context("listen.dns")?))
        }
    }
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
fn announce(est: SocketAddr, admin: Option<SocketAddr>, dns: Option<SocketAddr>) {
    let admin = admin.map_or_else(String::new, |address| format!(", admin https://{address}"));
    let dns = dns.map_or_else(String::new, |address| format!(", dns {address}"));
    eprintln!("registrar: listening on https://{est}{admin}{dns}");
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
