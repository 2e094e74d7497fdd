//! The registrar's own certificates and the roots of its domain; and which vouchers keep an earlier root.

use brski_registrar::store::model::{
    Millis, OwnCertificate, RootChange, Sha256, VoucherExchange, VoucherState,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use brski_voucher::encoding::Encoding;
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{device, event, id, manufacturer};

fn certificate(seq: i64) -> OwnCertificate {
    OwnCertificate {
        seq,
        spki: Sha256([1; 32]),
        chain: format!("certificate {seq}"),
        created_at: Millis(seq),
    }
}

fn root(seq: i64) -> RootChange {
    let der = |octet: u8| CertificateDer::from(vec![octet; 3]);
    RootChange {
        seq,
        root: der(1),
        previous: der(2),
        old_with_new: der(3),
        new_with_old: der(4),
        created_at: Millis(seq),
        left_at: None,
    }
}

async fn conflict(store: &dyn Store, changes: Vec<Change>) -> Conflict {
    match store.commit(changes, vec![event("conflict")]).await {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn of_two_who_renew_or_rotate_one_is_refused(place: Place) {
    let store = place.open("node").await;
    let before = store.generation().await.unwrap();
    let first = vec![Change::AddOwnCertificate(certificate(1))];
    store.commit(first.clone(), vec![event("first")]).await.unwrap();
    assert_eq!(store.generation().await.unwrap(), before + 1);
    assert_eq!(conflict(&*store, first).await, Conflict::OwnCertificate);
    // A root and the certificate under it are written together or not at all.
    let both = |seq| vec![Change::ChangeRoot(root(1)), Change::AddOwnCertificate(certificate(seq))];
    assert_eq!(conflict(&*store, both(1)).await, Conflict::OwnCertificate);
    assert!(store.own_records().await.unwrap().roots.is_empty());
    store.commit(both(2), vec![event("both")]).await.unwrap();
    assert_eq!(conflict(&*store, both(3)).await, Conflict::OwnCertificate);
    let records = store.own_records().await.unwrap();
    assert_eq!(records.certificates, [certificate(1), certificate(2)]);
    assert_eq!(records.roots, [root(1)]);
    // A root leaves once.
    let leave = vec![Change::RetireRoot { seq: 1, at: Millis(9) }];
    store.commit(leave.clone(), vec![event("left")]).await.unwrap();
    assert_eq!(conflict(&*store, leave).await, Conflict::Missing);
    assert_eq!(store.own_records().await.unwrap().roots[0].left_at, Some(Millis(9)));
}

pub(super) async fn somebody_is_warned_of_one_thing_once(place: Place) {
    let store = place.open("node").await;
    let warn = |about: &str| vec![Change::NoteWarning { about: about.to_owned() }];
    store.commit(warn("one"), vec![event("one")]).await.unwrap();
    store.commit(warn("another"), vec![event("another")]).await.unwrap();
    assert_eq!(conflict(&*store, warn("one")).await, Conflict::Warned);
}

pub(super) async fn exchanges_that_need_an_earlier_root_are_found(place: Place) {
    let store = place.open("node").await;
    let exchange = |number: u8, state: VoucherState| VoucherExchange {
        id: id(number),
        request_sha256: Sha256([number; 32]),
        device: id(10),
        pledge_request: vec![1],
        registrar_request: vec![2],
        encoding: Encoding::Cms,
        audit: None,
        state,
        created_at: Millis(100),
        updated_at: Millis(200),
    };
    let voucher = |octet: u8| vec![octet];
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
        Change::BeginVoucherExchange(exchange(1, VoucherState::Accepted { voucher: voucher(1) })),
        Change::BeginVoucherExchange(exchange(2, VoucherState::Failed { reason: "no".into() })),
        Change::BeginVoucherExchange(exchange(3, VoucherState::Rejected { reason: "no".into() })),
    ];
    store.commit(changes, vec![event("begin")]).await.unwrap();
    let is_open = async |before: i64, active: i64| {
        store.is_exchange_open(Millis(before), Millis(active)).await.unwrap()
    };
    assert!(!is_open(101, 0).await, "nobody waits");
    let waiting = exchange(4, VoucherState::Issued { voucher: voucher(4) });
    store.commit(vec![Change::BeginVoucherExchange(waiting)], vec![]).await.unwrap();
    assert!(is_open(101, 199).await);
    assert!(!is_open(100, 199).await, "it began later");
    assert!(!is_open(101, 200).await, "it has given up");
    let page = store.vouchers(Millis(101), None, 1).await.unwrap();
    assert_eq!(page, [(id(1), voucher(1))]);
    let page = store.vouchers(Millis(101), Some(&id(1)), 9).await.unwrap();
    assert_eq!(page, [(id(4), voucher(4))]);
    assert!(store.vouchers(Millis(100), None, 9).await.unwrap().is_empty());
}
