//! Counts for the metrics, and what a watcher hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acme_bridge::{OrderState, RevocationReason, Which};
use brski_registrar::store::Change;
use brski_registrar::store::model::{
    Approval, ApprovalReason, ApprovalState, CertificateEnds, DeviceState, DeviceTally, Event,
    IssuedCertificate, Millis, OrderQueue, Queues, RevocationRow, Sha256,
};
use brski_registrar::store::watch::{Access, Watcher};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{device, enrollment, event, id, manufacturer, order};

pub(super) async fn what_waits_is_counted(place: Place) {
    let store = place.open("node").await;
    assert_eq!(store.queues(Millis(0)).await.unwrap(), Queues::default());
    let mut ended = order("4");
    ended.state = OrderState::Issued { chain: vec![] };
    let question = Approval {
        id: id(40),
        device: id(10),
        reason: ApprovalReason::Unexpected,
        spki: Sha256([1; 32]),
        certificate: CertificateDer::from(vec![1]),
        peer: "peer".into(),
        state: ApprovalState::Waiting,
        decided_by: None,
        created_at: Millis(1),
        asked_at: Millis(1),
        decided_at: None,
    };
    let revocation = |number: u8| RevocationRow {
        fingerprint: Sha256([number; 32]),
        issuer: "ca".into(),
        certificate: CertificateDer::from(vec![number]),
        reason: RevocationReason::Superseded,
        attempts: 0,
        due: Millis(1),
        requested_at: Millis(1),
        done_at: None,
        problem: None,
    };
    let done = Change::NoteRevocation {
        fingerprint: Sha256([2; 32]),
        done_at: Some(Millis(2)),
        due: Millis(2),
        problem: None,
    };
    let mut changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
        Change::ApproveEnrollment(enrollment(30, 1)),
        Change::AddApproval(question),
        Change::RequestRevocation(revocation(1)),
        Change::RequestRevocation(revocation(2)),
        done,
    ];
    changes.extend(["1", "2", "3", "4"].map(|number| Change::InsertOrder(order(number))));
    changes.push(Change::AdvanceOrder {
        order: ended,
        node: "node".into(),
        step: "issued".into(),
        at: Millis(1),
    });
    store.commit(changes, vec![]).await.unwrap();
    let queues = |waiting: u64, in_flight: u64| Queues {
        orders: vec![OrderQueue { issuer: "ca".into(), waiting, in_flight }],
        enrollments_approved: 1,
        approvals_waiting: 1,
        revocations_waiting: 1,
    };
    assert_eq!(store.queues(Millis(100)).await.unwrap(), queues(3, 0), "nobody drives them");
    store.claim_orders("ca", "node", Millis(200), Millis(100), 2, Which::Any).await.unwrap();
    assert_eq!(store.queues(Millis(100)).await.unwrap(), queues(1, 2));
    assert_eq!(store.queues(Millis(200)).await.unwrap(), queues(3, 0), "the leases are over");
    let mut later = order("1");
    later.due = 150;
    later.lease = store.order(&later.id).await.unwrap().unwrap().lease;
    let wait = Change::AdvanceOrder {
        order: later,
        node: "node".into(),
        step: "the CA is away".into(),
        at: Millis(110),
    };
    store.commit(vec![wait], vec![]).await.unwrap();
    assert_eq!(store.queues(Millis(120)).await.unwrap(), queues(2, 1), "one waits for its time");
}

pub(super) async fn the_newest_certificate_of_each_device_is_counted_by_its_end(place: Place) {
    let store = place.open("node").await;
    let certificate = |number: u8, owner: u8, end: i64| IssuedCertificate {
        fingerprint: Sha256([number; 32]),
        device: id(owner),
        enrollment: id(30),
        issuer: "ca".into(),
        authority: None,
        certificate: CertificateDer::from(vec![number]),
        serial: format!("{number:02x}"),
        spki: Sha256([6; 32]),
        not_before: Millis(1),
        not_after: Millis(end),
        revoked_at: None,
        created_at: Millis(i64::from(number)),
    };
    let rows = [(1, 10, 5), (2, 10, 50), (3, 11, 9), (4, 12, 10), (5, 12, 70)];
    let mut changes = vec![Change::AddManufacturer(manufacturer())];
    changes.extend([10, 11, 12].map(|number| {
        let name = format!("{number}.example.org");
        Change::AddDevice(device(number, &name, &name))
    }));
    changes.push(Change::ApproveEnrollment(enrollment(30, 1)));
    changes.extend(
        rows.map(|(number, owner, end)| Change::AddCertificate(certificate(number, owner, end))),
    );
    changes.push(Change::RevokeCertificate { fingerprint: Sha256([5; 32]), at: Millis(6) });
    store.commit(changes, vec![]).await.unwrap();
    let times = [Millis(9), Millis(10), Millis(51), Millis(99)];
    let counted = store.certificate_ends(&times).await.unwrap();
    // 2 is newer than 1; 5 is revoked, so 4 counts; the end itself is not before the end.
    assert_eq!(counted, CertificateEnds { before: vec![0, 1, 3, 3], all: 3 });
    let none = store.certificate_ends(&[]).await.unwrap();
    assert_eq!(none, CertificateEnds { before: vec![], all: 3 });
}

