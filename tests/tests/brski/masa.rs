//! What a MASA can do wrong: refused with an event, within bounded time and memory, and nothing is forwarded.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use brski_lab::masa::{Masa, MasaOptions, Misbehaviour};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_tests::est::{Key, connect, post};
use brski_tests::scripted::ScriptedServer;
use brski_tests::site::{TestSite, event_kinds, json};
use brski_tests::valve::Valve;
use http::Response;

use crate::desk::{ask, assert_refused, plan, start, state};

/// A site whose registrar gives a MASA two seconds.
async fn site() -> anyhow::Result<TestSite> {
    let edits = [("masa_timeout_secs = 10", "masa_timeout_secs = 2")];
    start(plan(MasaOptions::default(), &[]), &edits).await
}

#[tokio::test]
async fn answers_that_are_no_vouchers_for_this_pledge_are_not_forwarded() -> anyhow::Result<()> {
    let site = site().await?;
    for (misbehaviour, status, words, event) in [
        (Misbehaviour::Garbage, 502, "cannot be read", "voucher-unusable"),
        (Misbehaviour::WrongType, 502, "text/html", "voucher-unusable"),
        (Misbehaviour::WrongSerial, 502, "another device", "voucher-unusable"),
        (Misbehaviour::WrongNonce, 502, "nonce", "voucher-unusable"),
        (Misbehaviour::WrongSigner, 502, "refused", "voucher-unusable"),
        (Misbehaviour::WrongPin, 502, "pinned-domain-cert", "voucher-unusable"),
        (Misbehaviour::Huge, 502, "longer than 65536 octets", "voucher-unusable"),
        (Misbehaviour::Redirects, 502, "307", "masa-refused"),
        (Misbehaviour::Refuses, 403, "sold to somebody else", "masa-refused"),
        (Misbehaviour::Unauthorized, 502, "operator was told", "masa-unauthorized"),
    ] {
        site.lab.masa.behave(misbehaviour);
        let asked = site.lab.masa.requests();
        let pledge = site.lab.pledge(&format!("BAD-{misbehaviour:?}"))?;
        let begin = Instant::now();
        let (answer, _) = ask(&site, &pledge).await?;
        assert_refused(&site, &answer, status, words, event).await?;
        assert!(begin.elapsed() < Duration::from_secs(10), "{misbehaviour:?}");
        assert_eq!(site.lab.masa.requests(), asked + 1, "{misbehaviour:?}: asked once");
        assert_eq!(state(&site, &format!("BAD-{misbehaviour:?}")).await?, "admitted");
    }
    Ok(())
}

#[tokio::test]
async fn a_masa_that_never_ends_its_answer_is_given_up_in_time() -> anyhow::Result<()> {
    let site = site().await?;
    site.lab.masa.behave(Misbehaviour::Slow);
    let pledge = site.lab.pledge("SLOW-MASA")?;
    let begin = Instant::now();
    let (answer, mut visit) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 503, "cannot be reached", "masa-unavailable").await?;
    assert_eq!(answer.retry_after, "30");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    site.lab.masa.behave(Misbehaviour::None);
    let answer = visit.ask(&pledge).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_masa_that_wants_time_gets_the_same_request_again() -> anyhow::Result<()> {
    let site = site().await?;
    let pledge = site.lab.pledge("WAITS")?;
    site.lab.masa.behave(Misbehaviour::Waits);
    let (answer, mut visit) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 202, "still deciding", "masa-waiting").await?;
    assert_eq!(answer.retry_after, "1");
    let database = rusqlite::Connection::open(site.site().folder().join("registrar.db"))?;
    let sent = || -> anyhow::Result<Vec<u8>> {
        let sql = "SELECT registrar_request FROM voucher_exchanges";
        Ok(database.query_row(sql, [], |row| row.get(0))?)
    };
    let before = sent()?;
    site.lab.masa.behave(Misbehaviour::None);
    let answer = visit.ask(&pledge).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((sent()? == before, site.lab.masa.requests()), (true, 2));
    Ok(())
}

