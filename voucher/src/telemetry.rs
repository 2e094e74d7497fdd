//! Status reports of a pledge: voucher_status and enrollstatus (RFC 8995 §5.7, §5.9.4).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The version of the reports that this library knows.
const VERSION: u64 = 1;

/// A report that cannot be read.
#[derive(Debug, Error)]
#[error("the report is no status of RFC 8995: {0}")]
pub struct StatusError(#[from] serde_json::Error);

/// One status report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    version: u64,
    status: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason_context: Option<Value>,
}

impl Status {
    /// The report that all is well.
    #[must_use]
    pub fn success() -> Self {
        Self { version: VERSION, status: true, reason: None, reason_context: None }
    }

    /// The report of a failure, with a reason that tells no secrets.
    #[must_use]
    pub fn failure(reason: &str) -> Self {
        Self {
            version: VERSION,
            status: false,
            reason: Some(reason.to_owned()),
            reason_context: None,
        }
    }

    /// Reads a report; unknown members are ignored.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn parse(body: &[u8]) -> Result<Self, StatusError> {
        Ok(serde_json::from_slice(body)?)
    }

    /// The report as it is sent.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The version; above 1, a person should look.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether all is well.
    #[must_use]
    pub fn status(&self) -> bool {
        self.status
    }

    /// What the pledge says of a failure.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}
