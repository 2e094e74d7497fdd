//! The console's pages with a hundred thousand devices in the store: how long each takes to come.
//!
//! Each page is asked for over a connection that is open already, so that what is measured is the page. Nearly all devices
//! have an enrollment and a certificate, each has two events, one of a minute each; one in a thousand waits for a person.

use std::path::Path;
use std::time::Instant;

use brski_lab::pledge::journey::{self, Label};
use brski_lab::pledge::tls::TlsVersions;
use brski_tests::admin::over_tls;
use brski_tests::console::ConsoleSite;
use brski_tests::filling::{self, OldDevice, newest_event};
use bytes::Bytes;
use http::Request;
use http::header::{COOKIE, HOST};

use super::document::Row;
use super::turns::Size;

/// How long a page may take, in milliseconds.
const MOST_MILLIS: f64 = 50.0;

/// The pages; the first device that joins is `BENCH-1`.
const PAGES: [&str; 15] = [
    "now",
    "devices",
    "devices?text=OLD-0777",
    "devices?state=enrolled&text=old-9",
    "devices?manufacturer=lab-devices&text=old-9",
    "devices?state=blocked&text=old",
    "devices?state=blocked",
    "devices/BENCH-1",
    "devices/import",
    "approvals",
    "orders",
    "manufacturers",
    "events",
    "events?verdict=failed",
    "health",
];

/// A time for each page: the median, the 99th percentile and the longest; the longest has the limit.
pub(crate) async fn measure(size: Size) -> anyhow::Result<Vec<Row>> {
    let devices = size.of(100_000, 10_000);
    let mut open = ConsoleSite::start(|_| Ok(())).await?;
    let pledge = open.site.lab.pledge("BENCH-1")?;
    journey::run(&pledge, open.site.lab.registrar.address(), &Label::default()).await?;
    let stopped = open.site.lab.registrar.stop().await;
    fill(&stopped.folder().join("registrar.db"), devices)?;
    open.site.lab.registrar = stopped.serve().await?;
    let operator = open.visitor("operator").await?;
    let mut rows = Vec::new();
    for page in PAGES {
        let mut times = Vec::new();
        let mut connection = over_tls(open.address, None, TlsVersions::Tls13).await?;
        for _ in 0..size.of(100, 20) {
            let request = Request::get(format!("/console/{page}"))
                .header(HOST, open.address.to_string())
                .header(COOKIE, &operator.cookie)
                .body(Bytes::new())?;
            let since = Instant::now();
            let answer = connection.exchange(request).await?;
            times.push(since.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(answer.status() == 200, "{page}: {}", answer.status());
        }
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        let (median, most) = (at(50), times[times.len() - 1]);
        println!("console/{page}: p50 {median:.1} ms, p99 {:.1} ms, longest {most:.1} ms", at(99));
        let name = format!(
            "page {page} of the console with {devices} devices: p50 {median:.1} ms, p99 {:.1} ms, longest",
            at(99)
        );
        rows.push(Row::limit(&name, most, MOST_MILLIS, "ms"));
    }
    open.site.lab.stop().await;
    Ok(rows)
}

/// Puts devices beside what a registrar wrote itself, with rows like those of the one device that it has seen.
fn fill(file: &Path, devices: u64) -> anyhow::Result<()> {
    let now = newest_event(file)?;
    let device = |number: u64| OldDevice {
        state: match number % 1000 {
            0 => "pending",
            1..20 => "expected",
            20..30 => "blocked",
            _ => "enrolled",
        },
        at: now - 60_000 * number as i64,
    };
    filling::fill(file, devices, device, LIKE_THE_FIRST)
}

/// Two events, an enrollment and a certificate for each device, a question for each that waits.
const LIKE_THE_FIRST: &str = "
INSERT INTO approvals (id, device, reason, spki, certificate, peer, state, created_at, asked_at)
SELECT d.id, d.id, 'unexpected', randomblob(32), c.certificate, '192.0.2.1:5', 'waiting', d.created_at, d.created_at
FROM devices d, (SELECT certificate FROM certificates LIMIT 1) c WHERE d.state = 'pending';
INSERT INTO enrollments (id, device, profile, issuer, name, key, csr, state, certificate, created_at, updated_at)
SELECT d.id, d.id, e.profile, e.issuer, n.name, randomblob(32), e.csr, e.state, e.certificate, d.created_at, d.created_at
FROM devices d JOIN names n ON n.device = d.id, (SELECT * FROM enrollments LIMIT 1) e
WHERE d.state = 'enrolled' AND n.name LIKE 'old-%';
INSERT INTO certificates
    (fingerprint, device, enrollment, issuer, certificate, serial, spki, not_before, not_after, created_at)
SELECT randomblob(32), e.device, e.id, c.issuer, c.certificate, lower(hex(randomblob(8))), randomblob(32),
    c.not_before, c.not_after - 86400000 * (abs(random()) % 300), e.created_at
FROM enrollments e, (SELECT * FROM certificates LIMIT 1) c WHERE e.name LIKE 'old-%';
INSERT INTO events
    (node, seq, time, kind, verdict, device, peer, clause, detail, correlation, previous, hash)
SELECT 'filled', 2 * row_number() OVER (ORDER BY d.created_at), d.created_at, 'certificate-issued', 'done', d.id,
    '192.0.2.1:5', 'RFC 7030 §4.2', 'for its name', d.id, randomblob(32), randomblob(32) FROM devices d;
INSERT INTO events
    (node, seq, time, kind, verdict, device, peer, clause, detail, correlation, previous, hash)
SELECT 'filled', 2 * row_number() OVER (ORDER BY d.created_at) + 1, d.created_at + 1, 'enrollment-failed',
    CASE WHEN abs(random()) % 50 = 0 THEN 'failed' ELSE 'done' END, d.id,
    '192.0.2.1:5', 'RFC 7030 §4.2', 'the CA said no', d.id, randomblob(32), randomblob(32) FROM devices d;
";
