//! What an operator may do with devices, certificates and approvals: facts and a wish go in, a decision comes out.
//!
//! Invariant: what takes a device out of service closes everything in one transaction: its certificates are revoked,
//! its orders cancelled, its questions answered, and EST is shut by its state.

use acme_bridge::{OrderId, OrderState, Problem, ProblemKind};
use thiserror::Error;

use super::Decision;
use crate::policy::name::NameError;
use crate::store::Change;
use crate::store::model::{
    Approval, ApprovalState, DeviceState, Enrollment, EnrollmentState, Event, Id,
    IssuedCertificate, KnownDevice, Millis, Verdict,
};

pub mod approval;
pub mod device;

/// An operator who acts.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Who: `uid 1000`, `certificate alice`, `token ci`.
    pub name: String,
    /// When.
    pub now: Millis,
    /// Ties the events of the act together.
    pub correlation: String,
}

impl Operator {
    /// An event of this act.
    #[must_use]
    pub fn event(
        &self,
        kind: &'static str,
        clause: &'static str,
        device: Option<&Id>,
        detail: String,
    ) -> Event {
        Event {
            time: self.now,
            kind,
            verdict: Verdict::Done,
            device: device.cloned(),
            peer: self.name.clone(),
            clause,
            detail,
            correlation: self.correlation.clone(),
        }
    }
}

/// Everything that is known of a device.
#[derive(Clone, Debug)]
pub struct DeviceFacts {
    /// The device.
    pub known: KnownDevice,
    /// Its enrollments.
    pub enrollments: Vec<Enrollment>,
    /// Its certificates.
    pub certificates: Vec<IssuedCertificate>,
    /// The questions about it.
    pub approvals: Vec<Approval>,
}

impl DeviceFacts {
    fn id(&self) -> Id {
        self.known.device.id.clone()
    }

    /// What a decision about all that a device holds stands on: it has begun and got nothing since these facts were read.
    fn still(&self) -> Change {
        let open = self.enrollments.iter().filter(|each| is_open(each));
        let live = self.certificates.iter().filter(|each| each.revoked_at.is_none());
        Change::ExpectHoldings {
            device: self.id(),
            open: open.map(|each| each.id.clone()).collect(),
            live: live.map(|each| each.fingerprint).collect(),
        }
    }

    /// The device in words: its name, or what it proves itself with.
    fn word(&self) -> String {
        self.known.device.name.clone().unwrap_or_else(|| self.known.identity.describe())
    }
}

/// Why an operator's wish cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The device is not in a state for it.
    #[error("{device:?} is {}; {wanted}", .state.as_str())]
    State {
        /// The device.
        device: String,
        /// Its state.
        state: DeviceState,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The question was answered before.
    #[error("approval {approval} was {} before", .state.as_str())]
    Decided {
        /// The question.
        approval: Id,
        /// The answer.
        state: ApprovalState,
    },
    /// The name cannot be a device's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A device cannot take its own place.
    #[error("a device cannot replace itself")]
    Itself,
    /// The certificate was revoked before.
    #[error("certificate {serial} was revoked before")]
    Revoked {
        /// Its serial number.
        serial: String,
    },
}

fn is_open(enrollment: &Enrollment) -> bool {
    matches!(enrollment.state, EnrollmentState::Approved | EnrollmentState::Ordered)
}

/// Revokes the certificates of a device, and cancels its enrollments with their orders.
fn close(operator: &Operator, facts: &DeviceFacts, reason: &str) -> Decision {
    // Its keys too: one that was made for what is closed here serves nobody any more.
    let keys = Change::RemoveSealedKeys { device: facts.id() };
    let mut decision = Decision { changes: vec![facts.still(), keys], events: Vec::new() };
    for certificate in facts.certificates.iter().filter(|each| each.revoked_at.is_none()) {
        let revoked = revoke(operator, certificate, reason);
        decision.changes.extend(revoked.changes);
        decision.events.extend(revoked.events);
    }
    for enrollment in &facts.enrollments {
        decision.changes.extend(cancel(operator, enrollment, reason));
    }
    decision
}

fn revoke(operator: &Operator, certificate: &IssuedCertificate, reason: &str) -> Decision {
    let change =
        Change::RevokeCertificate { fingerprint: certificate.fingerprint, at: operator.now };
    let detail = format!("certificate {}: {reason}", certificate.serial);
    let device = Some(&certificate.device);
    let event = operator.event("certificate-revoked", "RFC 5280 §5.3.1", device, detail);
    // A key may be why it is revoked: none that was made for the device is given again.
    let keys = Change::RemoveSealedKeys { device: certificate.device.clone() };
    Decision { changes: vec![change, keys], events: vec![event] }
}

/// Ends an enrollment that is under way. What the CA was asked to issue already comes, and is revoked when it does.
fn cancel(operator: &Operator, enrollment: &Enrollment, reason: &str) -> Vec<Change> {
    if !is_open(enrollment) {
        return Vec::new();
    }
    let problem = Problem::new(ProblemKind::Refused, "", reason);
    vec![
        Change::SetEnrollmentState {
            enrollment: enrollment.id.clone(),
            state: EnrollmentState::Cancelled { reason: reason.to_owned() },
            at: operator.now,
        },
        Change::CancelOrder {
            order: OrderId::new(enrollment.id.as_str()),
            state: OrderState::Invalid { problem },
            step: format!("cancelled: {reason}"),
            at: operator.now,
        },
    ]
}

/// Revokes one certificate.
///
/// # Errors
/// [`OperatorError::Revoked`].
pub fn revoke_certificate(
    operator: &Operator,
    certificate: &IssuedCertificate,
) -> Result<Decision, OperatorError> {
    match certificate.revoked_at {
        Some(_) => Err(OperatorError::Revoked { serial: certificate.serial.clone() }),
        None => Ok(revoke(operator, certificate, "revoked by an operator")),
    }
}
