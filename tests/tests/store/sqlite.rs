//! What only SQLite does: files, their modes, copies of them, and disks that fail.

use brski_registrar::store::Store as _;
use brski_registrar::store::sqlite::{SqliteStore, backup};

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
