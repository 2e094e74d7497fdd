//! Two registrars on one PostgreSQL behind HAProxy: a device whose requests land on both, and one whose registrar dies
//! at any step, complete.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::http::Connection;
use brski_lab::masa::Masa;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::est::{self, Key};
use brski_tests::pair::{Pair, PairOptions, Which, loopback};
use brski_tests::postgres::Cluster;
use brski_tests::programs;
use brski_tests::proxy::{Fault, Proxy};
use brski_tests::site::{edit, event_kinds, json};
use brski_voucher::path;
use brski_voucher::telemetry::Status;
use serde_json::Value;
use tempfile::TempDir;

use crate::walk::Walk;

const LIMIT: Duration = Duration::from_secs(60);

/// A manufacturer, and its MASA behind something that can hold what passes.
struct Maker {
    manufacturer: Manufacturer,
    masa_gate: Proxy,
    masa_anchor: PathBuf,
    _masa: Masa,
}

impl Maker {
    async fn start(folder: &TempDir) -> anyhow::Result<Self> {
        let manufacturer = Manufacturer::new(up::MANUFACTURER)?;
        let masa = Masa::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &manufacturer).await?;
        let own = folder.path().join("masa-ca.pem");
        std::fs::write(&own, manufacturer.authority.pem())?;
        let masa_gate = Proxy::start(masa.address(), &own).await?;
        let masa_anchor = folder.path().join("masa-gate-ca.pem");
        std::fs::write(&masa_anchor, masa_gate.anchor())?;
        Ok(Self { manufacturer, masa_gate, masa_anchor, _masa: masa })
    }

    /// How many vouchers the MASA was asked for.
    fn vouchers_asked(&self) -> usize {
        let seen = self.masa_gate.seen();
        seen.iter().filter(|request| request.path == path::REQUEST_VOUCHER).count()
    }

    fn pledge(&self, serial: &str) -> anyhow::Result<Pledge> {
        let url = format!("localhost:{}", self.masa_gate.address().port());
        let idevid = self.manufacturer.authority.idevid(serial, &url)?;
        Ok(Pledge::new(idevid, self.manufacturer.authority.certificate())?)
    }
}

/// The names of the nodes that wrote the events of a device, as another node sees them.
async fn writers(pair: &Pair, serial: &str) -> anyhow::Result<BTreeSet<String>> {
    let events = json(&pair.second.site, "event list", &["--device", serial]).await?;
    let events = events.as_array().context("a list")?;
    Ok(events.iter().filter_map(|event| Some(event["node"].as_str()?.to_owned())).collect())
}

