//! A device's life as an operator changes it: retire, block, restore, rename, replace.

use super::{DeviceFacts, Operator, OperatorError, close};
use crate::flow::Decision;
use crate::store::Change;
use crate::store::model::{ApprovalState, DeviceState, Millis, VoucherExchange, VoucherState};

/// RFC 8995's clause about which devices a registrar accepts.
const ACCEPTANCE: &str = "RFC 8995 §5.3";

/// What becomes of the name of a retired device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody else gets it.
    Keep,
    /// Another device may get it.
    Free,
}

/// Takes a device out of service for good: its certificates are revoked, its orders cancelled, EST is closed.
///
/// # Errors
/// [`OperatorError::State`] if it is retired already, and its name is not to be freed now.
pub fn retire(
    operator: &Operator,
    facts: &DeviceFacts,
    name: Fate,
) -> Result<Decision, OperatorError> {
    let device = &facts.known.device;
    let frees = name == Fate::Free && device.name.is_some();
    if device.state == DeviceState::Retired && !frees {
        return Err(state(facts, "it can be restored"));
    }
    let mut decision = leave(operator, facts, DeviceState::Retired, "the device is retired");
    let mut detail = format!("{} is retired", facts.word());
    if frees {
        decision.changes.push(Change::FreeName { device: facts.id() });
        detail.push_str("; its name is free");
    }
    decision.events.push(operator.event("device-retired", ACCEPTANCE, Some(&facts.id()), detail));
    Ok(decision)
}

/// Bars a device until it is restored; its certificates stay as they are.
///
/// # Errors
/// [`OperatorError::State`] if it is blocked or retired already.
pub fn block(operator: &Operator, facts: &DeviceFacts) -> Result<Decision, OperatorError> {
    match facts.known.device.state {
        DeviceState::Blocked => Err(state(facts, "it can be restored")),
        DeviceState::Retired => Err(state(facts, "what is retired need not be blocked")),
        _ => {
            let id = facts.id();
            let change = Change::SetDeviceState {
                device: id.clone(),
                state: DeviceState::Blocked,
                at: operator.now,
            };
            let keys = Change::RemoveSealedKeys { device: id.clone() };
            let changes = vec![facts.still(), change, keys];
            let mut decision = Decision { changes, events: Vec::new() };
            for enrollment in &facts.enrollments {
                let reason = "the device is blocked";
                decision.changes.extend(super::cancel(operator, enrollment, reason));
            }
            let detail = format!("{} is blocked", facts.word());
            decision.events.push(operator.event("device-blocked", ACCEPTANCE, Some(&id), detail));
            Ok(decision)
        }
    }
}

/// Lets a retired or blocked device back in, to where its proofs still stand.
///
/// `exchange`: its last voucher exchange.
///
/// # Errors
/// [`OperatorError::State`] if it is neither retired nor blocked.
pub fn restore(
    operator: &Operator,
    facts: &DeviceFacts,
    exchange: Option<&VoucherExchange>,
) -> Result<Decision, OperatorError> {
    let id = facts.id();
    let to = match facts.known.device.state {
        // What was taken out of service comes back as new: with a voucher.
        DeviceState::Retired => DeviceState::Expected,
        DeviceState::Blocked => standing(facts, exchange, operator.now),
        _ => return Err(state(facts, "only a retired or blocked device is restored")),
    };
    let change = Change::SetDeviceState { device: id.clone(), state: to, at: operator.now };
    let detail = format!("{} is {} again", facts.word(), to.as_str());
    let event = operator.event("device-restored", ACCEPTANCE, Some(&id), detail);
    Ok(Decision { changes: vec![change], events: vec![event] })
}

/// Where a device stands by what it holds.
fn standing(facts: &DeviceFacts, exchange: Option<&VoucherExchange>, now: Millis) -> DeviceState {
    let is_live =
        |not_after: Millis, revoked_at: Option<Millis>| revoked_at.is_none() && now < not_after;
    let has_voucher = exchange.is_some_and(|exchange| {
        matches!(exchange.state, VoucherState::Issued { .. } | VoucherState::Accepted { .. })
    });
    let is_enrolled =
        facts.certificates.iter().any(|each| is_live(each.not_after, each.revoked_at));
    match (is_enrolled, has_voucher) {
        (true, _) => DeviceState::Enrolled,
        (false, true) => DeviceState::Vouchered,
        (false, false) => DeviceState::Expected,
    }
}

/// Gives a device another name.
///
/// Its certificates are revoked: another device may get the old name, and no two may prove to have it.
///
/// `name`: the whole name, as [`device_name`](crate::policy::name::device_name) gives it.
#[must_use]
pub fn rename(operator: &Operator, facts: &DeviceFacts, name: String) -> Decision {
    let id = facts.id();
    let detail = format!("{} becomes {name}", facts.word());
    let event = operator.event("device-renamed", ACCEPTANCE, Some(&id), detail);
    if facts.known.device.name.as_deref() == Some(name.as_str()) {
        return Decision { changes: vec![facts.still()], events: vec![event] };
    }
    // CSRs that are under way carry the old name, too.
    let mut decision = close(operator, facts, "the device has another name");
    decision.changes.push(Change::FreeName { device: id.clone() });
    decision.changes.push(Change::AssignName { device: id, name });
    decision.events.push(event);
    decision
}

/// Puts a device in the place of another one: the old one is retired, the new one gets its name and profile.
///
/// # Errors
/// [`OperatorError::Itself`]; [`OperatorError::State`] if the old one has no name, or the new one is out of service.
pub fn replace(
    operator: &Operator,
    old: &DeviceFacts,
    new: &DeviceFacts,
) -> Result<Decision, OperatorError> {
    if old.id() == new.id() {
        return Err(OperatorError::Itself);
    }
    let Some(name) = old.known.device.name.clone() else {
        return Err(state(old, "it has no name to give"));
    };
    if matches!(new.known.device.state, DeviceState::Retired | DeviceState::Blocked) {
        return Err(state(new, "restore it first"));
    }
    let mut decision = leave(operator, old, DeviceState::Retired, "the device is replaced");
    let detail = format!("{} is replaced by {}", old.word(), new.word());
    decision.events.push(operator.event("device-retired", ACCEPTANCE, Some(&old.id()), detail));
    decision.changes.push(Change::FreeName { device: old.id() });
    let profile = old.known.device.profile.clone();
    decision.changes.push(Change::SetProfile { device: new.id(), profile });
    let renamed = rename(operator, new, name);
    decision.changes.extend(renamed.changes);
    decision.events.extend(renamed.events);
    Ok(decision)
}

/// Everything that ends when a device leaves.
fn leave(operator: &Operator, facts: &DeviceFacts, state: DeviceState, reason: &str) -> Decision {
    let mut decision = close(operator, facts, reason);
    for approval in &facts.approvals {
        if approval.state == ApprovalState::Waiting {
            decision.changes.push(Change::DecideApproval {
                approval: approval.id.clone(),
                state: ApprovalState::Refused,
                by: operator.name.clone(),
                at: operator.now,
            });
        }
    }
    decision.changes.push(Change::SetDeviceState { device: facts.id(), state, at: operator.now });
    decision
}

fn state(facts: &DeviceFacts, wanted: &'static str) -> OperatorError {
    OperatorError::State { device: facts.word(), state: facts.known.device.state, wanted }
}
