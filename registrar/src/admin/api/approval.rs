//! Devices that wait for a person.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment;
use crate::store::model::Approval;

/// A question as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// Identifier.
    pub id: String,
    /// The device's identifier.
    pub device: String,
    /// Why a person is asked: `unexpected` or `key-changed`.
    pub reason: String,
    /// SHA-256 of the public key that asks, hexadecimal.
    pub spki: String,
    /// Who asked last: its address, and what it proved.
    pub peer: String,
    /// What became of it: `waiting`, `granted` or `refused`.
    pub state: String,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When it was asked first.
    pub created_at: String,
    /// When it was asked last.
    pub asked_at: String,
    /// When it was decided.
    pub decided_at: Option<String>,
}

impl From<&Approval> for ApprovalView {
    fn from(row: &Approval) -> Self {
        Self {
            id: row.id.to_string(),
            device: row.device.to_string(),
            reason: row.reason.as_str().to_owned(),
            spki: row.spki.to_string(),
            peer: row.peer.clone(),
            state: row.state.as_str().to_owned(),
            decided_by: row.decided_by.clone(),
            created_at: moment(row.created_at),
            asked_at: moment(row.asked_at),
            decided_at: row.decided_at.map(moment),
        }
    }
}

/// A question that waits, with the device that asks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WaitingView {
    /// The question.
    #[serde(flatten)]
    pub approval: ApprovalView,
    /// The manufacturer, by the operator's name.
    pub manufacturer: String,
    /// The device's serial number.
    pub serial: String,
}

/// What is said beside yes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The name that the device gets; by its profile's template if left out.
    pub name: Option<String>,
    /// The profile that it gets; the one that it has if left out.
    pub profile: Option<String>,
}
