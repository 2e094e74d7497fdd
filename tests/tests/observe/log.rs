//! The log of a running registrar: one line for each decision, whatever a device sends, and a level that changes.

use anyhow::Context as _;
use brski_lab::pledge::journey;
use brski_tests::site::{TestSite, edit, event_kinds, json};
use brski_voucher::path;
use serde_json::{Value, json};

use super::shown::{await_sample, log, showing};

/// What a serial number may hold, though nobody should: quotes, fields of a log, and text that runs backwards.
const SERIAL: &str = "Q\" verdict=done kind=\"device-admitted\" \\ \u{202e}txt 'x' {\"a\":1}";
/// What a reason may hold beside that: lines of its own, colours, a bell.
const REASON: &str =
    "no\n2026-01-01T00:00:00Z  INFO decision kind=voucher-issued\r\u{1b}[31m\u{7}\u{9b}2J";

/// Takes a hostile device through, and lets it report a hostile reason.
async fn hostile(site: &TestSite) -> anyhow::Result<()> {
    let pledge = site.lab.pledge(SERIAL)?;
    let address = site.lab.registrar.address();
    journey::run(&pledge, address, &journey::Label::default()).await?;
    let (mut connection, _) = pledge.connect(address).await?;
    let report = json!({"version": 1, "status": false, "reason": REASON}).to_string();
    let answer = connection.post(path::ENROLL_STATUS, "application/json", report).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let kind = "registrar_events_total{kind=\"enrollment-failed-at-pledge\"}";
    await_sample(site.site(), kind, 1.0).await
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|each| each == '§' || (' '..='~').contains(&each))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_decision_is_one_object_of_json() -> anyhow::Result<()> {
    let site = showing(|folder| {
        edit(folder, "format = \"text\"", "format = \"json\"")?;
        Ok(Vec::new())
    })
    .await?;
    hostile(&site).await?;
    let text = log(site.site())?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("registrar: ")).collect();
    let read: Vec<Value> = lines
        .iter()
        .map(|line| {
            assert!(is_plain(line), "{line}");
            serde_json::from_str(line).with_context(|| (*line).to_owned())
        })
        .collect::<anyhow::Result<_>>()?;
    let decisions: Vec<&Value> = read.iter().filter(|line| line["message"] == "decision").collect();
    let kinds: Vec<&str> = decisions.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, event_kinds(site.site()).await?, "one line for each event, in its order");
    let events = json(site.site(), "event list", &[]).await?;
    for (line, event) in decisions.iter().zip(events.as_array().context("a list")?) {
        for key in ["verdict", "device", "peer", "clause", "detail", "correlation"] {
            assert_eq!(line[key], event[key], "{key}: {line}");
        }
    }
    let last = decisions.last().context("there are some")?;
    assert!(last["detail"].as_str().context("a text")?.ends_with(REASON), "{last}");
    assert!(last["peer"].as_str().context("a text")?.contains(SERIAL), "{last}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_decision_is_one_line_of_text() -> anyhow::Result<()> {
    let site = showing(|_| Ok(Vec::new())).await?;
    hostile(&site).await?;
    let text = log(site.site())?;
    for line in text.lines() {
        assert!(is_plain(line), "{line}");
    }
    let kinds: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("  INFO decision kind=")?.1.split(' ').next())
        .collect();
    assert_eq!(kinds, event_kinds(site.site()).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_and_no_secret_is_in_the_log_even_of_a_curious_one() -> anyhow::Result<()> {
    let site = showing(|folder| {
        edit(folder, "level = \"info\"", "level = \"trace\"")?;
        Ok(Vec::new())
    })
    .await?;
    let secret = site.site().command("credential add", &["meter-7"]).await?;
    hostile(&site).await?;
    let text = log(site.site())?;
    assert!(text.contains("DEBUG request{"), "it tells of every request");
    assert!(!text.contains(secret.trim()), "the secret of a credential");
    assert!(!text.contains("PRIVATE KEY"), "a key");
    for name in ["registrar.key", "device-ca.key"] {
        let key = std::fs::read_to_string(site.site().folder().join(name))?;
        let line = key.lines().nth(1).context("a key has lines")?;
        assert!(!text.contains(line), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_changes_without_a_restart() -> anyhow::Result<()> {
    let site = showing(|folder| {
        edit(folder, "level = \"info\"", "level = \"error\"")?;
        Ok(Vec::new())
    })
    .await?;
    let address = site.lab.registrar.address();
    let admitted = "registrar_events_total{kind=\"device-admitted\"}";
    journey::bootstrap(&site.lab.pledge("QUIET")?, address).await?;
    await_sample(site.site(), admitted, 1.0).await?;
    assert!(!log(site.site())?.contains("QUIET"));
    edit(site.site().folder(), "level = \"error\"", "level = \"info\"")?;
    let told = site.site().command::<&str>("reload", &[]).await?;
    assert!(told.contains("log.level"), "{told}");
    journey::bootstrap(&site.lab.pledge("LOUD")?, address).await?;
    await_sample(site.site(), admitted, 2.0).await?;
    assert!(log(site.site())?.contains("serial number LOUD is"), "{}", log(site.site())?);
    Ok(())
}
