//! The store in PostgreSQL, which several registrars share: one writing connection a node, a pool of reading ones.

use std::collections::HashMap;
use std::ops::Deref;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acme_bridge::AccountRecord;
use async_trait::async_trait;
use deadpool_postgres::tokio_postgres::config::{Host, SslMode};
use deadpool_postgres::tokio_postgres::{self, Client, Config, Statement};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, info, warn};

use self::session::{Connection, PostgresSession};
use super::StoreError;
use super::model::{NodeSettings, Sha256};
use super::sql::session::{Dialect, Engine, Pending, Result, Session};
use super::sql::writer::{Answer, Jobs, Node, Queue, Work, gather, queue, refuse};
use super::sql::{OpenError, SqlStore};
use super::sql::{migrations, read, trail};
use super::watch::{Unwatched, Watcher};

mod session;

/// How many reading connections a node has.
const READERS: usize = 8;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a query or a transaction may take; after it the database is taken for gone.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a start waits for the connection of a process that just died to be noticed by the database.
const TAKE_OVER: Duration = Duration::from_secs(5);
/// Between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(200);
/// Keeps migrations of two nodes apart: an advisory lock of this number.
const MIGRATION_LOCK: i64 = 0x6272_736b_6900;

/// The store in PostgreSQL.
pub type PostgresStore = SqlStore<Postgres>;

/// A PostgreSQL database.
pub struct Postgres {
    queue: Queue,
    pool: Pool,
}

/// How the database is reached.
#[derive(Clone)]
struct Access {
    config: Config,
    tls: MakeRustlsConnect,
    /// Host and database, without the password.
    place: String,
}

/// A connection of our own.
struct Connected {
    client: Client,
    prepared: Mutex<HashMap<String, Statement>>,
}

impl Deref for Connected {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

#[async_trait]
impl Connection for Connected {
    async fn statement(&self, sql: &str) -> std::result::Result<Statement, tokio_postgres::Error> {
        let kept = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept().get(sql).cloned();
        match known {
            Some(statement) => Ok(statement),
            None => {
                let statement = self.client.prepare(sql).await?;
                kept().insert(sql.to_owned(), statement.clone());
                Ok(statement)
            }
        }
    }
}

type WriterSession = PostgresSession<Connected>;

impl PostgresStore {
    /// Connects, and brings the tables up to date.
    ///
    /// `url`: `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=require`, or `host=/folder dbname=…` for a Unix socket.
    /// `anchors`: of the server's TLS certificate. `node`: this node's name, which no other node of the database has.
    ///
    /// # Errors
    /// [`OpenError`], naming host and database and never the password; a database of a newer version is left as it is.
    pub async fn open(
        url: &str,
        anchors: RootCertStore,
        node: &str,
    ) -> std::result::Result<Self, OpenError> {
        Self::open_watched(url, anchors, node, Arc::new(Unwatched)).await
    }

    /// As [`PostgresStore::open`]; the store tells `watcher` how it does.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_watched(
        url: &str,
        anchors: RootCertStore,
        node: &str,
        watcher: Arc<dyn Watcher>,
    ) -> std::result::Result<Self, OpenError> {
        let access = Access::new(url, anchors)?;
        access.migrate().await?;
        let session = access.take_over(node).await?;
        let manager = Manager::from_config(
            access.config.clone(),
            access.tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(READERS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build()
            .map_err(|error| access.cannot(error))?;
        let (queue, jobs) = queue();
        let writer = Writer { access, node: node.to_owned(), watcher: Arc::clone(&watcher) };
        tokio::spawn(writer.run(session, jobs));
        Ok(SqlStore::new(Postgres { queue, pool }, watcher))
    }
}

/// What each node said of its settings last; nothing is written or locked.
pub(super) async fn node_settings(
    url: &str,
    anchors: RootCertStore,
) -> std::result::Result<Vec<NodeSettings>, OpenError> {
    glance(url, anchors, migrations::has_node_settings, |session| {
        Box::pin(trail::node_settings(session))
    })
    .await
}

/// The ACME accounts; nothing is written or locked.
pub(super) async fn accounts(
    url: &str,
    anchors: RootCertStore,
) -> std::result::Result<Vec<(String, AccountRecord)>, OpenError> {
    glance(url, anchors, migrations::has_account_contacts, |session| {
        Box::pin(read::accounts(session))
    })
    .await
}

/// What a query finds; nothing where the database is not of a version that has it.
async fn glance<T>(
    url: &str,
    anchors: RootCertStore,
    has: fn(i64) -> bool,
    query: impl for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, Vec<T>>,
) -> std::result::Result<Vec<T>, OpenError> {
    let access = Access::new(url, anchors)?;
    let client = access.connect().await?;
    let version = version(&client).await.map_err(|error| access.cannot(described(&error)))?;
    if !has(version) {
        return Ok(Vec::new());
    }
    query(&mut PostgresSession::new(client)).await.map_err(|error| access.cannot(error))
}

impl Access {
    fn new(url: &str, anchors: RootCertStore) -> std::result::Result<Self, OpenError> {
        let unusable = |reason: String| OpenError::Url { reason };
        // The parser's message may quote the URL, and with it the password.
        let mut config = Config::from_str(url.trim())
            .map_err(|_| unusable("it is no PostgreSQL connection URL".to_owned()))?;
        let is_local = config.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost"
                    || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        });
        if config.get_hosts().is_empty() {
            return Err(unusable("it names no host".to_owned()));
        }
        if !is_local && config.get_ssl_mode() != SslMode::Require {
            return Err(unusable(
                "the host is another machine: add sslmode=require, so that nobody between reads \
                 or changes what is stored"
                    .to_owned(),
            ));
        }
        let hosts: Vec<String> = config.get_hosts().iter().map(host_name).collect();
        let database = config.get_dbname().or(config.get_user()).unwrap_or("?");
        let place = format!("PostgreSQL database {database} at {}", hosts.join(", "));
        config.connect_timeout(CONNECT).application_name("registrar");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(anchors)
            .with_no_client_auth();
        Ok(Self { config, tls: MakeRustlsConnect::new(tls), place })
    }

