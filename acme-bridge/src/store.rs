//! What the bridge must not forget, behind a trait: whoever links the bridge keeps it where it keeps the rest.

use std::error::Error;

use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::order::{IssuerName, OrderId, OrderRecord};
use crate::signed::RevocationReason;

/// The store failed; nothing was written.
#[derive(Debug, Error)]
#[error("the order store failed: {0}")]
pub struct OrderStoreError(#[source] pub Box<dyn Error + Send + Sync>);

/// An ACME account (RFC 8555 §7.1.2). Its key lives in a file, not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The account's URL.
    pub url: String,
    /// The directory that it was made at.
    pub directory: String,
    /// SHA-256 of the key that the CA knows it by (RFC 7638), base64url; empty if that was not written down yet.
    pub thumbprint: String,
    /// Whether an operator ended it.
    pub is_ended: bool,
    /// What the CA was told of how to reach its owner.
    pub contacts: ContactsTold,
}

/// What a CA was told of how to reach the owner of an account (RFC 8555 §7.3); nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactsTold {
    /// The contacts, as they were configured then.
    pub urls: Vec<String>,
    /// What the CA said, if it did not take them.
    pub refusal: Option<String>,
}

/// Which orders are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    Any,
    /// Those that another CA may take over, and that are not placed.
    WithFallback,
}

/// What an operator must hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alarm {
    /// The CA does not want the account as it is.
    Account,
    /// The configuration asks for what the CA does not have.
    Configuration,
    /// The CA issued something that was not asked for; it is not handed out.
    WrongCertificate,
    /// Another CA takes over.
    Fallback {
        /// The CA that is down or out of quota.
        from: IssuerName,
    },
}

/// What happened to an order.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// For its history.
    pub words: String,
    /// For an operator.
    pub alarm: Option<Alarm>,
    /// A certificate to revoke, in the same breath.
    pub revoke: Option<CertificateDer<'static>>,
}

impl Step {
    /// A step that nobody must hear of.
    #[must_use]
    pub fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), alarm: None, revoke: None }
    }
}

/// A certificate that is to be revoked at its CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The CA, by the caller's name.
    pub issuer: IssuerName,
    /// Why.
    pub reason: RevocationReason,
    /// How often the CA was asked in vain.
    pub attempts: u32,
}

/// What became of an attempt to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// The CA revoked it.
    Done,
    /// The CA is asked again.
    Again {
        /// When: Unix milliseconds.
        due: i64,
        /// What it said.
        problem: String,
    },
}

/// A bucket from which one order takes: when it would be full again, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// The bucket's name.
    pub bucket: String,
    /// Unix milliseconds; none if nothing was ever taken.
    pub before: Option<i64>,
    /// Unix milliseconds.
    pub after: i64,
}

/// Durable state of orders. Every method that writes has written when it returns.
#[async_trait]
pub trait OrderStore: Send + Sync + 'static {
    /// Inserts an order; one with the same identifier that is there already stays as it is.
    async fn insert(&self, order: &OrderRecord) -> Result<(), OrderStoreError>;

    /// The order with this identifier.
    async fn load(&self, id: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError>;

    /// Leases to `node` up to `limit` orders of `issuer` that are not final, are due, and that no node drives,
    /// nor `node` itself; those first whose device waits longest for its turn.
    async fn claim(
        &self,
        issuer: &IssuerName,
        node: &str,
        lease_until: i64,
        now: i64,
        limit: u32,
        which: Which,
    ) -> Result<Vec<OrderRecord>, OrderStoreError>;

    /// Writes the order as it is from now on, and the step that led there; fails if another node drives it,
    /// or if it has ended meanwhile. An order without a lease is free for whoever claims it next.
    async fn advance(
        &self,
        order: &OrderRecord,
        node: &str,
        step: &Step,
        now: i64,
    ) -> Result<(), OrderStoreError>;

    /// Frees what `node` leased and does not drive: at its start, when it drives nothing.
    async fn release(&self, issuer: &IssuerName, node: &str) -> Result<(), OrderStoreError>;

    /// How many orders of an issuer are in each state that is not final, by the states' words.
    async fn tally(&self, issuer: &IssuerName) -> Result<Vec<(String, u64)>, OrderStoreError>;

    /// When each of these buckets would be full again: Unix milliseconds; none if nothing was ever taken.
    async fn buckets(&self, names: &[String]) -> Result<Vec<Option<i64>>, OrderStoreError>;

    /// Takes from all these buckets, or from none: false if another took from one meanwhile.
    async fn spend(&self, spendings: &[Spending]) -> Result<bool, OrderStoreError>;

    /// The certificates of an issuer that are to be revoked by now, the longest due first, at most `limit`.
    async fn revocations(
        &self,
        issuer: &IssuerName,
        now: i64,
        limit: u32,
    ) -> Result<Vec<Revocation>, OrderStoreError>;

    /// Writes what became of an attempt to revoke.
    async fn revoked(
        &self,
        revocation: &Revocation,
        outcome: &RevocationOutcome,
        now: i64,
    ) -> Result<(), OrderStoreError>;

    /// The account at a CA.
    async fn account(&self, issuer: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError>;

    /// Keeps the account at a CA; an operator must hear of a refusal of its contacts that was not kept yet.
    async fn save_account(
        &self,
        issuer: &IssuerName,
        account: &AccountRecord,
        now: i64,
    ) -> Result<(), OrderStoreError>;
}
