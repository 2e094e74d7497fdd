//! A person's answer to a device that waits.

use super::{DeviceFacts, Operator, OperatorError, close};
use crate::flow::Decision;
use crate::store::Change;
use crate::store::model::{Approval, ApprovalReason, ApprovalState, DeviceState, SeenIdevid};

/// RFC 8995's clause about which devices a registrar accepts.
const ACCEPTANCE: &str = "RFC 8995 §5.3";

/// What the person says beside yes.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The whole name that the device gets; none: by its profile's template.
    pub name: Option<String>,
    /// The profile that it gets; none: the one that it has.
    pub profile: Option<String>,
}

/// Says yes: the device is expected with the key that it showed, and its next request goes on.
///
/// A device whose key changed is another one: what the old key got is revoked.
///
/// # Errors
/// [`OperatorError::Decided`]; [`OperatorError::State`] if the device was taken out of service meanwhile.
pub fn grant(
    operator: &Operator,
    facts: &DeviceFacts,
    approval: &Approval,
    terms: Terms,
) -> Result<Decision, OperatorError> {
    undecided(approval)?;
    let device = &facts.known.device;
    if matches!(device.state, DeviceState::Retired | DeviceState::Blocked) {
        let wanted = "restore it first";
        return Err(OperatorError::State { device: facts.word(), state: device.state, wanted });
    }
    let id = facts.id();
    let mut decision = match approval.reason {
        ApprovalReason::KeyChanged => close(operator, facts, "the device has another key"),
        ApprovalReason::Unexpected => Decision::default(),
    };
    decision.changes.push(decide(operator, approval, ApprovalState::Granted));
    let idevid = SeenIdevid { spki: approval.spki, certificate: approval.certificate.clone() };
    decision.changes.push(Change::SetIdevid { device: id.clone(), idevid });
    decision.changes.push(Change::SetDeviceState {
        device: id.clone(),
        state: DeviceState::Expected,
        at: operator.now,
    });
    if let Some(profile) = terms.profile {
        decision.changes.push(Change::SetProfile { device: id.clone(), profile });
    }
    let mut detail = format!("{} may join", facts.known.identity.describe());
    if let Some(name) = terms.name {
        detail.push_str(&format!(" as {name}"));
        decision.changes.push(Change::FreeName { device: id.clone() });
        decision.changes.push(Change::AssignName { device: id.clone(), name });
    }
    decision.events.push(operator.event("approval-granted", ACCEPTANCE, Some(&id), detail));
    Ok(decision)
}

/// Says no: a device that nobody expected is blocked; a key that nobody knows stays out, and the device as it was.
///
/// # Errors
/// [`OperatorError::Decided`].
pub fn refuse(
    operator: &Operator,
    facts: &DeviceFacts,
    approval: &Approval,
) -> Result<Decision, OperatorError> {
    undecided(approval)?;
    let id = facts.id();
    let mut changes = vec![decide(operator, approval, ApprovalState::Refused)];
    if approval.reason == ApprovalReason::Unexpected {
        changes.push(Change::SetDeviceState {
            device: id.clone(),
            state: DeviceState::Blocked,
            at: operator.now,
        });
    }
    let detail = format!("{} may not join", facts.known.identity.describe());
    let event = operator.event("approval-refused", ACCEPTANCE, Some(&id), detail);
    Ok(Decision { changes, events: vec![event] })
}

fn undecided(approval: &Approval) -> Result<(), OperatorError> {
    match approval.state {
        ApprovalState::Waiting => Ok(()),
        state => Err(OperatorError::Decided { approval: approval.id.clone(), state }),
    }
}

fn decide(operator: &Operator, approval: &Approval, state: ApprovalState) -> Change {
    Change::DecideApproval {
        approval: approval.id.clone(),
        state,
        by: operator.name.clone(),
        at: operator.now,
    }
}
