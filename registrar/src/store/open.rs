//! Opens the store that the configuration names.

use std::path::Path;
use std::sync::Arc;

use acme_bridge::AccountRecord;
use rustls::RootCertStore;

use super::model::NodeSettings;
use super::postgres::{self, PostgresStore};
use super::sqlite::{self, SqliteStore};
use super::watch::{Unwatched, Watcher};
use super::{OpenError, Store};
use crate::config::{Database, StoreConfig};
use crate::identity::{IdentityError, check_mode, read_certificates};

/// The longest URL that is read, in octets.
const URL_OCTETS: usize = 4096;

/// Opens the store. `node`: the name in the events and leases that are written.
///
/// # Errors
/// [`OpenError`], naming the file, or host and database.
pub async fn open(config: &StoreConfig, node: &str) -> Result<Arc<dyn Store>, OpenError> {
    open_watched(config, node, Arc::new(Unwatched)).await
}

/// Opens the store, which tells `watcher` how it does.
///
/// # Errors
/// As [`open`].
pub async fn open_watched(
    config: &StoreConfig,
    node: &str,
    watcher: Arc<dyn Watcher>,
) -> Result<Arc<dyn Store>, OpenError> {
    match &config.database {
        Database::File(path) => Ok(Arc::new(SqliteStore::open_watched(path, node, watcher)?)),
        Database::Postgres { url_file, ca } => {
            let url = url(url_file)?;
            let anchors = anchors(ca.as_deref())?;
            Ok(Arc::new(PostgresStore::open_watched(&url, anchors, node, watcher).await?))
        }
    }
}

/// What each node said of its settings last, without opening the store for work: nothing is made, changed or locked,
/// so that a command may ask beside a running daemon. Nothing where there are no tables yet.
///
/// # Errors
/// [`OpenError`], naming the file, or host and database.
pub async fn node_settings(config: &StoreConfig) -> Result<Vec<NodeSettings>, OpenError> {
    match &config.database {
        Database::File(path) => sqlite::node_settings(path),
        Database::Postgres { url_file, ca } => {
            postgres::node_settings(&url(url_file)?, anchors(ca.as_deref())?).await
        }
    }
}

/// The ACME accounts, each with its issuer's name; asked as [`node_settings`] is.
///
/// # Errors
/// [`OpenError`], naming the file, or host and database.
pub async fn accounts(config: &StoreConfig) -> Result<Vec<(String, AccountRecord)>, OpenError> {
    match &config.database {
        Database::File(path) => sqlite::accounts(path),
        Database::Postgres { url_file, ca } => {
            postgres::accounts(&url(url_file)?, anchors(ca.as_deref())?).await
        }
    }
}

/// Reads the URL of a PostgreSQL database from a file that only its owner may read.
///
/// # Errors
/// [`OpenError::Url`].
pub fn url(file: &Path) -> Result<String, OpenError> {
    let unusable = |reason: String| OpenError::Url { reason };
    check_mode(file).map_err(|error| unusable(error.to_string()))?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| unusable(format!("{}: {error}", file.display())))?;
    match text.trim() {
        "" => Err(unusable(format!("{} is empty", file.display()))),
        url if url.len() > URL_OCTETS => {
            Err(unusable(format!("{} is longer than {URL_OCTETS} octets", file.display())))
        }
        url => Ok(url.to_owned()),
    }
}

fn anchors(ca: Option<&Path>) -> Result<RootCertStore, OpenError> {
    let mut anchors = RootCertStore::empty();
    match ca {
        None => {
            anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let unusable = |error: IdentityError| OpenError::Url { reason: error.to_string() };
            let certificates = read_certificates(path).map_err(unusable)?;
            anchors.add_parsable_certificates(certificates.iter().map(|each| each.der().clone()));
        }
    }
    Ok(anchors)
}
