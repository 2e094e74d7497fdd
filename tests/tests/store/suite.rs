//! What every store must do.

use std::sync::Arc;

use acme_bridge::{AnswerKind, OrderId, Place as AnswerPlace};
use brski_registrar::store::model::{
    Approval, ApprovalReason, ApprovalState, ChainCertificate, Credential, DeviceFilter,
    DeviceState, EnrollmentState, Entry, EventFilter, Identity, IdevidOptions, IssuedCertificate,
    KnownDevice, Manufacturer, MasaOptions, Millis, SeenIdevid, Sha256, VoucherExchange,
    VoucherState,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{answer, device, enrollment, event, exchange, id, manufacturer};

pub(super) async fn with_device(place: &Place) -> Arc<dyn Store> {
    let store = place.open("node").await;
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
    ];
    store.commit(changes, vec![event("begin")]).await.unwrap();
    store
}

pub(super) async fn devices(store: &Arc<dyn Store>) -> Vec<KnownDevice> {
    store.devices(&DeviceFilter::default(), None, 1000).await.unwrap()
}

pub(super) fn conflict(result: Result<(), StoreError>) -> Conflict {
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
        VoucherState::Failed { reason: "gone".into() },
        VoucherState::Asked,
        VoucherState::Rejected { reason: "no".into() },
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
        EnrollmentState::Refused { reason: "no".into() },
        EnrollmentState::Failed { reason: "gone".into() },
        EnrollmentState::Issued { certificate: Sha256([4; 32]) },
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

pub(super) async fn what_is_issued_or_cancelled_stays_so(place: Place) {
    let store = with_device(&place).await;
    let ends = [
        EnrollmentState::Issued { certificate: Sha256([4; 32]) },
        EnrollmentState::Cancelled { reason: "stop".into() },
    ];
    for (number, end) in (30..).zip(&ends) {
        let enrollment = enrollment(number, number);
        let set = |state: &EnrollmentState| Change::SetEnrollmentState {
            enrollment: id(number),
            state: state.clone(),
            at: Millis(9),
        };
        let changes = vec![Change::ApproveEnrollment(enrollment), set(end)];
        store.commit(changes, vec![]).await.unwrap();
        for other in ends.iter().chain([&EnrollmentState::Ordered]) {
            let result = store.commit(vec![set(other)], vec![event("never")]).await;
            assert_eq!(conflict(result), Conflict::Missing, "{end:?} {other:?}");
        }
        assert_eq!(store.enrollment(&id(number)).await.unwrap().unwrap().state, *end);
    }
}

pub(super) async fn what_ended_is_not_ordered_and_what_a_pledge_rejected_stays_so(place: Place) {
    let store = with_device(&place).await;
    let set = |state| Change::SetEnrollmentState { enrollment: id(30), state, at: Millis(9) };
    let refused = set(EnrollmentState::Refused { reason: "no".into() });
    let changes = vec![Change::ApproveEnrollment(enrollment(30, 1)), refused];
    store.commit(changes, vec![]).await.unwrap();
    let result = store.commit(vec![set(EnrollmentState::Ordered)], vec![]).await;
    assert_eq!(conflict(result), Conflict::Missing);

    let set = |state| Change::SetVoucherState { exchange: id(20), state, at: Millis(9) };
    let rejected = || set(VoucherState::Rejected { reason: "no".into() });
    let changes = vec![Change::BeginVoucherExchange(exchange(20)), rejected(), rejected()];
    store.commit(changes, vec![]).await.unwrap();
    for state in [VoucherState::Asked, VoucherState::Issued { voucher: vec![1] }] {
        let result = store.commit(vec![set(state)], vec![]).await;
        assert_eq!(conflict(result), Conflict::Missing);
    }
}

pub(super) async fn what_a_decision_stands_on_is_looked_at_again(place: Place) {
    let store = with_device(&place).await;
    let expect = |newest| Change::ExpectEnrollment { key: Sha256([1; 32]), newest };
    let changes = vec![expect(None), Change::ApproveEnrollment(enrollment(30, 1))];
    store.commit(changes, vec![]).await.unwrap();
    store.commit(vec![expect(Some(id(30)))], vec![event("seen")]).await.unwrap();
    for newest in [None, Some(id(31))] {
        let result = store.commit(vec![expect(newest)], vec![event("never")]).await;
        assert_eq!(conflict(result), Conflict::Enrollment);
    }

    let still = || vec![Change::ExpectCancelled { enrollment: id(30) }];
    assert_eq!(conflict(store.commit(still(), vec![]).await), Conflict::Missing);
    let state = EnrollmentState::Cancelled { reason: "stop".into() };
    let cancel = Change::SetEnrollmentState { enrollment: id(30), state, at: Millis(9) };
    store.commit(vec![cancel], vec![]).await.unwrap();
    store.commit(still(), vec![]).await.unwrap();
    let again = Change::ReopenEnrollment { enrollment: id(30), at: Millis(9) };
    store.commit(vec![again], vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(still(), vec![]).await), Conflict::Missing);

    let holds = |open: &[u8]| Change::ExpectHoldings {
        device: id(10),
        open: open.iter().map(|number| id(*number)).collect(),
        live: vec![],
    };
    store.commit(vec![holds(&[30])], vec![]).await.unwrap();
    for open in [&[][..], &[31], &[30, 31]] {
        assert_eq!(conflict(store.commit(vec![holds(open)], vec![]).await), Conflict::Outdated);
    }

    let let_in = || vec![Change::ExpectLetIn { device: id(10) }];
    let put = |state| Change::SetDeviceState { device: id(10), state, at: Millis(9) };
    for (state, is_in) in [
        (DeviceState::Expected, false),
        (DeviceState::Pending, false),
        (DeviceState::Admitted, true),
        (DeviceState::Vouchered, true),
        (DeviceState::Enrolled, true),
        (DeviceState::Retired, false),
        (DeviceState::Blocked, false),
    ] {
        store.commit(vec![put(state)], vec![]).await.unwrap();
        assert_eq!(store.commit(let_in(), vec![]).await.is_ok(), is_in, "{state:?}");
        let go = Change::MoveDevice { device: id(10), state: DeviceState::Enrolled, at: Millis(9) };
        assert_eq!(store.commit(vec![go], vec![]).await.is_ok(), is_in, "{state:?}");
    }
}

