//! Orders, limits and revocations: whose turn it is, what is kept of each, what an operator may do.

use std::sync::Arc;

use acme_bridge::{
    AccountRecord, ContactsTold, IssuerName, OrderId, OrderRecord, OrderState, OrderTerms, Problem,
    RevocationReason, Spending, Which,
};
use brski_registrar::store::model::{
    EnrollmentState, Millis, OrderFilter, OrderPlace, OrderTally, RevocationRow, Sha256,
};
use brski_registrar::store::{Change, Conflict, Store, StoreError};
use rustls_pki_types::CertificateDer;

use super::place::Place;
use super::rows::{device, enrollment, manufacturer, order};

async fn opened(place: &Place, orders: Vec<OrderRecord>) -> Arc<dyn Store> {
    let store = place.open("node").await;
    let changes = orders.into_iter().map(Change::InsertOrder).collect();
    store.commit(changes, vec![]).await.unwrap();
    store
}

async fn claim(store: &Arc<dyn Store>, now: i64, limit: u32, which: Which) -> Vec<String> {
    let (until, now) = (Millis(now + 1_000_000), Millis(now));
    let claimed = store.claim_orders("ca", "node", until, now, limit, which).await.unwrap();
    let mut ids: Vec<String> =
        claimed.into_iter().map(|order| order.id.as_str().to_owned()).collect();
    ids.sort_unstable();
    ids
}

fn advance(order: OrderRecord, at: i64) -> Change {
    Change::AdvanceOrder { order, node: "node".into(), step: "step".into(), at: Millis(at) }
}

async fn read(store: &Arc<dyn Store>, id: &str) -> OrderRecord {
    store.order(&OrderId::new(id)).await.unwrap().unwrap()
}

