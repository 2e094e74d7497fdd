//! The real registrar is killed (SIGKILL) while each of its requests to the CA is on its way, and again while each
//! answer is: the enrollment ends with exactly one certificate, and no TXT record is left.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use brski_lab::masa::Masa;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::programs;
use brski_tests::proxy::{Fault, Proxy};
use brski_tests::site::json;

/// A pledge's whole way, during which the registrar is killed at a request, or never.
struct Run {
    /// What passed the proxy before the kill, or all of it.
    seen: Vec<&'static str>,
    orders: usize,
    certificates: usize,
    /// Whether the point was reached.
    is_killed: bool,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Kills the registrar at the request with this number (from 0) and side, if it comes that far.
async fn run(at: Option<(usize, Fault)>) -> anyhow::Result<Option<Run>> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(loopback(0), &manufacturer).await?;
    let dns = loopback(process::free_port()?);
    // Which request is which number must not depend on chance.
    let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(&program, folder.path(), dns, &options).await?;
    let proxy = Proxy::start(pebble.address(), &pebble.tls_anchor()).await?;
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    let anchor = folder.path().join("proxy-ca.pem");
    std::fs::write(&anchor, proxy.anchor())?;
    let directory = format!("https://localhost:{}/dir", proxy.address().port());
    let mut arguments: Vec<OsString> = vec!["--domain".into(), up::ZONE.into(), "--listen".into()];
    arguments.push(loopback(process::free_port()?).to_string().into());
    let acme = up::acme_arguments(&directory, &pebble, dns);
    arguments.extend(acme.into_iter().map(|argument| {
        if argument == pebble.tls_anchor().as_os_str() { anchor.clone().into() } else { argument }
    }));
    site.init(&arguments).await?;
    let mut registrar = site.serve().await?;
    up::introduce(&site, folder.path(), &manufacturer).await?;
    if let Some((number, fault)) = &at {
        // What the daemon asks at its start is over when it has its account.
        process::until(Duration::from_secs(10), async || {
            (proxy.count("new-account") >= 2).then_some(())
        })
        .await;
        proxy.fault(None, *number, 1, fault.clone());
    }
    let idevid = manufacturer.authority.idevid("CRASH-1", &masa.url())?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let address = registrar.address();
    let mut journey =
        tokio::spawn(async move { journey::run(&pledge, address, &Label::default()).await });
    let mut is_killed = false;
    let mut seen = Vec::new();
    let mut early = None;
    if at.is_some() {
        tokio::select! {
            () = proxy.reached() => {
                seen = proxy.seen().iter().map(|seen| seen.about).collect();
                registrar = registrar.kill().await.serve().await?;
                is_killed = true;
            }
            enrolled = &mut journey => early = Some(enrolled??),
        }
    }
    let enrolled = match early {
        Some(enrolled) => enrolled,
        None => tokio::time::timeout(Duration::from_secs(90), journey).await???,
    };
    assert_eq!(enrolled.certificate.dns_names(), ["crash-1.iot.lab.example"]);
    if seen.is_empty() {
        seen = proxy.seen().iter().map(|seen| seen.about).collect();
    }
    let story = json(&site, "device show", &["CRASH-1"]).await?;
    assert_eq!(story["certificates"].as_array().map(Vec::len), Some(1), "{at:?} {story}");
    assert_eq!(story["enrollments"].as_array().map(Vec::len), Some(1), "{at:?}");
    let site = registrar.stop().await;
    let database = rusqlite::Connection::open(site.folder().join("registrar.db"))?;
    let answers: i64 =
        database.query_row("SELECT count(*) FROM challenge_answers", [], |row| row.get(0))?;
    assert_eq!(answers, 0, "no TXT record is left: {at:?}");
    let orders = pebble.count("Added order")?;
    let certificates = pebble.count("Issued certificate serial")?;
    pebble.stop().await;
    Ok(Some(Run { seen, orders, certificates, is_killed }))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_each_request_and_each_answer_is_on_its_way() -> anyhow::Result<()> {
    for side in [Fault::HoldRequest, Fault::HoldAnswer] {
        for number in 0..40 {
            let Some(run) = run(Some((number, side.clone()))).await? else {
                return Ok(());
            };
            if !run.is_killed {
                // The whole way has fewer requests.
                assert!(number >= 5, "an enrollment takes more than {number} requests");
                break;
            }
            let about = run.seen.last().copied().unwrap_or_default();
            // A newOrder whose answer is lost leaves an order that nobody knows of; a validation whose outcome the
            // CA decided while nobody answered its queries costs the order.
            let may_be_lost = matches!(
                (about, &side),
                ("new-order", Fault::HoldAnswer) | ("challenge", Fault::HoldAnswer)
            );
            println!(
                "killed at {side:?} {number} ({about}): {} certificate(s), {} order(s){}",
                run.certificates,
                run.orders,
                if run.orders > 1 { ", one lost by the kill" } else { "" },
            );
            assert_eq!(run.certificates, 1, "{side:?} {number} {about}");
            assert!(
                run.orders == 1 || (run.orders == 2 && may_be_lost),
                "{side:?} {number} {about}"
            );
        }
    }
    Ok(())
}
