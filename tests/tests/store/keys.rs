//! Keys that were made for devices, and which CA certificates are still needed.

use std::sync::Arc;

use brski_registrar::store::model::{
    ChainCertificate, Id, IssuedCertificate, Millis, SealedKey, Sha256,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{device, enrollment, event, id, manufacturer};

async fn with_devices(place: &Place) -> Arc<dyn Store> {
    let store = place.open("node").await;
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a.example.org", "S1")),
        Change::AddDevice(device(11, "b.example.org", "S2")),
    ];
    store.commit(changes, vec![event("begin")]).await.unwrap();
    store
}

fn key(number: u8, device: Id) -> SealedKey {
    SealedKey {
        wish: Sha256([number; 32]),
        device,
        enrollment: Sha256([number + 100; 32]),
        sealed: vec![number, 1, 2, 3],
        created_at: Millis(i64::from(number)),
        sent_at: None,
    }
}

async fn commit(store: &Arc<dyn Store>, change: Change) -> Result<(), StoreError> {
    store.commit(vec![change], Vec::new()).await
}

async fn is_there(store: &Arc<dyn Store>, number: u8) -> bool {
    store.sealed_key(&Sha256([number; 32])).await.unwrap().is_some()
}

pub(super) async fn one_key_is_kept_for_one_wish(place: Place) {
    let store = with_devices(&place).await;
    let first = key(1, id(10));
    commit(&store, Change::KeepSealedKey(first.clone())).await.unwrap();
    assert_eq!(store.sealed_key(&first.wish).await.unwrap(), Some(first.clone()));
    let second = SealedKey { sealed: vec![9], enrollment: Sha256([3; 32]), ..first.clone() };
    let error = commit(&store, Change::KeepSealedKey(second.clone())).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::SealedKey)), "{error}");
    // Who wants to remove another one than is there removes nothing.
    let remove =
        |key: &SealedKey| Change::RemoveSealedKey { wish: key.wish, enrollment: key.enrollment };
    commit(&store, remove(&second)).await.unwrap();
    assert!(is_there(&store, 1).await);
    let changes = vec![remove(&first), Change::KeepSealedKey(second.clone())];
    store.commit(changes, Vec::new()).await.unwrap();
    assert_eq!(store.sealed_key(&first.wish).await.unwrap(), Some(second));
}

pub(super) async fn a_kept_key_is_removed_when_its_time_is_over(place: Place) {
    let store = with_devices(&place).await;
    for number in 1..=4 {
        let owner = if number == 4 { id(11) } else { id(10) };
        commit(&store, Change::KeepSealedKey(key(number, owner))).await.unwrap();
    }
    for at in [50, 60] {
        let sent = Change::NoteKeySent { wish: Sha256([2; 32]), at: Millis(at) };
        commit(&store, sent).await.unwrap();
    }
    let sent = store.sealed_key(&Sha256([2; 32])).await.unwrap().unwrap();
    assert_eq!(sent.sent_at, Some(Millis(50)), "the first time counts");
    let prune = |sent_until, made_until| Change::PruneSealedKeys {
        sent_until: Millis(sent_until),
        made_until: Millis(made_until),
    };
    commit(&store, prune(49, 0)).await.unwrap();
    assert!(is_there(&store, 2).await);
    commit(&store, prune(50, 1)).await.unwrap();
    for (number, expected) in [(1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(is_there(&store, number).await, expected, "{number}");
    }
    commit(&store, Change::RemoveSealedKeys { device: id(10) }).await.unwrap();
    assert!(!is_there(&store, 3).await);
    assert!(is_there(&store, 4).await, "the other device's stays");
}

pub(super) async fn ca_certificates_are_needed_while_a_live_certificate_is_below(place: Place) {
    let store = with_devices(&place).await;
    let chain = |number: u8| ChainCertificate {
        issuer: "acme".into(),
        fingerprint: Sha256([number; 32]),
        certificate: CertificateDer::from(vec![number]),
    };
    let certificate = |number: u8, authority: Option<u8>, end: i64| IssuedCertificate {
        fingerprint: Sha256([number; 32]),
        device: id(10),
        enrollment: id(30),
        issuer: "acme".into(),
        authority: authority.map(|number| Sha256([number; 32])),
        certificate: CertificateDer::from(vec![number]),
        serial: "01".into(),
        spki: Sha256([number; 32]),
        not_before: Millis(0),
        not_after: Millis(end),
        revoked_at: None,
        created_at: Millis(1),
    };
    let changes = vec![
        Change::ApproveEnrollment(enrollment(30, 1)),
        Change::AddChainCertificate(chain(1)),
        Change::AddChainCertificate(chain(2)),
        Change::AddChainCertificate(chain(3)),
        Change::AddCertificate(certificate(10, Some(1), 100)),
        Change::AddCertificate(certificate(11, Some(2), 200)),
    ];
    store.commit(changes, Vec::new()).await.unwrap();
    let needed = async |now| store.issuing_certificates(Millis(now)).await.unwrap();
    assert_eq!(needed(99).await, [Sha256([1; 32]), Sha256([2; 32])]);
    assert_eq!(needed(100).await, [Sha256([2; 32])], "the first one has ended");
    let revoke = Change::RevokeCertificate { fingerprint: Sha256([11; 32]), at: Millis(5) };
    commit(&store, revoke).await.unwrap();
    assert_eq!(needed(99).await, [Sha256([1; 32])]);
    // Of one that does not say, any may be needed.
    commit(&store, Change::AddCertificate(certificate(12, None, 300))).await.unwrap();
    assert_eq!(needed(299).await, [1, 2, 3].map(|number| Sha256([number; 32])));
    assert_eq!(needed(300).await, []);
}
