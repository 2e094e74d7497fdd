//! Orders as an operator sees them, and what else the bridge keeps.

use acme_bridge::{OrderRecord, RevocationReason};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{Id, Millis, Sha256};

/// Which orders are meant; an empty filter means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// At this issuer.
    pub issuer: Option<String>,
    /// In this state, by its word.
    pub state: Option<String>,
    /// Of this device.
    pub device: Option<Id>,
}

/// An order's place in the order of their age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderPlace {
    /// When it was taken.
    pub created_at: Millis,
    /// Its identifier.
    pub id: String,
}

/// An order with its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// The order.
    pub order: OrderRecord,
    /// When it was taken.
    pub created_at: Millis,
}

/// How many orders an issuer has in a state that is not final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTally {
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// The state's word.
    pub state: String,
    /// How many.
    pub orders: u64,
}

/// A certificate that its CA is to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// SHA-256 of the certificate.
    pub fingerprint: Sha256,
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Why.
    pub reason: RevocationReason,
    /// How often the CA was asked in vain.
    pub attempts: u32,
    /// When the CA is asked next.
    pub due: Millis,
    /// When it was wanted.
    pub requested_at: Millis,
    /// When the CA did it.
    pub done_at: Option<Millis>,
    /// What the CA said last, where it did not.
    pub problem: Option<String>,
}
