//! What was found where a manufacturer's MASA should be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::masa::probe::{Found, Outcome};

/// Which address is looked at.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MasaTest {
    /// The address, as an IDevID would have it: `host`, `host:port` or an https URL; the one that the operator gave for
    /// the manufacturer if left out. It must be at a host that the manufacturer's MASA may have.
    pub url: Option<String>,
}

/// What was found there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MasaTestView {
    /// The address.
    pub url: String,
    /// Whether nothing was found that keeps devices from their vouchers.
    pub works: bool,
    /// What was looked at, up to the first stage that failed.
    pub stages: Vec<MasaStageView>,
}

/// What was found at one stage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MasaStageView {
    /// "host" (may it be called?), "name", "connection", "tls" or "http".
    pub stage: String,
    /// "works", "unclear" or "failed".
    pub outcome: String,
    /// What it is, in words.
    pub detail: String,
}

impl MasaTestView {
    /// What was found at this address.
    #[must_use]
    pub fn new(url: String, found: &[Found]) -> Self {
        Self {
            url,
            works: found.iter().all(|each| each.outcome != Outcome::Fails),
            stages: found.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Found> for MasaStageView {
    fn from(found: &Found) -> Self {
        Self {
            stage: found.stage.as_str().to_owned(),
            outcome: found.outcome.as_str().to_owned(),
            detail: found.detail.clone(),
        }
    }
}
