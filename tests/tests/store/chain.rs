//! What happens to the trail when somebody who can write to the database does.

use std::sync::Arc;

use brski_registrar::store::chain::{Finding, Report, Verifier, sign_checkpoint};
use brski_registrar::store::model::{CheckpointKind, Head, Millis, Sha256};
use brski_registrar::store::{Change, Store};
use brski_voucher::signature::{PrivateKey, Signer as _};

use super::place::Place;
use super::rows::event;

/// How many events the chains of these tests have.
const EVENTS: i64 = 12;
/// Where their checkpoint is.
const SIGNED: i64 = 10;

fn key() -> PrivateKey {
    let pair = rcgen::KeyPair::generate().unwrap();
    PrivateKey::from_pkcs8_der(&pair.serialize_der()).unwrap()
}

async fn sign(store: &Arc<dyn Store>, key: &PrivateKey, seq: i64, kind: CheckpointKind) {
    let row = store.chain("node", seq - 1, 1).await.unwrap().remove(0);
    let head = Head { seq: row.seq, hash: row.hash };
    let checkpoint = sign_checkpoint(key, "node", head, kind, Millis(77)).unwrap();
    let change = match kind {
        CheckpointKind::Head => Change::AddCheckpoint(checkpoint),
        CheckpointKind::Pruned => Change::PruneEvents(checkpoint),
    };
    store.commit(vec![change], vec![]).await.unwrap();
}

/// A chain of [`EVENTS`] events, of which [`SIGNED`] are vouched for.
async fn chain(place: &Place) -> (Arc<dyn Store>, PrivateKey) {
    let store = place.open("node").await;
    let key = key();
    for number in 0..EVENTS {
        let mut each = event("each");
        each.time = Millis(number);
        each.detail = format!("event number {number}");
        each.device = (number % 2 == 0).then_some(each.device).flatten();
        store.commit(vec![], vec![each]).await.unwrap();
    }
    sign(&store, &key, SIGNED, CheckpointKind::Head).await;
    (store, key)
}

async fn verify(store: &Arc<dyn Store>, key: &PrivateKey) -> Report {
    let checkpoints = store.checkpoints("node").await.unwrap();
    let mut verifier = Verifier::new("node", checkpoints, &[key.spki_der().to_vec()]);
    for row in store.chain("node", verifier.start(), 1000).await.unwrap() {
        verifier.push(row);
    }
    verifier.finish()
}

pub(super) async fn an_untouched_chain_is_proven_up_to_its_checkpoint(place: Place) {
    let (store, key) = chain(&place).await;
    let report = verify(&store, &key).await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.first, report.last, report.proven), (1, EVENTS, SIGNED));
    assert_eq!(store.nodes().await.unwrap(), ["node"]);
}

pub(super) async fn each_changed_column_is_found(place: Place) {
    for (column, value) in [
        ("time", "time + 1"),
        ("kind", "'other'"),
        ("verdict", "'refused'"),
        ("device", "NULL"),
        ("peer", "'somebody'"),
        ("clause", "'RFC 0'"),
        ("detail", "'nothing happened'"),
        ("correlation", "'d'"),
        ("previous", place.zeros()),
        ("hash", place.zeros()),
    ] {
        let (store, key) = chain(&place).await;
        place.tamper(&format!("UPDATE events SET {column} = {value} WHERE seq = 5"));
        let findings = verify(&store, &key).await.findings;
        assert!(findings.contains(&Finding::Changed { seq: 5 }), "{column}: {findings:?}");
        drop(store);
        place.tamper("DELETE FROM events; DELETE FROM checkpoints");
    }
    for (column, value) in [("seq", "500"), ("node", "'other'")] {
        let (store, key) = chain(&place).await;
        place.tamper(&format!("UPDATE events SET {column} = {value} WHERE seq = 5"));
        let findings = verify(&store, &key).await.findings;
        let removed = Finding::Removed { first: 5, last: 5 };
        assert!(findings.contains(&removed), "{column}: {findings:?}");
        drop(store);
        place.tamper("DELETE FROM events; DELETE FROM checkpoints");
    }
}

