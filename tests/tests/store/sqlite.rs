//! What only SQLite does: files, their modes, copies of them, and disks that fail.

use acme_bridge::{AnswerKind, ContactsTold, Place};
use brski_registrar::config::{Database, Retention, StoreConfig};
use brski_registrar::store::sqlite::{SqliteStore, backup};
use brski_registrar::store::{Store as _, accounts};

use super::rows::event;

#[test]
fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.db");
    std::fs::write(&path, "no database, but long enough to look at".repeat(100)).unwrap();
    let error = SqliteStore::open(&path, "node").err().unwrap().to_string();
    assert!(error.contains("registrar.db"), "{error}");
}

#[tokio::test]
async fn a_database_of_the_first_version_keeps_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.db");
    let first = include_str!("../../../registrar/migrations/V1__state.sql");
    let first = refinery::Migration::unapplied("V1__state", first).unwrap();
    let mut database = rusqlite::Connection::open(&path).unwrap();
    refinery::Runner::new(&[first]).run(&mut database).unwrap();
    let insert = "INSERT INTO challenge_answers (owner, value, \"order\") \
                  VALUES ('_acme-challenge.dev-1.example.org', 'v', '1')";
    database.execute(insert, []).unwrap();
    drop(database);
    let store = SqliteStore::open(&path, "node").unwrap();
    let owner = "_acme-challenge.dev-1.example.org";
    assert_eq!(store.answers(AnswerKind::Txt, owner).await.unwrap(), ["v"]);
    let [answer] = store.retired_answers(10).await.unwrap().try_into().unwrap();
    assert_eq!((answer.name.as_str(), answer.place), ("dev-1.example.org", Place::BuiltIn));
    assert_eq!((answer.kind, answer.owner.as_str()), (AnswerKind::Txt, owner));
}

#[tokio::test]
async fn the_accounts_of_a_file_are_read_beside_its_daemon_and_of_an_older_one_none_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.db");
    let config = StoreConfig {
        database: Database::File(path.clone()),
        node: "node".into(),
        retention: Retention { events_days: 1, orders_days: 1 },
    };
    assert!(accounts(&config).await.unwrap().is_empty(), "there is no file, and none is made");
    assert!(!path.exists());
    let first = include_str!("../../../registrar/migrations/V1__state.sql");
    let first = refinery::Migration::unapplied("V1__state", first).unwrap();
    let mut database = rusqlite::Connection::open(&path).unwrap();
    refinery::Runner::new(&[first]).run(&mut database).unwrap();
    database
        .execute("INSERT INTO accounts VALUES ('ca', 'https://ca/1', 'https://ca/dir')", [])
        .unwrap();
    drop(database);
    assert!(accounts(&config).await.unwrap().is_empty(), "its columns are not those of today");
    let store = SqliteStore::open(&path, "node").unwrap();
    let [(issuer, account)] = accounts(&config).await.unwrap().try_into().unwrap();
    assert_eq!((issuer.as_str(), account.url.as_str()), ("ca", "https://ca/1"));
    assert_eq!(account.contacts, ContactsTold::default(), "an account of before was told nothing");
    drop(store);
}

#[tokio::test]
async fn a_backup_while_it_is_written_is_whole() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrar.db");
    let store = std::sync::Arc::new(SqliteStore::open(&path, "node").unwrap());
    store.commit(vec![], vec![event("before")]).await.unwrap();
    let writer = {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..200 {
                store.commit(vec![], vec![event("during"), event("during")]).await.unwrap();
            }
        })
    };
    let copy = folder.path().join("copy.db");
    let (from, to) = (path.clone(), copy.clone());
    tokio::task::spawn_blocking(move || backup(&from, &to)).await.unwrap().unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    writer.await.unwrap();
    let copied = SqliteStore::open(&copy, "node").unwrap();
    let seq = copied.head("node").await.unwrap().seq;
    assert!(seq % 2 == 1, "a commit is in it whole or not at all: {seq}");
    let error = backup(&path, &copy).unwrap_err().to_string();
    assert!(error.contains("copy.db"), "it overwrites nothing: {error}");
}
