//! Where a store of a test lives, and how somebody who is not the registrar gets at its tables.

use std::path::PathBuf;
use std::sync::Arc;

use brski_registrar::store::memory::{MemoryDatabase, Open};
use brski_registrar::store::postgres::PostgresStore;
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::watch::{Unwatched, Watcher};
use brski_registrar::store::{OpenError, Store};
use brski_tests::postgres::Cluster;
use rustls::RootCertStore;
use tempfile::TempDir;

/// A database that may be opened again and again.
pub(super) enum Place {
    Memory(MemoryDatabase),
    Sqlite(TempDir),
    Postgres(Arc<Cluster>, String),
}

impl Place {
    pub(super) fn memory() -> Self {
        Self::Memory(MemoryDatabase::default())
    }

    pub(super) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(super) fn postgres(cluster: &Arc<Cluster>) -> Self {
        Self::Postgres(Arc::clone(cluster), cluster.database().unwrap())
    }

    fn file(folder: &TempDir) -> PathBuf {
        folder.path().join("registrar.db")
    }

    pub(super) async fn try_open(&self, node: &str) -> Result<Arc<dyn Store>, OpenError> {
        self.try_open_watched(node, Arc::new(Unwatched)).await
    }

    async fn try_open_watched(
        &self,
        node: &str,
        watcher: Arc<dyn Watcher>,
    ) -> Result<Arc<dyn Store>, OpenError> {
        Ok(match self {
            Self::Memory(database) => {
                Arc::new(database.open_watched(node, watcher, Arc::new(Open))?)
            }
            Self::Sqlite(folder) => {
                Arc::new(SqliteStore::open_watched(&Self::file(folder), node, watcher)?)
            }
            Self::Postgres(_, url) => {
                let anchors = RootCertStore::empty();
                Arc::new(PostgresStore::open_watched(url, anchors, node, watcher).await?)
            }
        })
    }

    pub(super) async fn open_watched(
        &self,
        node: &str,
        watcher: Arc<dyn Watcher>,
    ) -> Arc<dyn Store> {
        self.try_open_watched(node, watcher).await.unwrap()
    }

    pub(super) async fn open(&self, node: &str) -> Arc<dyn Store> {
        self.try_open(node).await.unwrap()
    }

    /// Runs SQL behind the store's back.
    pub(super) fn tamper(&self, sql: &str) {
        match self {
            Self::Memory(_) => panic!("a store in memory has no SQL"),
            Self::Sqlite(folder) => {
                rusqlite::Connection::open(Self::file(folder)).unwrap().execute_batch(sql).unwrap();
            }
            Self::Postgres(cluster, url) => {
                cluster.sql(url, sql).unwrap();
            }
        }
    }

    /// 32 zero octets in the database's words.
    pub(super) fn zeros(&self) -> &'static str {
        match self {
            Self::Memory(_) | Self::Sqlite(_) => "zeroblob(32)",
            Self::Postgres(..) => "decode(repeat('00', 32), 'hex')",
        }
    }
}
