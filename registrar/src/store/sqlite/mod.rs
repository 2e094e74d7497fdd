//! The store in one SQLite file: WAL, full sync, one writing thread, a few readers.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use acme_bridge::AccountRecord;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use thiserror::Error;
use tokio::sync::Semaphore;

use self::lock::FileLock;
use self::session::{SqliteSession, at_once};
use super::StoreError;
use super::model::NodeSettings;
use super::sql::session::{Dialect, Engine, Pending, Result, Session};
use super::sql::writer::{Answer, Jobs, Node, Queue, Work, gather, queue};
use super::sql::{OpenError, SqlStore};
use super::sql::{migrations, read, trail};
use super::watch::{Unwatched, Watcher};

mod lock;
mod session;

/// What a database of SQLite begins with.
const HEAD: [u8; 16] = *b"SQLite format 3\0";
/// How long a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(10);
/// How many queries run at once, each on a connection of its own; more would wait for processors all the same.
const PLACES: usize = 4;
/// After how many pages of 4 KiB the log is written back: pages that change often are written back once for all of that.
const CHECKPOINT_PAGES: u32 = 4000;
/// How many KiB of pages the writing thread keeps, at most: it touches the indexes anywhere, and a page that it lacks
/// is read within the transaction.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// How many reading connections are kept open: opening one costs more than a hundred queries.
const READERS: usize = 8;

/// The store in a file.
pub type SqliteStore = SqlStore<Sqlite>;

/// Sees that a file is a database, or empty, or not there.
///
/// # Errors
/// `InvalidData` for another thing, and what the system says.
pub fn require_database(path: &Path) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD.len());
    match File::open(path) {
        Ok(file) => file.take(16).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match head.is_empty() || head == HEAD {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a database of SQLite")),
    }
}

/// The database in a file.
pub struct Sqlite {
    queue: Queue,
    readers: Arc<Readers>,
    places: Arc<Semaphore>,
    _lock: FileLock,
}

impl SqliteStore {
    /// Opens the database, makes it if it is not there (mode 0600), and brings its tables up to date.
    ///
    /// `node`: this node's name, which stands in its events and leases.
    ///
    /// # Errors
    /// [`OpenError`], naming the file; a file of a newer version is left as it is.
    pub fn open(path: &Path, node: &str) -> std::result::Result<Self, OpenError> {
        Self::open_watched(path, node, Arc::new(Unwatched))
    }

    /// As [`SqliteStore::open`]; the store tells `watcher` how it does.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_watched(
        path: &Path,
        node: &str,
        watcher: Arc<dyn Watcher>,
    ) -> std::result::Result<Self, OpenError> {
        let place = path.display().to_string();
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Database {
            place: place.clone(),
            source,
        };
        let lock = FileLock::take(path)
            .map_err(|error| cannot(error.into()))?
            .ok_or_else(|| OpenError::InUse { place: place.clone() })?;
        // SQLite takes a short file of anything for an empty one, and writes over it.
        require_database(path).map_err(|error| cannot(error.into()))?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| cannot(error.into()))?;
        let version = version(path).map_err(|error| cannot(error.into()))?;
        if version > migrations::newest() {
            return Err(OpenError::Newer { place, version, known: migrations::newest() });
        }
        let mut connection = connect(path).map_err(|error| cannot(error.into()))?;
        migrations::runner(Dialect::Sqlite)
            .and_then(|runner| runner.run(&mut connection))
            .map_err(|error| OpenError::Migrate {
                place: place.clone(),
                reason: error.to_string(),
            })?;
        connection
            .pragma_update(None, "cache_size", -WRITER_CACHE_KIB)
            .map_err(|error| cannot(error.into()))?;
        let (queue, jobs) = queue();
        let writer = Node::new(node, Arc::clone(&watcher));
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write(connection, writer, jobs))
            .map_err(|error| cannot(error.into()))?;
        let readers = Arc::new(Readers { path: path.to_owned(), idle: Mutex::default() });
        let places = Arc::new(Semaphore::new(PLACES));
        let engine = Sqlite { queue, readers, places, _lock: lock };
        Ok(SqlStore::new(engine, watcher))
    }
}

/// What each node said of its settings last; the file is read only, and need not be there.
pub(super) fn node_settings(path: &Path) -> std::result::Result<Vec<NodeSettings>, OpenError> {
    glance(path, migrations::has_node_settings, |session| Box::pin(trail::node_settings(session)))
}

