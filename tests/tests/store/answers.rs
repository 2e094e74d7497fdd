//! Challenge answers: who finds them, which are to be taken back, and which may not be.

use acme_bridge::{AnswerKind, ChallengeAnswer, OrderState, Place as AnswerPlace, Which};
use brski_registrar::store::Change;
use brski_registrar::store::model::Millis;

use super::place::Place;
use super::rows::{answer, order};

fn retire(number: &str) -> Change {
    Change::RetireAnswers { order: acme_bridge::OrderId::new(number) }
}

pub(super) async fn an_answer_is_found_by_its_kind_and_owner_and_from_above(place: Place) {
    let store = place.open("node").await;
    let txt = answer("1", "v", AnswerPlace::BuiltIn);
    let http = ChallengeAnswer {
        kind: AnswerKind::Http,
        owner: "b.example.org".into(),
        value: "token.thumb".into(),
        ..txt.clone()
    };
    let foreign = ChallengeAnswer {
        owner: "_acme-challenge.c".into(),
        ..answer("1", "v", AnswerPlace::Rfc2136)
    };
    let puts = [txt, http, foreign].map(Change::PutAnswer).to_vec();
    store.commit([vec![Change::InsertOrder(order("1"))], puts].concat(), vec![]).await.unwrap();
    let values = async |kind, owner: &str| store.answers(kind, owner).await.unwrap();
    assert_eq!(values(AnswerKind::Txt, "_acme-challenge.a").await, ["v"]);
    assert_eq!(values(AnswerKind::Http, "b.example.org").await, ["token.thumb"]);
    assert!(values(AnswerKind::Txt, "b.example.org").await.is_empty());
    assert!(values(AnswerKind::TlsAlpn, "b.example.org").await.is_empty());
    assert!(values(AnswerKind::Txt, "_acme-challenge.c").await.is_empty(), "not ours to give");
    for (name, expected) in [
        ("a", true),
        ("_acme-challenge.a", false),
        ("c", false),
        ("example.org", false),
        ("challenge.a", false),
    ] {
        assert_eq!(store.is_above_answer(name).await.unwrap(), expected, "{name}");
    }
}

pub(super) async fn an_answer_elsewhere_is_listed_until_it_was_taken_back(place: Place) {
    let store = place.open("node").await;
    let (ours, theirs) =
        (answer("1", "v", AnswerPlace::BuiltIn), answer("1", "w", AnswerPlace::Rfc2136));
    let changes = vec![
        Change::InsertOrder(order("1")),
        Change::PutAnswer(ours),
        Change::PutAnswer(theirs.clone()),
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert!(store.retired_answers(10).await.unwrap().is_empty());
    store.commit(vec![Change::RemoveAnswer(theirs.clone())], vec![]).await.unwrap();
    assert!(store.is_answer_in_force(&theirs).await.unwrap(), "it is not forgotten in use");

    store.commit(vec![retire("1")], vec![]).await.unwrap();
    assert!(store.answers(AnswerKind::Txt, "_acme-challenge.a").await.unwrap().is_empty());
    assert_eq!(store.retired_answers(10).await.unwrap(), std::slice::from_ref(&theirs));
    assert!(!store.is_answer_in_force(&theirs).await.unwrap());
    store.commit(vec![Change::PutAnswer(theirs.clone())], vec![]).await.unwrap();
    assert!(store.retired_answers(10).await.unwrap().is_empty(), "it is in force again");
    store.commit(vec![retire("1")], vec![]).await.unwrap();
    store.commit(vec![Change::RemoveAnswer(theirs)], vec![]).await.unwrap();
    assert!(store.retired_answers(10).await.unwrap().is_empty());
}

pub(super) async fn an_answer_that_another_order_needs_is_in_force(place: Place) {
    let store = place.open("node").await;
    let (first, second) =
        (answer("1", "v", AnswerPlace::Exec), answer("2", "v", AnswerPlace::Exec));
    let changes = vec![
        Change::InsertOrder(order("1")),
        Change::InsertOrder(order("2")),
        Change::PutAnswer(first.clone()),
        Change::PutAnswer(second.clone()),
        retire("1"),
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert_eq!(store.retired_answers(10).await.unwrap(), std::slice::from_ref(&first));
    assert!(store.is_answer_in_force(&first).await.unwrap());
    store.commit(vec![retire("2")], vec![]).await.unwrap();
    assert!(!store.is_answer_in_force(&first).await.unwrap());
}

pub(super) async fn an_answer_whose_order_ended_or_is_gone_is_taken_back(place: Place) {
    let store = place.open("node").await;
    let (ended, lost) =
        (answer("1", "v", AnswerPlace::AcmeDns), answer("9", "w", AnswerPlace::AcmeDns));
    let changes = vec![
        Change::InsertOrder(order("1")),
        Change::PutAnswer(ended.clone()),
        Change::PutAnswer(lost.clone()),
    ];
    store.commit(changes, vec![]).await.unwrap();
    assert_eq!(store.retired_answers(10).await.unwrap(), std::slice::from_ref(&lost));
    store.claim_orders("ca", "node", Millis(1000), Millis(200), 1, Which::Any).await.unwrap();
    let mut order = order("1");
    order.state = OrderState::Issued { chain: vec![] };
    let advance =
        Change::AdvanceOrder { order, node: "node".into(), step: "end".into(), at: Millis(300) };
    store.commit(vec![advance], vec![]).await.unwrap();
    assert_eq!(store.retired_answers(10).await.unwrap(), [ended, lost]);
    assert_eq!(store.retired_answers(1).await.unwrap().len(), 1, "no more than asked for");
}
