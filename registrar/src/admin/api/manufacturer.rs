//! Manufacturers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment;
use crate::store::model::{Entry, Manufacturer};

/// A manufacturer to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewManufacturer {
    /// The operator's name for it: 1 to 64 letters, digits, '.', '_', '-'.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub name: String,
    /// PEM: the anchors of its IDevIDs.
    pub ca: String,
    /// Overrides the MASA URL of the IDevIDs.
    pub masa_url: Option<String>,
    /// PEM: the anchors of its MASA's TLS certificate.
    pub masa_ca: Option<String>,
    /// The hosts that its MASA may have.
    #[serde(default)]
    pub masa_hosts: Vec<String>,
    /// PEM: the anchors of its voucher signers; those of its IDevIDs if left out.
    pub voucher_ca: Option<String>,
    /// Whether its devices may enroll with their IDevID alone, if an operator expects or approves them.
    #[serde(default)]
    pub est_without_brski: bool,
}

/// A manufacturer as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ManufacturerView {
    /// Identifier.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// How many anchors its IDevIDs have.
    pub anchors: usize,
    /// Where its MASA lives, if the operator says so.
    pub masa_url: Option<String>,
    /// The hosts that its MASA may have; empty: any public one.
    pub masa_hosts: Vec<String>,
    /// How many anchors its voucher signers have.
    pub voucher_anchors: usize,
    /// Whether its devices may enroll with their IDevID alone, if an operator expects or approves them.
    pub est_without_brski: bool,
    /// When it was added.
    pub created_at: String,
}

impl From<&Manufacturer> for ManufacturerView {
    fn from(row: &Manufacturer) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            anchors: row.anchors.len(),
            masa_url: row.masa_url.clone(),
            masa_hosts: row.masa_hosts.clone(),
            voucher_anchors: row.voucher_anchors.len(),
            est_without_brski: row.entry == Entry::Est,
            created_at: moment(row.created_at),
        }
    }
}