/// The ACME accounts; the file is read only, and need not be there.
pub(super) fn accounts(
    path: &Path,
) -> std::result::Result<Vec<(String, AccountRecord)>, OpenError> {
    glance(path, migrations::has_account_contacts, |session| Box::pin(read::accounts(session)))
}

/// What a query finds in a file that is read only; nothing where it is not there, or not of a version that has it.
fn glance<T>(
    path: &Path,
    has: fn(i64) -> bool,
    query: impl for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, Vec<T>>,
) -> std::result::Result<Vec<T>, OpenError> {
    let place = path.display().to_string();
    let cannot = |source| OpenError::Database { place: place.clone(), source };
    require_database(path).map_err(|error| cannot(error.into()))?;
    if !path.exists() || !has(version(path).map_err(|error| cannot(error.into()))?) {
        return Ok(Vec::new());
    }
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let mut connection = opened.map_err(|error| cannot(error.into()))?;
    connection.busy_timeout(BUSY).map_err(|error| cannot(error.into()))?;
    let rows = at_once(query(&mut SqliteSession(&mut connection)));
    let rows = rows.unwrap_or_else(|| Err(StoreError::Database("a query of SQLite waited".into())));
    rows.map_err(|error| cannot(error.into()))
}

/// The version of the tables in a file; 0 where there are none. The file is read only.
fn version(path: &Path) -> rusqlite::Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    let table = "SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history'";
    match connection.query_row(table, [], |_| Ok(())).optional()? {
        None => Ok(0),
        Some(()) => {
            let sql = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
            connection.query_row(sql, [], |row| row.get(0))
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Else SQLite plans a statement anew whenever its parameters change, which takes longer than to run it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// The writing thread.
fn write(mut connection: Connection, mut node: Node, mut jobs: Jobs) {
    while let Some(first) = jobs.blocking_recv() {
        let group = gather(first, &mut jobs);
        // A session of SQLite never waits, so the group is done at the first poll.
        let _ = at_once(node.perform(&mut SqliteSession(&mut connection), group));
    }
}

/// Connections that read.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Runs a query on a connection of its own.
    fn run<T, Q>(&self, query: Q) -> Result<T>
    where
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T>,
    {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect(&self.path).map_err(|error| StoreError::Database(Box::new(error)))?,
        };
        let result = at_once(query(&mut SqliteSession(&mut connection)))
            .unwrap_or_else(|| Err(StoreError::Database("a query of SQLite waited".into())));
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS {
            idle.push(connection);
        }
        result
    }
}

impl Engine for Sqlite {
    async fn read<T, Q>(&self, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let readers = Arc::clone(&self.readers);
        let task = move || {
            // Whoever stops waiting does not stop the query, which keeps its place.
            let _place = place;
            readers.run(query)
        };
        match tokio::task::spawn_blocking(task).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Database(Box::new(error))),
        }
    }

    /// A reader of a write-ahead log waits for nobody, and a few rows by an index are microseconds.
    async fn look_up<T, Q>(&self, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static,
    {
        self.readers.run(query)
    }

    async fn write(&self, work: Work) -> Answer {
        self.queue.perform(work).await
    }
}

/// Why a backup failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file cannot be made.
    #[error("cannot make {}: {source}", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database cannot be copied.
    #[error("cannot copy {}: {source}", .path.display())]
    Copy {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

/// Copies a database as it is at one moment into a new file, mode 0600, also while a daemon writes to it.
///
/// # Errors
/// [`BackupError`]; `target` is then not there, or as it was.
pub fn backup(database: &Path, target: &Path) -> std::result::Result<(), BackupError> {
    let cannot = |source| BackupError::Copy { path: database.to_owned(), source };
    let connection = Connection::open_with_flags(
        database,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(cannot)?;
    connection.busy_timeout(BUSY).map_err(cannot)?;
    let create = |source| BackupError::Create { path: target.to_owned(), source };
    // Made first, since SQLite would give it the mode of the umask.
    let file =
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(target).map_err(create)?;
    let copied = connection
        .execute("VACUUM INTO ?1", [target.to_string_lossy()])
        .map_err(cannot)
        .and_then(|_| file.sync_all().map_err(create));
    if copied.is_err() {
        let _ = std::fs::remove_file(target);
    }
    copied
}