#[tokio::test]
async fn a_retry_is_answered_from_the_store_after_policy_was_asked_again() -> anyhow::Result<()> {
    let site = site().await?;
    let pledge = site.lab.pledge("AGAIN")?;
    let (first, mut visit) = ask(&site, &pledge).await?;
    site.lab.masa.behave(Misbehaviour::Unavailable);
    let second = visit.ask(&pledge).await?;
    assert_eq!((second.status, second.body == first.body), (200, true));
    assert_eq!(site.lab.masa.requests(), 1);
    // Another device that got hold of the request gets nothing of it.
    let thief = site.lab.pledge("THIEF")?;
    let (mut connection, _) = thief.connect(site.lab.registrar.address()).await?;
    let path = brski_voucher::path::REQUEST_VOUCHER;
    let answer = connection.post(path, thief.media_type(), visit.body.clone()).await?;
    assert_refused(&site, &answer, 403, "signature", "voucher-request-signature").await?;
    site.site().command("device block", &["AGAIN"]).await?;
    let answer = visit.ask(&pledge).await?;
    assert_refused(&site, &answer, 403, "blocked", "device-barred").await
}

#[tokio::test]
async fn a_failed_voucher_closes_est_until_a_new_one_succeeds() -> anyhow::Result<()> {
    let site = site().await?;
    let pledge = site.lab.pledge("FAILS")?;
    let address = site.lab.registrar.address();
    let enrolled = journey::run(&pledge, address, &Label::default()).await?;
    site.lab.masa.behave(Misbehaviour::Refuses);
    let (answer, _) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 403, "sold to somebody else", "masa-refused").await?;
    assert_eq!(state(&site, "FAILS").await?, "admitted");
    // Neither the IDevID nor the certificate helps.
    let csr = Key::new()?.csr("fails")?;
    let (mut connection, _) = pledge.connect(address).await?;
    let answer = post(&mut connection, "simpleenroll", &csr, None).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    let mut connection = connect(&site, Some(&enrolled.credential)).await?;
    let answer = post(&mut connection, "simplereenroll", &csr, None).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    // While it is only away, nothing is known against the device.
    site.lab.masa.behave(Misbehaviour::None);
    journey::bootstrap(&pledge, address).await?;
    assert_eq!(state(&site, "FAILS").await?, "vouchered");
    site.lab.masa.behave(Misbehaviour::Unavailable);
    let (answer, _) = ask(&site, &pledge).await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(state(&site, "FAILS").await?, "vouchered");
    Ok(())
}

#[tokio::test]
async fn a_voucher_without_a_nonce_is_for_operators_who_take_such() -> anyhow::Result<()> {
    for (policy, status) in [("accept", 200), ("refuse", 502)] {
        let line = format!("nonceless = \"{policy}\"\n");
        let edits = [("nonceless = \"accept\"\n", line.as_str())];
        let site = start(plan(MasaOptions::default(), &[]), &edits).await?;
        site.lab.masa.behave(Misbehaviour::NoNonce);
        let (answer, _) = ask(&site, &site.lab.pledge("NO-NONCE")?).await?;
        assert_eq!(answer.status, status, "{policy}: {}", answer.text());
        if status == 502 {
            assert_refused(&site, &answer, 502, "no nonce", "voucher-unusable").await?;
        }
    }
    Ok(())
}

/// A device whose IDevID names a MASA that is not the site's.
fn pledge_of(site: &TestSite, serial: &str, url: &str) -> anyhow::Result<Pledge> {
    let authority = &site.lab.manufacturer.authority;
    Ok(Pledge::new(authority.idevid(serial, url)?, authority.certificate())?)
}

#[tokio::test]
async fn a_masa_must_prove_its_name_under_the_manufacturers_anchors() -> anyhow::Result<()> {
    let masa_hosts = ["--masa-host", "127.0.0.2"];
    let site = start(plan(MasaOptions::default(), &masa_hosts), &[]).await?;
    // Its certificate is for localhost and 127.0.0.1.
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], 0));
    let other_name = Masa::start(elsewhere, &site.lab.manufacturer).await?;
    let url = format!("127.0.0.2:{}", other_name.address().port());
    let pledge = pledge_of(&site, "OTHER-NAME", &url)?;
    let (answer, _) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 503, "cannot be reached", "masa-unavailable").await?;
    // And one whose certificate somebody else made.
    let stranger = Manufacturer::new("stranger")?;
    let impostor = Masa::start(SocketAddr::from(([127, 0, 0, 1], 0)), &stranger).await?;
    let pledge = pledge_of(&site, "IMPOSTOR", &impostor.url())?;
    let (answer, _) = ask(&site, &pledge).await?;
    assert_refused(&site, &answer, 503, "cannot be reached", "masa-unavailable").await?;
    assert_eq!((other_name.requests(), impostor.requests()), (0, 0), "nothing was sent");
    let events = json(site.site(), "event list", &[]).await?;
    let last = events.as_array().and_then(|events| events.last()).expect("there are events");
    let detail = last["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("TLS with localhost failed"), "{detail}");
    Ok(())
}

