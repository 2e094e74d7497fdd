//! A registrar that is killed in the middle of an order finishes that very order when it starts again.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use brski_lab::masa::Masa;
use brski_lab::pebble::Pebble;
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::programs;
use brski_tests::proxy::{Point, Proxy};
use brski_tests::site::json;

/// Kills the registrar at this point of a pledge's order, starts it again, and counts what the CA saw.
async fn killed_at(point: Point) -> anyhow::Result<()> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(loopback(0), &manufacturer).await?;
    let dns = loopback(process::free_port()?);
    let pebble = Pebble::start(&program, folder.path(), dns).await?;
    let proxy = Proxy::start(pebble.address(), &pebble.tls_anchor(), point).await?;
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    let anchor = folder.path().join("proxy-ca.pem");
    std::fs::write(&anchor, proxy.anchor())?;
    let arguments: Vec<OsString> = vec![
        "--domain".into(),
        up::ZONE.into(),
        "--listen".into(),
        loopback(process::free_port()?).to_string().into(),
        "--issuer".into(),
        "acme".into(),
        "--accept-terms".into(),
        "--acme-directory".into(),
        format!("https://localhost:{}/dir", proxy.address().port()).into(),
        "--acme-ca".into(),
        anchor.into(),
        "--acme-root".into(),
        pebble.root().into(),
        "--dns-listen".into(),
        dns.to_string().into(),
    ];
    site.init(&arguments).await?;
    let registrar = site.serve().await?;
    up::introduce(&site, folder.path(), &manufacturer).await?;
    let idevid = manufacturer.authority.idevid("CRASH-1", &masa.url())?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let address = registrar.address();
    let journey =
        tokio::spawn(async move { journey::run(&pledge, address, &Label::default()).await });
    tokio::time::timeout(Duration::from_secs(30), proxy.reached()).await?;
    let site = registrar.kill().await;
    let registrar = site.serve().await?;
    let enrolled = tokio::time::timeout(Duration::from_secs(60), journey).await???;
    assert_eq!(enrolled.certificate.dns_names(), ["crash-1.iot.lab.example"]);
    assert_eq!(pebble.count("Added order")?, 1, "one order");
    assert_eq!(pebble.count("Issued certificate serial")?, 1, "one certificate");
    let story = json(&site, "device show", &["CRASH-1"]).await?;
    assert_eq!(story["certificates"].as_array().map(Vec::len), Some(1));
    assert_eq!(story["enrollments"].as_array().map(Vec::len), Some(1));
    registrar.stop().await;
    pebble.stop().await;
    Ok(())
}

#[tokio::test]
async fn killed_before_it_tells_the_ca_to_validate() -> anyhow::Result<()> {
    killed_at(Point::BeforeValidation).await
}

#[tokio::test]
async fn killed_after_the_ca_got_the_csr() -> anyhow::Result<()> {
    killed_at(Point::AfterFinalize).await
}
