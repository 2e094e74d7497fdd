//! What every store must do.

use std::sync::Arc;

use acme_bridge::{AnswerKind, OrderId, OrderState, Place as AnswerPlace, Which};
use brski_registrar::store::model::{
    Approval, ApprovalReason, ApprovalState, ChainCertificate, Credential, Device, DeviceFilter,
    DevicePlace, DeviceState, EnrollmentState, EventFilter, EventPlace, Id, Identity,
    IssuedCertificate, KnownDevice, Manufacturer, Millis, SeenIdevid, Sha256, VoucherExchange,
    VoucherState,
};
use brski_registrar::store::{Change, Conflict, OpenError, Store, StoreError};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{answer, device, enrollment, event, exchange, id, manufacturer, order};

async fn with_device(place: &Place) -> Arc<dyn Store> {
    let store = place.open("node").await;
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
    ];
    store.commit(changes, vec![event("begin")]).await.unwrap();
    store
}

async fn devices(store: &Arc<dyn Store>) -> Vec<KnownDevice> {
    store.devices(&DeviceFilter::default(), None, 1000).await.unwrap()
}

fn conflict(result: Result<(), StoreError>) -> Conflict {
    match result.unwrap_err() {
        StoreError::Conflict(conflict) => conflict,
        other => panic!("{other}"),
    }
}

pub(super) async fn gives_back_what_it_was_given(place: Place) {
    let store = with_device(&place).await;
    let known = device(10, "a.example.org", "S1");
    assert_eq!(store.manufacturers().await.unwrap(), [manufacturer()]);
    assert_eq!(store.generation().await.unwrap(), 1);
    assert_eq!(store.device(&id(10)).await.unwrap(), Some(known.clone()));
    assert_eq!(store.device_by_serial(&id(1), "S1").await.unwrap(), Some(known.clone()));
    assert_eq!(store.device_by_serial(&id(2), "S1").await.unwrap(), None);
    for text in [id(10).as_str(), "A.Example.ORG", "S1"] {
        assert_eq!(store.find_devices(text).await.unwrap(), std::slice::from_ref(&known), "{text}");
    }
    assert_eq!(store.events(&EventFilter::default(), None, 10).await.unwrap()[0].kind, "begin");
}

pub(super) async fn every_state_comes_back_as_it_was(place: Place) {
    let store = with_device(&place).await;
    store.commit(vec![Change::BeginVoucherExchange(exchange(20))], vec![]).await.unwrap();
    for state in [
        VoucherState::Issued { voucher: vec![1, 2] },
        VoucherState::Accepted { voucher: vec![3] },
        VoucherState::Rejected { reason: "no".into() },
        VoucherState::Failed { reason: "gone".into() },
        VoucherState::Asked,
    ] {
        let change =
            Change::SetVoucherState { exchange: id(20), state: state.clone(), at: Millis(9) };
        store.commit(vec![change], vec![]).await.unwrap();
        let read = store.voucher_exchange(&Sha256([20; 32])).await.unwrap().unwrap();
        assert_eq!((read.state, read.updated_at), (state, Millis(9)));
    }
    store.commit(vec![Change::ApproveEnrollment(enrollment(30, 1))], vec![]).await.unwrap();
    for state in [
        EnrollmentState::Ordered,
        EnrollmentState::Issued { certificate: Sha256([4; 32]) },
        EnrollmentState::Refused { reason: "no".into() },
        EnrollmentState::Failed { reason: "gone".into() },
        EnrollmentState::Cancelled { reason: "stop".into() },
    ] {
        let change =
            Change::SetEnrollmentState { enrollment: id(30), state: state.clone(), at: Millis(9) };
        store.commit(vec![change], vec![]).await.unwrap();
        assert_eq!(store.enrollment(&id(30)).await.unwrap().unwrap().state, state);
    }
    for state in [DeviceState::Vouchered, DeviceState::Blocked] {
        let change = Change::SetDeviceState { device: id(10), state, at: Millis(9) };
        store.commit(vec![change], vec![]).await.unwrap();
        assert_eq!(store.device(&id(10)).await.unwrap().unwrap().device.state, state);
    }
}

