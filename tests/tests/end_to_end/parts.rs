//! Services that live in the lab's own process: when one of them ends by itself, so does the run, at once, and says
//! which it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use brski_tests::listeners;

use crate::lab::{Running, written};
use crate::refusals::{HOUR, joined};

/// Runs a scenario whose devices come for an hour until one of the lab's services is shut, where that can be; gives what
/// the run says of it.
async fn shut_in(
    issuer: &str,
    is_wanted: impl Fn(SocketAddr, &str) -> bool,
) -> anyhow::Result<Option<String>> {
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), &format!("[issuer]\nkind = {issuer:?}\n{HOUR}"))?;
    let site = folder.path().join("site");
    let (file, dir) = (file.to_string_lossy(), site.to_string_lossy());
    let lab = Running::start(&["--scenario", &file, "--json", "--dir", &dir])?;
    joined(&site).await?;
    let config = std::fs::read_to_string(site.join("registrar/registrar.toml"))?;
    let began = Instant::now();
    if !listeners::shut(lab.process()?, |address| is_wanted(address, &config))? {
        return Ok(None);
    }
    let came = lab.end().await?;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(came.code, Some(1), "{}", came.said);
    let report = came.report()?;
    assert_eq!(report["ended"], "component-failed", "{report:#}");
    assert!(report["enrolled"].as_u64() >= Some(1), "what was measured is there: {report:#}");
    let reason = report["reason"].as_str().context("a reason")?;
    Ok(Some(reason.to_owned()))
}

#[tokio::test]
async fn a_masa_that_ends_ends_the_run_at_once() -> anyhow::Result<()> {
    let Some(reason) = shut_in("local", |_, _| true).await? else {
        return Ok(());
    };
    for words in ["the MASA of m at localhost:", "Invalid argument", "voucher requests had come"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_ca_of_the_lab_that_ends_ends_the_run_at_once() -> anyhow::Result<()> {
    let is_ca = |address: SocketAddr, config: &str| {
        config.contains(&format!("https://localhost:{}/dir", address.port()))
    };
    let Some(reason) = shut_in("lying", is_ca).await? else {
        return Ok(());
    };
    for words in ["the CA that lies ended by itself", "Invalid argument", "it had told 0 lies"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
    Ok(())
}
