//! The trail over the years: its chain is vouched for, verified, and cut at its old end.
//!
//! The store appends; [`keeper`] signs the newest event of this node at intervals and when the daemon stops, and
//! removes what is older than the configuration wants; [`verify`] reads all chains and says what is wrong with them.

use brski_voucher::signature::SignError;
use thiserror::Error;
use tracing::info;

use crate::store::chain::{Report, Verifier, sign_checkpoint};
use crate::store::model::{CheckpointKind, Millis};
use crate::store::{Change, Store, StoreError};

pub mod keeper;
pub mod kinds;

/// How many rows are read at once.
const ROWS: u32 = 1000;

/// Why a chain was not vouched for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registrar's key did not sign.
    #[error("the registrar's key did not sign: {0}")]
    Key(#[from] SignError),
}

/// Signs the newest event of a node, if it is not signed yet.
///
/// The line in the log is worth keeping elsewhere: it shows even the removal of the newest events
/// together with the statement that vouches for them.
///
/// # Errors
/// [`SealError`]; then nothing was written.
pub async fn seal(
    store: &dyn Store,
    signer: &dyn brski_voucher::signature::Signer,
    node: &str,
    now: Millis,
) -> Result<(), SealError> {
    let head = store.head(node).await?;
    let sealed = store.checkpoints(node).await?.last().map_or(0, |checkpoint| checkpoint.seq);
    if head.seq <= sealed {
        return Ok(());
    }
    let checkpoint = sign_checkpoint(signer, node, head, CheckpointKind::Head, now)?;
    store.commit(vec![Change::AddCheckpoint(checkpoint)], Vec::new()).await?;
    info!(node, seq = head.seq, hash = %head.hash, "the trail is signed up to here");
    Ok(())
}

/// Verifies the chains of all nodes. `keys`: the SubjectPublicKeyInfo, DER, of each key that may have signed.
///
/// # Errors
/// [`StoreError`].
pub async fn verify(store: &dyn Store, keys: &[Vec<u8>]) -> Result<Vec<Report>, StoreError> {
    let mut reports = Vec::new();
    for node in store.nodes().await? {
        let mut verifier = Verifier::new(&node, store.checkpoints(&node).await?, keys);
        let mut after = verifier.start();
        loop {
            let rows = store.chain(&node, after, ROWS).await?;
            let Some(last) = rows.last() else {
                break;
            };
            after = last.seq;
            rows.into_iter().for_each(|row| verifier.push(row));
        }
        reports.push(verifier.finish());
    }
    Ok(reports)
}
