//! What every store must do; run on SQLite.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use acme_bridge::{ChallengeAnswer, Csr, IssuerName, OrderId, OrderRecord, OrderState};
use brski_registrar::store::model::{
    ChainCertificate, Device, DeviceState, Enrollment, EnrollmentState, Event, Id, Identity,
    IssuedCertificate, KnownDevice, Manufacturer, Millis, Sha256, Verdict, VoucherExchange,
    VoucherState,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

fn id(number: u8) -> Id {
    Id::from_random([number; 16])
}

fn open() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (SqliteStore::open(&folder.path().join("registrar.db"), "node").unwrap(), folder)
}

fn manufacturer() -> Manufacturer {
    Manufacturer {
        id: id(1),
        name: "pumps".into(),
        anchors: vec![CertificateDer::from(vec![1]), CertificateDer::from(vec![2])],
        masa_url: Some("masa.example.com".into()),
        masa_anchors: vec![CertificateDer::from(vec![3])],
        masa_hosts: vec!["b.example".into(), "a.example".into()],
        voucher_anchors: vec![],
        created_at: Millis(7),
    }
}

fn device(number: u8, name: &str, serial: &str) -> KnownDevice {
    KnownDevice {
        device: Device {
            id: id(number),
            name: name.into(),
            profile: "default".into(),
            state: DeviceState::Admitted,
            created_at: Millis(i64::from(number)),
            updated_at: Millis(i64::from(number)),
        },
        identity: Identity {
            manufacturer: id(1),
            serial: serial.into(),
            spki: Sha256([number; 32]),
            certificate: CertificateDer::from(vec![number]),
        },
    }
}

fn exchange(number: u8) -> VoucherExchange {
    VoucherExchange {
        id: id(number),
        request_sha256: Sha256([number; 32]),
        device: id(10),
        pledge_request: vec![1],
        registrar_request: vec![2],
        state: VoucherState::Asked,
        created_at: Millis(1),
        updated_at: Millis(i64::from(number)),
    }
}

fn enrollment(number: u8, key: u8) -> Enrollment {
    Enrollment {
        id: id(number),
        device: id(10),
        profile: "default".into(),
        issuer: "ca".into(),
        name: "a.example.org".into(),
        key: Sha256([key; 32]),
        csr: vec![9],
        state: EnrollmentState::Approved,
        created_at: Millis(i64::from(number)),
        updated_at: Millis(i64::from(number)),
    }
}

fn order(number: &str) -> OrderRecord {
    OrderRecord {
        id: OrderId::new(number),
        issuer: IssuerName::new("ca"),
        csr: Csr { der: vec![1], names: vec!["a.example.org".into()], spki: vec![2] },
        state: OrderState::Intended,
        attempts: 0,
        due: 100,
        lease: None,
    }
}

fn event(kind: &'static str) -> Event {
    Event {
        time: Millis(5),
        kind,
        verdict: Verdict::Done,
        device: Some(id(10)),
        peer: "peer".into(),
        clause: "RFC",
        detail: "detail".into(),
        correlation: "c".into(),
    }
}

async fn with_device() -> (SqliteStore, TempDir) {
    let (store, folder) = open();
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AdmitDevice(device(10, "a.example.org", "S1")),
    ];
    store.commit(changes, vec![event("begin")]).await.unwrap();
    (store, folder)
}