    fn cannot(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OpenError {
        OpenError::Database { place: self.place.clone(), source: source.into() }
    }

    async fn connect(&self) -> std::result::Result<Connected, OpenError> {
        let connecting = timeout(CONNECT, self.config.connect(self.tls.clone()));
        let (client, connection) = match connecting.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(self.cannot(described(&error))),
            Err(elapsed) => return Err(self.cannot(elapsed)),
        };
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        let limit = format!("SET statement_timeout = {}", ANSWER.as_millis());
        client.batch_execute(&limit).await.map_err(|error| self.cannot(described(&error)))?;
        Ok(Connected { client, prepared: Mutex::default() })
    }

    /// Brings the tables up to date, one node at a time.
    async fn migrate(&self) -> std::result::Result<(), OpenError> {
        let mut client = self.connect().await?;
        let failed = |error: tokio_postgres::Error| self.cannot(described(&error));
        client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.map_err(failed)?;
        let version = version(&client).await.map_err(failed)?;
        if version > migrations::newest() {
            return Err(OpenError::Newer {
                place: self.place.clone(),
                version,
                known: migrations::newest(),
            });
        }
        let migrate = |reason: String| OpenError::Migrate { place: self.place.clone(), reason };
        let runner =
            migrations::runner(Dialect::Postgres).map_err(|error| migrate(error.to_string()))?;
        runner.run_async(&mut client.client).await.map_err(|error| migrate(error.to_string()))?;
        // The lock ends with the connection.
        Ok(())
    }

    /// Connects as the one writer of this node.
    async fn take_over(&self, node: &str) -> std::result::Result<WriterSession, OpenError> {
        let deadline = Instant::now() + TAKE_OVER;
        loop {
            match self.writer(node).await? {
                Some(session) => return Ok(session),
                None if Instant::now() > deadline => {
                    let place = format!("node {node:?} of {}", self.place);
                    return Err(OpenError::InUse { place });
                }
                None => sleep(PAUSE).await,
            }
        }
    }

    /// A connection that holds the node's lock; `None` if another one holds it.
    async fn writer(&self, node: &str) -> std::result::Result<Option<WriterSession>, OpenError> {
        let client = self.connect().await?;
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&node_lock(node)])
            .await
            .map_err(|error| self.cannot(described(&error)))?;
        Ok(row.get::<_, bool>(0).then(|| PostgresSession::new(client)))
    }
}

/// The number of a node's advisory lock.
fn node_lock(node: &str) -> i64 {
    let Sha256(digest) = Sha256::of(format!("brski-registrar node {node}").as_bytes());
    digest.first_chunk().map_or(0, |octets| i64::from_be_bytes(*octets))
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// An error of the driver with what the server said, which its own words leave out.
fn described(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The version of the tables; 0 where there are none.
async fn version(client: &Client) -> std::result::Result<i64, tokio_postgres::Error> {
    let table = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    if !client.query_one(table, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history";
    client.query_one(sql, &[]).await?.try_get(0)
}

/// The writing task: it connects again when the database was away.
struct Writer {
    access: Access,
    node: String,
    watcher: Arc<dyn Watcher>,
}

impl Writer {
    async fn run(self, session: WriterSession, mut jobs: Jobs) {
        let mut writer = self.begin();
        let mut session = Some(session);
        while let Some(first) = jobs.recv().await {
            let group = gather(first, &mut jobs);
            if session.as_ref().is_none_or(WriterSession::is_closed) {
                writer = self.begin();
                session = self.again().await;
            }
            let Some(connected) = &mut session else {
                refuse(group, "the database cannot be reached");
                continue;
            };
            if timeout(ANSWER, writer.perform(connected, group)).await.is_err() {
                warn!("the database does not answer; its connection is given up");
                session = None;
            }
        }
    }

    fn begin(&self) -> Node {
        Node::new(&self.node, Arc::clone(&self.watcher))
    }

    async fn again(&self) -> Option<WriterSession> {
        match self.access.writer(&self.node).await {
            Ok(Some(session)) => {
                info!("connected to the database again");
                Some(session)
            }
            Ok(None) => {
                warn!(node = self.node, "another connection still writes for this node");
                None
            }
            Err(error) => {
                warn!(%error, "the database is away");
                None
            }
        }
    }
}

impl Engine for Postgres {
    async fn read<T, Q>(&self, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static,
    {
        let object = match self.pool.get().await {
            Ok(object) => object,
            Err(error) => return Err(StoreError::Database(Box::new(error))),
        };
        let mut session = PostgresSession::new(Pooled(object));
        match timeout(ANSWER, query(&mut session)).await {
            Ok(result) => result,
            Err(elapsed) => Err(StoreError::Database(Box::new(elapsed))),
        }
    }

    async fn write(&self, work: Work) -> Answer {
        self.queue.perform(work).await
    }
}

/// A connection of the pool.
struct Pooled(deadpool_postgres::Object);

#[async_trait]
impl Connection for Pooled {
    async fn statement(&self, sql: &str) -> std::result::Result<Statement, tokio_postgres::Error> {
        self.0.prepare_cached(sql).await
    }
}

impl Deref for Pooled {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}
