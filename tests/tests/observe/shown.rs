//! A site that shows its metrics, and how to ask for them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::process::until;
use brski_lab::registrar::Site;
use brski_lab::up::Lab;
use brski_tests::site::{self, TestSite, edit};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long something that is awaited may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Lets a registrar show its metrics, and count every second.
pub(crate) fn show(folder: &Path) -> anyhow::Result<()> {
    edit(folder, "# metrics = \"127.0.0.1:9464\"", "metrics = \"127.0.0.1:0\"")?;
    edit(folder, "queues_secs = 15", "queues_secs = 1")?;
    edit(folder, "certificates_secs = 300", "certificates_secs = 1")
}

/// Kills a site's registrar, as a power cut would, and starts it again after a change.
pub(crate) async fn again(
    site: TestSite,
    change: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<TestSite> {
    let TestSite { lab: Lab { manufacturer, masa, pebble, registrar }, folder } = site;
    let stopped = registrar.kill().await;
    change(stopped.folder())?;
    let registrar = stopped.serve().await?;
    Ok(TestSite { lab: Lab { manufacturer, masa, pebble, registrar }, folder })
}

/// A site with the local issuer that shows its metrics and counts every second; `prepare` changes more.
pub(crate) async fn showing(
    prepare: impl FnOnce(&Path) -> anyhow::Result<Vec<OsString>>,
) -> anyhow::Result<TestSite> {
    site::prepared(|folder| {
        show(folder)?;
        prepare(folder)
    })
    .await
}

/// Everything that the registrar logged.
pub(crate) fn log(site: &Site) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(site.folder().join("registrar.log"))?)
}

/// Asks the metrics' own listener of the daemon that was started last: the status, the media type and the body.
pub(crate) async fn get(site: &Site, path: &str) -> anyhow::Result<(u16, String, String)> {
    let log = log(site)?;
    let address = log.rsplit_once("metrics http://").context("there is no listener")?.1;
    let address = address.split(['\n', ',']).next().unwrap_or_default().to_owned();
    let stream = TcpStream::connect(&address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", &address).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let media_type = answer.headers().get("content-type").context("it has a media type")?;
    let media_type = media_type.to_str()?.to_owned();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, media_type, String::from_utf8(body.to_vec())?))
}

/// The samples of the metrics.
pub(crate) async fn samples(site: &Site) -> anyhow::Result<BTreeMap<String, f64>> {
    let (status, _, text) = get(site, "/metrics").await?;
    anyhow::ensure!(status == 200, "{text}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').context("a sample has a value")?;
            Ok((series.to_owned(), value.parse()?))
        })
        .collect()
}

/// Waits until a series has a value.
pub(crate) async fn await_sample(site: &Site, series: &str, value: f64) -> anyhow::Result<()> {
    let found = until(LIMIT, async || {
        let samples = samples(site).await.ok()?;
        (samples.get(series) == Some(&value)).then_some(())
    });
    match found.await {
        Some(()) => Ok(()),
        None => {
            let now = samples(site).await?.get(series).copied();
            anyhow::bail!("{series} is {now:?} and not {value}")
        }
    }
}