/// Keeps what it hears.
#[derive(Default)]
struct Ear(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    kinds: Vec<&'static str>,
    grouped: usize,
    failed: Vec<Access>,
}

impl Watcher for Ear {
    fn committed(&self, events: &[Event], took: Duration) {
        assert!(took > Duration::ZERO);
        self.0.lock().unwrap().kinds.extend(events.iter().map(|event| event.kind));
    }

    fn grouped(&self, commits: usize) {
        self.0.lock().unwrap().grouped += commits;
    }

    fn failed(&self, access: Access) {
        self.0.lock().unwrap().failed.push(access);
    }
}

pub(super) async fn a_watcher_hears_what_was_written_and_what_failed(place: Place) {
    let ear = Arc::new(Ear::default());
    let watcher: Arc<dyn Watcher> = Arc::<Ear>::clone(&ear);
    let store = place.open_watched("node", watcher).await;
    store.commit(vec![], vec![event("one"), event("two")]).await.unwrap();
    let add = || Change::AddManufacturer(manufacturer());
    store.commit(vec![add()], vec![event("three")]).await.unwrap();
    store.commit(vec![add()], vec![event("not-written")]).await.unwrap_err();
    // The writer tells after it answers; what it tells of one transaction comes before the next one.
    store.commit(vec![], vec![event("four")]).await.unwrap();
    store.commit(vec![], vec![event("five")]).await.unwrap();
    {
        let heard = ear.0.lock().unwrap();
        assert_eq!(heard.kinds.get(..4), Some(&["one", "two", "three", "four"][..]));
        assert!((3..=4).contains(&heard.grouped), "{}", heard.grouped);
        assert!(heard.failed.is_empty(), "a conflict is no failure of the database");
    }
    place.tamper("DROP TABLE events");
    store.commit(vec![], vec![event("lost")]).await.unwrap_err();
    store.head("node").await.unwrap_err();
    assert_eq!(ear.0.lock().unwrap().failed, [Access::Write, Access::Read]);
}

pub(super) async fn devices_are_counted_by_state_and_events_by_stretch(place: Place) {
    let store = place.open("node").await;
    assert_eq!(store.device_tally().await.unwrap(), []);
    let mut changes = vec![Change::AddManufacturer(manufacturer())];
    for (number, state) in
        [(10, DeviceState::Expected), (11, DeviceState::Enrolled), (12, DeviceState::Expected)]
    {
        let name = format!("{number}.example.org");
        let mut known = device(number, &name, &name);
        known.device.state = state;
        changes.push(Change::AddDevice(known));
    }
    let at = |kind: &'static str, time: i64| Event { time: Millis(time), ..event(kind) };
    let events = [("a", 99), ("a", 100), ("a", 109), ("b", 110), ("c", 111), ("a", 125)];
    store.commit(changes, events.map(|(kind, time)| at(kind, time)).to_vec()).await.unwrap();
    let tally = |state, devices| DeviceTally { state, devices };
    let states = [tally(DeviceState::Enrolled, 1), tally(DeviceState::Expected, 2)];
    assert_eq!(store.device_tally().await.unwrap(), states);
    let found = store.event_tally(&["a", "b"], Millis(100), Millis(10)).await.unwrap();
    let told: Vec<(u32, &str, u64)> =
        found.iter().map(|each| (each.stretch, each.kind.as_str(), each.events)).collect();
    assert_eq!(told, [(0, "a", 2), (1, "b", 1), (2, "a", 1)], "neither what was before nor others");
}
