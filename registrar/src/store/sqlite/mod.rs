//! The store in one SQLite file: WAL, full sync, one writing thread, a few readers.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acme_bridge::{AccountRecord, OrderId, OrderRecord};
use async_trait::async_trait;
use rusqlite::Connection;
use thiserror::Error;

use self::writer::{Work, Writer};
use super::model::{
    ChainCertificate, Device, Enrollment, Event, Id, Identity, IssuedCertificate, KnownDevice,
    Manufacturer, Millis, Sha256, StoredEvent, VoucherExchange,
};
use super::{Change, Store, StoreError};

mod apply;
mod read;
mod rows;
mod writer;

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

/// How long a connection waits for another process's lock.
const BUSY: Duration = Duration::from_secs(10);
/// How many reading connections are kept open.
const READERS: usize = 4;

type Claimed = Vec<OrderRecord>;

/// Which orders a node asks for.
struct Claim {
    issuer: String,
    node: String,
    lease_until: Millis,
    now: Millis,
    limit: u32,
}

/// Why the database cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be made.
    #[error("cannot make {}: {source}", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is no database, or another process holds it.
    #[error("cannot open {}: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Its tables cannot be brought up to date; a newer version of this program made it, perhaps.
    #[error("cannot bring {} up to date: {reason}; was it made by a newer version?", .path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The writing thread cannot be started.
    #[error("cannot start the store's writer")]
    Thread(#[source] std::io::Error),
}

/// The store.
pub struct SqliteStore {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
}

