//! The clock.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An operator vouched for the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClockConfirmed {
    /// What the clock says.
    pub now: String,
    /// When the newest event was that counted against it until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_event: Option<String>,
}