fn conflict(result: Result<(), StoreError>) -> Conflict {
    match result {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}

/// An order of this device that was taken at this time.
fn of(id: &str, device: &str, at: i64) -> OrderRecord {
    let terms = OrderTerms { device: device.into(), ..OrderTerms::default() };
    OrderRecord::new(OrderId::new(id), IssuerName::new("ca"), order(id).csr, terms, at)
}

pub(super) async fn everything_of_an_order_is_kept(place: Place) {
    let store = opened(&place, vec![order("1")]).await;
    assert_eq!(read(&store, "1").await, order("1"));
    claim(&store, 100, 1, Which::Any).await;
    let mut moved = read(&store, "1").await;
    moved.issuer = IssuerName::new("other");
    moved.terms.fallback = None;
    moved.terms.replaces = None;
    moved.state = OrderState::Placed { url: "u".into() };
    moved.since = 150;
    moved.attempts = 2;
    moved.due = 200;
    let mut problem =
        Problem::from_ca("urn:ietf:params:acme:error:rateLimited", "hostile \u{202e}");
    problem.retry_after_secs = Some(9);
    moved.problem = Some(problem);
    moved.lease = None;
    store.commit(vec![advance(moved.clone(), 150)], vec![]).await.unwrap();
    assert_eq!(read(&store, "1").await, moved);
    let listed = store.listed_order(&OrderId::new("1")).await.unwrap().unwrap();
    assert_eq!((listed.created_at, listed.order), (Millis(100), moved));
}

pub(super) async fn a_device_that_floods_the_queue_waits_for_the_others(place: Place) {
    let mut flood: Vec<OrderRecord> =
        (0..50).map(|number| of(&format!("flood-{number:02}"), "flooder", 1000)).collect();
    // Others come while the flood waits.
    flood.extend((0..5).map(|number| of(&format!("calm-{number}"), &format!("c{number}"), 1500)));
    let store = opened(&place, flood).await;
    let first = claim(&store, 2000, 8, Which::Any).await;
    let calm = first.iter().filter(|id| id.starts_with("calm")).count();
    assert_eq!((first.len(), calm), (8, 5), "{first:?}");
    // Nothing of the flood is lost; it only waits.
    assert_eq!(claim(&store, 2000, 100, Which::Any).await.len(), 47);
}

pub(super) async fn an_order_that_rested_comes_after_those_that_wait(place: Place) {
    let store = opened(&place, vec![of("rests", "a", 100), of("waits", "b", 200)]).await;
    assert_eq!(claim(&store, 300, 1, Which::Any).await, ["rests"]);
    let mut rests = read(&store, "rests").await;
    rests.due = 400;
    rests.lease = None;
    store.commit(vec![advance(rests, 300)], vec![]).await.unwrap();
    assert!(claim(&store, 399, 9, Which::Any).await == ["waits"], "the other is not due");
    assert_eq!(claim(&store, 400, 9, Which::Any).await, ["rests"]);
}

pub(super) async fn while_a_ca_is_down_those_with_a_fallback_are_claimed_alone(place: Place) {
    let mut placed = order("placed");
    placed.state = OrderState::Placed { url: "u".into() };
    let store = opened(&place, vec![order("with"), of("without", "b", 100), placed]).await;
    assert_eq!(claim(&store, 100, 9, Which::WithFallback).await, ["with"]);
}

pub(super) async fn orders_are_listed_and_counted(place: Place) {
    let mut other = of("3", "b", 300);
    other.issuer = IssuerName::new("other");
    let store = opened(&place, vec![of("1", "a", 100), of("2", "b", 200), other]).await;
    let page = async |filter: OrderFilter, after: Option<OrderPlace>, limit: u32| {
        let orders = store.orders(&filter, after.as_ref(), limit).await.unwrap();
        orders.iter().map(|listed| listed.order.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    let all = OrderFilter::default();
    assert_eq!(page(all.clone(), None, 9).await, ["3", "2", "1"], "the newest first");
    let place = OrderPlace { created_at: Millis(300), id: "3".into() };
    assert_eq!(page(all.clone(), Some(place), 1).await, ["2"]);
    let of_ca = OrderFilter { issuer: Some("ca".into()), ..all.clone() };
    assert_eq!(page(of_ca, None, 9).await, ["2", "1"]);
    let of_b = OrderFilter {
        device: Some(brski_registrar::store::model::Id::from_stored("b".into())),
        ..all.clone()
    };
    assert_eq!(page(of_b, None, 9).await, ["3", "2"]);
    let ended = OrderFilter { state: Some("invalid".into()), ..all };
    assert!(page(ended, None, 9).await.is_empty());
    let row = |issuer: &str, orders| OrderTally {
        issuer: issuer.into(),
        state: "intended".into(),
        orders,
    };
    assert_eq!(store.order_tally().await.unwrap(), [row("ca", 2), row("other", 1)]);
}

pub(super) async fn an_operator_has_an_order_tried_again(place: Place) {
    let store = place.open("node").await;
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a", "S1")),
        Change::ApproveEnrollment(enrollment(20, 1)),
        Change::InsertOrder(order("1")),
    ];
    store.commit(changes, vec![]).await.unwrap();
    claim(&store, 100, 1, Which::Any).await;
    let mut waits = read(&store, "1").await;
    waits.due = 1_000_000;
    waits.lease = None;
    store.commit(vec![advance(waits, 100)], vec![]).await.unwrap();
    let retry = |id: &str| Change::RetryOrder {
        order: OrderId::new(id),
        step: "again".into(),
        at: Millis(500),
    };
    store.commit(vec![retry("1")], vec![]).await.unwrap();
    assert_eq!(read(&store, "1").await.due, 500);
    let mut ended = read(&store, "1").await;
    ended.state = OrderState::Invalid { problem: Problem::from_ca("", "x") };
    ended.attempts = 3;
    let failed = EnrollmentState::Failed { reason: "x".into() };
    let id = enrollment(20, 1).id;
    let state =
        Change::SetEnrollmentState { enrollment: id.clone(), state: failed, at: Millis(600) };
    store.commit(vec![advance(ended, 600), state], vec![]).await.unwrap();
    let reopen = Change::ReopenEnrollment { enrollment: id.clone(), at: Millis(700) };
    store.commit(vec![retry("1"), reopen.clone()], vec![]).await.unwrap();
    let again = read(&store, "1").await;
    assert_eq!((again.state, again.attempts), (OrderState::Intended, 0));
    let enrollment = store.enrollment(&id).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Ordered);
    assert_eq!(conflict(store.commit(vec![reopen], vec![]).await), Conflict::Missing);
    assert_eq!(conflict(store.commit(vec![retry("none")], vec![]).await), Conflict::Missing);
}

pub(super) async fn an_enrollment_is_not_reopened_beside_another(place: Place) {
    let store = place.open("node").await;
    let failed = EnrollmentState::Failed { reason: "x".into() };
    let (old, new) = (enrollment(20, 1), enrollment(21, 1));
    let changes = vec![
        Change::AddManufacturer(manufacturer()),
        Change::AddDevice(device(10, "a", "S1")),
        Change::ApproveEnrollment(old.clone()),
        Change::SetEnrollmentState { enrollment: old.id.clone(), state: failed, at: Millis(1) },
        Change::ApproveEnrollment(new),
    ];
    store.commit(changes, vec![]).await.unwrap();
    let reopen = Change::ReopenEnrollment { enrollment: old.id, at: Millis(2) };
    assert_eq!(conflict(store.commit(vec![reopen], vec![]).await), Conflict::Enrollment);
}

pub(super) async fn a_limit_is_taken_from_once_by_many(place: Place) {
    let store = place.open("node").await;
    let names = ["ca/account".to_owned(), "ca/domain/example.org".to_owned()];
    assert_eq!(store.quotas(&names).await.unwrap(), [None, None]);
    let spend = |before: Option<i64>, after: i64| {
        let spending = |bucket: &String| {
            Change::SpendQuota(Spending { bucket: bucket.clone(), before, after })
        };
        names.iter().map(spending).collect::<Vec<_>>()
    };
    store.commit(spend(None, 100), vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(spend(None, 100), vec![]).await), Conflict::Quota);
    store.commit(spend(Some(100), 200), vec![]).await.unwrap();
    assert_eq!(conflict(store.commit(spend(Some(100), 200), vec![]).await), Conflict::Quota);
    assert_eq!(store.quotas(&names).await.unwrap(), [Some(200), Some(200)]);
    let prune = |now, limit| vec![Change::PruneQuotas { now: Millis(now), limit }];
    let full = async |now, limit| store.full_quotas(Millis(now), limit).await.unwrap();
    assert_eq!(full(200, 9).await, 0);
    store.commit(prune(200, 9), vec![]).await.unwrap();
    assert_eq!(store.quotas(&names).await.unwrap(), [Some(200), Some(200)], "not full yet");
    assert_eq!((full(201, 9).await, full(201, 1).await), (2, 1));
    store.commit(prune(201, 1), vec![]).await.unwrap();
    assert_eq!(full(201, 9).await, 1, "one at a time");
    store.commit(prune(201, 9), vec![]).await.unwrap();
    assert_eq!(store.quotas(&names).await.unwrap(), [None, None]);
}

