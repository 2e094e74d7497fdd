//! Each scenario, small, against the real registrar, and the shape of what is printed.

use std::time::Duration;

use brski_lab::process;
use brski_tests::site::{self, TestSite, json as read};
use brski_tests::{est, programs};
use http::Response;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::{good, json, load, number, scripted, text};

/// A registrar that knows a manufacturer of the lab, and the folder of its pledges and clients.
struct Place {
    site: TestSite,
    folder: TempDir,
    url: String,
    anchor: String,
}

impl Place {
    async fn new(pledges: u32) -> anyhow::Result<Self> {
        let site = site::local().await?;
        let folder = tempfile::tempdir()?;
        let manufacturer = &site.lab.manufacturer;
        std::fs::write(folder.path().join("ca.pem"), manufacturer.authority.pem())?;
        for number in 1..=pledges {
            let serial = format!("LOAD-{number}");
            let idevid = manufacturer.authority.idevid(&serial, &site.lab.masa.url())?;
            brski_lab::pki::write(folder.path(), &format!("idevid-{serial}"), &idevid)?;
        }
        let url = format!("https://127.0.0.1:{}", site.lab.registrar.address().port());
        let anchor = text(&site.site().folder().join("domain-ca.pem"));
        Ok(Self { site, folder, url, anchor })
    }

    fn path(&self) -> String {
        text(self.folder.path())
    }