/// What a node knows of a device.
async fn story(pair: &Pair, which: Which, serial: &str) -> anyhow::Result<Value> {
    json(&pair.node(which).site, "device show", &[serial]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_land_on_alternating_nodes_complete() -> anyhow::Result<()> {
    let Some(haproxy) = programs::outside("haproxy", "haproxy") else {
        return Ok(());
    };
    let Some(cluster) = Cluster::start()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let maker = Maker::start(&folder).await?;
    let ask = ("unexpected = \"admit\"".to_owned(), "unexpected = \"ask\"".to_owned());
    let pair = Pair::start(PairOptions {
        folder: folder.path(),
        haproxy,
        database: cluster.database()?,
        arguments: Vec::new(),
        edits: vec![ask],
        second_edits: Vec::new(),
        manufacturer: (&maker.manufacturer, maker.masa_anchor.clone()),
    })
    .await?;
    let pledge = maker.pledge("TWO-1")?;
    let walk = Walk { pledge: &pledge, front: pair.front };

    // Both nodes say that a person is asked; the one that was asked last is told by whom the other one knows.
    let asked = walk.request().await?;
    for _ in 0..2 {
        let (mut connection, chain) = walk.connect().await?;
        assert_eq!(chain.own(), asked.chain.own(), "one certificate");
        assert_eq!(walk.ask(&mut connection, &asked).await?.status, 202);
    }
    let waiting = json(&pair.first.site, "approval list", &[]).await?;
    let waiting = waiting.as_array().context("a list")?;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let id = waiting[0]["id"].as_str().context("an id")?;
    pair.second.site.command("approval grant", &[id]).await?;

    let opened = || [pair.first.opened(), pair.second.opened()];
    let before = opened();
    walk.voucher(&asked).await?;
    assert_eq!(maker.vouchers_asked(), 1, "one voucher for both nodes");
    // The voucher that one node got is given by the other one too.
    walk.voucher(&asked).await?;
    walk.voucher_status().await?;
    walk.prepare().await?;
    let key = Key::new()?;
    let csr = key.csr("two-1")?;
    let credential = walk.enroll(&key, &csr).await?;
    let again = walk.enroll(&key, &csr).await?;
    assert_eq!(credential.certificate, again.certificate, "the same wish, at the other node");
    walk.enroll_status(&credential).await?;

    let [first, second] = [0, 1].map(|at| opened()[at] - before[at]);
    assert!(first >= 4 && second >= 4 && first.abs_diff(second) <= 1, "{first} and {second}");
    assert_eq!(maker.vouchers_asked(), 1, "one voucher for both nodes");
    let both = ["first", "second"].map(str::to_owned).into_iter().collect();
    assert_eq!(writers(&pair, "TWO-1").await?, both);
    for which in [Which::First, Which::Second] {
        let story = story(&pair, which, "TWO-1").await?;
        assert_eq!(story["device"]["state"], "enrolled", "{story}");
        assert_eq!(story["certificates"].as_array().map(Vec::len), Some(1), "{story}");
    }
    pair.first.site.command("event verify", &[""; 0]).await?;
    settings_that_differ_are_told(&pair).await?;
    pair.stop().await;
    Ok(())
}

/// What `registrar check` warns of, about other nodes.
fn warnings(site: &Site) -> anyhow::Result<Vec<String>> {
    let mut check = std::process::Command::new(programs::ours("registrar")?);
    let output = check.arg("check").arg("--config").arg(site.config()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "{said}");
    Ok(said.lines().filter(|line| line.contains(" node")).map(str::to_owned).collect())
}

/// A second node that is told to refuse what the first one asks a person about, and not for long.
async fn settings_that_differ_are_told(pair: &Pair) -> anyhow::Result<()> {
    let differing = async |site: &Site| {
        let status = json(site, "status", &[]).await.ok()?;
        status["settings_differing"].as_array().cloned()
    };
    for node in [&pair.first, &pair.second] {
        assert_eq!(differing(&node.site).await, Some(Vec::new()), "they agree");
    }
    let second = &pair.second.site;
    edit(second.folder(), "unexpected = \"ask\"", "unexpected = \"refuse\"")?;
    second.command("reload", &[""; 0]).await?;
    for (node, other) in [(&pair.first, "second"), (&pair.second, "first")] {
        let told = vec![Value::from(format!("{other}: policy.unexpected"))];
        let differs =
            process::until(LIMIT, async || (differing(&node.site).await? == told).then_some(()));
        differs.await.context("they differ, and it is not told")?;
    }
    // A file is compared before it is taken up, too, with both values.
    let file = pair.first.site.config().display().to_string();
    assert_eq!(
        warnings(&pair.first.site)?,
        [format!(
            "warning: {file}: policy.unexpected is \"ask\", and \"refuse\" at the node second: \
             devices may meet any node"
        )]
    );
    let printed = pair.first.site.command("status", &[""; 0]).await?;
    assert!(
        printed.contains("settings differ from those of second: policy.unexpected"),
        "{printed}"
    );
    edit(second.folder(), "unexpected = \"refuse\"", "unexpected = \"ask\"")?;
    second.command("reload", &[""; 0]).await?;
    for node in [&pair.first, &pair.second] {
        let agree =
            process::until(LIMIT, async || differing(&node.site).await?.is_empty().then_some(()));
        agree.await.context("they agree again, and it is not told")?;
    }
    for node in [&pair.first, &pair.second] {
        assert_eq!(warnings(&node.site)?, [""; 0]);
    }
    let kinds = event_kinds(&pair.first.site).await?;
    for kind in ["settings-differ", "settings-agree"] {
        assert_eq!(kinds.iter().filter(|each| *each == kind).count(), 2, "{kind}: {kinds:?}");
    }
    Ok(())
}

/// Two registrars before an ACME CA, of which the first one dies again and again; the CA asks the other one for proofs.
struct Mortal {
    _folder: TempDir,
    _cluster: Cluster,
    maker: Maker,
    pebble: Pebble,
    ca_gate: Proxy,
    pair: Pair,
}

impl Mortal {
    async fn start() -> anyhow::Result<Option<Self>> {
        let Some(haproxy) = programs::outside("haproxy", "haproxy") else {
            return Ok(None);
        };
        let Some(program) = programs::outside("pebble", "pebble") else {
            return Ok(None);
        };
        let Some(cluster) = Cluster::start()? else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let maker = Maker::start(&folder).await?;
        let (dns, dns_of_second) = (loopback()?, loopback()?);
        let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
        let pebble = Pebble::start_with(&program, folder.path(), dns_of_second, &options).await?;
        let ca_gate = Proxy::start(pebble.address(), &pebble.tls_anchor()).await?;
        let anchor = folder.path().join("ca-gate.pem");
        std::fs::write(&anchor, ca_gate.anchor())?;
        let directory = format!("https://localhost:{}/dir", ca_gate.address().port());
        let acme = up::acme_arguments(&directory, &pebble, dns).into_iter();
        let arguments: Vec<OsString> = acme
            .map(|each| if each == pebble.tls_anchor() { anchor.clone().into() } else { each })
            .collect();
        let lease = ("lease_secs = 120".to_owned(), "lease_secs = 10".to_owned());
        let pair = Pair::start(PairOptions {
            folder: folder.path(),
            haproxy,
            database: cluster.database()?,
            arguments,
            edits: vec![lease],
            second_edits: vec![(dns.to_string(), dns_of_second.to_string())],
            manufacturer: (&maker.manufacturer, maker.masa_anchor.clone()),
        })
        .await?;
        Ok(Some(Self { _folder: folder, _cluster: cluster, maker, pebble, ca_gate, pair }))
    }

    /// Opens connections until one leads to the first node, and gives that; the balancer takes a second or two to see
    /// that the node is back.
    async fn at_first(
        &self,
        open: impl AsyncFn() -> anyhow::Result<Connection>,
    ) -> anyhow::Result<Connection> {
        let connection = process::until(LIMIT, async || {
            let before = self.pair.first.opened();
            let connection = open().await.ok()?;
            (self.pair.first.opened() > before).then_some(connection)
        });
        connection.await.context("the balancer never chose the first node")
    }

    /// What the second node knows of a device that has completed.
    async fn assert_enrolled(&mut self, serial: &str) -> anyhow::Result<()> {
        let story = story(&self.pair, Which::Second, serial).await?;
        assert_eq!(story["device"]["state"], "enrolled", "{story}");
        assert_eq!(story["certificates"].as_array().map(Vec::len), Some(1), "{story}");
        self.pair.first.revive().await
    }

    /// The first node dies while it asks the MASA.
    async fn while_the_voucher_is_asked(&mut self) -> anyhow::Result<()> {
        let pledge = self.maker.pledge("DIES-1")?;
        let walk = Walk { pledge: &pledge, front: self.pair.front };
        let asked = walk.request().await?;
        self.maker.masa_gate.fault(None, 0, 1, Fault::HoldRequest);
        let mut connection = self.at_first(async || Ok(walk.connect().await?.0)).await?;
        tokio::select! {
            answer = walk.ask(&mut connection, &asked) => panic!("it answered: {answer:?}"),
            reached = tokio::time::timeout(LIMIT, self.maker.masa_gate.reached()) => reached?,
        }
        self.pair.first.kill().await;
        walk.voucher(&asked).await?;
        walk.voucher_status().await?;
        self.enroll(&walk, "dies-1").await?;
        self.assert_enrolled("DIES-1").await
    }

    /// The first node dies when it has given the voucher.
    async fn when_the_voucher_is_issued(&mut self) -> anyhow::Result<()> {
        let pledge = self.maker.pledge("DIES-2")?;
        let walk = Walk { pledge: &pledge, front: self.pair.front };
        let asked = walk.request().await?;
        let mut connection = self.at_first(async || Ok(walk.connect().await?.0)).await?;
        let answer = walk.ask(&mut connection, &asked).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.pair.first.kill().await;
        pledge.verify_voucher(&answer.body, &asked.request.nonce, &asked.chain)?;
        walk.voucher_status().await?;
        self.enroll(&walk, "dies-2").await?;
        self.assert_enrolled("DIES-2").await
    }

    /// The first node dies when the order is placed and its proof stands in the store.
    async fn when_the_order_is_placed(&mut self) -> anyhow::Result<()> {
        let orders = self.pebble.count("Added order")?;
        let pledge = self.maker.pledge("DIES-3")?;
        let walk = Walk { pledge: &pledge, front: self.pair.front };
        self.accept_voucher(&walk).await?;
        let key = Key::new()?;
        let csr = key.csr("dies-3")?;
        self.ca_gate.fault(Some("challenge"), 0, 1, Fault::HoldRequest);
        let mut connection = self.at_first(async || Ok(walk.connect().await?.0)).await?;
        tokio::select! {
            answer = est::post(&mut connection, "simpleenroll", &csr, None) => {
                panic!("it answered: {answer:?}")
            }
            reached = tokio::time::timeout(LIMIT, self.ca_gate.reached()) => reached?,
        }
        self.pair.first.kill().await;
        let credential = walk.enroll(&key, &csr).await?;
        walk.enroll_status(&credential).await?;
        assert_eq!(self.pebble.count("Added order")?, orders + 1, "the order of the first one");
        self.assert_enrolled("DIES-3").await
    }

    /// The first node dies when it has the certificate and the device does not.
    async fn before_the_certificate_is_given(&mut self) -> anyhow::Result<()> {
        let issued = self.pebble.count("Issued certificate serial")?;
        let pledge = self.maker.pledge("DIES-4")?;
        let walk = Walk { pledge: &pledge, front: self.pair.front };
        self.accept_voucher(&walk).await?;
        let key = Key::new()?;
        let csr = key.csr("dies-4")?;
        let mut connection = self.at_first(async || Ok(walk.connect().await?.0)).await?;
        self.pair.first.valve.as_ref().context("it lives")?.shut();
        let stored = process::until(LIMIT, async || {
            let story = story(&self.pair, Which::Second, "DIES-4").await.ok()?;
            (story["certificates"].as_array()?.len() == 1).then_some(())
        });
        tokio::select! {
            answer = est::post(&mut connection, "simpleenroll", &csr, None) => {
                panic!("it answered: {answer:?}")
            }
            stored = stored => stored.context("no certificate")?,
        }
        self.pair.first.kill().await;
        let credential = walk.enroll(&key, &csr).await?;
        walk.enroll_status(&credential).await?;
        assert_eq!(self.pebble.count("Issued certificate serial")?, issued + 1, "that very one");
        self.assert_enrolled("DIES-4").await
    }

    /// The first node dies when the device has connected to report.
    async fn before_the_device_reports(&mut self) -> anyhow::Result<()> {
        let pledge = self.maker.pledge("DIES-5")?;
        let walk = Walk { pledge: &pledge, front: self.pair.front };
        self.accept_voucher(&walk).await?;
        let key = Key::new()?;
        let credential = walk.enroll(&key, &key.csr("dies-5")?).await?;
        let mut connection = self.at_first(async || walk.connect_as(&credential).await).await?;
        self.pair.first.kill().await;
        let body = Status::success().to_json();
        assert!(connection.post(path::ENROLL_STATUS, "application/json", body).await.is_err());
        walk.enroll_status(&credential).await?;
        self.assert_enrolled("DIES-5").await
    }

    async fn accept_voucher(&self, walk: &Walk<'_>) -> anyhow::Result<()> {
        walk.voucher(&walk.request().await?).await?;
        walk.voucher_status().await
    }

    async fn enroll(&self, walk: &Walk<'_>, label: &str) -> anyhow::Result<()> {
        let key = Key::new()?;
        let credential = walk.enroll(&key, &key.csr(label)?).await?;
        walk.enroll_status(&credential).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pledge_completes_on_the_other_node_wherever_its_own_dies() -> anyhow::Result<()> {
    let Some(mut mortal) = Mortal::start().await? else {
        return Ok(());
    };
    mortal.while_the_voucher_is_asked().await.context("while the voucher is asked")?;
    mortal.when_the_voucher_is_issued().await.context("when the voucher is issued")?;
    mortal.when_the_order_is_placed().await.context("when the order is placed")?;
    mortal.before_the_certificate_is_given().await.context("before it is given")?;
    mortal.before_the_device_reports().await.context("before the device reports")?;
    mortal.pair.second.site.command("event verify", &[""; 0]).await?;
    mortal.pair.stop().await;
    mortal.pebble.stop().await;
    Ok(())
}
