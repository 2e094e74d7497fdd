//! The trail: events, what follows them, and whether their chain holds.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::moment;
use crate::store::chain::Report;
use crate::store::model::StoredEvent;

/// An event as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// The node that wrote it.
    pub node: String,
    /// Its number on that node.
    pub seq: i64,
    /// When.
    pub time: String,
    /// What.
    pub kind: String,
    /// What was decided: `done`, `refused`, `waiting` or `failed`.
    pub verdict: String,
    /// The device's identifier.
    pub device: Option<String>,
    /// Who asked.
    pub peer: String,
    /// By which clause.
    pub clause: String,
    /// What happened.
    pub detail: String,
    /// Ties the events of one request together.
    pub correlation: String,
}

impl From<StoredEvent> for EventView {
    fn from(row: StoredEvent) -> Self {
        Self {
            node: row.node,
            seq: row.seq,
            time: moment(row.time),
            kind: row.kind,
            verdict: row.verdict,
            device: row.device.map(|id| id.to_string()),
            peer: row.peer,
            clause: row.clause,
            detail: row.detail,
            correlation: row.correlation,
        }
    }
}

/// Which events are wanted. Without `since` and `after`: the newest.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// How many, at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// Of this device: its identifier, name or serial number.
    pub device: Option<String>,
    /// Not older: RFC 3339, or an age such as `15m`, `24h`, `7d`.
    pub since: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
}

/// From where on the events of all nodes are followed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TailQuery {
    /// `next` of the answer before; if left out, none come, and `next` is where they end now.
    pub after: Option<String>,
}

/// What to verify the trail with.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// PEM: certificates of keys that signed before the registrar's present one.
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// Whether the chain of a node holds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChainView {
    /// The node.
    pub node: String,
    /// The first event that is there; 0 if there is none.
    pub first: i64,
    /// The last event that is there; 0 if there is none.
    pub last: i64,
    /// Up to which event a signature vouches; what is later is unproven.
    pub proven: i64,
    /// What is wrong with it.
    pub findings: Vec<String>,
}

impl From<Report> for ChainView {
    fn from(report: Report) -> Self {
        Self {
            node: report.node,
            first: report.first,
            last: report.last,
            proven: report.proven,
            findings: report.findings.iter().map(ToString::to_string).collect(),
        }
    }
}