pub(super) async fn a_manufacturer_is_changed_by_who_knows_it_as_it_is(place: Place) {
    let store = place.open("node").await;
    let before = manufacturer();
    let other = Manufacturer { id: id(2), name: "valves".into(), ..manufacturer() };
    let changes =
        vec![Change::AddManufacturer(before.clone()), Change::AddManufacturer(other.clone())];
    store.commit(changes, vec![]).await.unwrap();
    let after = Manufacturer {
        anchors: vec![CertificateDer::from(vec![9])],
        masa_url: None,
        masa_anchors: vec![],
        masa_hosts: vec!["c.example".into()],
        voucher_anchors: vec![CertificateDer::from(vec![8]), CertificateDer::from(vec![7])],
        entry: Entry::Est,
        masa: MasaOptions::default(),
        idevid: IdevidOptions::default(),
        ..before.clone()
    };
    let change = |before: &Manufacturer, after: &Manufacturer| {
        let (before, after) = (Box::new(before.clone()), Box::new(after.clone()));
        vec![Change::ChangeManufacturer { before, after }]
    };
    store.commit(change(&before, &after), vec![event("changed")]).await.unwrap();
    let rows = [after.clone(), other.clone()];
    assert_eq!(store.manufacturers().await.unwrap(), rows);
    assert_eq!(store.generation().await.unwrap(), 3, "every node takes it up");
    // Somebody who looked before that change undoes nothing of it.
    let result = store.commit(change(&before, &before), vec![]).await;
    assert_eq!(conflict(result), Conflict::Outdated);
    let nobody = Manufacturer { id: id(3), ..before.clone() };
    let result = store.commit(change(&nobody, &nobody), vec![]).await;
    assert_eq!(conflict(result), Conflict::Missing);
    // What it is known by stays.
    let renamed = Manufacturer { name: "valves".into(), created_at: Millis(99), ..after.clone() };
    store.commit(change(&after, &renamed), vec![]).await.unwrap();
    assert_eq!(store.manufacturers().await.unwrap(), rows);
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
