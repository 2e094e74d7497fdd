//! An order and the states that it goes through.
//!
//! `intended` → `placed` → `authorizing` → `ready` → `finalizing` → `valid` → `issued`, or `invalid`.
//! Each state is written before the network call that leaves it, so a restarted process knows what may have been sent.
//! No call is between `ready` and `finalizing`, which are one write; a valid order's chain, which is only read, may be
//! on its way while the state is written.
//!
//! RFC 8555 §7.1.6.

use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// An order's identifier, given by the caller; the same one twice is the same order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(String);

impl OrderId {
    /// Takes an identifier.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The caller's name for a CA and the account there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IssuerName(String);

impl IssuerName {
    /// Takes a name.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A CSR that its owner checked: the bridge sends it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// PKCS#10, DER.
    pub der: Vec<u8>,
    /// The DNS names in it, lower case: exactly the identifiers of the order.
    pub names: Vec<String>,
    /// Its SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum OrderState {
    /// It is wanted; newOrder may have been sent.
    Intended,
    /// The CA has it.
    Placed {
        /// The order's URL.
        url: String,
    },
    /// Challenge answers go out, or are out; the CA may have been told to validate.
    Authorizing {
        /// The order's URL.
        url: String,
    },
    /// Every name is authorized.
    Ready {
        /// The order's URL.
        url: String,
    },
    /// The CSR may have been sent.
    Finalizing {
        /// The order's URL.
        url: String,
    },
    /// The CA has issued; the chain is to be fetched.
    Valid {
        /// The order's URL.
        url: String,
    },
    /// The chain is here and was checked.
    Issued {
        /// The device's certificate first, the root last; each DER.
        #[serde(with = "chain")]
        chain: Vec<CertificateDer<'static>>,
    },
    /// It is over without a certificate.
    Invalid {
        /// Why.
        problem: Problem,
    },
}

impl OrderState {
    /// The state's word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Placed { .. } => "placed",
            Self::Authorizing { .. } => "authorizing",
            Self::Ready { .. } => "ready",
            Self::Finalizing { .. } => "finalizing",
            Self::Valid { .. } => "valid",
            Self::Issued { .. } => "issued",
            Self::Invalid { .. } => "invalid",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Issued { .. } | Self::Invalid { .. })
    }
}

/// Who drives an order, and until when nobody else may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The node.
    pub node: String,
    /// Unix milliseconds.
    pub until: i64,
}

/// What the caller wants of an order, beside its CSR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTerms {
    /// Whose turn it is: orders of one device wait for each other, and not for those of another.
    pub device: String,
    /// The certificate that is renewed, by its ARI identifier (RFC 9773 §4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The CA that takes over while this one is down or out of quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<IssuerName>,
    /// The extended key usages that the certificate must have: object identifiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require_eku: Vec<String>,
}

/// An order as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRecord {
    /// Its identifier.
    pub id: OrderId,
    /// The CA.
    pub issuer: IssuerName,
    /// What is to be certified.
    pub csr: Csr,
    /// What else is wanted.
    pub terms: OrderTerms,
    /// Where it stands.
    pub state: OrderState,
    /// Since when: Unix milliseconds.
    pub since: i64,
    /// How many orders were given up for it at the CA.
    pub attempts: u32,
    /// What went wrong last, also where it is tried again.
    pub problem: Option<Problem>,
    /// When it is to be looked at next: Unix milliseconds.
    pub due: i64,
    /// Who drives it.
    pub lease: Option<Lease>,
}

impl OrderRecord {
    /// An order that was not placed yet. `now`: Unix milliseconds.
    #[must_use]
    pub fn new(id: OrderId, issuer: IssuerName, csr: Csr, terms: OrderTerms, now: i64) -> Self {
        let state = OrderState::Intended;
        Self {
            id,
            issuer,
            csr,
            terms,
            state,
            since: now,
            attempts: 0,
            problem: None,
            due: now,
            lease: None,
        }
    }
}

/// DER certificates as base64 in JSON.
mod chain {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rustls_pki_types::CertificateDer;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        chain: &[CertificateDer<'static>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(chain.iter().map(|certificate| STANDARD.encode(certificate)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<CertificateDer<'static>>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .into_iter()
            .map(|text| STANDARD.decode(text).map(CertificateDer::from).map_err(D::Error::custom))
            .collect()
    }
}