pub(super) async fn a_conflict_leaves_nothing_of_its_commit_behind(place: Place) {
    let store = with_device(&place).await;
    store.commit(vec![Change::ApproveEnrollment(enrollment(30, 1))], vec![]).await.unwrap();
    store.commit(vec![Change::BeginVoucherExchange(exchange(20))], vec![]).await.unwrap();
    let admit = |known| Change::AddDevice(known);
    let missing =
        Change::SetDeviceState { device: id(99), state: DeviceState::Retired, at: Millis(0) };
    for (change, expected) in [
        (admit(device(11, "A.example.org", "S2")), Conflict::DeviceName("A.example.org".into())),
        (admit(device(12, "b.example.org", "S1")), Conflict::SerialNumber("S1".into())),
        (
            Change::AddManufacturer(Manufacturer { id: id(2), ..manufacturer() }),
            Conflict::ManufacturerName("pumps".into()),
        ),
        (
            Change::BeginVoucherExchange(VoucherExchange { id: id(21), ..exchange(20) }),
            Conflict::VoucherExchange,
        ),
        (Change::ApproveEnrollment(enrollment(31, 1)), Conflict::Enrollment),
        (missing, Conflict::Missing),
    ] {
        let before =
            Change::SetDeviceState { device: id(10), state: DeviceState::Retired, at: Millis(0) };
        let result = store.commit(vec![before, change], vec![event("never")]).await;
        assert_eq!(conflict(result), expected);
    }
    assert_eq!(devices(&store).await, [device(10, "a.example.org", "S1")]);
    assert!(
        store
            .events(&EventFilter::default(), None, 10)
            .await
            .unwrap()
            .iter()
            .all(|event| event.kind != "never")
    );
    assert_eq!(store.generation().await.unwrap(), 1);
}

pub(super) async fn an_enrollment_that_ended_makes_room_for_another(place: Place) {
    let store = with_device(&place).await;
    store.commit(vec![Change::ApproveEnrollment(enrollment(30, 1))], vec![]).await.unwrap();
    let state = EnrollmentState::Failed { reason: "x".into() };
    let end = Change::SetEnrollmentState { enrollment: id(30), state, at: Millis(31) };
    store.commit(vec![end, Change::ApproveEnrollment(enrollment(31, 1))], vec![]).await.unwrap();
    let newest = store.enrollment_by_key(&Sha256([1; 32])).await.unwrap().unwrap();
    assert_eq!(newest.id, id(31));
    assert_eq!(store.enrollments_of(&id(10)).await.unwrap().len(), 2);
    assert_eq!(store.approved_enrollments().await.unwrap().len(), 1);
}

pub(super) async fn two_nodes_never_hold_one_order(place: Place) {
    let store = place.open("node").await;
    store
        .commit(vec![Change::InsertOrder(order("1")), Change::InsertOrder(order("1"))], vec![])
        .await
        .unwrap();
    let claim = |node: &'static str, now: i64| {
        let store = &store;
        async move {
            let (until, now) = (Millis(now + 50), Millis(now));
            store.claim_orders("ca", node, until, now, 10, Which::Any).await.unwrap().len()
        }
    };
    assert_eq!(claim("a", 99).await, 0, "not due");
    assert_eq!(claim("a", 100).await, 1);
    assert_eq!(claim("b", 110).await, 0, "leased");
    assert_eq!(claim("a", 120).await, 0, "it is driven already");
    let release =
        |node: &str| vec![Change::ReleaseOrders { issuer: "ca".into(), node: node.into() }];
    store.commit(release("b"), vec![]).await.unwrap();
    assert_eq!(claim("a", 120).await, 0, "nobody frees another's");
    store.commit(release("a"), vec![]).await.unwrap();
    assert_eq!(claim("a", 120).await, 1, "one's own after a restart");
    assert_eq!(claim("b", 170).await, 1, "expired");
    let mut moved = store.order(&OrderId::new("1")).await.unwrap().unwrap();
    moved.state = OrderState::Placed { url: "u".into() };
    let advance = |node: &str| Change::AdvanceOrder {
        order: moved.clone(),
        node: node.into(),
        step: "placed".into(),
        at: Millis(180),
    };
    assert_eq!(conflict(store.commit(vec![advance("a")], vec![]).await), Conflict::OrderLeased);
    store.commit(vec![advance("b")], vec![]).await.unwrap();
    assert_eq!(store.order(&OrderId::new("1")).await.unwrap(), Some(moved));
    let steps = store.order_steps(&OrderId::new("1")).await.unwrap();
    assert_eq!(steps, [(Millis(180), "placed".to_owned())]);
}

