//! The whole flow with a pledge and a MASA in Python that share no code with this project: each of them with the other
//! side of the lab, and both together.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::pki;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_tests::programs::{self, workspace};
use brski_tests::site::{self, TestSite, json};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const LIMIT: Duration = Duration::from_secs(60);

fn oracle(name: &str) -> PathBuf {
    workspace().join("tests/oracles").join(name)
}

/// The MASA in Python; it ends when this is dropped.
struct ScriptedMasa {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl ScriptedMasa {
    /// Starts the MASA of a site's manufacturer. `version`: the one version of TLS that it speaks, in Python's words.
    async fn start(python: &Path, site: &TestSite, version: &str) -> anyhow::Result<Self> {
        let folder = site.folder.path().join("scripted-masa");
        std::fs::create_dir(&folder)?;
        let maker = &site.lab.manufacturer;
        std::fs::write(folder.join("ca.pem"), maker.authority.pem())?;
        pki::write(&folder, "voucher-signer", &maker.voucher_signer)?;
        pki::write(&folder, "masa-tls", &maker.masa_tls)?;
        let mut command = Command::new(python);
        command.arg(oracle("masa.py")).arg(&folder).arg(version);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        let port = tokio::time::timeout(LIMIT, lines.next_line()).await??;
        let url = format!("localhost:{}", port.context("it ended")?);
        Ok(Self { _child: child, lines, url })
    }

    /// What it says of the next request.
    async fn told(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await??;
        Ok(serde_json::from_str(&line.context("it ended")?)?)
    }
}

/// Takes the pledge in Python through everything, and gives what it printed.
async fn scripted_pledge(
    python: &Path,
    site: &TestSite,
    serial: &str,
    masa_url: &str,
) -> anyhow::Result<Value> {
    let folder = site.folder.path().join(serial);
    std::fs::create_dir(&folder)?;
    let maker = &site.lab.manufacturer;
    pki::write(&folder, "idevid", &maker.authority.idevid(serial, masa_url)?)?;
    std::fs::write(folder.join("maker.pem"), maker.authority.pem())?;
    let mut command = Command::new(python);
    command.arg(oracle("pledge.py")).arg(site.lab.registrar.address().to_string());
    for file in ["idevid.pem", "idevid.key", "maker.pem"] {
        command.arg(folder.join(file));
    }
    command.arg(&folder).env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await??;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{serial}: {told}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn assert_enrolled(site: &TestSite, serial: &str) -> anyhow::Result<()> {
    let story = json(site.site(), "device show", &[serial]).await?;
    assert_eq!(story["device"]["state"], "enrolled", "{story}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripted_pledge_joins_by_way_of_the_labs_masa() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let site = site::local().await?;
    let told = scripted_pledge(&python, &site, "PY-1", &site.lab.masa.url()).await?;
    assert_eq!(told["names"], serde_json::json!(["py-1.iot.lab.example"]), "{told}");
    assert_eq!(told["assigned"], "py-1.iot.lab.example", "{told}");
    assert_eq!(site.lab.masa.issued(), 1);
    assert_enrolled(&site, "PY-1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_labs_pledge_joins_by_way_of_a_scripted_masa() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let site = site::local().await?;
    let mut masa = ScriptedMasa::start(&python, &site, "TLSv1_3").await?;
    let maker = &site.lab.manufacturer.authority;
    let pledge = Pledge::new(maker.idevid("PY-2", &masa.url)?, maker.certificate())?;
    let enrolled = journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    assert_eq!(enrolled.certificate.dns_names(), ["py-2.iot.lab.example"]);
    let told = masa.told().await?;
    assert_eq!(told["serial-number"], "PY-2");
    assert_eq!(told["accept"], "application/voucher-cms+json", "{told}");
    assert_eq!(site.lab.masa.requests(), 0, "the other one was asked");
    assert_enrolled(&site, "PY-2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registrar_is_all_that_is_ours_between_a_scripted_pledge_and_masa() -> anyhow::Result<()>
{
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let site = site::local().await?;
    let mut masa = ScriptedMasa::start(&python, &site, "TLSv1_2").await?;
    let told = scripted_pledge(&python, &site, "PY-3", &masa.url).await?;
    assert_eq!(told["names"], serde_json::json!(["py-3.iot.lab.example"]), "{told}");
    assert_eq!(masa.told().await?["serial-number"], "PY-3");
    assert_enrolled(&site, "PY-3").await
}
