//! Two registrars on one PostgreSQL: one is killed in the middle of an order, the other finishes it, and answers the
//! challenge that the first one placed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brski_lab::masa::Masa;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::postgres::Cluster;
use brski_tests::programs;
use brski_tests::proxy::{Fault, Proxy};
use brski_tests::site::{edit, json};
use std::os::unix::fs::PermissionsExt as _;

fn loopback() -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], process::free_port()?)))
}

/// Copies a registrar's folder, as an operator does who adds a node.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_registrar_finishes_what_a_killed_one_began() -> anyhow::Result<()> {
    let (Some(cluster), Some(program)) = (Cluster::start()?, programs::outside("pebble", "pebble"))
    else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(SocketAddr::from(([127, 0, 0, 1], 0)), &manufacturer).await?;
    let (est, dns, dns_of_second) = (loopback()?, loopback()?, loopback()?);
    // The CA asks the second one alone: it answers what the first one placed.
    let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(&program, folder.path(), dns_of_second, &options).await?;
    let proxy = Proxy::start(pebble.address(), &pebble.tls_anchor()).await?;
    let anchor = folder.path().join("proxy-ca.pem");
    std::fs::write(&anchor, proxy.anchor())?;
    let registrar = programs::ours("registrar")?;
    let (first_folder, second_folder) = (folder.path().join("first"), folder.path().join("second"));
    let first = Site::new(&registrar, &first_folder)?;
    let mut arguments: Vec<OsString> = vec!["--domain".into(), up::ZONE.into(), "--listen".into()];
    arguments.push(est.to_string().into());
    let directory = format!("https://localhost:{}/dir", proxy.address().port());
    let acme = up::acme_arguments(&directory, &pebble, dns);
    arguments.extend(acme.into_iter().map(|argument| {
        if argument == pebble.tls_anchor().as_os_str() { anchor.clone().into() } else { argument }
    }));
    first.init(&arguments).await?;
    let url = first_folder.join("postgres.url");
    std::fs::write(&url, cluster.database()?)?;
    std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o600))?;
    edit(
        &first_folder,
        "path = \"registrar.db\"",
        "url_file = \"postgres.url\"\nnode = \"first\"",
    )?;
    edit(&first_folder, "lease_secs = 120", "lease_secs = 10")?;
    let running = first.serve().await?;
    up::introduce(&first, folder.path(), &manufacturer).await?;
    // With the account's key, which the first one has made.
    process::until(Duration::from_secs(10), async || {
        (proxy.count("new-account") >= 2).then_some(())
    })
    .await;
    copy(&first_folder, &second_folder)?;
    edit(&second_folder, "node = \"first\"", "node = \"second\"")?;
    edit(&second_folder, &est.to_string(), &loopback()?.to_string())?;
    edit(&second_folder, &dns.to_string(), &dns_of_second.to_string())?;
    let second = Site::new(&registrar, &second_folder)?.serve().await?;

    // The first one's order is held when it has placed the answer and tells the CA.
    proxy.fault(Some("challenge"), 0, 1, Fault::HoldRequest);
    let idevid = manufacturer.authority.idevid("NODES-1", &masa.url())?;
    let pledge = Arc::new(Pledge::new(idevid, manufacturer.authority.certificate())?);
    let (asking, address) = (Arc::clone(&pledge), running.address());
    let begun =
        tokio::spawn(
            async move { journey::run(&asking, address, &Label::default()).await.is_ok() },
        );
    tokio::select! {
        reached = tokio::time::timeout(Duration::from_secs(60), proxy.reached()) => reached?,
        ended = begun => panic!("it ended before: {ended:?}"),
    }
    running.kill().await;
    // Nobody asks for it any more, and the second one finishes it when the first one's lease has ended.
    let finished = process::until(Duration::from_secs(60), async || {
        let story = json(second.site(), "device show", &["NODES-1"]).await.ok()?;
        (story["certificates"].as_array()?.len() == 1).then_some(())
    });
    assert!(
        finished.await.is_some(),
        "{}",
        json(second.site(), "device show", &["NODES-1"]).await?
    );
    assert_eq!(pebble.count("Added order")?, 1, "the first one's order");
    assert_eq!(pebble.count("Issued certificate serial")?, 1);
    // The pledge comes back, to the other one, and makes a new key, which is another wish.
    let enrolled = tokio::time::timeout(
        Duration::from_secs(60),
        journey::run(&pledge, second.address(), &Label::default()),
    )
    .await??;
    assert_eq!(enrolled.certificate.dns_names(), ["nodes-1.iot.lab.example"]);
    assert_eq!(pebble.count("Added order")?, 2);
    assert_eq!(pebble.count("Issued certificate serial")?, 2, "one for each enrollment");
    assert!(second.counters().await?.dns_answers > 0, "it answered for the first one");
    second.stop().await;
    pebble.stop().await;
    Ok(())
}