pub(super) async fn answers_certificates_and_chains_are_kept_once(place: Place) {
    let store = with_device(&place).await;
    let answer = answer("1", "v", AnswerPlace::BuiltIn);
    let certificate = IssuedCertificate {
        fingerprint: Sha256([5; 32]),
        device: id(10),
        enrollment: id(30),
        issuer: "ca".into(),
        authority: None,
        certificate: CertificateDer::from(vec![5]),
        serial: "05".into(),
        spki: Sha256([6; 32]),
        not_before: Millis(1),
        not_after: Millis(2),
        revoked_at: None,
        created_at: Millis(3),
    };
    let chain = ChainCertificate {
        issuer: "ca".into(),
        certificate: CertificateDer::from(vec![7]),
        fingerprint: Sha256([7; 32]),
    };
    let changes = vec![
        Change::ApproveEnrollment(enrollment(30, 1)),
        Change::PutAnswer(answer.clone()),
        Change::PutAnswer(answer),
        Change::AddCertificate(certificate.clone()),
        Change::AddCertificate(certificate.clone()),
        Change::AddChainCertificate(chain.clone()),
        Change::AddChainCertificate(chain.clone()),
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert_eq!(store.answers(AnswerKind::Txt, "_acme-challenge.a").await.unwrap(), ["v"]);
    assert_eq!(store.certificate(&Sha256([5; 32])).await.unwrap(), Some(certificate.clone()));
    assert_eq!(store.certificates_of(&id(10)).await.unwrap(), [certificate]);
    assert_eq!(store.chain_certificates().await.unwrap(), [chain]);
    store.commit(vec![Change::RetireAnswers { order: OrderId::new("1") }], vec![]).await.unwrap();
    assert!(store.answers(AnswerKind::Txt, "_acme-challenge.a").await.unwrap().is_empty());
}

pub(super) async fn what_was_committed_is_there_when_it_is_opened_again(place: Place) {
    let store = with_device(&place).await;
    drop(store);
    let store = place.open("node").await;
    assert_eq!(devices(&store).await.len(), 1);
    store.commit(vec![], vec![event("again")]).await.unwrap();
    let events = store.events(&EventFilter::default(), None, 10).await.unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, [1, 2], "the numbers go on");
}

pub(super) async fn commits_that_come_together_are_all_kept_and_fail_alone(place: Place) {
    let store = with_device(&place).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            // Every fourth asks for a name that is taken.
            let name = if number % 4 == 0 {
                "a.example.org".into()
            } else {
                format!("d{number}.example.org")
            };
            let known = device(50, &name, &format!("T{number}"));
            let known = KnownDevice {
                device: Device {
                    id: Id::from_random([
                        number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                    ]),
                    ..known.device
                },
                ..known
            };
            store.commit(vec![Change::AddDevice(known)], vec![event("join")]).await.is_ok()
        });
    }
    let done = tasks.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(done, 150);
    assert_eq!(devices(&store).await.len(), 151);
}

pub(super) async fn a_cancelled_order_ends_unless_the_ca_was_asked_to_issue(place: Place) {
    let store = place.open("node").await;
    store
        .commit(vec![Change::InsertOrder(order("1")), Change::InsertOrder(order("2"))], vec![])
        .await
        .unwrap();
    let answer = answer("1", "v", AnswerPlace::BuiltIn);
    let mut late = order("2");
    late.state = OrderState::Finalizing { url: "u".into() };
    let advance = |order| Change::AdvanceOrder {
        order,
        node: "node".into(),
        step: "on".into(),
        at: Millis(1),
    };
    store.commit(vec![Change::PutAnswer(answer), advance(late.clone())], vec![]).await.unwrap();
    let state = OrderState::Invalid {
        problem: acme_bridge::Problem::new(acme_bridge::ProblemKind::Refused, "", "cancelled"),
    };
    let cancel = |number: &str| Change::CancelOrder {
        order: OrderId::new(number),
        state: state.clone(),
        step: "cancelled".into(),
        at: Millis(9),
    };
    store.commit(vec![cancel("1"), cancel("2")], vec![]).await.unwrap();
    let read = store.order(&OrderId::new("1")).await.unwrap().unwrap();
    assert!(read.state.is_final());
    assert!(store.answers(AnswerKind::Txt, "_acme-challenge.a").await.unwrap().is_empty());
    assert_eq!(store.order(&OrderId::new("2")).await.unwrap().unwrap().state, late.state);
    let result = store.commit(vec![advance(order("1"))], vec![]).await;
    assert_eq!(conflict(result), Conflict::OrderLeased, "its driver has lost it");
}

