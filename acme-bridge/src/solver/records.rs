//! TXT records on servers that are not ours.

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

use super::SolverError;
use crate::answer::Place;

/// One TXT record, and the name that it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxtRecord {
    /// The name that is proven, lower case, without a final dot.
    pub name: String,
    /// Where the record stands, lower case, without a final dot.
    pub owner: String,
    /// Its text.
    pub value: String,
}

/// Leave to add a record, given back when this is dropped.
#[derive(Debug, Default)]
pub struct Turn {
    _guard: Option<OwnedMutexGuard<()>>,
}

impl Turn {
    /// Leave that nobody else gets meanwhile.
    #[must_use]
    pub fn alone(guard: OwnedMutexGuard<()>) -> Self {
        Self { _guard: Some(guard) }
    }
}

/// A way to put single TXT records where a CA sees them.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// What kind of way it is.
    fn place(&self) -> Place;

    /// The owner name at which a record really stands, where that is not the one that the CA asks for.
    fn fixed_owner(&self) -> Option<&str> {
        None
    }

    /// Waits until the record may be added, before anything is written down.
    ///
    /// # Errors
    /// [`SolverError::Busy`] if there is no room for it.
    async fn turn(&self, record: &TxtRecord) -> Result<Turn, SolverError> {
        let _ = record;
        Ok(Turn::default())
    }

    /// Adds one record beside those that are there; every server shows it when this returns.
    /// One that is there already is no error.
    ///
    /// # Errors
    /// [`SolverError`], and the record may be there or not.
    async fn add(&self, record: &TxtRecord) -> Result<(), SolverError>;

    /// Removes one record and leaves the others. One that is not there is no error.
    ///
    /// # Errors
    /// [`SolverError`].
    async fn remove(&self, record: &TxtRecord) -> Result<(), SolverError>;
}
