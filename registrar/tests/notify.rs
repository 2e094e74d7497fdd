//! Notification: every chosen event is told at least once and in order, whatever becomes of the receiver, the store
//! or the daemon meanwhile; a program that hangs is ended.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use brski_registrar::config::{Chosen, ProgramConfig};
use brski_registrar::notify::follower::Follower;
use brski_registrar::notify::program::Program;
use brski_registrar::notify::{DeliveryError, Receiver};
use brski_registrar::observe::metrics::Metrics;
use brski_registrar::observe::metrics::labels::Target;
use brski_registrar::observe::reporter::Reporter;
use brski_registrar::store::chain::sign_checkpoint;
use brski_registrar::store::model::{CheckpointKind, Event, Millis, Verdict};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::watch::Watcher;
use brski_registrar::store::{Change, Store};
use brski_voucher::signature::PrivateKey;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A receiver that answers when a test says so.
struct Scripted {
    told: mpsc::UnboundedSender<(Instant, Value)>,
    answers: Mutex<mpsc::UnboundedReceiver<bool>>,
}

#[async_trait]
impl Receiver for Scripted {
    async fn deliver(&self, message: &str) -> Result<(), DeliveryError> {
        let message = serde_json::from_str(message).unwrap();
        self.told.send((Instant::now(), message)).unwrap();
        match self.answers.lock().await.recv().await {
            Some(true) => Ok(()),
            _ => Err(DeliveryError::Timeout(Duration::from_secs(1))),
        }
    }
}

/// A store, and daemons on it, one after the other.
struct Site {
    folder: TempDir,
    reporter: Arc<Reporter>,
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
}