pub(super) async fn a_thousand_jobs_are_claimed_once_by_many_workers(place: Place) {
    let first = place.open("a").await;
    let stores = match &place {
        // One process holds a SQLite file.
        Place::Sqlite(_) => vec![Arc::clone(&first)],
        Place::Memory(_) | Place::Postgres(..) => vec![Arc::clone(&first), place.open("b").await],
    };
    let changes = (0..1000).map(|number| Change::InsertOrder(order(&number.to_string()))).collect();
    first.commit(changes, vec![]).await.unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = Arc::clone(&stores[number % stores.len()]);
        workers.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let node = format!("worker {number}");
                // Each worker's own leases are out of the way at once, as if it had driven them.
                let (until, now) = (Millis(1000), Millis(100));
                let orders =
                    store.claim_orders("ca", &node, until, now, 7, Which::Any).await.unwrap();
                let new: Vec<OrderId> = orders.into_iter().map(|order| order.id).collect();
                if new.is_empty() {
                    return claimed;
                }
                let ended = new.iter().map(|id| {
                    let mut order = order(id.as_str());
                    order.state = OrderState::Issued { chain: vec![] };
                    let (node, step) = (node.clone(), "done".to_owned());
                    Change::AdvanceOrder { order, node, step, at: Millis(100) }
                });
                store.commit(ended.collect(), vec![]).await.unwrap();
                claimed.extend(new);
            }
        });
    }
    let mut all: Vec<OrderId> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 1000, "each job has one worker");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1000, "no job has two");
}

pub(super) async fn hostile_texts_come_back_as_they_were(place: Place) {
    let store = with_device(&place).await;
    let hostile = "'; DROP TABLE devices; -- $1 ?1 \u{202e}<script>\u{1b}[31m\"\\%_\u{1f600}";
    let known = device(11, "b.example.org", hostile);
    let mut long = event("hostile");
    long.detail = format!("{hostile}{}", "x".repeat(100_000));
    long.peer = "nul \0 inside".into();
    store.commit(vec![Change::AddDevice(known.clone())], vec![long.clone()]).await.unwrap();
    let read = store.device_by_serial(&id(1), hostile).await.unwrap();
    assert_eq!(read, Some(known.clone()));
    assert_eq!(store.find_devices(hostile).await.unwrap(), [known]);
    let events = store.events(&EventFilter::default(), None, 1).await.unwrap();
    assert_eq!(events[0].detail, long.detail);
    assert_eq!(events[0].peer, "nul \u{fffd} inside", "PostgreSQL keeps no NUL, so nobody does");
}

/// 25 devices, several of one millisecond.
async fn with_fleet(place: &Place) -> Arc<dyn Store> {
    let store = place.open("node").await;
    let mut changes = vec![Change::AddManufacturer(manufacturer())];
    for number in 0..25_u8 {
        let mut known =
            device(number, &format!("pump-{number:02}.example.org"), &format!("SN{number:02}"));
        known.device.created_at = Millis(i64::from(number / 4));
        if number % 5 == 0 {
            known.device.state = DeviceState::Blocked;
        }
        changes.push(Change::AddDevice(known));
    }
    store.commit(changes, vec![]).await.unwrap();
    store
}