    async fn run(&self, scenario: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let fixed = ["--scenario", scenario, "--url", &self.url];
        json(&fixed.into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pledges_are_taken_in_and_their_certificates_enroll_and_renew() -> anyhow::Result<()> {
    let place = Place::new(4).await?;
    let (path, pid) = (place.path(), place.site.lab.registrar.process_id().unwrap().to_string());
    let picture = place.folder.path().join("onboard.svg");
    let picture = text(&picture);
    let pledges = ["--pki", &path, "--requests", "4", "--keep", &path, "--plot", &picture];
    let report = place.run("onboard", &pledges).await?;
    assert_eq!((number(&report, "/succeeded"), number(&report, "/failed")), (4.0, 0.0), "{report}");
    let devices = read(place.site.site(), "device list", &[]).await?;
    assert_eq!(devices.as_array().map(Vec::len), Some(4), "{devices}");
    let svg = std::fs::read_to_string(&picture)?;
    assert!(svg.starts_with("<svg") && svg.contains("onboard at https://127.0.0.1"), "{svg}");

    let trusted = ["--cacert", &place.anchor, "--clients", &path];
    let enroll = ["--requests", "12", "--connections", "2", "--keep-alive", "--server-pid", &pid];
    let report = place.run("simpleenroll", &[&trusted[..], &enroll].concat()).await?;
    assert_eq!(
        (number(&report, "/succeeded"), number(&report, "/failed")),
        (12.0, 0.0),
        "{report}"
    );
    assert_eq!(number(&report, "/sent_again"), 0.0, "{report}");
    assert!(number(&report, "/server/cpu_us_per_request") > 50.0, "{report}");
    let renew = ["--requests", "4", "--tls", "1.2"];
    let report = place.run("simplereenroll", &[&trusted[..], &renew].concat()).await?;
    assert_eq!((number(&report, "/succeeded"), number(&report, "/failed")), (4.0, 0.0), "{report}");
    let certificates = read(place.site.site(), "certificate list", &[]).await?;
    assert_eq!(certificates.as_array().map(Vec::len), Some(4 + 12 + 4), "each was for a new key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_voucher_request_is_a_new_one() -> anyhow::Result<()> {
    let place = Place::new(6).await?;
    let path = place.path();
    let report = place
        .run("requestvoucher", &["--pki", &path, "--requests", "12", "--connections", "6"])
        .await?;
    assert_eq!(
        (number(&report, "/succeeded"), number(&report, "/failed")),
        (12.0, 0.0),
        "{report}"
    );
    assert_eq!(place.site.lab.masa.issued(), 12, "no voucher was given twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_without_a_certificate_and_with_a_secret() -> anyhow::Result<()> {
    let place = Place::new(1).await?;
    let anchor = ["--cacert", place.anchor.as_str()];
    let timed = ["--duration", "1", "--rate", "20", "--keep-alive"];
    let report = place.run("cacerts", &[&anchor[..], &timed].concat()).await?;
    assert_eq!(number(&report, "/succeeded") + number(&report, "/never_begun"), 20.0, "{report}");
    assert_eq!(number(&report, "/failed"), 0.0, "{report}");
    let path = place.path();
    let report = place.run("csrattrs", &["--pki", &path, "--requests", "3"]).await?;
    assert_eq!(number(&report, "/succeeded"), 3.0, "{report}");
    let secret = est::make_credential(&place.site, "printer", &["--uses", "10"]).await?;
    let file = place.folder.path().join("secret");
    std::fs::write(&file, &secret)?;
    set_private(&file)?;
    let file = text(&file);
    let user =
        ["--user", "printer", "--secret-file", &file, "--requests", "5", "--connections", "1"];
    let report = place.run("simpleenroll", &[&anchor[..], &user].concat()).await?;
    assert_eq!((number(&report, "/succeeded"), number(&report, "/failed")), (5.0, 0.0), "{report}");
    Ok(())
}

fn set_private(file: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_their_kind() -> anyhow::Result<()> {
    // The first request of the run comes by the second connection: the first one only sees whether anybody is there.
    let (_server, url) = scripted(|before, _| match before % 4 {
        0 => {
            let mut busy = good();
            *busy.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            *busy.body_mut() = b"closed for today".to_vec();
            busy
        }
        1 => Response::new(b"<html>".to_vec()),
        _ => good(),
    })
    .await?;
    let fixed = ["--scenario", "cacerts", "--url", &url, "--danger-any-server", "--keep-alive"];
    let report = json(&[&fixed[..], &["--requests", "40"]].concat()).await?;
    assert_eq!((number(&report, "/succeeded"), number(&report, "/failed")), (20.0, 20.0));
    let errors = report["errors"].as_array().unwrap();
    let mut kinds: Vec<(&str, u64)> = (errors.iter())
        .map(|error| (error["kind"].as_str().unwrap(), error["times"].as_u64().unwrap()))
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("another answer", 10), ("status 503", 10)], "{report}");
    assert!(report.to_string().contains("closed for today"), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_holds_all_that_was_measured() -> anyhow::Result<()> {
    let (_server, url) = scripted(|_, _| good()).await?;
    let fixed = ["--scenario", "cacerts", "--url", &url, "--danger-any-server"];
    let report = json(&[&fixed[..], &["--requests", "30", "--connections", "3"]].concat()).await?;
    let keys = [
        "/seconds",
        "/per_second",
        "/unfinished",
        "/never_begun",
        "/latency_us/mean",
        "/latency_us/min",
        "/latency_us/p50",
        "/latency_us/p90",
        "/latency_us/p99",
        "/latency_us/p99_9",
        "/latency_us/max",
        "/generator/cpu_us_per_request",
        "/generator/cpu_share",
        "/generator/lag_p99_us",
        "/series/0/second",
        "/series/0/p99_us",
    ];
    for key in keys {
        assert!(number(&report, key) >= 0.0, "{key}");
    }
    assert_eq!(number(&report, "/connections"), 3.0);
    assert!(number(&report, "/latency_us/min") <= number(&report, "/latency_us/p50"));
    assert!(number(&report, "/latency_us/p99") <= number(&report, "/latency_us/max"));
    let series = report["series"].as_array().unwrap();
    let sum: u64 = series.iter().map(|point| point["succeeded"].as_u64().unwrap()).sum();
    assert_eq!(sum, 30, "nothing of it is lost over time");
    assert_eq!(report["ended"], "done");
    assert_eq!(report["server"], Value::Null, "no process was named");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_run_and_what_was_measured_is_printed() -> anyhow::Result<()> {
    for signal in ["-INT", "-TERM"] {
        let (server, url) = scripted(|_, _| good()).await?;
        let fixed = ["--scenario", "cacerts", "--url", &url, "--danger-any-server", "--keep-alive"];
        let child = load(&[&fixed[..], &["--duration", "3600", "--json"]].concat())?.spawn()?;
        let limit = Duration::from_secs(30);
        let seen = process::until(limit, async || (server.seen().len() > 20).then_some(()));
        assert!(seen.await.is_some(), "it has begun");
        // Some of what is under way has no answer when it is stopped.
        server.stall();
        let pid = child.id().unwrap().to_string();
        let kill = programs::outside("kill", "procps").unwrap_or_else(|| "kill".into());
        assert!(Command::new(kill).args([signal, &pid]).status().await?.success());
        let output = tokio::time::timeout(limit, child.wait_with_output()).await??;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(report["ended"], "stopped", "{signal}");
        assert!(
            number(&report, "/succeeded") >= 1.0 && number(&report, "/failed") == 0.0,
            "{report}"
        );
    }
    Ok(())
}