pub(super) async fn a_revocation_is_due_until_the_ca_did_it(place: Place) {
    let store = place.open("node").await;
    let row = RevocationRow {
        fingerprint: Sha256([7; 32]),
        issuer: "ca".into(),
        certificate: CertificateDer::from(vec![1, 2, 3]),
        reason: RevocationReason::KeyCompromise,
        attempts: 0,
        due: Millis(100),
        requested_at: Millis(100),
        done_at: None,
        problem: None,
    };
    let request = Change::RequestRevocation(row.clone());
    store.commit(vec![request.clone(), request], vec![]).await.unwrap();
    let due =
        async |issuer: &str, now| store.revocations_due(issuer, Millis(now), 9).await.unwrap();
    assert!(due("ca", 99).await.is_empty());
    assert!(due("other", 100).await.is_empty());
    assert_eq!(due("ca", 100).await, std::slice::from_ref(&row));
    let note = |done_at: Option<i64>, problem: Option<&str>| Change::NoteRevocation {
        fingerprint: row.fingerprint,
        done_at: done_at.map(Millis),
        due: Millis(200),
        problem: problem.map(str::to_owned),
    };
    store.commit(vec![note(None, Some("not now"))], vec![]).await.unwrap();
    assert!(due("ca", 199).await.is_empty());
    let again = due("ca", 200).await;
    assert_eq!((again[0].attempts, again[0].problem.as_deref()), (1, Some("not now")));
    store.commit(vec![note(Some(250), None)], vec![]).await.unwrap();
    assert!(due("ca", 999).await.is_empty());
    let done = store.revocation(&row.fingerprint).await.unwrap().unwrap();
    assert_eq!((done.attempts, done.done_at, done.problem), (2, Some(Millis(250)), None));
}

pub(super) async fn an_account_keeps_what_its_ca_was_told(place: Place) {
    let store = place.open("node").await;
    let told = |urls: &[&str], refusal: Option<&str>| ContactsTold {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        refusal: refusal.map(str::to_owned),
    };
    assert_eq!(store.account("ca").await.unwrap(), None);
    for contacts in [
        ContactsTold::default(),
        told(&["mailto:pki@example.org", "tel:+12025550100"], Some("unsupportedContact: no\0")),
        told(&["mailto:pki@example.org"], None),
    ] {
        let account = AccountRecord {
            url: "https://ca.example/account/1".into(),
            directory: "https://ca.example/dir".into(),
            thumbprint: "thumbprint".into(),
            is_ended: false,
            contacts,
        };
        let save = Change::SaveAccount { issuer: "ca".into(), account: account.clone() };
        store.commit(vec![save], vec![]).await.unwrap();
        let kept = store.account("ca").await.unwrap().unwrap();
        assert_eq!(kept.contacts.urls, account.contacts.urls);
        assert_eq!(kept.contacts.refusal.is_some(), account.contacts.refusal.is_some());
        assert_eq!((kept.url, kept.is_ended), (account.url, false));
    }
    assert_eq!(store.account("another").await.unwrap(), None);
}
