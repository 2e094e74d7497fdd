//! What goes over the admin socket: requests and answers as JSON.

use serde::{Deserialize, Serialize};

/// A manufacturer to add.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewManufacturer {
    /// The operator's name for it.
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
}

/// A manufacturer as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// When it was added: RFC 3339.
    pub created_at: String,
}

/// A device as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceView {
    /// Identifier.
    pub id: String,
    /// Its DNS name.
    pub name: String,
    /// The manufacturer, by the operator's name.
    pub manufacturer: String,
    /// Its serial number.
    pub serial: String,
    /// Where it stands.
    pub state: String,
    /// Its profile.
    pub profile: String,
    /// When it came first: RFC 3339.
    pub created_at: String,
    /// When it changed last: RFC 3339.
    pub updated_at: String,
}

/// A device with its story.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceStory {
    /// The device.
    pub device: DeviceView,
    /// Its last voucher exchange: `issued`, say.
    pub voucher: Option<String>,
    /// Its enrollments, the oldest first.
    pub enrollments: Vec<EnrollmentView>,
    /// Its certificates, the oldest first.
    pub certificates: Vec<CertificateView>,
    /// Its newest events, the oldest of them first.
    pub events: Vec<EventView>,
}

/// An enrollment as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrollmentView {
    /// Identifier.
    pub id: String,
    /// The issuer.
    pub issuer: String,
    /// Where it stands.
    pub state: String,
    /// Why, where it ended badly.
    pub reason: Option<String>,
    /// The order at the ACME CA: its state.
    pub order: Option<String>,
    /// The order's steps, the oldest first.
    pub steps: Vec<String>,
}

/// A certificate as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateView {
    /// SHA-256.
    pub fingerprint: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// Start of its validity: RFC 3339.
    pub not_before: String,
    /// End of its validity: RFC 3339.
    pub not_after: String,
    /// When it was revoked: RFC 3339.
    pub revoked_at: Option<String>,
}

/// An event as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventView {
    /// When: RFC 3339.
    pub time: String,
    /// What.
    pub kind: String,
    /// What was decided.
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

/// How a running daemon does.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests answered since the start.
    pub requests: u64,
    /// DNS queries since the start.
    pub dns_queries: u64,
    /// DNS queries that were answered with a challenge's value.
    pub dns_answers: u64,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose move it is.
    pub kind: FailureKind,
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: String,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The request is wrong.
    Invalid,
    /// The request fits more than one thing.
    Ambiguous,
    /// There is no such thing.
    NotFound,
    /// It is there already.
    Conflict,
    /// Try later.
    Unavailable,
}
