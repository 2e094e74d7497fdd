//! The section `[store]`: where everything is kept, under which name this registrar writes, and for how long.

use std::path::PathBuf;

use super::raw;
use super::reader::Reader;

/// How this registrar is called where no other one shares its store.
const ONLY_NODE: &str = "registrar";
/// The longest name of a node, in octets.
const NODE_OCTETS: usize = 64;

/// Where everything is kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The database.
    pub database: Database,
    /// This registrar's name in leases and events.
    pub node: String,
    /// What is removed for its age.
    pub retention: Retention,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    File(PathBuf),
    /// PostgreSQL.
    Postgres {
        /// A file with its URL, which only its owner may read.
        url_file: PathBuf,
        /// Anchors of its TLS certificate; none: the operating system's.
        ca: Option<PathBuf>,
    },
}

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events, in days.
    pub events_days: u32,
    /// Finished orders with their steps, in days.
    pub orders_days: u32,
}

impl Reader {
    pub(super) fn store(&mut self, store: &raw::Store) -> StoreConfig {
        let database = match (&store.path, &store.url_file) {
            (_, None) => {
                if store.ca.is_some() {
                    let reason = "is for PostgreSQL; set store.url_file too".to_owned();
                    self.problem("store.ca", reason);
                }
                Database::File(self.path(store.path.as_deref().unwrap_or("registrar.db")))
            }
            (path, Some(url_file)) => {
                if path.is_some() {
                    let reason = "there is store.url_file too: give one of the two".to_owned();
                    self.problem("store.path", reason);
                }
                if store.node.is_none() {
                    let reason = "is needed with store.url_file: a name that no other registrar \
                                  on this database has"
                        .to_owned();
                    self.problem("store.node", reason);
                }
                let ca = store.ca.as_deref().map(|ca| self.path(ca));
                Database::Postgres { url_file: self.path(url_file), ca }
            }
        };
        let node = store.node.clone().unwrap_or_else(|| ONLY_NODE.to_owned());
        let is_legal = (1..=NODE_OCTETS).contains(&node.len())
            && node.bytes().all(|each| each.is_ascii_alphanumeric() || b"._-".contains(&each));
        if !is_legal {
            let reason = format!("{node:?} is none of 1 to 64 letters, digits, '.', '_', '-'");
            self.problem("store.node", reason);
        }
        let events_days = self.bounded("store.keep_events_days", store.keep_events_days, 1, 36_500);
        let orders_days = self.bounded("store.keep_orders_days", store.keep_orders_days, 1, 36_500);
        StoreConfig { database, node, retention: Retention { events_days, orders_days } }
    }
}
