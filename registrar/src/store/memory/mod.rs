//! The store in memory, for the simulation: what was committed outlives a simulated crash, and nothing else does.
//!
//! No configuration leads here, since what it holds ends with the process. It passes the same suite as the
//! databases (`tests/tests/store`), so that what is found with it is true of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use acme_bridge::OrderRecord;
use async_trait::async_trait;

use self::orders::Claim;
use self::tables::Tables;
use super::model::{Event, Head};
use super::watch::{Access, Unwatched, Watcher};
use super::{Change, OpenError, StoreError};

mod answers;
mod apply;
mod orders;
mod pages;
mod rows;
mod store;
mod tables;
mod trail;

type Result<T> = std::result::Result<T, StoreError>;

/// The hand of a simulation: it says when an access happens, and has some fail.
#[async_trait]
pub trait Turnstile: Send + Sync + 'static {
    /// Returns when the access may begin.
    ///
    /// # Errors
    /// Why the database cannot be reached; then nothing was read or written.
    async fn enter(&self, access: Access) -> std::result::Result<(), String>;

    /// Returns when whoever wrote may hear that it is written: a crash before that is one after the commit.
    async fn leave(&self);
}

/// Nothing is held back.
#[derive(Clone, Copy, Debug)]
pub struct Open;

#[async_trait]
impl Turnstile for Open {
    async fn enter(&self, _: Access) -> std::result::Result<(), String> {
        Ok(())
    }

    async fn leave(&self) {}
}

/// What was committed; each clone is the same database.
#[derive(Clone, Default)]
pub struct MemoryDatabase {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    tables: Tables,
    /// The nodes that write now.
    nodes: BTreeSet<String>,
}

impl MemoryDatabase {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it for a node.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another store writes for the node.
    pub fn open(&self, node: &str) -> std::result::Result<MemoryStore, OpenError> {
        self.open_watched(node, Arc::new(Unwatched), Arc::new(Open))
    }

    /// Opens it for a node, with somebody who hears of commits, and somebody who says when an access happens.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another store writes for the node.
    pub fn open_watched(
        &self,
        node: &str,
        watcher: Arc<dyn Watcher>,
        turnstile: Arc<dyn Turnstile>,
    ) -> std::result::Result<MemoryStore, OpenError> {
        if !self.lock().nodes.insert(node.to_owned()) {
            return Err(OpenError::InUse { place: format!("the memory as node {node}") });
        }
        Ok(MemoryStore { database: self.clone(), node: node.to_owned(), watcher, turnstile })
    }
}

/// The store of one node on a database in memory.
pub struct MemoryStore {
    database: MemoryDatabase,
    node: String,
    watcher: Arc<dyn Watcher>,
    turnstile: Arc<dyn Turnstile>,
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.database.lock().nodes.remove(&self.node);
    }
}

impl MemoryStore {
    async fn enter(&self, access: Access) -> Result<()> {
        self.turnstile.enter(access).await.map_err(|reason| {
            self.watcher.failed(access);
            StoreError::Database(reason.into())
        })
    }

    async fn read<T>(&self, query: impl FnOnce(&Tables) -> T) -> Result<T> {
        self.enter(Access::Read).await?;
        Ok(query(&self.database.lock().tables))
    }

    /// Writes all, or nothing.
    async fn write(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<()> {
        let since = Instant::now();
        self.enter(Access::Write).await?;
        {
            let mut shared = self.database.lock();
            // Events alone cannot contradict what is stored.
            let before = (!changes.is_empty()).then(|| shared.tables.rows.clone());
            for change in changes {
                if let Err(error) = shared.tables.apply(change) {
                    if let Some(before) = before {
                        shared.tables.rows = before;
                    }
                    if !matches!(error, StoreError::Conflict(_)) {
                        self.watcher.failed(Access::Write);
                    }
                    return Err(error);
                }
            }
            let mut head: Head = shared.tables.head(&self.node);
            for event in &events {
                head = shared.tables.append(&self.node, head, event);
            }
        }
        self.turnstile.leave().await;
        self.watcher.grouped(1);
        self.watcher.committed(&events, since.elapsed());
        Ok(())
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Vec<OrderRecord>> {
        self.enter(Access::Write).await?;
        let orders = self.database.lock().tables.claim(&claim);
        self.turnstile.leave().await;
        Ok(orders)
    }
}
