//! The audit log: asked for in time, judged by policy, kept; against policy, EST is closed until a new voucher succeeds.

use brski_lab::http::Answer;
use brski_lab::masa::{LogStyle, MasaOptions, Misbehaviour};
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_tests::est::{Key, post};
use brski_tests::site::{TestSite, event_kinds, json};

use crate::desk::{Visit, ask, assert_refused, plan, start, state};

const BEFORE: (&str, &str) = ("when = \"after-status\"", "when = \"before-voucher\"");
const REFUSE: (&str, &str) = ("missing = \"accept\"", "missing = \"refuse\"");

/// Sends a CSR over the IDevID.
async fn enroll(site: &TestSite, pledge: &Pledge) -> anyhow::Result<Answer> {
    let (mut connection, _) = pledge.connect(site.lab.registrar.address()).await?;
    let csr = Key::new()?.csr(&pledge.serial().as_str().to_lowercase())?;
    post(&mut connection, "simpleenroll", &csr, None).await
}

async fn audit_of(site: &TestSite, serial: &str) -> anyhow::Result<serde_json::Value> {
    let story = json(site.site(), "voucher show", &[serial]).await?;
    Ok(story["last_exchange"]["audit"].clone())
}

#[tokio::test]
async fn it_is_asked_for_when_the_voucher_is_accepted_and_kept() -> anyhow::Result<()> {
    for (serial, log) in
        [("LOG-200", LogStyle::Body), ("LOG-PATH", LogStyle::Path), ("LOG-URL", LogStyle::Url)]
    {
        let masa = MasaOptions { log, ..MasaOptions::default() };
        let site = start(plan(masa, &[]), &[]).await?;
        let pledge = site.lab.pledge(serial)?;
        let (answer, _) = ask(&site, &pledge).await?;
        assert_eq!((answer.status, site.lab.masa.log_requests()), (200, 0));
        journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
        assert_eq!(site.lab.masa.log_requests(), 1, "{serial}");
        assert_eq!(audit_of(&site, serial).await?, "accepted");
        let story = json(site.site(), "voucher show", &[serial]).await?;
        let kept = story["last_exchange"]["audit_log"].as_str().unwrap_or_default();
        let kept: serde_json::Value = serde_json::from_str(kept)?;
        assert_eq!(kept["events"].as_array().map(Vec::len), Some(2), "{kept}");
        let kinds = event_kinds(site.site()).await?;
        let place = |word: &str| kinds.iter().position(|kind| kind == word);
        assert!(place("voucher-accepted") < place("audit-log-accepted"), "{kinds:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_strangers_domain_in_it_keeps_the_voucher_back() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[BEFORE]).await?;
    let pledge = site.lab.pledge("LOG-1")?;
    site.lab.masa.behave(Misbehaviour::ForeignLog);
    let (answer, mut visit) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 406, "history is not accepted", "audit-log-refused").await?;
    assert_eq!(state(&site, "LOG-1").await?, "admitted");
    assert_eq!(audit_of(&site, "LOG-1").await?, "refused");
    let answer = enroll(&site, &pledge).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    // The MASA is honest now, and what it logged stays logged.
    site.lab.masa.behave(Misbehaviour::None);
    let answer = visit.ask(&pledge).await?;
    assert_refused(&site, &answer, 406, "history is not accepted", "audit-log-refused").await?;
    let kinds = event_kinds(site.site()).await?;
    assert!(!kinds.contains(&"voucher-issued".to_owned()), "{kinds:?}");
    // An honest device is not held back.
    let honest = site.lab.pledge("LOG-2")?;
    journey::run(&honest, site.lab.registrar.address(), &Label::default()).await?;
    assert_eq!(audit_of(&site, "LOG-2").await?, "accepted");
    Ok(())
}

#[tokio::test]
async fn a_strangers_domain_in_it_closes_est_after_the_voucher() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    let pledge = site.lab.pledge("LOG-3")?;
    site.lab.masa.behave(Misbehaviour::ForeignLog);
    journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some("audit-log-refused"), "{kinds:?}");
    assert_eq!(state(&site, "LOG-3").await?, "admitted");
    let answer = enroll(&site, &pledge).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    let story = json(site.site(), "voucher show", &["LOG-3"]).await?;
    let exchange = &story["last_exchange"];
    assert_eq!((&exchange["state"], &exchange["audit"]), (&"failed".into(), &"refused".into()));
    assert!(exchange["audit_reason"].as_str().is_some_and(|it| it.contains("not accepted")));
    Ok(())
}

