//! What the pledge reports: did it accept the voucher, did its enrollment work? (RFC 8995 §5.7, §5.9.4.)

use std::collections::BTreeMap;

use brski_voucher::telemetry::{MEMBERS, Status};
use serde::de::IgnoredAny;

use super::refusal::Refusal;
use super::{Decision, Visit, issuance};
use crate::policy::admission::Admitted;
use crate::store::Change;
use crate::store::model::{
    Event, Id, IssuedCertificate, KnownDevice, Verdict, VoucherExchange, VoucherState,
};

/// The longest reason of a pledge that the trail keeps, in characters.
const REASON_CHARACTERS: usize = 500;
/// How many members that are not known are told, and how much of each name, in characters.
const UNKNOWN_MOST: usize = 5;
const UNKNOWN_CHARACTERS: usize = 30;
const VOUCHER_STATUS: &str = "RFC 8995 §5.7";
const ENROLL_STATUS: &str = "RFC 8995 §5.9.4";

/// A status report, and which of its members nobody here knows.
#[derive(Clone, Debug)]
pub struct Report {
    status: Status,
    unknown: Vec<String>,
}

/// Reads a status report. Members that are not known are told and ignored (RFC 8995 §5.7).
///
/// # Errors
/// [`Refusal::StatusUnreadable`].
pub fn read(body: &[u8]) -> Result<Report, Refusal> {
    let status = Status::parse(body)
        .map_err(|error| Refusal::StatusUnreadable { reason: error.to_string() })?;
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).unwrap_or_default();
    let unknown = members.into_keys().filter(|member| !MEMBERS.contains(&member.as_str()));
    let unknown = unknown.take(UNKNOWN_MOST).map(|member| cut(&member, UNKNOWN_CHARACTERS));
    Ok(Report { status, unknown: unknown.collect() })
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

impl Report {
    /// What the pledge says: its reason, what it says beyond that, and what of it nobody here knows.
    fn detail(&self) -> String {
        let mut parts = vec![cut(self.status.reason().unwrap_or_default(), REASON_CHARACTERS)];
        parts.extend(self.status.reason_context().map(|context| cut(context, REASON_CHARACTERS)));
        if !self.unknown.is_empty() {
            parts.push(format!("members not known: {}", self.unknown.join(", ")));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }

    /// A version that is not known is for a person to look at (RFC 8995 §5.7).
    fn version_event(&self, visit: &Visit, clause: &'static str, device: &Id) -> Option<Event> {
        let version = self.status.version();
        let detail = format!("the report has version {version}; what was known of it was taken");
        let event =
            || visit.event("status-version-unknown", Verdict::Failed, clause, Some(device), detail);
        (!self.status.is_known_version()).then(event)
    }
}

/// Records whether the pledge accepts its voucher.
///
/// A failure closes EST until a new voucher succeeds, because the pledge does not trust this domain; so does one that is
/// told before there is a voucher.
///
/// # Errors
/// [`Refusal::NothingToReport`] if the device has no exchange, or its last one has no voucher that it could accept.
pub fn voucher_status(
    visit: &Visit,
    admitted: &Admitted,
    exchange: Option<&VoucherExchange>,
    report: &Report,
) -> Result<Decision, Refusal> {
    let device = admitted.device();
    let exchange = exchange.ok_or(Refusal::NothingToReport)?;
    let voucher = match &exchange.state {
        VoucherState::Issued { voucher } | VoucherState::Accepted { voucher } => Some(voucher),
        VoucherState::Asked | VoucherState::Rejected { .. } | VoucherState::Failed { .. } => None,
    };
    let reason = report.detail();
    let mut changes = Vec::new();
    let mut set = |state| {
        let exchange = exchange.id.clone();
        changes.push(Change::SetVoucherState { exchange, state, at: visit.now });
    };
    let (kind, verdict) = match (report.status.status(), voucher) {
        (true, Some(voucher)) => {
            set(VoucherState::Accepted { voucher: voucher.clone() });
            ("voucher-accepted", Verdict::Done)
        }
        (true, None) => return Err(Refusal::NothingToReport),
        (false, voucher) => {
            if voucher.is_some() {
                set(VoucherState::Rejected { reason: reason.clone() });
            }
            changes.extend(issuance::close(visit, device));
            ("voucher-rejected", Verdict::Failed)
        }
    };
    let mut events = vec![visit.event(kind, verdict, VOUCHER_STATUS, Some(&device.id), reason)];
    events.extend(report.version_event(visit, VOUCHER_STATUS, &device.id));
    Ok(Decision { changes, events })
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
    report: &Report,
) -> Decision {
    let how = match session {
        StatusSession::IssuedCertificate(certificate) => {
            format!("over a session with the issued certificate {}", certificate.serial)
        }
        StatusSession::Idevid => "over a session with the IDevID".to_owned(),
    };
    let (kind, verdict) = if report.status.status() {
        ("enrollment-confirmed", Verdict::Done)
    } else {
        ("enrollment-failed-at-pledge", Verdict::Failed)
    };
    let detail = match report.detail() {
        detail if detail.is_empty() => how,
        detail => format!("{how}: {detail}"),
    };
    let device = &known.device.id;
    let mut events = vec![visit.event(kind, verdict, ENROLL_STATUS, Some(device), detail)];
    events.extend(report.version_event(visit, ENROLL_STATUS, device));
    Decision { changes: Vec::new(), events }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_told_and_ignored() {
        let body = br#"{"version":1,"status":false,"reason":"r\u0007",
            "reason-context":{"a":1},"Status":true,"more":[1]}"#;
        let report = read(body).unwrap();
        assert!(!report.status.status());
        let detail = report.detail();
        assert_eq!(detail, "r\u{7}; {\"a\":1}; members not known: Status, more");
    }

    #[test]
    fn a_report_is_cut_to_what_the_trail_bears() {
        let members: Vec<String> = (0..200).map(|number| format!("\"m{number}\":0")).collect();
        let long = "x".repeat(2000);
        let body = format!(
            "{{\"version\":1,\"status\":true,\"reason\":\"{long}\",{}}}",
            members.join(",")
        );
        let detail = read(body.as_bytes()).unwrap().detail();
        assert!(detail.len() < 700, "{}", detail.len());
    }

    #[test]
    fn refuses_what_is_no_report() {
        for body in ["", "{}", "[]", "{\"version\":1}", "{\"version\":\"1\",\"status\":1}"] {
            assert_eq!(read(body.as_bytes()).unwrap_err().kind(), "status-unreadable", "{body}");
        }
    }
}