async fn pages(store: &Arc<dyn Store>, filter: &DeviceFilter) -> Vec<Id> {
    let mut all: Vec<Id> = Vec::new();
    let mut after: Option<DevicePlace> = None;
    loop {
        let page = store.devices(filter, after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else {
            return all;
        };
        after = Some(DevicePlace::of(last, filter));
        all.extend(page.into_iter().map(|known| known.device.id));
    }
}

pub(super) async fn devices_come_in_pages_that_neither_repeat_nor_hide(place: Place) {
    let store = with_fleet(&place).await;
    let all = pages(&store, &DeviceFilter::default()).await;
    let expected: Vec<Id> = (0..25).map(id).collect();
    assert_eq!(all, expected);
    let blocked = DeviceFilter { state: Some(DeviceState::Blocked), ..DeviceFilter::default() };
    assert_eq!(pages(&store, &blocked).await, [0, 5, 10, 15, 20].map(id));
    let foreign = DeviceFilter { manufacturer: Some(id(9)), ..DeviceFilter::default() };
    assert!(pages(&store, &foreign).await.is_empty());
    // A device that comes between two pages is on a later one, and moves no other.
    let first = store.devices(&DeviceFilter::default(), None, 4).await.unwrap();
    let mut late = device(99, "late.example.org", "late");
    late.device.created_at = Millis(100);
    store.commit(vec![Change::AddDevice(late)], vec![]).await.unwrap();
    let after = DevicePlace::of(&first[3], &DeviceFilter::default());
    let second = store.devices(&DeviceFilter::default(), Some(&after), 4).await.unwrap();
    let ids: Vec<Id> = second.into_iter().map(|known| known.device.id).collect();
    assert_eq!(ids, [4, 5, 6, 7].map(id));
}

pub(super) async fn devices_are_found_by_the_beginning_of_name_and_serial_number(place: Place) {
    let store = with_fleet(&place).await;
    let text = |text: &str| DeviceFilter { text: Some(text.into()), ..DeviceFilter::default() };
    // A name that a serial number begins like: it comes once.
    let both = device(50, "SN0-twice.example.org", "SN0-twice");
    store.commit(vec![Change::AddDevice(both)], vec![]).await.unwrap();
    for (wanted, number) in [("PUMP-1", 10), ("SN0", 11), ("sn0", 1), ("pump", 25), ("%", 0)] {
        assert_eq!(pages(&store, &text(wanted)).await.len(), number, "{wanted}");
    }
    let both = DeviceFilter { state: Some(DeviceState::Blocked), ..text("pump-1") };
    assert_eq!(pages(&store, &both).await, [10, 15].map(id));
}

pub(super) async fn events_come_in_pages(place: Place) {
    let store = place.open("node").await;
    for number in 0..9 {
        let mut each = event(if number % 2 == 0 { "even" } else { "odd" });
        each.time = Millis(number / 3);
        store.commit(vec![], vec![each]).await.unwrap();
    }
    let all = EventFilter::default();
    let numbers = |events: &[brski_registrar::store::model::StoredEvent]| {
        events.iter().map(|event| event.seq).collect::<Vec<i64>>()
    };
    assert_eq!(numbers(&store.events(&all, None, 2).await.unwrap()), [8, 9], "the newest");
    let since = EventFilter { since: Some(Millis(1)), ..EventFilter::default() };
    let page = store.events(&since, None, 4).await.unwrap();
    assert_eq!(numbers(&page), [4, 5, 6, 7], "from there on");
    let last = page.last().unwrap();
    let after = EventPlace { time: last.time, node: last.node.clone(), seq: last.seq };
    assert_eq!(numbers(&store.events(&since, Some(&after), 4).await.unwrap()), [8, 9]);
    let odd = EventFilter { kind: Some("odd".into()), ..EventFilter::default() };
    assert_eq!(numbers(&store.events(&odd, None, 9).await.unwrap()), [2, 4, 6, 8]);
    let refused = EventFilter { verdict: Some("refused".into()), ..EventFilter::default() };
    assert!(store.events(&refused, None, 9).await.unwrap().is_empty());
}

pub(super) async fn a_name_is_freed_and_given_to_another(place: Place) {
    let store = with_device(&place).await;
    let mut expected = device(11, "", "S2");
    expected.device.name = None;
    if let Identity::Idevid { seen, .. } = &mut expected.identity {
        *seen = None;
    }
    store.commit(vec![Change::AddDevice(expected.clone())], vec![]).await.unwrap();
    assert_eq!(store.device(&id(11)).await.unwrap(), Some(expected), "no name and no key yet");
    let take = || Change::AssignName { device: id(11), name: "A.example.org".into() };
    let taken = Conflict::DeviceName("A.example.org".into());
    assert_eq!(conflict(store.commit(vec![take()], vec![]).await), taken);
    let idevid =
        SeenIdevid { spki: Sha256([7; 32]), certificate: CertificateDer::from(vec![7, 7]) };
    let changes = vec![
        Change::FreeName { device: id(10) },
        take(),
        Change::SetIdevid { device: id(11), idevid: idevid.clone() },
        Change::SetProfile { device: id(11), profile: "valves".into() },
    ];
    store.commit(changes, vec![]).await.unwrap();
    let known = store.device(&id(11)).await.unwrap().unwrap();
    assert_eq!(known.device.name.as_deref(), Some("a.example.org"));
    assert_eq!(known.device.profile, "valves");
    assert_eq!(known.identity.seen(), Some(&idevid));
    assert_eq!(store.device(&id(10)).await.unwrap().unwrap().device.name, None);
}

pub(super) async fn a_barred_device_is_not_moved(place: Place) {
    let store = with_device(&place).await;
    let go = || Change::MoveDevice { device: id(10), state: DeviceState::Enrolled, at: Millis(2) };
    store.commit(vec![go()], vec![]).await.unwrap();
    for state in [DeviceState::Retired, DeviceState::Blocked] {
        let bar = Change::SetDeviceState { device: id(10), state, at: Millis(3) };
        store.commit(vec![bar], vec![]).await.unwrap();
        assert_eq!(conflict(store.commit(vec![go()], vec![]).await), Conflict::DeviceBarred);
    }
}

pub(super) async fn questions_are_asked_once_and_answered_once(place: Place) {
    let store = with_device(&place).await;
    let question = |number: u8, key: u8| Approval {
        id: id(number),
        device: id(10),
        reason: ApprovalReason::KeyChanged,
        spki: Sha256([key; 32]),
        certificate: CertificateDer::from(vec![key]),
        peer: "peer".into(),
        state: ApprovalState::Waiting,
        decided_by: None,
        created_at: Millis(i64::from(number)),
        asked_at: Millis(i64::from(number)),
        decided_at: None,
    };
    let ask = |number, key| Change::AddApproval(question(number, key));
    store.commit(vec![ask(40, 1), ask(41, 2)], vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(vec![ask(42, 1)], vec![]).await), Conflict::Approval);
    let again = Change::AskApprovalAgain { approval: id(40), peer: "other".into(), at: Millis(50) };
    store.commit(vec![again], vec![]).await.unwrap();
    let read = store.approval(&id(40)).await.unwrap().unwrap();
    assert_eq!((read.peer.as_str(), read.asked_at), ("other", Millis(50)));
    let page = store.approvals(ApprovalState::Waiting, (Millis(40), id(40)), 9).await.unwrap();
    assert_eq!(page, [question(41, 2)]);
    let grant = || Change::DecideApproval {
        approval: id(40),
        state: ApprovalState::Granted,
        by: "alice".into(),
        at: Millis(60),
    };
    store.commit(vec![grant()], vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(vec![grant()], vec![]).await), Conflict::Missing);
    store.commit(vec![ask(43, 1)], vec![]).await.unwrap();
    let latest = store.latest_approval(&id(10), &Sha256([1; 32])).await.unwrap().unwrap();
    assert_eq!(latest.id, id(43));
    let all = store.approvals_of(&id(10)).await.unwrap();
    assert_eq!(all.iter().map(|each| each.id.clone()).collect::<Vec<_>>(), [40, 41, 43].map(id));
    assert_eq!(all[0].decided_by.as_deref(), Some("alice"));
}

