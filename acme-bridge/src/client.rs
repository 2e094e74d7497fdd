//! What the bridge needs of an ACME client, in the bridge's own words.
//!
//! Every call names its order by URL and stands alone, so that a restarted process can make any of them.

use std::path::PathBuf;

use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::challenge::{Challenge, ChallengeType};
use crate::problem::Problem;

pub use crate::signed::{Offer, RevocationReason};

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
    /// When the CA wants to be asked again, in seconds, if it says.
    pub retry_after_secs: Option<u32>,
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
    /// The CA did not answer.
    #[error("the CA cannot be used now: {0}")]
    Unreachable(String),
    /// The directory's URL leads to something else.
    #[error("{url} is no ACME directory: {reason}")]
    NotAcme {
        /// The URL.
        url: String,
        /// What is wrong with what is there.
        reason: String,
    },
    /// The CA names a URL that is not on the directory's origin.
    #[error("the CA leads to {url:?}, which is not on its directory's origin")]
    ForeignOrigin {
        /// The URL, cut.
        url: String,
    },
    /// The CA answers with a redirect, which ACME does not have.
    #[error("the CA answers with a redirect (status {status}) to {location:?}")]
    Redirect {
        /// The status.
        status: u16,
        /// Where to, cut.
        location: String,
    },
    /// The CA's answer is longer than any.
    #[error("the CA's answer is longer than {limit} octets")]
    TooLong {
        /// How much is read.
        limit: usize,
    },
    /// A part of the CA's answer is missing or cannot be read.
    #[error("the CA's answer has no {what} that can be read: {reason}")]
    Malformed {
        /// The part.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The account has another key than this node's file.
    #[error(
        "the account {url} has another key than {}, which was changed at another node: \
         copy the file from there (mode 0600), and this node goes on within a minute",
        .file.display()
    )]
    ForeignKey {
        /// The account.
        url: String,
        /// The file of this node.
        file: PathBuf,
    },
    /// An operator ended the account.
    #[error(
        "the account {url} was ended by an operator: let account_key name a new file instead of {} \
         and restart, and another account is made",
        .file.display()
    )]
    Ended {
        /// The account.
        url: String,
        /// The file of its key.
        file: PathBuf,
    },
    /// The CA's directory does not offer this.
    #[error("the CA does not offer {0}")]
    Unsupported(&'static str),
    /// Our own store or key failed.
    #[error("{0}")]
    Local(String),
}

/// What is ordered.
#[derive(Clone, Copy, Debug)]
pub struct OrderRequest<'a> {
    /// The DNS names.
    pub names: &'a [String],
    /// The CA's profile, where it is not left to the CA (draft-ietf-acme-profiles).
    pub profile: Option<&'a str>,
    /// The certificate that is renewed, by its ARI identifier (RFC 9773 §4.1).
    pub replaces: Option<&'a str>,
    /// A domain that the names are below, and for which one challenge may stand for all (RFC 9444).
    pub ancestor: Option<&'a str>,
}

/// A chain as the CA gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// PEM (RFC 8555 §7.4.2).
    pub pem: String,
    /// Where other chains of the same certificate are.
    pub alternates: Vec<String>,
}

/// When a certificate should be renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalWindow {
    /// Unix milliseconds.
    pub start: i64,
    /// Unix milliseconds, later.
    pub end: i64,
    /// When to ask again, in seconds: from a minute to a day (RFC 9773 §4.3.2).
    pub retry_after_secs: u32,
}

/// An authorization of a whole domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainAuthorization {
    /// Its URL.
    pub url: String,
    /// `pending`, `valid`, `invalid` or another state's word (RFC 8555 §7.1.6).
    pub status: String,
    /// The challenges that are offered, of the types that the bridge knows, each with its URL.
    pub offered: Vec<(String, Challenge)>,
    /// What the CA says of a challenge that failed.
    pub failure: Option<String>,
}

/// An account at a CA.
#[async_trait]
pub trait AcmeClient: Send + Sync + 'static {
    /// Places an order (RFC 8555 §7.4).
    async fn new_order(&self, order: &OrderRequest<'_>) -> Result<OrderView, AcmeError>;

    /// Reads an order.
    async fn order(&self, url: &str) -> Result<OrderView, AcmeError>;

    /// Reads the authorizations of an order.
    async fn authorizations(&self, url: &str) -> Result<Vec<AuthorizationView>, AcmeError>;

    /// Tells the CA that the answer to the challenge of this type for `name` is out (RFC 8555 §7.5.1).
    async fn validate(&self, url: &str, name: &str, kind: ChallengeType) -> Result<(), AcmeError>;

    /// Sends the CSR (RFC 8555 §7.4).
    async fn finalize(&self, url: &str, csr: &[u8]) -> Result<OrderView, AcmeError>;

    /// Fetches the chain of a valid order (RFC 8555 §7.4.2).
    async fn certificate(&self, url: &str) -> Result<Downloaded, AcmeError>;

    /// Fetches another chain of the same certificate: PEM.
    async fn alternate(&self, url: &str) -> Result<String, AcmeError>;

    /// Revokes a certificate that this account ordered; one that is revoked already stays so (RFC 8555 §7.6).
    async fn revoke(
        &self,
        certificate: &CertificateDer<'_>,
        reason: RevocationReason,
    ) -> Result<(), AcmeError>;

    /// When the certificate with this ARI identifier should be renewed (RFC 9773 §4.1).
    async fn renewal_info(&self, identifier: &str) -> Result<RenewalWindow, AcmeError>;

    /// What the CA offers beyond orders.
    fn offer(&self) -> Offer;

    /// Asks to authorize a domain and all below it before anybody orders (RFC 8555 §7.4.1, RFC 9444 §4.1).
    async fn authorize_domain(&self, _domain: &str) -> Result<DomainAuthorization, AcmeError> {
        Err(AcmeError::Unsupported("newAuthz"))
    }

    /// Reads what [`AcmeClient::authorize_domain`] gave.
    async fn domain_authorization(&self, _url: &str) -> Result<DomainAuthorization, AcmeError> {
        Err(AcmeError::Unsupported("newAuthz"))
    }

    /// Tells the CA that the answer to the challenge at this URL is out.
    async fn accept(&self, _challenge: &str) -> Result<(), AcmeError> {
        Err(AcmeError::Unsupported("newAuthz"))
    }
}