#[tokio::test]
async fn est_opens_again_when_a_new_voucher_succeeds() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[REFUSE]).await?;
    let pledge = site.lab.pledge("LOG-4")?;
    let address = site.lab.registrar.address();
    journey::run(&pledge, address, &Label::default()).await?;
    site.lab.masa.behave(Misbehaviour::GarbageLog);
    journey::bootstrap(&pledge, address).await?;
    assert_eq!(state(&site, "LOG-4").await?, "admitted");
    let answer = enroll(&site, &pledge).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    site.lab.masa.behave(Misbehaviour::None);
    journey::run(&pledge, address, &Label::default()).await?;
    assert_eq!(state(&site, "LOG-4").await?, "enrolled");
    Ok(())
}

#[tokio::test]
async fn a_log_that_cannot_be_had_is_told_and_the_device_goes_on() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[BEFORE]).await?;
    for (misbehaviour, words) in [
        (Misbehaviour::NoLog, "404"),
        (Misbehaviour::LogUnavailable, "503"),
        (Misbehaviour::GarbageLog, "cannot be read"),
        (Misbehaviour::HugeLog, "longer than"),
        (Misbehaviour::LogElsewhere, "not a place at its own host"),
    ] {
        site.lab.masa.behave(misbehaviour);
        let serial = format!("{misbehaviour:?}").to_uppercase();
        let pledge = site.lab.pledge(&serial)?;
        let (answer, _) = ask(&site, &pledge).await?;
        assert_eq!(answer.status, 200, "{misbehaviour:?}: {}", answer.text());
        assert_eq!(audit_of(&site, &serial).await?, "missing");
        let events = json(site.site(), "event list", &[]).await?;
        let missing = events.as_array().into_iter().flatten().rev();
        let missing = missing.into_iter().find(|event| event["kind"] == "audit-log-missing");
        let detail = missing.and_then(|event| event["detail"].as_str()).unwrap_or_default();
        assert!(detail.contains(words), "{misbehaviour:?}: {detail}");
        assert_eq!(enroll(&site, &pledge).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_log_that_may_come_later_is_waited_for_where_policy_wants_one() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[BEFORE, REFUSE]).await?;
    let pledge = site.lab.pledge("LATE-LOG")?;
    site.lab.masa.behave(Misbehaviour::LogUnavailable);
    let (answer, mut visit) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 503, "MASA", "masa-unavailable").await?;
    assert_eq!(answer.retry_after, "30");
    let answer = enroll(&site, &pledge).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    site.lab.masa.behave(Misbehaviour::None);
    let answer = visit.ask(&pledge).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(site.lab.masa.requests(), 1, "the voucher was there");
    // What never will be one is as bad as one against policy.
    let other = site.lab.pledge("NO-LOG")?;
    site.lab.masa.behave(Misbehaviour::NoLog);
    let (answer, _) = ask(&site, &other).await?;
    assert_refused(&site, &answer, 406, "404", "audit-log-refused").await
}

#[tokio::test]
async fn it_is_not_asked_for_where_the_operator_says_so() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &["--audit-log", "off"]), &[BEFORE]).await?;
    let pledge = site.lab.pledge("UNLOGGED")?;
    journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    assert_eq!(site.lab.masa.log_requests(), 0);
    let mut visit = Visit::begin(&site, &pledge).await?;
    assert_eq!(visit.ask(&pledge).await?.status, 200);
    assert!(audit_of(&site, "UNLOGGED").await?.is_null());
    Ok(())
}
