//! What is shown to those who run a registrar: metrics that the manual and the dashboard know, health, and a listener
//! that nobody can exhaust.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::quota::LimitLeft;
use axum::Router;
use brski_registrar::clock::SystemClock;
use brski_registrar::flow::fault::Fault;
use brski_registrar::observe::health::Health;
use brski_registrar::observe::metrics::labels::{Endpoint, Outcome, Phase, Target};
use brski_registrar::observe::metrics::{BridgeNumbers, Metrics};
use brski_registrar::observe::reporter::Reporter;
use brski_registrar::observe::{listener, routes};
use brski_registrar::store::model::{
    CertificateEnds, Event, Id, Millis, OrderQueue, Queues, Verdict,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::watch::{Access, Watcher as _};
use brski_registrar::store::{Change, Store};
use brski_registrar::trail::kinds::KINDS;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// What a bridge to a CA with limits tells.
fn bridge() -> BridgeNumbers {
    let limit = |limit: &str, left, of| LimitLeft { limit: limit.into(), left, of };
    BridgeNumbers {
        lost: 1,
        fallbacks: 2,
        revoked: 3,
        down_for: Duration::from_millis(1500),
        limits: vec![limit("account", 17, 300), limit("domain/example.org", 0, 50)],
    }
}

/// Metrics in which every family has a sample.
fn metrics() -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::new(["acme"], Millis(1_700_000_000_500)));
    metrics.set_bridge("acme", bridge());
    metrics
}

/// The samples of an exposition: name and labels, and the value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<(String, f64)> = lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect();
    let count = samples.len();
    let samples: BTreeMap<String, f64> = samples.into_iter().collect();
    assert_eq!(samples.len(), count, "a series stands twice");
    samples
}

