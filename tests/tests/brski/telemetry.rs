//! Status reports: what is told of them, and what is refused (RFC 8995 §5.7, §5.9.4).

use brski_lab::http::Answer;
use brski_lab::masa::MasaOptions;
use brski_tests::site::{TestSite, event_kinds, json};
use brski_voucher::path;

use crate::desk::{Visit, ask, assert_refused, plan, start, state};

/// Sends a report over the connection of a visit.
async fn report(visit: &mut Visit, path: &str, body: &str) -> anyhow::Result<Answer> {
    Ok(visit.connection.post(path, "application/json", body.to_owned()).await?)
}

async fn detail(site: &TestSite, kind: &str) -> anyhow::Result<String> {
    let events = json(site.site(), "event list", &[]).await?;
    let found = events.as_array().into_iter().flatten().rev().find(|event| event["kind"] == kind);
    Ok(found.and_then(|event| event["detail"].as_str()).unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_a_report_says_is_kept_and_what_is_not_known_is_told() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    let pledge = site.lab.pledge("REPORT-1")?;
    let (_, mut visit) = ask(&site, &pledge).await?;
    let body = r#"{"version":1,"status":true,"Status":false,"colour":"blue"}"#;
    assert_eq!(report(&mut visit, path::VOUCHER_STATUS, body).await?.status, 200);
    assert_eq!(state(&site, "REPORT-1").await?, "vouchered", "keys are case-sensitive");
    let told = detail(&site, "voucher-accepted").await?;
    assert_eq!(told, "members not known: Status, colour");
    let body = r#"{"version":3,"status":false,"reason":"no clock","reason-context":{"year":1970}}"#;
    assert_eq!(report(&mut visit, path::ENROLL_STATUS, body).await?.status, 200);
    let told = detail(&site, "enrollment-failed-at-pledge").await?;
    assert_eq!(told, "over a session with the IDevID: no clock; {\"year\":1970}");
    let told = detail(&site, "status-version-unknown").await?;
    assert!(told.contains("version 3"), "{told}");
    Ok(())
}

#[tokio::test]
async fn reports_that_are_none_or_are_about_nothing_are_refused() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    let pledge = site.lab.pledge("REPORT-2")?;
    let mut visit = Visit::begin(&site, &pledge).await?;
    let good = r#"{"version":1,"status":true}"#;
    for path in [path::VOUCHER_STATUS, path::ENROLL_STATUS] {
        let answer = report(&mut visit, path, good).await?;
        assert_refused(&site, &answer, 404, "no voucher exchange", "status-without-exchange")
            .await?;
    }
    assert_eq!(visit.ask(&pledge).await?.status, 200);
    for path in [path::VOUCHER_STATUS, path::ENROLL_STATUS] {
        for body in
            ["", "{}", "[1]", "{\"version\":1}", "{\"version\":1,\"status\":\"yes\"}", "nonsense"]
        {
            let answer = report(&mut visit, path, body).await?;
            assert_refused(&site, &answer, 400, "cannot be read", "status-unreadable").await?;
        }
        let answer = visit.connection.post(path, "text/plain", good).await?;
        assert_refused(&site, &answer, 415, "text/plain", "media-type-unknown").await?;
        let events = json(site.site(), "event list", &["--device", "REPORT-2"]).await?;
        let last = events.as_array().and_then(|events| events.last()).expect("there are events");
        assert_eq!(last["kind"], "media-type-unknown", "it is told of the device: {last}");
        assert_eq!(visit.connection.get(path).await?.status, 405);
        let long = format!(r#"{{"version":1,"status":true,"reason":"{}"}}"#, "x".repeat(17_000));
        let answer = report(&mut visit, path, &long).await?;
        assert_refused(&site, &answer, 400, "more than 16384", "status-unreadable").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failure_closes_est_whatever_the_exchange_came_to() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    let pledge = site.lab.pledge("REPORT-3")?;
    let (_, mut visit) = ask(&site, &pledge).await?;
    let failure = r#"{"version":1,"status":false,"reason":"other domain"}"#;
    for _ in 0..2 {
        assert_eq!(report(&mut visit, path::VOUCHER_STATUS, failure).await?.status, 200);
        assert_eq!(state(&site, "REPORT-3").await?, "admitted");
    }
    // It cannot be taken back; a new voucher is needed.
    let success = r#"{"version":1,"status":true}"#;
    let answer = report(&mut visit, path::VOUCHER_STATUS, success).await?;
    assert_refused(&site, &answer, 404, "no voucher exchange", "status-without-exchange").await?;
    assert_eq!(state(&site, "REPORT-3").await?, "admitted");
    let kinds = event_kinds(site.site()).await?;
    assert!(!kinds.contains(&"audit-log-accepted".to_owned()), "no log was asked for: {kinds:?}");
    Ok(())
}