pub(super) async fn credentials_are_unique_and_revoked_once(place: Place) {
    let store = place.open("node").await;
    let credential = Credential {
        name: "meter-7".into(),
        secret: Sha256([9; 32]),
        profile: "default".into(),
        uses: 3,
        used: 0,
        created_at: Millis(1),
        expires_at: Some(Millis(2)),
        revoked_at: None,
    };
    let add = || Change::AddCredential(credential.clone());
    store.commit(vec![add()], vec![]).await.unwrap();
    let taken = Conflict::CredentialName("meter-7".into());
    assert_eq!(conflict(store.commit(vec![add()], vec![]).await), taken);
    assert_eq!(store.credentials().await.unwrap(), std::slice::from_ref(&credential));
    let revoke = || Change::RevokeCredential { name: "meter-7".into(), at: Millis(5) };
    store.commit(vec![revoke()], vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(vec![revoke()], vec![]).await), Conflict::Missing);
    assert_eq!(store.credentials().await.unwrap()[0].revoked_at, Some(Millis(5)));
}

pub(super) async fn certificates_are_found_by_their_end_and_revoked_once(place: Place) {
    let store = with_device(&place).await;
    let certificate = |number: u8| IssuedCertificate {
        fingerprint: Sha256([number; 32]),
        device: id(10),
        enrollment: id(30),
        issuer: "ca".into(),
        authority: None,
        certificate: CertificateDer::from(vec![number]),
        serial: format!("{number:02x}"),
        spki: Sha256([6; 32]),
        not_before: Millis(1),
        not_after: Millis(i64::from(number / 2)),
        revoked_at: None,
        created_at: Millis(3),
    };
    let mut changes = vec![Change::ApproveEnrollment(enrollment(30, 1))];
    changes.extend((0..10).map(|number| Change::AddCertificate(certificate(number))));
    store.commit(changes, vec![]).await.unwrap();
    let start = (Millis(i64::MIN), Sha256([0; 32]));
    let page = store.certificates(Millis(3), start, 4).await.unwrap();
    assert_eq!(page, [0, 1, 2, 3].map(certificate));
    let last = page.last().unwrap();
    let page = store.certificates(Millis(3), (last.not_after, last.fingerprint), 4).await.unwrap();
    assert_eq!(page, [4, 5].map(certificate));
    let (mut least, mut most) = ([0; 32], [255; 32]);
    (least[0], most[0]) = (7, 7);
    let found = store.certificates_between(&Sha256(least), &Sha256(most), 2).await.unwrap();
    assert_eq!(found, [certificate(7)], "by the beginning of its fingerprint");
    let revoke = || Change::RevokeCertificate { fingerprint: Sha256([7; 32]), at: Millis(8) };
    store.commit(vec![revoke()], vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(vec![revoke()], vec![]).await), Conflict::Missing);
    let read = store.certificate(&Sha256([7; 32])).await.unwrap().unwrap();
    assert_eq!(read.revoked_at, Some(Millis(8)));
}

