//! A clock that is earlier than what the trail holds: nothing is issued, everybody is told, and it mends itself.

use std::ffi::OsString;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use brski_lab::pledge::journey;
use brski_lab::process::until;
use brski_lab::registrar::Site;
use brski_lab::up::Lab;
use brski_tests::est;
use brski_tests::programs::faketime;
use brski_tests::site::{TestSite, json};
use serde_json::Value;

use super::shown::{LIMIT, await_sample, get, samples, showing};

const DAY: i64 = 24 * 60 * 60;
const BEHIND: &str = "registrar_clock_behind_seconds";

/// What starts a daemon with another clock, which these words describe; none where `faketime` is missing.
fn with_clock(words: &[OsString]) -> Option<Vec<OsString>> {
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(faketime()?);
    // Timers go on as they are: the date alone is another one.
    let begin = ["env".into(), preload, "FAKETIME_DONT_FAKE_MONOTONIC=1".into()];
    Some(begin.into_iter().chain(words.iter().cloned()).collect())
}

/// As [`with_clock`]: a clock as far off as a file says, in seconds, also while the daemon runs.
fn by_file(file: &Path) -> Option<Vec<OsString>> {
    let mut place = OsString::from("FAKETIME_TIMESTAMP_FILE=");
    place.push(file);
    with_clock(&[place, "FAKETIME_NO_CACHE=1".into()])
}

/// Sets the clock of whoever was started by [`by_file`]: at once, since no half of a file is read.
fn set(file: &Path, seconds: i64) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{seconds:+}\n"))?;
    Ok(std::fs::rename(new, file)?)
}

/// Waits until the daemon is ready, or is not.
async fn await_ready(site: &Site, wanted: u16) -> anyhow::Result<String> {
    let found = until(LIMIT, async || match get(site, "/readyz").await {
        Ok((status, _, text)) if status == wanted => Some(text),
        _ => None,
    });
    found.await.with_context(|| format!("/readyz does not say {wanted}"))
}

/// Waits until an event of a kind is in the trail; gives all of the kind.
async fn await_event(site: &Site, kind: &str) -> anyhow::Result<Vec<Value>> {
    let found = until(LIMIT, async || {
        let events = json(site, "event list", &["--kind", kind]).await.ok()?;
        events.as_array().filter(|events| !events.is_empty()).cloned()
    });
    found.await.with_context(|| format!("{kind} is not in the trail"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_stops_issuance_until_it_is_right() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("offset");
    set(&file, 0)?;
    let Some(launcher) = by_file(&file) else {
        return Ok(());
    };
    let site = showing(|_| Ok(launcher)).await?;
    let address = site.lab.registrar.address();
    let pledge = site.lab.pledge("CLOCK-1")?;
    let (mut connection, _) = journey::bootstrap(&pledge, address).await?;
    let first = est::Key::new()?.csr("clock-1")?;
    let answer = est::post(&mut connection, "simpleenroll", &first, None).await?;
    let issued = est::certificate(&answer)?;
    assert_eq!(samples(site.site()).await?[BEHIND], 0.0);

    set(&file, -600)?;
    let text = await_ready(site.site(), 503).await?;
    assert!(text.contains("this node's clock says"), "{text}");
    await_event(site.site(), "clock-behind").await?;
    let behind = samples(site.site()).await?[BEHIND];
    assert!((590.0..=600.0).contains(&behind), "{behind}");
    let second = est::Key::new()?.csr("clock-1")?;
    let answer = est::post(&mut connection, "simpleenroll", &second, None).await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.retry_after, "60");
    assert!(answer.text().contains("clock is wrong"), "{}", answer.text());
    // What was issued before is given again.
    let answer = est::post(&mut connection, "simpleenroll", &first, None).await?;
    assert_eq!(est::certificate(&answer)?.der(), issued.der());
    // The registrar's own certificate is not issued either.
    let refused = site.site().command::<&str>("identity renew", &[]).await.unwrap_err();
    assert!(refused.to_string().contains("this node's clock says"), "{refused}");
    let status = site.site().command::<&str>("status", &[]).await?;
    assert!(status.contains("nothing is issued"), "{status}");

    set(&file, 0)?;
    assert_eq!(await_ready(site.site(), 200).await?, "the registrar is ready\n");
    await_event(site.site(), "clock-right").await?;
    await_sample(site.site(), BEHIND, 0.0).await?;
    let answer = est::post(&mut connection, "simpleenroll", &second, None).await?;
    est::certificate(&answer)?;
    let told = await_event(site.site(), "clock-behind").await?;
    assert_eq!(told.len(), 1, "{told:?}");
    site.lab.registrar.stop().await;
    Ok(())
}

/// The site, started again by something else.
async fn again(site: TestSite, launcher: Vec<OsString>) -> anyhow::Result<TestSite> {
    let TestSite { lab: Lab { manufacturer, masa, pebble, registrar }, folder } = site;
    let registrar = registrar.stop().await.under(launcher).serve().await?;
    Ok(TestSite { lab: Lab { manufacturer, masa, pebble, registrar }, folder })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_is_forgiven_when_an_operator_says_so() -> anyhow::Result<()> {
    let Some(launcher) = with_clock(&["FAKETIME=+2d".into()]) else {
        return Ok(());
    };
    let site = showing(|_| Ok(launcher)).await?;
    journey::bootstrap(&site.lab.pledge("AHEAD-1")?, site.lab.registrar.address()).await?;
    let now = vec![OsString::from("env")];
    let site = again(site, now).await?;
    // It serves, and says at its start that something is wrong.
    await_event(site.site(), "clock-behind").await?;
    let pledge = site.lab.pledge("AHEAD-2")?;
    let (mut connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    let csr = est::Key::new()?.csr("ahead-2")?;
    let answer = est::post(&mut connection, "simpleenroll", &csr, None).await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let said = site.site().command::<&str>("clock confirm", &[]).await?;
    assert!(said.contains("which counts no more"), "{said}");
    await_ready(site.site(), 200).await?;
    let answer = est::post(&mut connection, "simpleenroll", &csr, None).await?;
    let begin = est::certificate(&answer)?.not_before();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    assert!(begin < i64::try_from(now)? + DAY, "it is of the right day");
    assert_eq!(await_event(site.site(), "clock-confirmed").await?.len(), 1);
    site.lab.registrar.stop().await;
    Ok(())
}
