//! What a durable decision costs on SQLite beside what SQLite itself takes for the same rows, and what a page of a
//! million devices costs.
//!
//! A decision here moves a device to a state and appends an event. The floors run the same two statements on the same
//! tables: each in a transaction of its own, and as a bare writer thread groups them, without savepoints, hash chain
//! or types.

// A measurement that fails must stop.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#![allow(missing_docs, clippy::as_conversions)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brski_registrar::store::model::{
    Device, DeviceFilter, DevicePlace, DeviceState, Entry, Event, Id, Identity, IdevidOptions,
    KnownDevice, Manufacturer, MasaOptions, Millis, Verdict,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(2);
/// How many devices the pages are read from.
const DEVICES: u64 = 1_000_000;

fn id(number: u64) -> Id {
    let mut octets = [0; 16];
    octets[8..].copy_from_slice(&number.to_be_bytes());
    Id::from_random(octets)
}

fn device(number: u64) -> KnownDevice {
    KnownDevice {
        device: Device {
            id: id(number),
            name: Some(format!("pump-{number:07}.iot.example.org")),
            profile: "default".into(),
            site: None,
            state: DeviceState::Admitted,
            created_at: Millis(i64::try_from(number).unwrap()),
            updated_at: Millis(0),
        },
        identity: Identity::Idevid {
            manufacturer: id(u64::MAX),
            serial: format!("SN-{:07}", number ^ 0x5a5a5),
            seen: None,
        },
    }
}

fn manufacturer() -> Manufacturer {
    Manufacturer {
        id: id(u64::MAX),
        name: "pumps".into(),
        anchors: vec![],
        masa_url: None,
        masa_anchors: vec![],
        masa_hosts: vec![],
        voucher_anchors: vec![],
        masa: MasaOptions::default(),
        idevid: IdevidOptions::default(),
        entry: Entry::Voucher,
        created_at: Millis(0),
    }
}

fn event(device: &Id) -> Event {
    Event {
        time: Millis(1_700_000_000_000),
        kind: "voucher-issued",
        verdict: Verdict::Done,
        device: Some(device.clone()),
        peer: "192.0.2.7:40123 idevid pumps SN-0000042".into(),
        clause: "RFC 8995 §5.6",
        detail: "voucher of 2114 octets".into(),
        correlation: "00112233445566778899aabbccddeeff".into(),
    }
}

const MOVE: &str = "UPDATE devices SET state = ?2, updated_at = ?3 \
                    WHERE id = ?1 AND state NOT IN ('retired', 'blocked')";
const APPEND: &str = "INSERT INTO events (node, seq, time, kind, verdict, device, peer, clause, \
                      detail, correlation, previous, hash) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// The two statements of a decision, as bare as they can be.
fn bare(connection: &Connection, seq: i64, device: &Id) {
    let mut update = connection.prepare_cached(MOVE).unwrap();
    assert_eq!(update.execute(params![device.as_str(), "vouchered", seq]).unwrap(), 1);
    let event = event(device);
    let values = params![
        "bare",
        seq,
        event.time.0,
        event.kind,
        event.verdict.as_str(),
        device.as_str(),
        event.peer,
        event.clause,
        event.detail,
        event.correlation,
        [0_u8; 32],
        [1_u8; 32],
    ];
    connection.prepare_cached(APPEND).unwrap().execute(values).unwrap();
}

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.pragma_update(None, "foreign_keys", "ON").unwrap();
    connection.set_prepared_statement_cache_capacity(128);
    connection
}