/// The series and the names of the labels of each family, by the name that a query uses.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut families = BTreeMap::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            let (name, kind) = about.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            families.insert(format!("{name}{suffix}"), BTreeSet::new());
        }
    }
    for series in samples(text).keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let is_of = |family: &&String| {
            ["", "_bucket", "_sum", "_count"].iter().any(|part| format!("{family}{part}") == name)
        };
        let family = families.keys().find(is_of).unwrap_or_else(|| panic!("{name}")).clone();
        let words = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let names = words.map(|label| label.split_once('=').unwrap().0.to_owned());
        families.get_mut(&family).unwrap().extend(names.filter(|name| name != "le"));
    }
    families
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table of a manual whose head begins with this word: its cells, backquotes taken off.
fn table(document: &str, head: &str) -> Vec<Vec<String>> {
    let begin = format!("| {head} |");
    let rows = document.lines().skip_while(|line| !line.starts_with(&begin)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells = row[1..row.len() - 1].split('|');
            cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect()
}

#[test]
fn the_manual_names_every_metric_with_its_type_and_labels_and_no_other() {
    let text = metrics().text();
    let mut exported = BTreeMap::new();
    for (name, labels) in families(&text) {
        let kind = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .find(|(family, _)| name.starts_with(family) && name.len() - family.len() <= 6)
            .map(|(_, kind)| kind.to_owned())
            .unwrap();
        exported.insert(name, (kind, labels));
    }
    let documented: BTreeMap<String, (String, BTreeSet<String>)> =
        table(&document("OPERATING.md"), "metric")
            .into_iter()
            .map(|row| {
                let labels = row[2].split(", ").filter(|label| !label.is_empty());
                (row[0].clone(), (row[1].clone(), labels.map(str::to_owned).collect()))
            })
            .collect();
    assert_eq!(documented, exported);
}

#[test]
fn the_manual_explains_every_kind_of_event() {
    let documented = table(&document("OPERATING.md"), "kind");
    let documented: BTreeSet<(&str, &str)> =
        documented.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let kinds: BTreeSet<(&str, &str)> = KINDS.iter().copied().collect();
    let row = |(kind, when): &(&str, &str)| format!("| `{kind}` | {when} |");
    let missing: Vec<String> = kinds.difference(&documented).map(row).collect();
    assert!(missing.is_empty(), "docs/OPERATING.md lacks:\n{}", missing.join("\n"));
    let foreign: Vec<String> = documented.difference(&kinds).map(row).collect();
    assert!(foreign.is_empty(), "docs/OPERATING.md has:\n{}", foreign.join("\n"));
}

#[test]
fn the_dashboard_asks_for_exported_metrics_and_their_labels_only() {
    let families = families(&metrics().text());
    let dashboard: Value = serde_json::from_str(&document("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    assert!(queries.len() > 20, "{queries:?}");
    let mut asked = BTreeSet::new();
    for query in queries {
        let is_word = |each: char| each.is_ascii_alphanumeric() || each == '_';
        let words: Vec<&str> = query.split(|each| !is_word(each)).collect();
        let mut labels: BTreeSet<&str> = ["job", "instance", "le"].into();
        let names = words
            .iter()
            .filter(|word| word.starts_with("registrar_") || word.starts_with("process_"));
        for name in names {
            let family = families
                .keys()
                .find(|family| {
                    let parts = ["", "_bucket", "_sum", "_count"];
                    parts.iter().any(|part| format!("{family}{part}") == **name)
                })
                .unwrap_or_else(|| panic!("{name} is not exported: {query}"));
            labels.extend(families[family].iter().map(String::as_str));
            asked.insert(family.clone());
        }
        for group in query.split("by (").skip(1) {
            for label in group.split(')').next().unwrap().split(", ") {
                assert!(labels.contains(label), "{label} is no label there: {query}");
            }
        }
        for (at, _) in query.match_indices("=~").chain(query.match_indices("=\"")) {
            let label = query[..at].rsplit(|each| !is_word(each)).next().unwrap();
            assert!(labels.contains(label), "{label} is no label there: {query}");
        }
    }
    let exported: BTreeSet<String> = families.into_keys().collect();
    assert_eq!(asked, exported, "every metric has its place on the dashboard");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let text = metrics().text();
    for name in families(&text).keys() {
        assert!(name.starts_with("registrar_") || name == "process_start_time_seconds", "{name}");
        assert!(name.bytes().all(|each| each.is_ascii_lowercase() || each == b'_'), "{name}");
        for unit in ["_millis", "_ms", "_minutes", "_hours", "_kib"] {
            assert!(!name.contains(unit), "{name} has no base unit");
        }
    }
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).count();
    assert_eq!(helps, families(&text).len(), "each has a help text");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn everything_is_there_at_zero_from_the_start() {
    let samples = samples(&metrics().text());
    let expected = [
        "registrar_http_requests_total{endpoint=\"simplereenroll\",class=\"5xx\"}",
        "registrar_phases_total{phase=\"acme_order\",outcome=\"error\"}",
        "registrar_phase_errors_total{phase=\"masa\",fault=\"masa\"}",
        "registrar_phase_duration_seconds_count{phase=\"local_issue\"}",
        "registrar_events_total{kind=\"voucher-rejected\"}",
        "registrar_events_total{kind=\"other\"}",
        "registrar_orders{issuer=\"acme\",state=\"in_flight\"}",
        "registrar_certificates{days_left=\"lt_7\"}",
        "registrar_store_failures_total{operation=\"write\"}",
        "registrar_dns_queries_total",
        "registrar_notify_lost_events_total{target=\"url\"}",
    ];
    for series in expected {
        assert_eq!(samples.get(series), Some(&0.0), "{series}");
    }
    assert_eq!(samples["process_start_time_seconds"], 1_700_000_000.5);
}

#[test]
fn a_ca_shows_what_it_still_allows_and_how_it_does() {
    let samples = samples(&metrics().text());
    for (series, value) in [
        ("registrar_ca_limit_left_orders{issuer=\"acme\",limit=\"account\"}", 17.0),
        ("registrar_ca_limit_orders{issuer=\"acme\",limit=\"account\"}", 300.0),
        ("registrar_ca_limit_left_orders{issuer=\"acme\",limit=\"domain/example.org\"}", 0.0),
        ("registrar_ca_lost_orders_total{issuer=\"acme\"}", 1.0),
        ("registrar_ca_fallback_orders_total{issuer=\"acme\"}", 2.0),
        ("registrar_ca_revoked_certificates_total{issuer=\"acme\"}", 3.0),
        ("registrar_ca_down_seconds{issuer=\"acme\"}", 1.5),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
}

#[test]
fn a_limit_that_nobody_knows_is_absent() {
    let text = Metrics::new(["acme"], Millis(0)).text();
    assert!(!text.contains("registrar_ca_limit"), "{text}");
    assert!(text.contains("registrar_ca_down_seconds{issuer=\"acme\"} 0"), "{text}");
    let text = Metrics::new([], Millis(0)).text();
    assert!(!text.contains("registrar_ca_") && !text.contains("registrar_orders"), "{text}");
}

fn event(kind: &'static str) -> Event {
    Event {
        time: Millis(0),
        kind,
        verdict: Verdict::Refused,
        device: Some(Id::from_random([1; 16])),
        peer: "evil\"} 1\n".into(),
        clause: "",
        detail: "x".repeat(10_000),
        correlation: "c".into(),
    }
}

#[test]
fn what_peers_send_makes_no_series() {
    let metrics = metrics();
    let before: Vec<String> = samples(&metrics.text()).into_keys().collect();
    for endpoint in Endpoint::ALL {
        metrics.request(*endpoint).answered(StatusCode::IM_A_TEAPOT, None);
        drop(metrics.request(*endpoint));
    }
    for kind in ["made-up", "another\" 1\nevil", "voucher-issued"] {
        metrics.event(kind);
    }
    let after = samples(&metrics.text());
    assert_eq!(after.keys().cloned().collect::<Vec<_>>(), before);
    assert_eq!(after["registrar_events_total{kind=\"other\"}"], 2.0);
    assert_eq!(after["registrar_http_requests_total{endpoint=\"other\",class=\"4xx\"}"], 1.0);
    assert_eq!(after["registrar_http_requests_total{endpoint=\"other\",class=\"abandoned\"}"], 1.0);
}

#[test]
fn requests_and_phases_are_counted_by_their_end() {
    let metrics = metrics();
    let voucher = || metrics.request(Endpoint::RequestVoucher);
    voucher().answered(StatusCode::OK, None);
    voucher().answered(StatusCode::ACCEPTED, Some(Outcome::Waiting));
    voucher().answered(StatusCode::BAD_GATEWAY, Some(Outcome::Error(Fault::Masa)));
    // A refusal that no handler of ours made: axum's own.
    voucher().answered(StatusCode::METHOD_NOT_ALLOWED, None);
    metrics.phase(Phase::AcmeOrder, Outcome::Error(Fault::Ca), Duration::from_secs(40));
    let samples = samples(&metrics.text());
    for (series, value) in [
        ("registrar_http_requests_total{endpoint=\"requestvoucher\",class=\"2xx\"}", 2.0),
        ("registrar_http_requests_total{endpoint=\"requestvoucher\",class=\"5xx\"}", 1.0),
        ("registrar_phases_total{phase=\"voucher\",outcome=\"done\"}", 1.0),
        ("registrar_phases_total{phase=\"voucher\",outcome=\"waiting\"}", 1.0),
        ("registrar_phases_total{phase=\"voucher\",outcome=\"error\"}", 2.0),
        ("registrar_phase_errors_total{phase=\"voucher\",fault=\"masa\"}", 1.0),
        ("registrar_phase_errors_total{phase=\"voucher\",fault=\"pledge\"}", 1.0),
        ("registrar_phase_duration_seconds_count{phase=\"voucher\"}", 4.0),
        ("registrar_phase_errors_total{phase=\"acme_order\",fault=\"ca\"}", 1.0),
        ("registrar_phase_duration_seconds_bucket{le=\"30.0\",phase=\"acme_order\"}", 0.0),
        ("registrar_phase_duration_seconds_bucket{le=\"60.0\",phase=\"acme_order\"}", 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
}

#[test]
fn counts_of_the_store_take_the_place_of_those_before() {
    let metrics = metrics();
    let queue = |issuer: &str, waiting| OrderQueue { issuer: issuer.into(), waiting, in_flight: 1 };
    let mut queues = Queues {
        orders: vec![queue("acme", 5), queue("gone", 2)],
        enrollments_approved: 3,
        approvals_waiting: 4,
        revocations_waiting: 5,
    };
    metrics.set_queues(&queues, Millis(2_000));
    let waiting = "registrar_orders{issuer=\"acme\",state=\"waiting\"}";
    let gone = "registrar_orders{issuer=\"gone\",state=\"waiting\"}";
    let first = samples(&metrics.text());
    assert_eq!((first[waiting], first[gone]), (5.0, 2.0));
    assert_eq!(first["registrar_enrollments_approved"], 3.0);
    assert_eq!(first["registrar_approvals_waiting"], 4.0);
    assert_eq!(first["registrar_revocations_waiting"], 5.0);
    assert_eq!(first["registrar_survey_timestamp_seconds{survey=\"queues\"}"], 2.0);
    queues.orders.clear();
    metrics.set_queues(&queues, Millis(3_000));
    let second = samples(&metrics.text());
    assert_eq!((second[waiting], second[gone]), (0.0, 0.0));
    let ends = CertificateEnds { before: vec![1, 1, 4, 4, 10], all: 12 };
    metrics.set_certificates(&ends, Millis(4_000));
    let samples = samples(&metrics.text());
    for (days_left, count) in [
        ("expired", 1.0),
        ("lt_1", 0.0),
        ("lt_7", 3.0),
        ("lt_30", 0.0),
        ("lt_90", 6.0),
        ("ge_90", 2.0),
    ] {
        let series = format!("registrar_certificates{{days_left=\"{days_left}\"}}");
        assert_eq!(samples[&series], count, "{days_left}");
    }
}

#[test]
fn a_reporter_counts_what_the_store_tells() {
    let metrics = metrics();
    let reporter = Reporter::new(Arc::clone(&metrics));
    let written = reporter.written();
    reporter.grouped(2);
    reporter.grouped(0);
    reporter.committed(&[event("no-voucher"), event("made-up")], Duration::from_millis(3));
    reporter.committed(&[], Duration::from_millis(3));
    assert_eq!(*written.borrow(), 2);
    reporter.failed(Access::Read);
    assert!(!reporter.is_failing(), "a query that fails says nothing of commits");
    reporter.failed(Access::Write);
    assert!(reporter.is_failing());
    reporter.committed(&[], Duration::from_millis(3));
    assert!(!reporter.is_failing());
    metrics.set_behind(Target::Program, 9);
    metrics.lost(Target::Program, 7);
    let samples = samples(&metrics.text());
    for (series, value) in [
        ("registrar_events_total{kind=\"no-voucher\"}", 1.0),
        ("registrar_events_total{kind=\"other\"}", 1.0),
        ("registrar_store_group_commits_count", 1.0),
        ("registrar_store_group_commits_sum", 2.0),
        ("registrar_store_commit_duration_seconds_count", 3.0),
        ("registrar_store_failures_total{operation=\"read\"}", 1.0),
        ("registrar_store_failures_total{operation=\"write\"}", 1.0),
        ("registrar_notify_behind_events{target=\"program\"}", 9.0),
        ("registrar_notify_lost_events_total{target=\"program\"}", 7.0),
    ] {
        assert_eq!(samples[series], value, "{series}");
    }
}

/// A daemon's health on a store of its own.
struct Watched {
    folder: TempDir,
    store: Arc<dyn Store>,
    reporter: Arc<Reporter>,
    health: Arc<Health>,
    router: Router,
    stop: watch::Sender<bool>,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metrics = metrics();
        let reporter = Arc::new(Reporter::new(Arc::clone(&metrics)));
        let watcher = Arc::<Reporter>::clone(&reporter);
        let file = folder.path().join("registrar.db");
        let store = SqliteStore::open_watched(&file, "node", watcher).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let (stop, shutdown) = watch::channel(false);
        let health = Health::new(
            Arc::clone(&store),
            Arc::new(SystemClock),
            Arc::clone(&reporter),
            "node",
            shutdown,
        );
        let health = Arc::new(health);
        let router = routes(Arc::clone(&health), metrics);
        Self { folder, store, reporter, health, router, stop }
    }

    fn sql(&self, sql: &str) {
        let file = self.folder.path().join("registrar.db");
        rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!(answer.headers().get("cache-control").unwrap(), "no-store");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn assert_not_ready(&self, reason: &str) {
        let (status, text) = self.get("/readyz").await;
        assert_eq!(status, 503, "{text}");
        assert!(text.contains(reason), "{text}");
        assert_eq!(self.get("/healthz").await.0, 200, "it lives all the same");
    }
}

#[tokio::test]
async fn ready_is_who_listens_and_is_not_ending() {
    let watched = Watched::new();
    watched.assert_not_ready("listener").await;
    let listening = watched.health.listening();
    assert_eq!(watched.get("/readyz").await, (200, "the registrar is ready\n".into()));
    drop(listening);
    watched.assert_not_ready("listener").await;
    let _listening = watched.health.listening();
    watched.stop.send_replace(true);
    watched.assert_not_ready("shutting down").await;
    assert_eq!(watched.get("/metrics").await.0, 200);
}

#[tokio::test]
async fn health_and_metrics_can_be_asked_for_without_their_bodies() {
    let watched = Watched::new();
    let _listening = watched.health.listening();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let request = http::Request::head(path).body(axum::body::Body::empty()).unwrap();
        let answer = watched.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let length = answer.headers().get("content-length").unwrap().to_str().unwrap().to_owned();
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
        assert_eq!(length, watched.get(path).await.1.len().to_string(), "{path}");
    }
    let request = http::Request::post("/healthz").body(axum::body::Body::empty()).unwrap();
    let answer = watched.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn not_ready_while_the_store_cannot_be_read() {
    let watched = Watched::new();
    let _listening = watched.health.listening();
    watched.sql("ALTER TABLE settings RENAME TO hidden");
    watched.assert_not_ready("the store fails").await;
    watched.sql("ALTER TABLE hidden RENAME TO settings");
    assert_eq!(watched.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn not_ready_after_a_commit_failed_until_one_succeeds() {
    let watched = Watched::new();
    let _listening = watched.health.listening();
    // Everybody can read, as with a full disk.
    watched.sql(
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT raise(ABORT, 'full'); END;
         CREATE TRIGGER fuller BEFORE INSERT ON cursors BEGIN SELECT raise(ABORT, 'full'); END;",
    );
    assert_eq!(watched.get("/readyz").await.0, 200, "nobody knows yet");
    watched.store.commit(vec![], vec![event("no-voucher")]).await.unwrap_err();
    watched.assert_not_ready("the store fails").await;
    watched.assert_not_ready("the store fails").await;
    watched.sql("DROP TRIGGER full; DROP TRIGGER fuller;");
    assert_eq!(watched.get("/readyz").await.0, 200, "it finds out by itself");
    let conflict = Change::RevokeCredential { name: "nobody".into(), at: Millis(0) };
    watched.store.commit(vec![conflict], vec![]).await.unwrap_err();
    assert!(!watched.reporter.is_failing(), "a conflict is no failure");
}

#[tokio::test]
async fn not_ready_while_the_store_takes_too_long() {
    let watched = Watched::new();
    let _listening = watched.health.listening();
    watched.reporter.failed(Access::Write);
    // A commit waits for as long as somebody else holds the write lock.
    let file = watched.folder.path().join("registrar.db");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    watched.assert_not_ready("does not answer within 2s").await;
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(watched.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let watched = Watched::new();
    for (method, path, status) in
        [("GET", "/", 404), ("GET", "/v1/devices", 404), ("POST", "/metrics", 405)]
    {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = watched.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
    }
}

/// The metrics' own listener, on a clock that jumps whenever everybody waits.
async fn listening() -> (std::net::SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let watched = Watched::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(listener::run(listener, watched.router.clone(), stopped));
    (address, stop, task)
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_cut_off() {
    let (address, _stop, _task) = listening().await;
    let begun = tokio::time::Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let text = read_to_end(stream).await;
    assert!(!text.contains("200"), "{text}");
    assert!(begun.elapsed() >= Duration::from_secs(29), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_header_that_is_too_long_is_refused() {
    let (address, _stop, _task) = listening().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let header = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(20_000));
    stream.write_all(header.as_bytes()).await.unwrap();
    let text = read_to_end(stream).await;
    assert!(text.starts_with("HTTP/1.1 431"), "{text}");
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait_and_the_end_closes_all() {
    let (address, stop, task) = listening().await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        idle.push(stream);
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut octet = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(200), late.peek(&mut octet)).await;
    assert!(early.is_err(), "it waits");
    idle.pop();
    assert!(read_to_end(late).await.starts_with("HTTP/1.1 200"));
    stop.send_replace(true);
    task.await.unwrap();
    for stream in idle {
        assert!(read_to_end(stream).await.contains("the registrar lives"));
    }
    TcpStream::connect(address).await.unwrap_err();
}
