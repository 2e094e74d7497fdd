//! Who is told of events: programs and HTTPS addresses that are there, that are away, and that come back.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use brski_est::authentication::Credentials;
use brski_lab::masa::{Login, MasaOptions, Scheme};
use brski_lab::pki::{self, Authority, Manufacturer};
use brski_lab::pledge::{Pledge, journey};
use brski_lab::process::until;
use brski_tests::site::{self, Plan, TestSite, edit, json};
use brski_voucher::{media_type, path};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::shown::{LIMIT, again, await_sample, log, show, showing};

/// Lets a device of an unknown manufacturer come, which is refused.
async fn stranger(site: &TestSite) -> anyhow::Result<()> {
    let maker = Manufacturer::new("somebody else")?;
    let idevid = maker.authority.idevid("STRANGER", "masa.example")?;
    let pledge = Pledge::new(idevid, maker.authority.certificate())?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let body = pledge.voucher_request(chain.own().context("it has one")?)?.der;
    let answer = connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    Ok(())
}

/// Puts keys into the section `[notify]`.
fn notify(folder: &Path, keys: &str) -> anyhow::Result<()> {
    edit(folder, "\ntimeout_secs = 10\n", &format!("\ntimeout_secs = 5\n{keys}\n"))
}

/// A program that keeps what it is told in the file `told` beside it, unless there is a file `away`.
fn keeper(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("keeper");
    let script = "#!/bin/sh\nset -e\ntest ! -e \"$1/away\"\ncat >> \"$1/told\"\n";
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700))?;
    Ok(program)
}

fn with_keeper(folder: &Path, events: &str) -> anyhow::Result<Vec<OsString>> {
    let program = keeper(folder)?;
    let keys = format!("events = {events}\nprogram = [{program:?}, {folder:?}]");
    notify(folder, &keys)?;
    Ok(Vec::new())
}

/// What a program was told, once there are so many.
async fn told(site: &TestSite, count: usize) -> anyhow::Result<Vec<Value>> {
    let file = site.site().folder().join("told");
    let lines = until(LIMIT, async || {
        let text = std::fs::read_to_string(&file).ok()?;
        let lines: Vec<Value> =
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
        (lines.len() >= count).then_some(lines)
    });
    lines.await.with_context(|| format!("{count} events were not told: {:?}", log(site.site())))
}

