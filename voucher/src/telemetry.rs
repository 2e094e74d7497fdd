//! Status reports of a pledge: voucher_status and enrollstatus (RFC 8995 §5.7, §5.9.4).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::content::{ContentError, json};

/// The version of the reports that this library knows.
const VERSION: u64 = 1;
/// The members of a report (RFC 8995 §5.7); any other is ignored.
pub const MEMBERS: [&str; 4] = ["version", "status", "reason", "reason-context"];
/// The longest report that is read, in octets.
pub const STATUS_OCTETS: usize = 16 * 1024;

/// A report that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StatusError {
    /// It is longer than this library reads.
    #[error("the report has {octets} octets, more than {STATUS_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is no report: no JSON, a member absent, of another type, or there twice.
    #[error(transparent)]
    Json(#[from] ContentError),
}

/// One status report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    version: u64,
    status: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason_context: Option<Context>,
}

/// A JSON object as it was written: as values it could take many times the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Context(String);

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;

        RawValue::from_string(self.0.clone()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;

        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("reason-context is no object"));
        }
        Ok(Self(raw.get().to_owned()))
    }
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

    /// The same report with more about its reason.
    #[must_use]
    pub fn with_context(self, context: Map<String, Value>) -> Self {
        Self { reason_context: Some(Context(Value::Object(context).to_string())), ..self }
    }

    /// Reads a report of at most 16 KiB; unknown members are ignored.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn parse(body: &[u8]) -> Result<Self, StatusError> {
        if body.len() > STATUS_OCTETS {
            return Err(StatusError::TooLong { octets: body.len() });
        }
        Ok(json::parse(body)?)
    }

    /// The report as it is sent.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // It has no map with other keys than text, the one thing that does not become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The version; above 1, a person should look.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether this library knows the version.
    #[must_use]
    pub fn is_known_version(&self) -> bool {
        self.version <= VERSION
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

    /// What it says beyond that: a JSON object, as it was written.
    #[must_use]
    pub fn reason_context(&self) -> Option<&str> {
        self.reason_context.as_ref().map(|context| context.0.as_str())
    }
}
