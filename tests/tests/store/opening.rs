//! What is there when a store is opened again, by whom, and of which version.

use std::sync::Arc;

use brski_registrar::store::model::{Device, EventFilter, Id, KnownDevice};
use brski_registrar::store::{Change, OpenError};

use super::place::Place;
use super::rows::{device, event};
use super::suite::{devices, with_device};

pub(super) async fn what_was_committed_is_there_when_it_is_opened_again(place: Place) {
    let store = with_device(&place).await;
    drop(store);
    let store = place.open("node").await;
    assert_eq!(devices(&store).await.len(), 1);
    store.commit(vec![], vec![event("again")]).await.unwrap();
    let events = store.events(&EventFilter::default(), None, 10).await.unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, [1, 2], "the numbers go on");
}

pub(super) async fn commits_that_come_together_are_all_kept_and_fail_alone(place: Place) {
    let store = with_device(&place).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u8 {
        let store = Arc::clone(&store);
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
            store.commit(vec![Change::AddDevice(known)], vec![event("join")]).await.is_ok()
        });
    }
    let done = tasks.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(done, 150);
    assert_eq!(devices(&store).await.len(), 151);
}

pub(super) async fn a_second_writer_of_one_name_is_refused(place: Place) {
    let first = place.open("node").await;
    let error = place.try_open("node").await.err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another registrar process uses"), "{error}");
    drop(first);
    place.open("node").await;
}

pub(super) async fn a_newer_database_is_refused_and_left_as_it_is(place: Place) {
    drop(with_device(&place).await);
    place.tamper(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
         VALUES (999, 'future', '2040-01-01T00:00:00Z', '1')",
    );
    let before = content(&place);
    let error = place.try_open("node").await.err().unwrap();
    assert!(matches!(error, OpenError::Newer { version: 999, .. }), "{error}");
    assert!(error.to_string().contains("run the newer registrar"), "{error}");
    assert_eq!(content(&place), before);
}

/// What can be seen of a database from outside.
fn content(place: &Place) -> Vec<u8> {
    match place {
        Place::Memory(_) => Vec::new(),
        Place::Sqlite(folder) => std::fs::read(folder.path().join("registrar.db")).unwrap(),
        Place::Postgres(cluster, url) => {
            let tables = "SELECT relname, relfilenode, n_live_tup FROM pg_class \
                          LEFT JOIN pg_stat_user_tables USING (relname) ORDER BY 1, 2";
            cluster.sql(url, tables).unwrap().into_bytes()
        }
    }
}
