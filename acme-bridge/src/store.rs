//! What the bridge must not forget, behind a trait: whoever links the bridge keeps it where it keeps the rest.

use std::error::Error;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::order::{IssuerName, OrderId, OrderRecord};

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
}

/// Durable state of orders. Every method that writes has written when it returns.
#[async_trait]
pub trait OrderStore: Send + Sync + 'static {
    /// Inserts an order; one with the same identifier that is there already stays as it is.
    async fn insert(&self, order: &OrderRecord) -> Result<(), OrderStoreError>;

    /// The order with this identifier.
    async fn load(&self, id: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError>;

    /// Leases to `node` up to `limit` orders of `issuer` that are not final, are due, and that no other node drives.
    async fn claim(
        &self,
        issuer: &IssuerName,
        node: &str,
        lease_until: i64,
        now: i64,
        limit: u32,
    ) -> Result<Vec<OrderRecord>, OrderStoreError>;

    /// Writes the order as it is from now on, and the step that led there; fails if another node drives it.
    async fn advance(
        &self,
        order: &OrderRecord,
        node: &str,
        step: &str,
        now: i64,
    ) -> Result<(), OrderStoreError>;

    /// The account at a CA.
    async fn account(&self, issuer: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError>;

    /// Keeps the account at a CA.
    async fn save_account(
        &self,
        issuer: &IssuerName,
        account: &AccountRecord,
    ) -> Result<(), OrderStoreError>;
}