fn conflict(result: Result<(), StoreError>) -> Conflict {
    match result.unwrap_err() {
        StoreError::Conflict(conflict) => conflict,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn gives_back_what_it_was_given() {
    let (store, _folder) = with_device().await;
    let known = device(10, "a.example.org", "S1");
    assert_eq!(store.manufacturers().await.unwrap(), [manufacturer()]);
    assert_eq!(store.generation().await.unwrap(), 1);
    assert_eq!(store.device(&id(10)).await.unwrap(), Some(known.clone()));
    assert_eq!(store.device_by_serial(&id(1), "S1").await.unwrap(), Some(known.clone()));
    assert_eq!(store.device_by_serial(&id(2), "S1").await.unwrap(), None);
    for text in [id(10).as_str(), "A.Example.ORG", "S1"] {
        assert_eq!(store.find_devices(text).await.unwrap(), std::slice::from_ref(&known), "{text}");
    }
    assert_eq!(store.device_by_name("a.example.org").await.unwrap(), Some(known.device));
    assert_eq!(store.events(None, 10).await.unwrap()[0].kind, "begin");
}

#[tokio::test]
async fn every_state_comes_back_as_it_was() {
    let (store, _folder) = with_device().await;
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

#[tokio::test]
async fn a_conflict_leaves_nothing_of_its_commit_behind() {
    let (store, _folder) = with_device().await;
    store.commit(vec![Change::ApproveEnrollment(enrollment(30, 1))], vec![]).await.unwrap();
    store.commit(vec![Change::BeginVoucherExchange(exchange(20))], vec![]).await.unwrap();
    let admit = |known| Change::AdmitDevice(known);
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
    assert_eq!(store.devices().await.unwrap(), [device(10, "a.example.org", "S1")]);
    assert!(store.events(None, 10).await.unwrap().iter().all(|event| event.kind != "never"));
    assert_eq!(store.generation().await.unwrap(), 1);
}

#[tokio::test]
async fn an_enrollment_that_ended_makes_room_for_another() {
    let (store, _folder) = with_device().await;
    store.commit(vec![Change::ApproveEnrollment(enrollment(30, 1))], vec![]).await.unwrap();
    let state = EnrollmentState::Failed { reason: "x".into() };
    let end = Change::SetEnrollmentState { enrollment: id(30), state, at: Millis(31) };
    store.commit(vec![end, Change::ApproveEnrollment(enrollment(31, 1))], vec![]).await.unwrap();
    let newest = store.enrollment_by_key(&Sha256([1; 32])).await.unwrap().unwrap();
    assert_eq!(newest.id, id(31));
    assert_eq!(store.enrollments_of(&id(10)).await.unwrap().len(), 2);
    assert_eq!(store.approved_enrollments().await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_nodes_never_hold_one_order() {
    let (store, _folder) = open();
    store
        .commit(vec![Change::InsertOrder(order("1")), Change::InsertOrder(order("1"))], vec![])
        .await
        .unwrap();
    let claim = |node: &'static str, now: i64| {
        let store = &store;
        async move {
            store.claim_orders("ca", node, Millis(now + 50), Millis(now), 10).await.unwrap().len()
        }
    };
    assert_eq!(claim("a", 99).await, 0, "not due");
    assert_eq!(claim("a", 100).await, 1);
    assert_eq!(claim("b", 110).await, 0, "leased");
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

#[tokio::test]
async fn answers_certificates_and_chains_are_kept_once() {
    let (store, _folder) = with_device().await;
    let answer = ChallengeAnswer {
        order: OrderId::new("1"),
        owner: "_acme-challenge.a".into(),
        value: "v".into(),
    };
    let certificate = IssuedCertificate {
        fingerprint: Sha256([5; 32]),
        device: id(10),
        enrollment: id(30),
        issuer: "ca".into(),
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
    assert_eq!(store.answers("_acme-challenge.a").await.unwrap(), ["v"]);
    assert_eq!(store.certificate(&Sha256([5; 32])).await.unwrap(), Some(certificate.clone()));
    assert_eq!(store.certificates_of(&id(10)).await.unwrap(), [certificate]);
    assert_eq!(store.chain_certificates().await.unwrap(), [chain]);
    store.commit(vec![Change::RemoveAnswers { order: OrderId::new("1") }], vec![]).await.unwrap();
    assert!(store.answers("_acme-challenge.a").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let (store, folder) = with_device().await;
    drop(store);
    let store = SqliteStore::open(&folder.path().join("registrar.db"), "node").unwrap();
    assert_eq!(store.devices().await.unwrap().len(), 1);
    store.commit(vec![], vec![event("again")]).await.unwrap();
    let events = store.events(Some(&id(10)), 10).await.unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, [1, 2], "the numbers go on");
}

#[tokio::test]
async fn commits_that_come_together_are_all_kept_and_fail_alone() {
    let (store, _folder) = with_device().await;
    let store = std::sync::Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u8 {
        let store = std::sync::Arc::clone(&store);
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
            store.commit(vec![Change::AdmitDevice(known)], vec![event("join")]).await.is_ok()
        });
    }
    let done = tasks.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(done, 150);
    assert_eq!(store.devices().await.unwrap().len(), 151);
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.db");
    std::fs::write(&path, "no database, but long enough to look at".repeat(100)).unwrap();
    let error = SqliteStore::open(&path, "node").err().unwrap().to_string();
    assert!(error.contains("registrar.db"), "{error}");
}
