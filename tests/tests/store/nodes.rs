//! What the nodes on one database tell each other.

use brski_registrar::policy::timekeeping::READER;
use brski_registrar::store::Change;
use brski_registrar::store::model::{Event, Millis, NodeSettings, Verdict};

use super::place::Place;

pub(super) async fn each_node_says_what_its_settings_are(place: Place) {
    let store = place.open("first").await;
    assert!(store.node_settings().await.unwrap().is_empty());
    let row = |node: &str, at, value: &str| NodeSettings {
        node: node.to_owned(),
        at: Millis(at),
        settings: [("zone.\"a'b\".solver".to_owned(), value.to_owned())].into_iter().collect(),
    };
    let tell = async |row: NodeSettings| {
        store.commit(vec![Change::TellSettings(row)], Vec::new()).await.unwrap();
    };
    tell(row("second", 1, "x")).await;
    tell(row("first", 2, "y")).await;
    assert_eq!(store.node_settings().await.unwrap(), [row("first", 2, "y"), row("second", 1, "x")]);
    // What a node says again stands in the place of what it said before.
    tell(row("second", 3, "z")).await;
    assert_eq!(store.node_settings().await.unwrap(), [row("first", 2, "y"), row("second", 3, "z")]);
}

pub(super) async fn the_newest_event_of_any_node_counts_until_an_operator_vouches_for_the_clock(
    place: Place,
) {
    let first = place.open("first").await;
    assert_eq!(first.newest_event_time().await.unwrap(), None);
    let event = |time| Event {
        time: Millis(time),
        kind: "settings-agree",
        verdict: Verdict::Done,
        device: None,
        peer: "registrar".to_owned(),
        clause: "",
        detail: String::new(),
        correlation: String::new(),
    };
    first.commit(Vec::new(), vec![event(50)]).await.unwrap();
    // A file is open once.
    drop(first);
    let second = place.open("second").await;
    assert_eq!(second.newest_event_time().await.unwrap(), Some(Millis(50)));
    second.commit(Vec::new(), vec![event(900)]).await.unwrap();
    // A clock that went back makes nothing newer.
    second.commit(Vec::new(), vec![event(70)]).await.unwrap();
    assert_eq!(second.newest_event_time().await.unwrap(), Some(Millis(900)));
    let vouch = async |node: &str, seq| {
        let change = Change::SetCursor { reader: READER.to_owned(), node: node.to_owned(), seq };
        second.commit(vec![change], Vec::new()).await.unwrap();
        second.newest_event_time().await.unwrap()
    };
    assert_eq!(vouch("second", 1).await, Some(Millis(70)), "the second event of the node counts");
    assert_eq!(vouch("second", 2).await, Some(Millis(50)), "the other node's events count");
    assert_eq!(vouch("first", 1).await, None);
    // Another reader's cursor says nothing about the clock.
    second.commit(Vec::new(), vec![event(80)]).await.unwrap();
    let change = Change::SetCursor { reader: "notify".into(), node: "second".into(), seq: 3 };
    second.commit(vec![change], Vec::new()).await.unwrap();
    assert_eq!(second.newest_event_time().await.unwrap(), Some(Millis(80)));
}