/// Runs `writers` loops for a while; gives how many rounds a second they made.
async fn rate<F, R>(writers: u64, round: F) -> f64
where
    F: Fn(u64) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    let (round, count) = (Arc::new(round), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (round, count) = (Arc::clone(&round), Arc::clone(&count));
        tasks.spawn(async move {
            while start.elapsed() < SPAN {
                round(writer).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// A database with the devices that the writers move.
async fn prepared(path: &Path) {
    let store = SqliteStore::open(path, "prepare").unwrap();
    let mut changes = vec![Change::AddManufacturer(manufacturer())];
    changes.extend((0..64).map(|number| Change::AddDevice(device(number))));
    store.commit(changes, vec![]).await.unwrap();
}

async fn ours(path: &Path, writers: u64) -> f64 {
    let store = Arc::new(SqliteStore::open(path, "ours").unwrap());
    rate(writers, move |writer| {
        let store = Arc::clone(&store);
        async move {
            let device = id(writer);
            let event = event(&device);
            let change = Change::MoveDevice {
                device,
                state: DeviceState::Vouchered,
                at: Millis(1_700_000_000_000),
            };
            store.commit(vec![change], vec![event]).await.unwrap();
        }
    })
    .await
}

async fn bare_commits(path: &Path, writers: u64) -> f64 {
    let connection = Arc::new(std::sync::Mutex::new((connect(path), 1_i64)));
    rate(writers, move |writer| {
        let connection = Arc::clone(&connection);
        async move {
            tokio::task::spawn_blocking(move || {
                let mut guard = connection.lock().unwrap();
                let (connection, seq) = &mut *guard;
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                bare(connection, *seq, &id(writer));
                connection.execute_batch("COMMIT").unwrap();
                *seq += 1;
            })
            .await
            .unwrap();
        }
    })
    .await
}

async fn bare_groups(path: &Path, writers: u64) -> f64 {
    let (jobs, mut queue) = mpsc::channel::<(u64, oneshot::Sender<()>)>(1024);
    let path = path.to_owned();
    let thread = std::thread::spawn(move || {
        let connection = connect(&path);
        let mut seq = 1;
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < 256
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            for (writer, _) in &group {
                bare(&connection, seq, &id(*writer));
                seq += 1;
            }
            connection.execute_batch("COMMIT").unwrap();
            for (_, answer) in group {
                let _ = answer.send(());
            }
        }
    });
    let rate = rate(writers, move |writer| {
        let jobs = jobs.clone();
        async move {
            let (answer, waiting) = oneshot::channel();
            jobs.send((writer, answer)).await.unwrap();
            waiting.await.unwrap();
        }
    })
    .await;
    thread.join().unwrap();
    rate
}

async fn decisions() {
    println!("durable decisions a second on SQLite (WAL, full sync), each a state and an event");
    println!(
        "{:>8} {:>12} {:>14} {:>14} {:>18}",
        "writers", "ours", "bare commits", "bare groups", "ours/bare groups"
    );
    for writers in [1, 16, 64] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["ours", "commits", "groups"] {
            prepared(&path(name)).await;
        }
        // Twice in turn, so that a slow moment of the disk does not hit one of them alone.
        let (mut own, mut commits, mut groups) = (0.0, 0.0, 0.0);
        for turn in 0..2 {
            if turn == 1 {
                for name in ["ours", "commits", "groups"] {
                    let copy = path(&format!("{name}-again"));
                    prepared(&copy).await;
                }
            }
            let place = |name: &str| match turn {
                0 => path(name),
                _ => path(&format!("{name}-again")),
            };
            groups += bare_groups(&place("groups"), writers).await / 2.0;
            own += ours(&place("ours"), writers).await / 2.0;
            commits += bare_commits(&place("commits"), writers).await / 2.0;
        }
        println!("{writers:>8} {own:>12.0} {commits:>14.0} {groups:>14.0} {:>18.2}", own / groups);
    }
}

async fn fill(store: &SqliteStore) {
    store.commit(vec![Change::AddManufacturer(manufacturer())], vec![]).await.unwrap();
    for start in (0..DEVICES).step_by(10_000) {
        let changes = (start..start + 10_000).map(|number| Change::AddDevice(device(number)));
        store.commit(changes.collect(), vec![]).await.unwrap();
    }
}

async fn page(store: &SqliteStore, what: &str, filter: DeviceFilter, after: Option<DevicePlace>) {
    let mut slowest = Duration::ZERO;
    let mut rows = 0;
    for _ in 0..20 {
        let start = Instant::now();
        rows = store.devices(&filter, after.as_ref(), 100).await.unwrap().len();
        slowest = slowest.max(start.elapsed());
    }
    let millis = slowest.as_secs_f64() * 1000.0;
    println!("{what:<44} {rows:>5} rows {millis:>9.2} ms at most");
}

async fn pages() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let store = SqliteStore::open(&folder.path().join("registrar.db"), "bench").unwrap();
    let start = Instant::now();
    fill(&store).await;
    let seconds = start.elapsed().as_secs_f64();
    println!("\na page of 100 of {DEVICES} devices (imported in {seconds:.0} s)");
    let middle = DevicePlace::Age { created_at: Millis(500_000), id: id(500_000) };
    let middle_name = DevicePlace::Name("pump-0500000.iot.example.org".into());
    let text = |text: &str| DeviceFilter { text: Some(text.into()), ..DeviceFilter::default() };
    page(&store, "the first page", DeviceFilter::default(), None).await;
    page(&store, "a page in the middle", DeviceFilter::default(), Some(middle.clone())).await;
    page(&store, "search: begins as every name does", text("pump-"), None).await;
    page(&store, "search: the same, in the middle", text("pump-"), Some(middle_name)).await;
    let middle_serial = DevicePlace::Serial { serial: "SN-0500000".into(), id: id(500_000) };
    page(&store, "search: serial numbers, in the middle", text("SN-"), Some(middle_serial)).await;
    page(&store, "search: begins as a tenth does", text("pump-09"), None).await;
    page(&store, "search: begins as a hundredth does", text("pump-099"), None).await;
    page(&store, "search: begins as a thousandth does", text("pump-0999"), None).await;
    page(&store, "search: one serial number", text("SN-0777777"), None).await;
    page(&store, "search: nothing", text("nothing"), None).await;
    let blocked = DeviceFilter { state: Some(DeviceState::Blocked), ..DeviceFilter::default() };
    page(&store, "by a state that none has", blocked, None).await;
    let start = Instant::now();
    assert_eq!(store.find_devices("pump-0777777.iot.example.org").await.unwrap().len(), 1);
    println!(
        "{:<44} {:>20.2} ms",
        "one device by its name",
        start.elapsed().as_secs_f64() * 1000.0
    );
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        decisions().await;
        pages().await;
    });
}
