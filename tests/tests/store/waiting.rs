//! Devices that wait for a person: counted by manufacturer, and forgotten where they stopped asking.

use std::sync::Arc;

use brski_registrar::store::model::{
    Approval, ApprovalReason, ApprovalState, DeviceState, KnownDevice, Millis, Sha256,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

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

/// How many may wait of those that ask at once.
const MOST: u64 = 5;

pub(super) async fn no_more_wait_than_may_however_many_ask_at_once(place: Place) {
    let first = place.open("one").await;
    // Where a database has one writer, both ask by way of it.
    let second = place.try_open("two").await.unwrap_or_else(|_| Arc::clone(&first));
    let mut other = manufacturer();
    (other.id, other.name) = (id(2), "valves".into());
    let changes = vec![Change::AddManufacturer(manufacturer()), Change::AddManufacturer(other)];
    commit(&*first, changes).await.unwrap();
    let expect = |of: u8, most| Change::ExpectRoomToWait { manufacturer: id(of), most };
    let together = Arc::new(Barrier::new(40));
    let mut asking = JoinSet::new();
    for number in 10..50 {
        let store = Arc::clone(if number % 2 == 0 { &first } else { &second });
        let together = Arc::clone(&together);
        let changes = vec![
            Change::AddDevice(pending(number)),
            Change::AddApproval(question(number + 100, number, 1)),
            expect(1, MOST),
        ];
        asking.spawn(async move {
            together.wait().await;
            commit(&*store, changes).await
        });
    }
    let outcomes = asking.join_all().await;
    let waits = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(waits, 5, "{outcomes:?}");
    assert!(
        outcomes.iter().flat_map(|each| each.as_ref().err()).all(|each| *each == Conflict::Waiting)
    );
    assert_eq!(second.waiting_devices(&id(1)).await.unwrap().number, MOST);
    // Nothing is left of the others, and those of another manufacturer have a limit of their own.
    assert_eq!(first.device_tally().await.unwrap()[0].devices, MOST);
    assert_eq!(commit(&*first, vec![expect(2, 0)]).await, Ok(()));
    assert_eq!(commit(&*first, vec![expect(1, MOST)]).await, Ok(()));
    assert_eq!(commit(&*first, vec![expect(1, MOST - 1)]).await, Err(Conflict::Waiting));
    assert_eq!(commit(&*first, vec![expect(9, MOST)]).await, Err(Conflict::Missing));
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
