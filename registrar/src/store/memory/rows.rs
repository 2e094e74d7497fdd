//! What a change says of a row that is not there, is there already, or names one that is not.

use super::Result;
use crate::store::{Conflict, StoreError};

/// The change contradicts what is stored.
pub(super) fn conflict(conflict: Conflict) -> StoreError {
    StoreError::Conflict(conflict)
}

/// The row to change, which must be there.
pub(super) fn found<T>(row: Option<T>) -> Result<T> {
    row.ok_or(StoreError::Conflict(Conflict::Missing))
}

/// What the databases hold as a reference or a unique index; a change that breaks it is a fault of this program.
pub(super) fn reference(is_kept: bool) -> Result<()> {
    match is_kept {
        true => Ok(()),
        false => Err(StoreError::Database("a reference or a unique index would be broken".into())),
    }
}