impl SqliteStore {
    /// Opens the database, makes it if it is not there (mode 0600), and brings its tables up to date.
    ///
    /// `node`: this node's name, which stands in its events and leases.
    ///
    /// # Errors
    /// [`OpenError`], naming the file.
    pub fn open(path: &Path, node: &str) -> Result<Self, OpenError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| OpenError::Create { path: path.to_owned(), source })?;
        let failed = |source| OpenError::Database { path: path.to_owned(), source };
        let mut connection = connect(path).map_err(failed)?;
        migrations::migrations::runner().set_abort_missing(true).run(&mut connection).map_err(
            |error| OpenError::Migrate { path: path.to_owned(), reason: error.to_string() },
        )?;
        let writer = Writer::start(connection, node.to_owned()).map_err(OpenError::Thread)?;
        Ok(Self { path: path.to_owned(), writer, readers: Arc::default() })
    }

    /// Runs a query on a reading connection, away from the runtime's threads.
    async fn read<T, Q>(&self, query: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let path = self.path.clone();
        let task = move || {
            let kept = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => connect(&path).map_err(rows::database)?,
            };
            let result = query(&connection);
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS {
                readers.push(connection);
            }
            result
        };
        match tokio::task::spawn_blocking(task).await {
            Ok(result) => result,
            Err(error) => Err(rows::database_text(&error.to_string())),
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<(), StoreError> {
        if changes.is_empty() && events.is_empty() {
            return Ok(());
        }
        self.writer.perform(Work::Commit { changes, events }).await.map(|_| ())
    }

    async fn generation(&self) -> Result<i64, StoreError> {
        self.read(read::generation).await
    }

    async fn manufacturers(&self) -> Result<Vec<Manufacturer>, StoreError> {
        self.read(read::manufacturers).await
    }

    async fn device_by_serial(
        &self,
        manufacturer: &Id,
        serial: &str,
    ) -> Result<Option<KnownDevice>, StoreError> {
        let (manufacturer, serial) = (manufacturer.clone(), serial.to_owned());
        self.read(move |connection| read::device_by_serial(connection, &manufacturer, &serial))
            .await
    }

    async fn device(&self, id: &Id) -> Result<Option<KnownDevice>, StoreError> {
        let id = id.clone();
        self.read(move |connection| read::device(connection, &id)).await
    }

    async fn devices(&self) -> Result<Vec<KnownDevice>, StoreError> {
        self.read(read::devices).await
    }

    async fn find_devices(&self, text: &str) -> Result<Vec<KnownDevice>, StoreError> {
        let text = text.to_owned();
        self.read(move |connection| read::find_devices(connection, &text)).await
    }

    async fn device_by_name(&self, name: &str) -> Result<Option<Device>, StoreError> {
        let name = name.to_lowercase();
        self.read(move |connection| read::device_by_name(connection, &name)).await
    }

    async fn identity(&self, device: &Id) -> Result<Option<Identity>, StoreError> {
        Ok(self.device(device).await?.map(|known| known.identity))
    }

    async fn voucher_exchange(
        &self,
        request_sha256: &Sha256,
    ) -> Result<Option<VoucherExchange>, StoreError> {
        let digest = *request_sha256;
        self.read(move |connection| read::voucher_exchange(connection, &digest)).await
    }

    async fn latest_voucher_exchange(
        &self,
        device: &Id,
    ) -> Result<Option<VoucherExchange>, StoreError> {
        let device = device.clone();
        self.read(move |connection| read::latest_voucher_exchange(connection, &device)).await
    }

    async fn enrollment(&self, id: &Id) -> Result<Option<Enrollment>, StoreError> {
        let id = id.clone();
        self.read(move |connection| read::enrollment(connection, &id)).await
    }

    async fn enrollment_by_key(&self, key: &Sha256) -> Result<Option<Enrollment>, StoreError> {
        let key = *key;
        self.read(move |connection| read::enrollment_by_key(connection, &key)).await
    }

    async fn enrollments_of(&self, device: &Id) -> Result<Vec<Enrollment>, StoreError> {
        let device = device.clone();
        self.read(move |connection| read::enrollments_of(connection, &device)).await
    }

    async fn approved_enrollments(&self) -> Result<Vec<Enrollment>, StoreError> {
        self.read(read::approved_enrollments).await
    }

    async fn certificate(
        &self,
        fingerprint: &Sha256,
    ) -> Result<Option<IssuedCertificate>, StoreError> {
        let fingerprint = *fingerprint;
        self.read(move |connection| read::certificate(connection, &fingerprint)).await
    }

    async fn certificates_of(&self, device: &Id) -> Result<Vec<IssuedCertificate>, StoreError> {
        let device = device.clone();
        self.read(move |connection| read::certificates_of(connection, &device)).await
    }

    async fn chain_certificates(&self) -> Result<Vec<ChainCertificate>, StoreError> {
        self.read(read::chain_certificates).await
    }

    async fn events(
        &self,
        device: Option<&Id>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let device = device.cloned();
        self.read(move |connection| read::events(connection, device.as_ref(), limit)).await
    }

    async fn order(&self, id: &OrderId) -> Result<Option<OrderRecord>, StoreError> {
        let id = id.clone();
        self.read(move |connection| read::order(connection, &id)).await
    }

    async fn order_steps(&self, id: &OrderId) -> Result<Vec<(Millis, String)>, StoreError> {
        let id = id.clone();
        self.read(move |connection| read::order_steps(connection, &id)).await
    }

    async fn claim_orders(
        &self,
        issuer: &str,
        node: &str,
        lease_until: Millis,
        now: Millis,
        limit: u32,
    ) -> Result<Vec<OrderRecord>, StoreError> {
        let (issuer, node) = (issuer.to_owned(), node.to_owned());
        self.writer.perform(Work::Claim(Claim { issuer, node, lease_until, now, limit })).await
    }

    async fn account(&self, issuer: &str) -> Result<Option<AccountRecord>, StoreError> {
        let issuer = issuer.to_owned();
        self.read(move |connection| read::account(connection, &issuer)).await
    }

    async fn answers(&self, owner: &str) -> Result<Vec<String>, StoreError> {
        let owner = owner.to_owned();
        self.read(move |connection| read::answers(connection, &owner)).await
    }
}
