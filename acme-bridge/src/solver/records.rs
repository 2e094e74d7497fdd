//! TXT records on servers that are not ours.

use async_trait::async_trait;

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

/// A way to put single TXT records where a CA sees them.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// What kind of way it is.
    fn place(&self) -> Place;

    /// The owner name at which a record really stands, where that is not the one that the CA asks for.
    fn fixed_owner(&self) -> Option<&str> {
        None
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
