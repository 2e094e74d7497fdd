//! How the CA's question for a name is answered.
//!
//! The bridge knows one [`Solver`], which is [`Zones`]: it finds the zone of a name and the zone's way of answering.
//! Answers are given by the registrar itself, or are TXT [`Records`] elsewhere: by RFC 2136 updates ([`rfc2136`]), by a
//! program ([`exec`]) or at an acme-dns server ([`acme_dns`]).

use std::error::Error;

use async_trait::async_trait;
use thiserror::Error;

use crate::challenge::{Challenge, ChallengeType};
use crate::order::OrderId;
use crate::store::OrderStoreError;

pub mod acme_dns;
mod built_in;
pub mod exec;
mod records;
pub mod rfc2136;
mod secret_file;
mod zones;

pub use self::built_in::BuiltIn;
pub use self::records::{Records, Turn, TxtRecord};
pub use self::secret_file::SecretFileError;
pub use self::zones::{Way, ZoneSolver, Zones};

/// Why an answer is not out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SolverError {
    /// Our own store failed; nothing was put out.
    #[error(transparent)]
    Store(#[from] OrderStoreError),
    /// It may work when it is tried again: a server is away, or slow.
    #[error("{0}")]
    Passing(Box<dyn Error + Send + Sync>),
    /// Other orders use what there is so much of and no more; nothing was put out.
    #[error("{0}")]
    Busy(Box<dyn Error + Send + Sync>),
    /// It will not work before an operator changes something: a wrong key, a foreign zone, a missing program.
    #[error("{0}")]
    Configuration(Box<dyn Error + Send + Sync>),
    /// The solver does not answer challenges of this type for this name.
    #[error("no solver answers {kind} for {name}")]
    Unsupported {
        /// The challenge's type.
        kind: ChallengeType,
        /// The name that is to be proven.
        name: String,
    },
}

/// Puts answers to challenges where a CA looks for them, and takes them back.
#[async_trait]
pub trait Solver: Send + Sync + 'static {
    /// The types that it answers for this name, the preferred one first; none for a name that is not its business.
    fn challenges(&self, name: &str) -> &[ChallengeType];

    /// Makes the answer visible to the CA, beside whatever is there; visible when this returns.
    /// The same one twice is there once.
    ///
    /// # Errors
    /// [`SolverError`].
    async fn publish(
        &self,
        order: &OrderId,
        name: &str,
        challenge: &Challenge,
    ) -> Result<(), SolverError>;

    /// Ends all answers of this order, and no others.
    /// When this returns they are gone, or written down as those that are still to be taken back.
    ///
    /// # Errors
    /// [`OrderStoreError`]; a server that does not take its record back is none, since that is tried again later.
    async fn clean_up(&self, order: &OrderId) -> Result<(), OrderStoreError>;
}