/// A daemon that follows.
struct Following {
    told: mpsc::UnboundedReceiver<(Instant, Value)>,
    answers: mpsc::UnboundedSender<bool>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Site {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn open(folder: TempDir) -> Self {
        let metrics = Arc::new(Metrics::new([], Millis(0)));
        let reporter = Arc::new(Reporter::new(Arc::clone(&metrics)));
        let watcher: Arc<dyn Watcher> = Arc::<Reporter>::clone(&reporter);
        let file = folder.path().join("registrar.db");
        let store = SqliteStore::open_watched(&file, "node", watcher).unwrap();
        Self { folder, reporter, metrics, store: Arc::new(store) }
    }

    fn follow(&self) -> Following {
        let (sender, told) = mpsc::unbounded_channel();
        let (answers, receiver) = mpsc::unbounded_channel();
        let receiver = Box::new(Scripted { told: sender, answers: Mutex::new(receiver) });
        let (stop, shutdown) = watch::channel(false);
        let follower = Follower {
            store: Arc::clone(&self.store),
            metrics: Arc::clone(&self.metrics),
            node: "node".into(),
            chosen: Chosen { kinds: vec!["voucher-rejected"], verdicts: vec!["failed"] },
            receiver,
            target: Target::Url,
            written: self.reporter.written(),
            shutdown,
        };
        Following { told, answers, stop, task: tokio::spawn(follower.run()) }
    }

    async fn write(&self, kind: &'static str, verdict: Verdict) {
        let event = Event {
            time: Millis(1_700_000_000_123),
            kind,
            verdict,
            device: None,
            peer: "192.0.2.1:5 \"\n\u{1b}[31m".into(),
            clause: "RFC 8995 §5.7",
            detail: "why\0".into(),
            correlation: "c".into(),
        };
        self.store.commit(vec![], vec![event]).await.unwrap();
    }

    /// Waits until a follower has begun: it has a cursor.
    async fn begun(&self) {
        while self.cursor().await.is_none() {
            tokio::task::yield_now().await;
        }
    }

    async fn cursor(&self) -> Option<i64> {
        let cursors = self.store.cursor("notify-url").await.unwrap();
        cursors.into_iter().find(|(node, _)| node == "node").map(|(_, seq)| seq)
    }

    fn sample(&self, series: &str) -> f64 {
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Following {
    /// Waits for an attempt, which waits for an answer.
    async fn attempt(&mut self) -> (Instant, Value) {
        self.told.recv().await.unwrap()
    }

    /// Expects an attempt for this event, and answers it.
    async fn expect(&mut self, number: i64, answer: bool) -> Instant {
        let (at, message) = self.attempt().await;
        assert_eq!(message["seq"], number);
        self.answers.send(answer).unwrap();
        at
    }

    async fn end(mut self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        assert!(self.told.try_recv().is_err(), "nothing else was told");
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_the_chosen_events_are_told_in_order() {
    let site = Site::new();
    site.write("voucher-rejected", Verdict::Failed).await;
    let mut following = site.follow();
    site.begun().await;
    for (kind, verdict) in [
        ("voucher-issued", Verdict::Done),
        ("voucher-rejected", Verdict::Failed),
        ("no-voucher", Verdict::Refused),
        ("masa-waiting", Verdict::Waiting),
        ("masa-unavailable", Verdict::Failed),
        ("voucher-rejected", Verdict::Done),
        ("voucher-asked", Verdict::Done),
    ] {
        site.write(kind, verdict).await;
    }
    // The first one is of the time before anybody wanted to be told.
    let (_, message) = following.attempt().await;
    following.answers.send(true).unwrap();
    let expected = json!({
        "node": "node",
        "seq": 3,
        "time": "2023-11-14T22:13:20.123Z",
        "kind": "voucher-rejected",
        "verdict": "failed",
        "device": null,
        "device_name": null,
        "device_serial": null,
        "peer": "192.0.2.1:5 \"\n\u{1b}[31m",
        "clause": "RFC 8995 §5.7",
        "detail": "why\u{fffd}",
        "correlation": "c",
    });
    assert_eq!(message, expected);
    following.expect(6, true).await;
    following.expect(7, true).await;
    following.end().await;
    assert!(site.cursor().await >= Some(7));
    let delivered = "registrar_notify_deliveries_total{target=\"url\",outcome=\"delivered\"}";
    assert_eq!(site.sample(delivered), 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_away_is_told_when_it_is_back_with_pauses_that_grow() {
    let site = Site::new();
    let mut following = site.follow();
    site.begun().await;
    site.write("voucher-rejected", Verdict::Failed).await;
    site.write("masa-unavailable", Verdict::Failed).await;
    let mut last = following.expect(1, false).await;
    let mut pauses = Vec::new();
    for answer in [false; 11].into_iter().chain([true]) {
        // Those behind it wait.
        let next = following.expect(1, answer).await;
        pauses.push(next.duration_since(last).as_secs());
        last = next;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!(site.sample("registrar_notify_behind_events{target=\"url\"}"), 2.0);
    following.expect(2, true).await;
    let failed = "registrar_notify_deliveries_total{target=\"url\",outcome=\"failed\"}";
    assert_eq!(site.sample(failed), 12.0);
    following.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_stopped() {
    let site = Site::new();
    let mut first = site.follow();
    site.begun().await;
    for _ in 0..4 {
        site.write("voucher-rejected", Verdict::Failed).await;
    }
    first.expect(1, true).await;
    first.attempt().await;
    // As a power cut would: the second one was not taken, and nothing more is kept.
    first.task.abort();
    let _ = first.task.await;
    let Site { folder, store, .. } = site;
    drop(store);
    let site = Site::open(folder);
    let mut second = site.follow();
    for number in [2, 3, 4] {
        second.expect(number, true).await;
    }
    second.end().await;
    site.write("voucher-rejected", Verdict::Failed).await;
    let mut third = site.follow();
    third.expect(5, true).await;
    third.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_when_the_daemon_ends_is_told_after_its_next_start() {
    let site = Site::new();
    let mut first = site.follow();
    site.begun().await;
    site.write("voucher-rejected", Verdict::Failed).await;
    first.attempt().await;
    // The attempt that is under way gets a little longer, and no more.
    let begun = Instant::now();
    first.end().await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(site.cursor().await, Some(0));
    let mut second = site.follow();
    second.expect(1, true).await;
    second.end().await;
    assert_eq!(site.cursor().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let site = Site::new();
    let mut following = site.follow();
    site.begun().await;
    let sql = |sql: &str| {
        let file = site.folder.path().join("registrar.db");
        rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
    };
    sql("ALTER TABLE cursors RENAME TO hidden");
    site.write("voucher-rejected", Verdict::Failed).await;
    following.expect(1, true).await;
    // It was taken, which cannot be kept yet; the same daemon knows it all the same.
    sql("ALTER TABLE hidden RENAME TO cursors");
    site.write("voucher-rejected", Verdict::Failed).await;
    following.expect(2, true).await;
    following.end().await;
    assert_eq!(site.cursor().await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn events_that_are_gone_are_counted_and_do_not_stop_it() {
    let site = Site::new();
    let first = site.follow();
    site.begun().await;
    first.end().await;
    for _ in 0..5 {
        site.write("voucher-rejected", Verdict::Failed).await;
    }
    let old = site.store.chain("node", 0, 3).await.unwrap().pop().unwrap();
    let head = brski_registrar::store::model::Head { seq: old.seq, hash: old.hash };
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = PrivateKey::from_pkcs8_der(&pair.serialize_der()).unwrap();
    let checkpoint =
        sign_checkpoint(&key, "node", head, CheckpointKind::Pruned, Millis(9)).unwrap();
    site.store.commit(vec![Change::PruneEvents(checkpoint)], vec![]).await.unwrap();
    let mut second = site.follow();
    second.expect(4, true).await;
    second.expect(5, true).await;
    second.end().await;
    assert_eq!(site.sample("registrar_notify_lost_events_total{target=\"url\"}"), 3.0);
}

/// A folder with a script as the program.
struct Script {
    folder: TempDir,
    program: PathBuf,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        Self { folder, program }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn run(&self, limit: Duration, message: &str) -> Result<(), DeliveryError> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let arguments = vec![folder, "two words; $(touch /tmp/shell) 'x'".to_owned()];
        let config = ProgramConfig { program: self.program.clone(), arguments };
        let program = Program::new(&config, limit);
        // A file that was just written may still be open in the child of another test: ETXTBSY.
        loop {
            match program.deliver(message).await {
                Err(DeliveryError::Run(error))
                    if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                outcome => return outcome,
            }
        }
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_program_gets_its_arguments_the_message_and_a_clean_environment() {
    let script = Script::new(
        "printf '%s\\n' \"$@\" > \"$1/arguments\"; cat > \"$1/message\"; env > \"$1/environment\"; \
         pwd > \"$1/place\"",
    );
    script.run(LONG, "{\"kind\":\"x\"}").await.unwrap();
    let read = |name: &str| fs::read_to_string(script.file(name)).unwrap();
    assert_eq!(read("message"), "{\"kind\":\"x\"}\n");
    let folder = script.folder.path().display();
    assert_eq!(read("arguments"), format!("{folder}\ntwo words; $(touch /tmp/shell) 'x'\n"));
    assert_eq!(read("place"), "/\n");
    let environment = read("environment");
    let names = environment.lines().map(|line| line.split('=').next().unwrap());
    // The shell adds some of its own.
    let foreign: Vec<&str> =
        names.filter(|name| !["PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
    assert!(foreign.is_empty(), "{environment}");
}

#[tokio::test]
async fn a_program_that_does_not_read_or_writes_much_is_content() {
    Script::new("exit 0").run(LONG, &"x".repeat(1_000_000)).await.unwrap();
    let script = Script::new("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; cat");
    script.run(LONG, &"x".repeat(1_000_000)).await.unwrap();
}

#[tokio::test]
async fn a_program_that_fails_or_is_not_there_is_told_again() {
    let ended = Script::new("exit 3").run(LONG, "{}").await.unwrap_err();
    assert!(ended.to_string().contains("exit status: 3"), "{ended}");
    let killed = Script::new("kill -9 $$").run(LONG, "{}").await.unwrap_err();
    assert!(matches!(killed, DeliveryError::Ended(_)), "{killed}");
    let config = ProgramConfig { program: "/nowhere/at/all".into(), arguments: vec![] };
    let missing = Program::new(&config, LONG).deliver("{}").await.unwrap_err();
    assert!(matches!(missing, DeliveryError::Run(_)), "{missing}");
}

/// Opens a pipe that a script writes to; it ends when nobody has it open any more.
fn pipe(path: &Path) -> std::thread::JoinHandle<String> {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
    let path = path.to_owned();
    std::thread::spawn(move || {
        let mut text = String::new();
        fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
        text
    })
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let script = Script::new(
        "exec 9> \"$1/alive\"; echo begun >&9; (trap '' TERM; sleep 1000) & sleep 1000",
    );
    let alive = pipe(&script.file("alive"));
    let late = script.run(Duration::from_millis(300), "{}").await.unwrap_err();
    assert!(matches!(late, DeliveryError::Timeout(_)), "{late}");
    // The pipe is at its end only when neither the program nor its child holds it.
    assert_eq!(alive.join().unwrap(), "begun\n");
}

#[tokio::test]
async fn a_program_is_ended_when_nobody_waits_for_it_any_more() {
    let script = Script::new("exec 9> \"$1/alive\"; echo begun >&9; sleep 1000 & sleep 1000");
    let alive = pipe(&script.file("alive"));
    let late = tokio::time::timeout(Duration::from_millis(300), script.run(LONG, "{}")).await;
    assert!(late.is_err());
    assert_eq!(alive.join().unwrap(), "begun\n");
}

#[tokio::test]
async fn what_a_program_leaves_behind_does_not_hold_the_next_event_up() {
    let script = Script::new("sleep 20 & exit 0");
    let begun = Instant::now();
    script.run(LONG, "{}").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