pub(super) async fn a_removed_row_is_named(place: Place) {
    let (store, key) = chain(&place).await;
    place.tamper("DELETE FROM events WHERE seq IN (3, 4, 8)");
    let findings = verify(&store, &key).await.findings;
    let expected = [Finding::Removed { first: 3, last: 4 }, Finding::Removed { first: 8, last: 8 }];
    assert_eq!(findings, expected);
    assert_eq!(findings[0].to_string(), "events 3 to 4 were removed");
}

pub(super) async fn a_cut_tail_below_a_checkpoint_is_found(place: Place) {
    let (store, key) = chain(&place).await;
    place.tamper("DELETE FROM events WHERE seq > 8");
    let report = verify(&store, &key).await;
    assert_eq!(report.findings, [Finding::Removed { first: 9, last: SIGNED }]);
    place.tamper("DELETE FROM events");
    let report = verify(&store, &key).await;
    assert_eq!(report.findings, [Finding::Removed { first: 1, last: SIGNED }]);
}

pub(super) async fn exchanged_rows_are_found(place: Place) {
    let (store, key) = chain(&place).await;
    place.tamper(
        "UPDATE events SET seq = 1000 WHERE seq = 4; UPDATE events SET seq = 4 WHERE seq = 7; \
         UPDATE events SET seq = 7 WHERE seq = 1000",
    );
    let findings = verify(&store, &key).await.findings;
    for moved in [Finding::Moved { seq: 4, from: 7 }, Finding::Moved { seq: 7, from: 4 }] {
        assert!(findings.contains(&moved), "{findings:?}");
    }
}

pub(super) async fn a_chain_computed_anew_is_found_by_its_checkpoint(place: Place) {
    let (store, key) = chain(&place).await;
    let checkpoint = store.checkpoints("node").await.unwrap().remove(0);
    drop(store);
    // The whole trail is written again by the same program, with one word changed.
    place.tamper("DELETE FROM events; DELETE FROM checkpoints");
    let store = place.open("node").await;
    for number in 0..EVENTS {
        let mut each = event("each");
        each.detail = format!("event number {number}, so to speak");
        store.commit(vec![], vec![each]).await.unwrap();
    }
    store.commit(vec![Change::AddCheckpoint(checkpoint)], vec![]).await.unwrap();
    let report = verify(&store, &key).await;
    assert_eq!(report.findings, [Finding::Rewritten { seq: SIGNED }]);
    assert_eq!(report.proven, 0);
}

pub(super) async fn a_forged_checkpoint_is_found(place: Place) {
    let (store, key) = chain(&place).await;
    let other = self::key();
    sign(&store, &other, 11, CheckpointKind::Head).await;
    let report = verify(&store, &key).await;
    let spki = Sha256::of(other.spki_der());
    assert_eq!(report.findings, [Finding::ForeignKey { seq: 11, spki }]);
    assert_eq!(report.proven, SIGNED);
    place.tamper("DELETE FROM checkpoints WHERE seq = 11; UPDATE checkpoints SET time = 78");
    let report = verify(&store, &key).await;
    assert_eq!(report.findings, [Finding::Signature { seq: SIGNED }]);
    assert_eq!(report.proven, 0);
}

pub(super) async fn pruning_leaves_a_checkpoint_that_verifies(place: Place) {
    let (store, key) = chain(&place).await;
    let head = store.prunable_events("node", Millis(4), 3).await.unwrap();
    assert_eq!(head.map(|head| head.seq), Some(3), "in small steps");
    let head = store.prunable_events("node", Millis(4), 100).await.unwrap();
    assert_eq!(head.map(|head| head.seq), Some(4));
    let head = store.prunable_events("node", Millis(1000), 100).await.unwrap();
    assert_eq!(head.map(|head| head.seq), Some(EVENTS - 1), "the newest stays");
    sign(&store, &key, 4, CheckpointKind::Pruned).await;
    let report = verify(&store, &key).await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.first, report.last, report.proven), (5, EVENTS, SIGNED));
    // What is missing above the checkpoint is found all the same.
    place.tamper("DELETE FROM events WHERE seq = 5");
    let report = verify(&store, &key).await;
    assert_eq!(report.findings, [Finding::Removed { first: 5, last: 5 }]);
    drop(store);
    // A chain that was pruned goes on after a restart, even with nothing left.
    place.tamper("DELETE FROM events");
    let store = place.open("node").await;
    store.commit(vec![], vec![event("next")]).await.unwrap();
    assert_eq!(store.head("node").await.unwrap().seq, SIGNED + 1);
}
