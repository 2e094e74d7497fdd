//! What the pledge reports: did it accept the voucher, did its enrollment work? (RFC 8995 §5.7, §5.9.4.)

use brski_voucher::telemetry::Status;

use super::refusal::Refusal;
use super::{Decision, Visit};
use crate::policy::admission::Admitted;
use crate::store::Change;
use crate::store::model::{
    DeviceState, IssuedCertificate, KnownDevice, Verdict, VoucherExchange, VoucherState,
};

/// The longest reason of a pledge that the trail keeps, in characters.
const REASON_CHARACTERS: usize = 500;

/// Reads a status report.
///
/// # Errors
/// [`Refusal::StatusUnreadable`].
pub fn read(body: &[u8]) -> Result<Status, Refusal> {
    Status::parse(body).map_err(|error| Refusal::StatusUnreadable { reason: error.to_string() })
}

/// Records whether the pledge accepts its voucher.
///
/// A rejected voucher closes EST until a new one succeeds, because the pledge does not trust this domain.
///
/// # Errors
/// [`Refusal::NothingToReport`] if the device's last exchange has no voucher.
pub fn voucher_status(
    visit: &Visit,
    admitted: &Admitted,
    exchange: Option<VoucherExchange>,
    status: &Status,
) -> Result<Decision, Refusal> {
    let device = admitted.device();
    let exchange = exchange.ok_or(Refusal::NothingToReport)?;
    let voucher = match exchange.state {
        VoucherState::Issued { voucher } | VoucherState::Accepted { voucher } => voucher,
        VoucherState::Rejected { .. } if !status.status() => Vec::new(),
        _ => return Err(Refusal::NothingToReport),
    };
    let reason = reason(status);
    let (state, kind, verdict) = if status.status() {
        (VoucherState::Accepted { voucher }, "voucher-accepted", Verdict::Done)
    } else {
        let state = VoucherState::Rejected { reason: reason.clone() };
        (state, "voucher-rejected", Verdict::Failed)
    };
    let mut changes = vec![Change::SetVoucherState { exchange: exchange.id, state, at: visit.now }];
    if !status.status() {
        changes.push(Change::MoveDevice {
            device: device.id.clone(),
            state: DeviceState::Admitted,
            at: visit.now,
        });
    }
    let event = visit.event(kind, verdict, "RFC 8995 §5.7", Some(&device.id), reason);
    Ok(Decision { changes, events: vec![event] })
}

/// Over which session an enrollment status came.
#[derive(Clone, Debug)]
pub enum StatusSession {
    /// With exactly this certificate of ours.
    IssuedCertificate(Box<IssuedCertificate>),
    /// With the IDevID.
    Idevid,
}

/// Records whether the pledge's enrollment worked, and whether the session carried the new certificate.
#[must_use]
pub fn enroll_status(
    visit: &Visit,
    known: &KnownDevice,
    session: &StatusSession,
    status: &Status,
) -> Decision {
    let how = match session {
        StatusSession::IssuedCertificate(certificate) => {
            format!("over a session with the issued certificate {}", certificate.serial)
        }
        StatusSession::Idevid => "over a session with the IDevID".to_owned(),
    };
    let (kind, verdict) = if status.status() {
        ("enrollment-confirmed", Verdict::Done)
    } else {
        ("enrollment-failed-at-pledge", Verdict::Failed)
    };
    let detail = match reason(status) {
        reason if reason.is_empty() => how,
        reason => format!("{how}: {reason}"),
    };
    let event = visit.event(kind, verdict, "RFC 8995 §5.9.4", Some(&known.device.id), detail);
    Decision { changes: Vec::new(), events: vec![event] }
}

fn reason(status: &Status) -> String {
    status.reason().unwrap_or_default().chars().take(REASON_CHARACTERS).collect()
}
