//! How many devices of one manufacturer may wait for a person, and which of them goes when there are too many. Pure.
//!
//! Who stopped asking goes first, so that made-up serial numbers push out each other rather than a device that is there.

use crate::store::Change;
use crate::store::model::{Approval, Millis, WaitingDevices};

/// How many wait, and for how long one may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalLimits {
    /// How many questions about the devices of one manufacturer are kept.
    pub waiting: u64,
    /// After how many milliseconds without a request another one may take a device's place.
    pub silent_millis: i64,
}

/// Whether one more may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Free,
    /// There is, once this question is forgotten.
    InsteadOf(Box<Approval>),
    /// There is none.
    None,
}

/// Looks for room.
#[must_use]
pub fn room(waiting: WaitingDevices, limits: ApprovalLimits, now: Millis) -> Room {
    if waiting.number < limits.waiting {
        return Room::Free;
    }
    match waiting.silent_longest {
        Some(approval) if approval.asked_at.plus(limits.silent_millis) <= now => {
            Room::InsteadOf(Box::new(approval))
        }
        _ => Room::None,
    }
}

/// What forgets a question: if its device asks again in the same moment, nothing is written.
#[must_use]
pub fn forget(approval: &Approval) -> Change {
    Change::ForgetApproval {
        approval: approval.id.clone(),
        device: approval.device.clone(),
        asked_at: approval.asked_at,
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;

    use super::*;
    use crate::store::model::{ApprovalReason, ApprovalState, Id, Sha256};

    fn waiting(number: u64, asked_at: i64) -> WaitingDevices {
        let silent_longest = (number > 0).then(|| Approval {
            id: Id::from_stored("a".into()),
            device: Id::from_stored("d".into()),
            reason: ApprovalReason::Unexpected,
            spki: Sha256([1; 32]),
            certificate: CertificateDer::from(vec![1]),
            peer: "peer".into(),
            state: ApprovalState::Waiting,
            decided_by: None,
            created_at: Millis(0),
            asked_at: Millis(asked_at),
            decided_at: None,
        });
        WaitingDevices { number, silent_longest }
    }

    #[test]
    fn only_who_is_silent_makes_room() {
        let limits = ApprovalLimits { waiting: 2, silent_millis: 100 };
        let look = |number, asked_at, now| room(waiting(number, asked_at), limits, Millis(now));
        assert_eq!(look(0, 0, 1000), Room::Free);
        assert_eq!(look(1, 0, 1000), Room::Free);
        assert_eq!(look(2, 901, 1000), Room::None);
        assert!(matches!(look(2, 900, 1000), Room::InsteadOf(_)));
        // The limit may have been lowered.
        assert!(matches!(look(5, 0, 1000), Room::InsteadOf(_)));
        assert_eq!(look(5, 950, 1000), Room::None);
    }
}
