//! Voucher exchanges with their audit logs, and vouchers that were fetched ahead.

use std::sync::Arc;

use brski_registrar::store::model::{
    AuditRecord, AuditVerdict, Id, Millis, NoncelessVoucher, Sha256, VoucherExchange,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use brski_voucher::encoding::Encoding;

use super::place::Place;
use super::rows::{device, event, exchange, id, manufacturer};

async fn with_devices(place: &Place, node: &str) -> Arc<dyn Store> {
    let store = place.open(node).await;
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
        Change::AddDevice(device(11, "b.example.org", "S2")),
    ];
    store.commit(changes, vec![event("begin")]).await.unwrap();
    store
}

async fn commit(store: &Arc<dyn Store>, change: Change) -> Result<(), StoreError> {
    store.commit(vec![change], Vec::new()).await
}

fn wanted(device: Id, encoding: Encoding, due: i64) -> NoncelessVoucher {
    NoncelessVoucher {
        device,
        encoding,
        registrar_request: vec![1, 2],
        voucher: None,
        expires_at: None,
        attempts: 0,
        due: Millis(due),
        problem: None,
        created_at: Millis(1),
        updated_at: Millis(1),
    }
}

pub(super) async fn an_exchange_comes_back_in_its_encoding_and_with_its_audit_log(place: Place) {
    let store = with_devices(&place, "node").await;
    for (number, encoding) in [(20, Encoding::Cms), (21, Encoding::Jws), (22, Encoding::Cose)] {
        let row = VoucherExchange { encoding, ..exchange(number) };
        commit(&store, Change::BeginVoucherExchange(row.clone())).await.unwrap();
        let read = store.voucher_exchange(&Sha256([number; 32])).await.unwrap();
        assert_eq!(read, Some(row));
    }
    let record = |log: Option<&[u8]>, verdict| AuditRecord {
        log: log.map(<[u8]>::to_vec),
        verdict,
        at: Millis(9),
    };
    let reason = "a stranger's".to_owned();
    for audit in [
        record(Some(b"{}"), AuditVerdict::Accepted),
        record(Some(b"{\0}"), AuditVerdict::Refused { reason: reason.clone() }),
        record(None, AuditVerdict::Missing { reason }),
    ] {
        let change = Change::SetAudit { exchange: id(21), audit: audit.clone() };
        commit(&store, change).await.unwrap();
        let read = store.voucher_exchange(&Sha256([21; 32])).await.unwrap().unwrap();
        assert_eq!(read.audit, Some(audit));
    }
    let nobody = Change::SetAudit { exchange: id(99), audit: record(None, AuditVerdict::Accepted) };
    let error = commit(&store, nobody).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Missing)), "{error}");
}

pub(super) async fn a_voucher_fetched_ahead_is_asked_for_by_one_node(place: Place) {
    let store = with_devices(&place, "one").await;
    for row in [wanted(id(10), Encoding::Cms, 5), wanted(id(11), Encoding::Jws, 4)] {
        commit(&store, Change::WantNoncelessVoucher(row)).await.unwrap();
    }
    let due = async |now| {
        let rows = store.nonceless_vouchers_due(Millis(now), 10).await.unwrap();
        rows.into_iter().map(|row| row.device).collect::<Vec<_>>()
    };
    assert_eq!(due(3).await, []);
    assert_eq!(due(5).await, [id(11), id(10)]);
    let lease = |node: &str, until, now| Change::LeaseNoncelessVoucher {
        device: id(11),
        encoding: Encoding::Jws,
        node: node.to_owned(),
        until: Millis(until),
        now: Millis(now),
    };
    commit(&store, lease("one", 20, 5)).await.unwrap();
    let error = commit(&store, lease("two", 25, 6)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::VoucherLeased)), "{error}");
    assert_eq!(due(19).await, [id(10)]);
    // Its holder may go on, and when it is gone another one takes over.
    commit(&store, lease("one", 21, 7)).await.unwrap();
    assert_eq!(due(21).await, [id(11), id(10)]);
    commit(&store, lease("two", 30, 21)).await.unwrap();
}

pub(super) async fn a_voucher_fetched_ahead_stays_until_another_comes(place: Place) {
    let store = with_devices(&place, "node").await;
    let first = wanted(id(10), Encoding::Cms, 5);
    commit(&store, Change::WantNoncelessVoucher(first.clone())).await.unwrap();
    let read = async || store.nonceless_voucher(&id(10), Encoding::Cms).await.unwrap().unwrap();
    assert_eq!(read().await, first);
    let kept = NoncelessVoucher {
        voucher: Some(vec![7; 300]),
        expires_at: Some(Millis(100)),
        due: Millis(60),
        updated_at: Millis(6),
        ..first.clone()
    };
    commit(&store, Change::KeepNoncelessVoucher(kept.clone())).await.unwrap();
    assert_eq!(read().await, kept);
    assert_eq!((kept.current(Millis(99)).is_some(), kept.current(Millis(100))), (true, None));
    let again = NoncelessVoucher { registrar_request: vec![3], due: Millis(7), ..first };
    commit(&store, Change::WantNoncelessVoucher(again.clone())).await.unwrap();
    let both = NoncelessVoucher {
        registrar_request: vec![3],
        due: Millis(7),
        updated_at: again.updated_at,
        ..kept
    };
    assert_eq!(read().await, both, "the old voucher is good until a new one is here");
    let others = [
        wanted(id(10), Encoding::Cose, 9),
        wanted(id(11), Encoding::Cms, 9),
        wanted(id(11), Encoding::Jws, 9),
    ];
    for row in others {
        commit(&store, Change::WantNoncelessVoucher(row)).await.unwrap();
    }
    let mut place = (Id::from_stored(String::new()), "");
    let mut seen = Vec::new();
    loop {
        let page = store.nonceless_vouchers((&place.0, place.1), 3).await.unwrap();
        let Some(last) = page.last() else {
            break;
        };
        place = (last.device.clone(), last.encoding.as_str());
        seen.extend(page.into_iter().map(|row| (row.device, row.encoding.as_str())));
    }
    assert_eq!(seen, [(id(10), "cms"), (id(10), "cose"), (id(11), "cms"), (id(11), "jws")]);
    commit(&store, Change::RemoveNoncelessVouchers { device: id(10) }).await.unwrap();
    assert_eq!(store.nonceless_vouchers_due(Millis(100), 10).await.unwrap().len(), 2);
    let error = commit(&store, Change::KeepNoncelessVoucher(both)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::Missing)), "{error}");
}
