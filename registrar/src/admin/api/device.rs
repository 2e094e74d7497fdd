//! Devices: one of them, their list, their import.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::approval::ApprovalView;
use super::certificate::CertificateView;
use super::event::EventView;
use super::moment;
use crate::admin::problem::FieldProblem;
use crate::store::model::{
    Enrollment, EnrollmentState, KnownDevice, Millis, VoucherExchange, VoucherState,
};

/// A device as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// Identifier.
    pub id: String,
    /// Its DNS name; none before it is admitted, unless the import gave one.
    pub name: Option<String>,
    /// The manufacturer, by the operator's name; none for a device with a credential.
    pub manufacturer: Option<String>,
    /// Its serial number; none for a device with a credential.
    pub serial: Option<String>,
    /// The name of its credential; none for a device with an IDevID.
    pub credential: Option<String>,
    /// Where it stands: `expected`, `pending`, `admitted`, `vouchered`, `enrolled`, `retired` or `blocked`.
    pub state: String,
    /// Its profile.
    pub profile: String,
    /// Where it is, in the operator's words.
    pub site: Option<String>,
    /// When it came first.
    pub created_at: String,
    /// When it changed last.
    pub updated_at: String,
}

impl DeviceView {
    /// Shows a device of the manufacturer with this name, where it has one.
    #[must_use]
    pub fn new(known: &KnownDevice, manufacturer: Option<String>) -> Self {
        let device = &known.device;
        Self {
            id: device.id.to_string(),
            name: device.name.clone(),
            manufacturer,
            serial: known.identity.serial().map(str::to_owned),
            credential: known.identity.credential().map(str::to_owned),
            state: device.state.as_str().to_owned(),
            profile: device.profile.clone(),
            site: device.site.clone(),
            created_at: moment(device.created_at),
            updated_at: moment(device.updated_at),
        }
    }
}

/// Which devices are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeviceQuery {
    /// How many, at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// Of this manufacturer, by the operator's name.
    pub manufacturer: Option<String>,
    /// Whose name or serial number begins with this text.
    pub text: Option<String>,
}

/// A device that may join.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Its serial number, exactly as its IDevID carries it.
    pub serial: String,
    /// Its manufacturer, by the operator's name.
    pub manufacturer: String,
    /// The name that it gets; by its profile's template if left out.
    pub name: Option<String>,
    /// Its profile; `default` if left out.
    pub profile: Option<String>,
    /// Where it is, in your words.
    pub site: Option<String>,
}

/// Devices that may join, as a CSV file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The file: a header with `serial`, `manufacturer`, and any of `name`, `profile`, `site`; a line each.
    pub csv: String,
    /// What becomes of the right lines where others are wrong.
    #[serde(default)]
    pub wrong_lines: WrongLines,
}

/// What becomes of the right lines of an import where others are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WrongLines {
    /// Nothing is imported.
    #[default]
    Refuse,
    /// They are imported.
    Skip,
}

/// What an import did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// How many devices were added.
    pub imported: usize,
    /// The lines that were left out.
    pub skipped: Vec<FieldProblem>,
}

/// How a device is retired.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// Whether another device may get its name.
    #[serde(default)]
    pub free_name: bool,
}

/// Another name for a device.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// One label, alone or followed by the zone of its profile.
    pub name: String,
}

/// Which device takes another one's place.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// Its identifier, name or serial number.
    pub by: String,
}

/// A device with its story.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceStory {
    /// The device.
    pub device: DeviceView,
    /// Its last voucher exchange: `issued`, say.
    pub voucher: Option<String>,
    /// The questions about it, the oldest first.
    pub approvals: Vec<ApprovalView>,
    /// Its enrollments, the oldest first.
    pub enrollments: Vec<EnrollmentView>,
    /// Its certificates, the oldest first.
    pub certificates: Vec<CertificateView>,
    /// Its newest events, the oldest of them first.
    pub events: Vec<EventView>,
}

/// The word of a voucher exchange's state.
#[must_use]
pub fn voucher_word(exchange: &VoucherExchange) -> &'static str {
    match &exchange.state {
        VoucherState::Asked => "asked",
        VoucherState::Issued { .. } => "issued",
        VoucherState::Accepted { .. } => "accepted",
        VoucherState::Rejected { .. } => "rejected",
        VoucherState::Failed { .. } => "failed",
    }
}

/// An enrollment as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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

impl EnrollmentView {
    /// Shows an enrollment with the state and the steps of its order.
    #[must_use]
    pub fn new(
        enrollment: Enrollment,
        order: Option<String>,
        steps: Vec<(Millis, String)>,
    ) -> Self {
        let (state, reason) = match enrollment.state {
            EnrollmentState::Approved => ("approved", None),
            EnrollmentState::Ordered => ("ordered", None),
            EnrollmentState::Issued { .. } => ("issued", None),
            EnrollmentState::Refused { reason } => ("refused", Some(reason)),
            EnrollmentState::Failed { reason } => ("failed", Some(reason)),
            EnrollmentState::Cancelled { reason } => ("cancelled", Some(reason)),
        };
        Self {
            id: enrollment.id.to_string(),
            issuer: enrollment.issuer,
            state: state.to_owned(),
            reason,
            order,
            steps: steps.into_iter().map(|(at, step)| format!("{} {step}", moment(at))).collect(),
        }
    }
}
