//! Lists a page at a time.

use std::sync::Arc;

use brski_registrar::store::model::{
    DeviceFilter, DevicePlace, DeviceState, EventFilter, EventPlace, Id, Millis,
};
use brski_registrar::store::{Change, Store};

use super::place::Place;
use super::rows::{device, event, id, manufacturer};

/// 25 devices, several of one millisecond.
async fn with_fleet(place: &Place) -> Arc<dyn Store> {
    let store = place.open("node").await;
    let mut changes = vec![Change::AddManufacturer(manufacturer())];
    for number in 0..25_u8 {
        let mut known =
            device(number, &format!("pump-{number:02}.example.org"), &format!("SN{number:02}"));
        known.device.created_at = Millis(i64::from(number / 4));
        if number % 5 == 0 {
            known.device.state = DeviceState::Blocked;
        }
        changes.push(Change::AddDevice(known));
    }
    store.commit(changes, vec![]).await.unwrap();
    store
}

async fn pages(store: &Arc<dyn Store>, filter: &DeviceFilter) -> Vec<Id> {
    let mut all: Vec<Id> = Vec::new();
    let mut after: Option<DevicePlace> = None;
    loop {
        let page = store.devices(filter, after.as_ref(), 4).await.unwrap();
        let Some(last) = page.last() else {
            return all;
        };
        after = Some(DevicePlace::of(last, filter));
        all.extend(page.into_iter().map(|known| known.device.id));
    }
}

pub(super) async fn devices_come_in_pages_that_neither_repeat_nor_hide(place: Place) {
    let store = with_fleet(&place).await;
    let all = pages(&store, &DeviceFilter::default()).await;
    let expected: Vec<Id> = (0..25).map(id).collect();
    assert_eq!(all, expected);
    let blocked = DeviceFilter { state: Some(DeviceState::Blocked), ..DeviceFilter::default() };
    assert_eq!(pages(&store, &blocked).await, [0, 5, 10, 15, 20].map(id));
    let foreign = DeviceFilter { manufacturer: Some(id(9)), ..DeviceFilter::default() };
    assert!(pages(&store, &foreign).await.is_empty());
    // A device that comes between two pages is on a later one, and moves no other.
    let first = store.devices(&DeviceFilter::default(), None, 4).await.unwrap();
    let mut late = device(99, "late.example.org", "late");
    late.device.created_at = Millis(100);
    store.commit(vec![Change::AddDevice(late)], vec![]).await.unwrap();
    let after = DevicePlace::of(&first[3], &DeviceFilter::default());
    let second = store.devices(&DeviceFilter::default(), Some(&after), 4).await.unwrap();
    let ids: Vec<Id> = second.into_iter().map(|known| known.device.id).collect();
    assert_eq!(ids, [4, 5, 6, 7].map(id));
}

pub(super) async fn devices_are_found_by_the_beginning_of_name_and_serial_number(place: Place) {
    let store = with_fleet(&place).await;
    let text = |text: &str| DeviceFilter { text: Some(text.into()), ..DeviceFilter::default() };
    // A name that a serial number begins like: it comes once.
    let both = device(50, "SN0-twice.example.org", "SN0-twice");
    store.commit(vec![Change::AddDevice(both)], vec![]).await.unwrap();
    for (wanted, number) in [("PUMP-1", 10), ("SN0", 11), ("sn0", 1), ("pump", 25), ("%", 0)] {
        assert_eq!(pages(&store, &text(wanted)).await.len(), number, "{wanted}");
    }
    let both = DeviceFilter { state: Some(DeviceState::Blocked), ..text("pump-1") };
    assert_eq!(pages(&store, &both).await, [10, 15].map(id));
}

pub(super) async fn events_come_in_pages(place: Place) {
    let store = place.open("node").await;
    for number in 0..9 {
        let mut each = event(if number % 2 == 0 { "even" } else { "odd" });
        each.time = Millis(number / 3);
        store.commit(vec![], vec![each]).await.unwrap();
    }
    let all = EventFilter::default();
    let numbers = |events: &[brski_registrar::store::model::StoredEvent]| {
        events.iter().map(|event| event.seq).collect::<Vec<i64>>()
    };
    assert_eq!(numbers(&store.events(&all, None, 2).await.unwrap()), [8, 9], "the newest");
    let since = EventFilter { since: Some(Millis(1)), ..EventFilter::default() };
    let page = store.events(&since, None, 4).await.unwrap();
    assert_eq!(numbers(&page), [4, 5, 6, 7], "from there on");
    let last = page.last().unwrap();
    let after = EventPlace { time: last.time, node: last.node.clone(), seq: last.seq };
    assert_eq!(numbers(&store.events(&since, Some(&after), 4).await.unwrap()), [8, 9]);
    let odd = EventFilter { kind: Some("odd".into()), ..EventFilter::default() };
    assert_eq!(numbers(&store.events(&odd, None, 9).await.unwrap()), [2, 4, 6, 8]);
    let refused = EventFilter { verdict: Some("refused".into()), ..EventFilter::default() };
    assert!(store.events(&refused, None, 9).await.unwrap().is_empty());
}
