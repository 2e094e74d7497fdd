//! Devices that wait for a person: counted by manufacturer, and forgotten where they stopped asking.

use brski_registrar::store::model::{
    Approval, ApprovalReason, ApprovalState, DeviceState, KnownDevice, Millis, Sha256,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{device, id, manufacturer};

fn pending(number: u8) -> KnownDevice {
    let mut known = device(number, "", &format!("S{number}"));
    known.device.name = None;
    known.device.state = DeviceState::Pending;
    known
}

fn question(number: u8, about: u8, asked_at: i64) -> Approval {
    Approval {
        id: id(number),
        device: id(about),
        reason: ApprovalReason::Unexpected,
        spki: Sha256([number; 32]),
        certificate: CertificateDer::from(vec![number]),
        peer: "peer".into(),
        state: ApprovalState::Waiting,
        decided_by: None,
        created_at: Millis(1),
        asked_at: Millis(asked_at),
        decided_at: None,
    }
}

fn forget(question: &Approval) -> Change {
    Change::ForgetApproval {
        approval: question.id.clone(),
        device: question.device.clone(),
        asked_at: question.asked_at,
    }
}

async fn commit(store: &dyn Store, changes: Vec<Change>) -> Result<(), Conflict> {
    match store.commit(changes, vec![]).await {
        Ok(()) => Ok(()),
        Err(StoreError::Conflict(conflict)) => Err(conflict),
        Err(other) => panic!("{other:?}"),
    }
}

pub(super) async fn who_is_silent_longest_is_known_by_manufacturer(place: Place) {
    let store = place.open("node").await;
    let mut other = manufacturer();
    (other.id, other.name) = (id(2), "valves".into());
    let mut changes = vec![Change::AddManufacturer(manufacturer()), Change::AddManufacturer(other)];
    for (number, asked_at) in [(10, 300), (11, 100), (12, 200)] {
        changes.push(Change::AddDevice(pending(number)));
        changes.push(Change::AddApproval(question(number + 30, number, asked_at)));
    }
    commit(&*store, changes).await.unwrap();
    let waiting = store.waiting_devices(&id(1)).await.unwrap();
    assert_eq!((waiting.number, waiting.silent_longest), (3, Some(question(41, 11, 100))));
    let none = store.waiting_devices(&id(2)).await.unwrap();
    assert_eq!((none.number, none.silent_longest), (0, None));
    let again = Change::AskApprovalAgain { approval: id(41), peer: "peer".into(), at: Millis(400) };
    let decide = Change::DecideApproval {
        approval: id(40),
        state: ApprovalState::Granted,
        by: "alice".into(),
        at: Millis(500),
    };
    commit(&*store, vec![again, decide]).await.unwrap();
    let waiting = store.waiting_devices(&id(1)).await.unwrap();
    assert_eq!((waiting.number, waiting.silent_longest), (2, Some(question(42, 12, 200))));
}

pub(super) async fn a_silent_device_is_forgotten_unless_it_speaks(place: Place) {
    let store = place.open("node").await;
    let (first, second) = (question(40, 10, 100), question(41, 10, 200));
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(pending(10)),
        Change::AddApproval(first.clone()),
        Change::AddApproval(second.clone()),
    ];
    commit(&*store, changes).await.unwrap();
    let spoke = Approval { asked_at: Millis(99), ..first.clone() };
    assert_eq!(commit(&*store, vec![forget(&spoke)]).await, Err(Conflict::Missing));
    // The device stays for as long as anything else is asked about it.
    commit(&*store, vec![forget(&first)]).await.unwrap();
    assert!(store.device(&id(10)).await.unwrap().is_some());
    assert_eq!(commit(&*store, vec![forget(&first)]).await, Err(Conflict::Missing));
    commit(&*store, vec![forget(&second)]).await.unwrap();
    assert_eq!(store.device(&id(10)).await.unwrap(), None);
    assert_eq!(store.approvals_of(&id(10)).await.unwrap(), []);
    // Its serial number may come again.
    commit(&*store, vec![Change::AddDevice(pending(11))]).await.unwrap();
}

pub(super) async fn a_device_that_was_let_in_outlives_its_question(place: Place) {
    let store = place.open("node").await;
    let mut changes = vec![Change::AddManufacturer(manufacturer())];
    for state in [DeviceState::Enrolled, DeviceState::Blocked, DeviceState::Expected] {
        let number = 20 + u8::try_from(changes.len()).unwrap();
        let mut known = pending(number);
        known.device.state = state;
        let question = question(number + 30, number, 1);
        changes.extend([Change::AddDevice(known), Change::AddApproval(question.clone())]);
        changes.push(forget(&question));
    }
    commit(&*store, changes).await.unwrap();
    for number in [21, 24, 27] {
        assert!(store.device(&id(number)).await.unwrap().is_some());
        assert_eq!(store.approvals_of(&id(number)).await.unwrap(), []);
    }
}
