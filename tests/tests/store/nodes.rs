//! What the nodes on one database tell each other.

use brski_registrar::store::Change;
use brski_registrar::store::model::{Millis, NodeSettings};

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