pub(super) async fn ended_orders_are_pruned_and_open_ones_stay(place: Place) {
    let store = place.open("node").await;
    let mut ended = order("1");
    ended.state = OrderState::Issued { chain: vec![] };
    let changes = vec![
        Change::InsertOrder(order("1")),
        Change::InsertOrder(order("2")),
        Change::AdvanceOrder {
            order: ended,
            node: "node".into(),
            step: "issued".into(),
            at: Millis(1),
        },
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert!(store.ended_orders(Millis(100), 9).await.unwrap().is_empty(), "too young");
    assert_eq!(store.ended_orders(Millis(101), 9).await.unwrap(), [OrderId::new("1")]);
    let prune = |number: &str| Change::PruneOrder { order: OrderId::new(number) };
    store.commit(vec![prune("1"), prune("2")], vec![]).await.unwrap();
    assert_eq!(store.order(&OrderId::new("1")).await.unwrap(), None);
    assert!(store.order_steps(&OrderId::new("1")).await.unwrap().is_empty());
    assert!(store.order(&OrderId::new("2")).await.unwrap().is_some(), "it has not ended");
}

pub(super) async fn a_second_writer_of_one_name_is_refused(place: Place) {
    let first = place.open("node").await;
    let error = place.try_open("node").await.err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another registrar process uses"), "{error}");
    drop(first);
    place.open("node").await;
}

pub(super) async fn a_newer_database_is_refused_and_left_as_it_is(place: Place) {
    drop(with_device(&place).await);
    place.tamper(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
         VALUES (999, 'future', '2040-01-01T00:00:00Z', '1')",
    );
    let before = content(&place);
    let error = place.try_open("node").await.err().unwrap();
    assert!(matches!(error, OpenError::Newer { version: 999, .. }), "{error}");
    assert!(error.to_string().contains("run the newer registrar"), "{error}");
    assert_eq!(content(&place), before);
}

/// What can be seen of a database from outside.
fn content(place: &Place) -> Vec<u8> {
    match place {
        Place::Memory(_) => Vec::new(),
        Place::Sqlite(folder) => std::fs::read(folder.path().join("registrar.db")).unwrap(),
        Place::Postgres(cluster, url) => {
            let tables = "SELECT relname, relfilenode, n_live_tup FROM pg_class \
                          LEFT JOIN pg_stat_user_tables USING (relname) ORDER BY 1, 2";
            cluster.sql(url, tables).unwrap().into_bytes()
        }
    }
}
