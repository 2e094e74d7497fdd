//! What the bridge needs of an ACME client, in the bridge's own words.
//!
//! Every call names its order by URL and stands alone, so that a restarted process can make any of them.

use async_trait::async_trait;
use thiserror::Error;

use crate::challenge::{Challenge, ChallengeType};
use crate::problem::Problem;

/// Where an order stands at the CA (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Names are to be authorized.
    Pending,
    /// The CSR may be sent.
    Ready,
    /// The CA is issuing.
    Processing,
    /// The certificate may be fetched.
    Valid,
    /// It is over.
    Invalid,
}

/// An order as the CA shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Its URL.
    pub url: String,
    /// Where it stands.
    pub status: OrderStatus,
    /// What went wrong, if the CA says.
    pub problem: Option<Problem>,
}

/// How far a challenge is (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeProgress {
    /// The CA waits to be told.
    Open,
    /// The CA was told to validate and has not said how it went.
    Validating,
}

/// A challenge that the CA offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedChallenge {
    /// What it asks.
    pub challenge: Challenge,
    /// How far it is.
    pub progress: ChallengeProgress,
}

/// Where an authorization stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationStatus {
    /// The name is to be proven.
    Pending {
        /// What the CA offers, of the types that the bridge knows.
        offered: Vec<OfferedChallenge>,
    },
    /// The name is authorized.
    Valid,
    /// It is over.
    Failed {
        /// What the CA said.
        problem: Problem,
    },
}

/// An authorization as the CA shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationView {
    /// The name that is authorized, without a wildcard's label; it may be an ancestor of the order's name.
    pub name: String,
    /// Where it stands.
    pub status: AuthorizationStatus,
}

/// Why a call failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The CA answered with a problem document.
    #[error("the CA answered: {0}")]
    Problem(Problem),
    /// The CA did not answer, or not in ACME.
    #[error("the CA cannot be used now: {0}")]
    Unreachable(String),
}

/// An account at a CA.
#[async_trait]
pub trait AcmeClient: Send + Sync + 'static {
    /// Places an order for these DNS names (RFC 8555 §7.4).
    async fn new_order(&self, names: &[String]) -> Result<OrderView, AcmeError>;

    /// Reads an order.
    async fn order(&self, url: &str) -> Result<OrderView, AcmeError>;

    /// Reads the authorizations of an order.
    async fn authorizations(&self, url: &str) -> Result<Vec<AuthorizationView>, AcmeError>;

    /// Tells the CA that the answer to the challenge of this type for `name` is out (RFC 8555 §7.5.1).
    async fn validate(&self, url: &str, name: &str, kind: ChallengeType) -> Result<(), AcmeError>;

    /// Sends the CSR (RFC 8555 §7.4).
    async fn finalize(&self, url: &str, csr: &[u8]) -> Result<OrderView, AcmeError>;

    /// Fetches the chain of a valid order: PEM (RFC 8555 §7.4.2).
    async fn certificate(&self, url: &str) -> Result<String, AcmeError>;
}