/// The events of these kinds that the trail has, the oldest first.
async fn of_kinds(site: &TestSite, kinds: &[&str]) -> anyhow::Result<Vec<Value>> {
    let events = json(site.site(), "event list", &[]).await?;
    let events = events.as_array().context("events are a list")?;
    let chosen = events.iter().filter(|event| kinds.contains(&event["kind"].as_str().unwrap()));
    Ok(chosen.cloned().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_of_exactly_the_chosen_events() -> anyhow::Result<()> {
    let events = "[\"refused\", \"enrollment-confirmed\"]";
    let site = showing(|folder| with_keeper(folder, events)).await?;
    let address = site.lab.registrar.address();
    stranger(&site).await?;
    journey::run(&site.lab.pledge("TOLD-1")?, address, &journey::Label::default()).await?;
    stranger(&site).await?;
    let told = told(&site, 3).await?;
    let expected = of_kinds(&site, &["unknown-manufacturer", "enrollment-confirmed"]).await?;
    assert_eq!(told.len(), expected.len());
    for (told, event) in told.iter().zip(&expected) {
        for key in ["kind", "verdict", "device", "peer", "clause", "detail", "correlation"] {
            assert_eq!(told[key], event[key], "{told}");
        }
    }
    assert_eq!(told[1]["device_serial"], "TOLD-1");
    assert_eq!(told[1]["device_name"], "told-1.iot.lab.example");
    assert_eq!(told[0]["node"], "registrar");
    let delivered = "registrar_notify_deliveries_total{target=\"program\",outcome=\"delivered\"}";
    await_sample(site.site(), delivered, 3.0).await?;
    await_sample(site.site(), "registrar_notify_behind_events{target=\"program\"}", 0.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_registrar_tells_what_it_had_not_told() -> anyhow::Result<()> {
    let site = showing(|folder| {
        std::fs::write(folder.join("away"), "")?;
        with_keeper(folder, "[\"refused\"]")
    })
    .await?;
    for _ in 0..3 {
        stranger(&site).await?;
    }
    let failed = "registrar_notify_deliveries_total{target=\"program\",outcome=\"failed\"}";
    await_sample(site.site(), failed, 1.0).await?;
    let site = again(site, |folder| Ok(std::fs::remove_file(folder.join("away"))?)).await?;
    stranger(&site).await?;
    let told = told(&site, 4).await?;
    let numbers: Vec<i64> = told.iter().filter_map(|event| event["seq"].as_i64()).collect();
    assert_eq!(numbers.len(), 4, "{told:?}");
    assert!(numbers.is_sorted() && told.iter().all(|event| event["verdict"] == "refused"));
    let expected = of_kinds(&site, &["unknown-manufacturer"]).await?;
    let correlations = |events: &[Value]| -> Vec<Value> {
        events.iter().map(|event| event["correlation"].clone()).collect()
    };
    assert_eq!(correlations(&told), correlations(&expected), "none is lost, none is twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_holds_no_request_up_and_is_ended() -> anyhow::Result<()> {
    let site = showing(|folder| {
        notify(folder, "events = [\"done\"]\nprogram = [\"/bin/sleep\", \"1000\"]")?;
        edit(folder, "\ntimeout_secs = 5\n", "\ntimeout_secs = 1\n")?;
        Ok(Vec::new())
    })
    .await?;
    let address = site.lab.registrar.address();
    let failed = "registrar_notify_deliveries_total{target=\"program\",outcome=\"failed\"}";
    await_sample(site.site(), failed, 1.0).await?;
    journey::run(&site.lab.pledge("HELD-1")?, address, &journey::Label::default()).await?;
    await_sample(site.site(), failed, 2.0).await?;
    assert!(log(site.site())?.contains("it was not done within 1s"), "{}", log(site.site())?);
    site.lab.registrar.stop().await;
    Ok(())
}

/// What came to an address: the header `Authorization`, and the body.
type Posted = Arc<Mutex<Vec<(String, Value)>>>;

/// An HTTPS address that is posted to; it goes away when this is dropped.
struct Address {
    address: SocketAddr,
    posted: Posted,
    task: JoinHandle<()>,
}

impl Drop for Address {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Address {
    /// Answers with these statuses, and with 204 when they are used up.
    async fn open(
        address: SocketAddr,
        authority: &Authority,
        statuses: &[u16],
    ) -> anyhow::Result<Self> {
        let credential = authority.server("alerts")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![credential.certificate.clone()],
                PrivateKeyDer::Pkcs8(credential.key.clone_key()),
            )?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let posted = Posted::default();
        let statuses = Arc::new(Mutex::new(VecDeque::from(statuses.to_vec())));
        let task = tokio::spawn(serve(listener, tls, Arc::clone(&posted), statuses));
        Ok(Self { address, posted, task })
    }

    async fn posted(&self, count: usize) -> anyhow::Result<Vec<(String, Value)>> {
        let posted = until(LIMIT, async || {
            let posted = self.posted.lock().unwrap().clone();
            (posted.len() >= count).then_some(posted)
        });
        posted.await.with_context(|| format!("{count} events were not posted"))
    }
}

async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    posted: Posted,
    statuses: Arc<Mutex<VecDeque<u16>>>,
) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = acceptor.accept(stream).await else {
            continue;
        };
        let (posted, statuses) = (Arc::clone(&posted), Arc::clone(&statuses));
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (posted, statuses) = (Arc::clone(&posted), Arc::clone(&statuses));
            async move {
                let status = statuses.lock().unwrap().pop_front().unwrap_or(204);
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let token = parts.headers.get("authorization").map(|value| value.to_str().unwrap());
                let token = token.unwrap_or_default().to_owned();
                assert_eq!(parts.headers["content-type"], "application/json");
                assert_eq!(parts.uri.path(), "/hook");
                posted.lock().unwrap().push((token, serde_json::from_slice(&body).unwrap()));
                let mut answer = Response::new(Full::new(Bytes::from_static(b"noted")));
                *answer.status_mut() = status.try_into().unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        // One connection after the other: this receiver has one sender.
        let _ = hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }
}

/// Tells an address of refusals, with a token.
fn with_address(folder: &Path, address: SocketAddr, ca: &str) -> anyhow::Result<Vec<OsString>> {
    std::fs::write(folder.join("alerts-ca.pem"), ca)?;
    let token = folder.join("alerts.token");
    std::fs::write(&token, "first\n")?;
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600))?;
    let keys = format!(
        "events = [\"refused\"]\nurl = \"https://localhost:{}/hook\"\nca = \"alerts-ca.pem\"\n\
         token_file = \"alerts.token\"",
        address.port()
    );
    notify(folder, &keys)?;
    Ok(Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_away_is_told_when_it_is_back() -> anyhow::Result<()> {
    let authority = Authority::new("alerts")?;
    let ca = authority.pem();
    let address = Address::open("127.0.0.1:0".parse()?, &authority, &[]).await?;
    let place = address.address;
    let site = showing(|folder| with_address(folder, place, &ca)).await?;
    stranger(&site).await?;
    assert_eq!(address.posted(1).await?[0].0, "Bearer first");
    // The token is exchanged, and the address goes away.
    std::fs::write(site.site().folder().join("alerts.token"), "second\n")?;
    drop(address);
    stranger(&site).await?;
    stranger(&site).await?;
    let failed = "registrar_notify_deliveries_total{target=\"url\",outcome=\"failed\"}";
    await_sample(site.site(), failed, 1.0).await?;
    let address = Address::open(place, &authority, &[500, 302, 401]).await?;
    let posted = address.posted(5).await?;
    let expected = of_kinds(&site, &["unknown-manufacturer"]).await?;
    let correlations: Vec<&Value> = posted.iter().map(|(_, event)| &event["correlation"]).collect();
    let second = &expected[1]["correlation"];
    let third = &expected[2]["correlation"];
    assert_eq!(correlations, [second, second, second, second, third], "again until it says yes");
    assert!(posted.iter().all(|(token, _)| token == "Bearer second"));
    for secret in ["first", "second"] {
        assert!(!log(site.site())?.contains(&format!("Bearer {secret}")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masa_that_does_not_accept_the_registrar_is_an_alarm_at_once() -> anyhow::Result<()> {
    let authority = Authority::new("alerts")?;
    let (ca, address) = (authority.pem(), Address::open("127.0.0.1:0".parse()?, &authority, &[]));
    let address = address.await?;
    // The MASA wants a name and a password, and the registrar was given none.
    let credentials = Credentials::new("campus", "secret of the MASA")?;
    let login = Some(Login { scheme: Scheme::Basic, credentials });
    let plan = Plan { masa: MasaOptions { login, ..MasaOptions::default() }, ..Plan::default() };
    let place = address.address;
    let site = site::brski(plan, |folder| {
        show(folder)?;
        with_address(folder, place, &ca)?;
        // As docs/OPERATING.md has it: whatever failed.
        edit(folder, "events = [\"refused\"]", "events = [\"failed\"]")?;
        Ok(Vec::new())
    })
    .await?;
    let pledge = site.lab.pledge("ALARM-1")?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let body = pledge.voucher_request(chain.own().context("it has one")?)?.der;
    let answer = connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let posted = address.posted(1).await?;
    let (token, event) = &posted[0];
    assert_eq!(token, "Bearer first");
    assert_eq!(
        (&event["kind"], &event["verdict"]),
        (&"masa-unauthorized".into(), &"failed".into())
    );
    assert_eq!(event["clause"], "RFC 8995 §5.4");
    assert_eq!(event["device_serial"], "ALARM-1", "{event}");
    let detail = event["detail"].as_str().context("a text")?;
    assert!(detail.contains("does not accept this registrar"), "{detail}");
    let expected = of_kinds(&site, &["masa-unauthorized"]).await?;
    assert_eq!(expected.len(), 1);
    assert_eq!(event["correlation"], expected[0]["correlation"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_foreign_certificate_is_not_told() -> anyhow::Result<()> {
    let foreign = Authority::new("alerts")?;
    let address = Address::open("127.0.0.1:0".parse()?, &foreign, &[]).await?;
    let ca = pki::pem("CERTIFICATE", Authority::new("alerts")?.certificate());
    let site = showing(|folder| with_address(folder, address.address, &ca)).await?;
    stranger(&site).await?;
    let failed = "registrar_notify_deliveries_total{target=\"url\",outcome=\"failed\"}";
    await_sample(site.site(), failed, 2.0).await?;
    assert!(address.posted.lock().unwrap().is_empty());
    assert!(log(site.site())?.contains("invalid peer certificate"), "{}", log(site.site())?);
    Ok(())
}