#[tokio::test]
async fn an_idevid_that_names_no_masa_or_a_wrong_one_is_told_so() -> anyhow::Result<()> {
    let site = site().await?;
    for (serial, url) in [("EMPTY", ""), ("SPACE", "a b"), ("PORT", "localhost:99999")] {
        let pledge = pledge_of(&site, serial, url)?;
        let (answer, _) = ask(&site, &pledge).await?;
        assert_refused(&site, &answer, 403, "MASA", "masa-unusable").await?;
    }
    // A scheme that is not https is no reason not to use it.
    let url = format!("http://{}", site.lab.masa.url());
    let (answer, _) = ask(&site, &pledge_of(&site, "PLAIN", &url)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some("voucher-issued"));
    Ok(())
}

/// A MASA that refuses everybody with this status, and the connections on the way to it.
async fn behind_valve(
    site: &TestSite,
    connection: &'static str,
) -> anyhow::Result<(ScriptedServer, Valve)> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let authority = &site.lab.manufacturer.authority;
    let masa = ScriptedServer::start(local, authority, move |_, _| {
        let answer = Response::builder().status(403).header("connection", connection);
        answer.body(b"sold to nobody".to_vec()).expect("an answer")
    })
    .await?;
    let valve = Valve::open(SocketAddr::from(([127, 0, 0, 1], 0)), masa.address).await?;
    Ok((masa, valve))
}

#[tokio::test]
async fn a_connection_to_a_masa_serves_many_pledges() -> anyhow::Result<()> {
    let site = site().await?;
    let (masa, valve) = behind_valve(&site, "keep-alive").await?;
    let url = format!("localhost:{}", valve.address().port());
    for number in 0..3 {
        let pledge = pledge_of(&site, &format!("KEPT-{number}"), &url)?;
        let (answer, _) = ask(&site, &pledge).await?;
        assert_refused(&site, &answer, 403, "sold to nobody", "masa-refused").await?;
    }
    assert_eq!((masa.seen().len(), valve.opened()), (3, 1), "one connection for three");
    // The MASA closes it at the very moment that it is used again.
    valve.break_once();
    let (answer, _) = ask(&site, &pledge_of(&site, "CUT", &url)?).await?;
    assert_refused(&site, &answer, 403, "sold to nobody", "masa-refused").await?;
    assert_eq!((masa.seen().len(), valve.opened()), (5, 2), "sent again over a new one");
    // The hosts of the manufacturer are looked at for a connection that is there, too.
    let name = &site.lab.manufacturer.name;
    site.site().command("manufacturer set", &[name, "--masa-host", "elsewhere.example"]).await?;
    let (answer, _) = ask(&site, &pledge_of(&site, "NOT-LISTED", &url)?).await?;
    assert_refused(&site, &answer, 403, "elsewhere.example", "masa-unusable").await?;
    assert_eq!((masa.seen().len(), valve.opened()), (5, 2), "nothing was sent");
    Ok(())
}

#[tokio::test]
async fn a_masa_that_closes_each_connection_gets_a_new_one_each_time() -> anyhow::Result<()> {
    let site = site().await?;
    let (masa, valve) = behind_valve(&site, "close").await?;
    let url = format!("localhost:{}", valve.address().port());
    for number in 0..2 {
        let pledge = pledge_of(&site, &format!("CLOSED-{number}"), &url)?;
        let (answer, _) = ask(&site, &pledge).await?;
        assert_refused(&site, &answer, 403, "sold to nobody", "masa-refused").await?;
    }
    assert_eq!((masa.seen().len(), valve.opened()), (2, 2));
    Ok(())
}
