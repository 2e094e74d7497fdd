//! Devices find a registrar, or a join proxy that leads to one, by multicast on a network of the test's own.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::discovery::{Browser, Kind, Place, Sighting};
use brski_lab::process;
use brski_lab::registrar::{Registrar, Site};
use brski_lab::up::ZONE;
use brski_tests::network::{Machine, Network};
use brski_tests::programs;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long something may take to be heard.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a pledge looks, in seconds.
const LOOK: &str = "3";

/// A manufacturer's files and its MASA beside the registrar.
struct Factory {
    folder: TempDir,
    lab: std::path::PathBuf,
    _masa: Child,
}

impl Factory {
    /// Makes devices, and starts the MASA on the machine of the registrar.
    async fn start(machine: &Machine, serials: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let lab = programs::ours("brski-lab")?;
        let port = process::free_port()?;
        let mut pki = Command::new(&lab);
        pki.arg("pki").arg("--dir").arg(folder.path());
        pki.args(["--masa-url", &format!("localhost:{port}")]);
        for serial in serials {
            pki.args(["--serial", serial]);
        }
        assert!(pki.output().await?.status.success());
        let log = folder.path().join("masa.log");
        let mut masa = machine.program(&lab);
        masa.arg("masa").arg("--dir").arg(folder.path());
        masa.args(["--listen", &format!("127.0.0.1:{port}")]);
        let masa = process::start(&mut masa, &log)?;
        until_written(&log, "MASA listens on").await?;
        Ok(Self { folder, lab, _masa: masa })
    }

    /// Starts a registrar on a machine and introduces the manufacturer.
    async fn registrar(
        &self,
        machine: &Machine,
        listen: &str,
        more: &str,
    ) -> anyhow::Result<Registrar> {
        let folder = self.folder.path().join("registrar");
        let site = Site::new(&programs::ours("registrar")?, &folder)?.under(machine.launcher());
        site.init(&["--domain", ZONE, "--listen", listen]).await?;
        let config = site.config();
        let text = std::fs::read_to_string(&config)?;
        std::fs::write(&config, format!("{text}{more}"))?;
        let registrar = site.serve().await?;
        let ca = self.folder.path().join("ca.pem");
        let ca = ca.to_str().context("a path")?;
        let arguments =
            ["--name", "lab-devices", "--ca", ca, "--masa-ca", ca, "--masa-host", "localhost"];
        site.command("manufacturer add", &arguments).await?;
        Ok(registrar)
    }

    /// Starts a join proxy on a machine, and gives it when it listens.
    async fn proxy(
        &self,
        machine: &Machine,
        name: &str,
        registrar: &str,
    ) -> anyhow::Result<(Child, std::path::PathBuf)> {
        let log = self.folder.path().join(format!("{name}.log"));
        let mut command = machine.program(&self.lab);
        command.args(["proxy", "--registrar", registrar, "--name", name, "--danger-bind"]);
        command.args(["--interface", machine.interface]);
        command.args(["--listen", &format!("{}:0", machine.address)]);
        let child = process::start(&mut command, &log)?;
        until_written(&log, "join proxy listens on").await?;
        Ok((child, log))
    }

    /// Lets a pledge on a machine find its way; gives what it printed.
    async fn pledge(&self, machine: &Machine, serial: &str) -> anyhow::Result<(Value, String)> {
        let mut command = machine.program(&self.lab);
        command.arg("pledge").arg("--dir").arg(self.folder.path());
        command.args(["--serial", serial, "--discover", "--interface", machine.interface]);
        command.args(["--discover-secs", LOOK]).kill_on_drop(true);
        let output = timeout(Duration::from_secs(60), command.output()).await??;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        Ok((serde_json::from_slice(&output.stdout)?, told))
    }
}

async fn until_written(log: &Path, words: &str) -> anyhow::Result<()> {
    let written = process::until(LIMIT, async || {
        std::fs::read_to_string(log).ok()?.contains(words).then_some(())
    });
    written.await.with_context(|| format!("{words}: {:?}", std::fs::read_to_string(log)))
}

/// Waits on a machine for a sighting that fits.
fn wait_for(
    machine: &Machine,
    interface: &str,
    fits: impl Fn(&Sighting) -> bool + Send + Sync,
) -> anyhow::Result<Sighting> {
    machine.run(|| async {
        let browser = Browser::start(&[interface.to_owned()])?;
        let sighting = async {
            loop {
                let sighting = browser.next().await.context("mDNS ended")?;
                if fits(&sighting) {
                    return Ok(sighting);
                }
            }
        };
        let sighting = timeout(LIMIT, sighting).await.context("nothing was heard")?;
        browser.stop();
        sighting
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pledge_finds_the_registrar_that_says_goodbye_when_it_ends() -> anyhow::Result<()> {
    let Some(network) = Network::start()? else {
        return Ok(());
    };
    let (inside, outside) = (&network.inside, &network.outside);
    let factory = Factory::start(inside, &["FOUND-1"]).await?;
    let discovery =
        format!("\n[discovery]\ninterfaces = [\"{}\"]\nname = \"gate 1\"\n", inside.interface);
    let port = process::free_port()?;
    let listen = format!("0.0.0.0:{port}");
    let registrar = factory.registrar(inside, &listen, &discovery).await?;

    let told = tokio::task::block_in_place(|| {
        wait_for(outside, outside.interface, |each| matches!(each, Sighting::Here(_)))
    })?;
    let instance = "gate 1._brski-registrar._tcp.local.".to_owned();
    let address = (inside.address, port).into();
    let here = Place { kind: Kind::Registrar, instance: instance.clone(), address };
    assert_eq!(told, Sighting::Here(vec![here]), "the address of the chosen interface alone");

    let (device, told) = factory.pledge(outside, "FOUND-1").await?;
    assert_eq!(device["san"], serde_json::json!(["found-1.iot.lab.example"]), "{device}");
    assert!(told.contains(&format!("joined at {instance} ({address})")), "{told}");

    // On the second cable nothing is heard while it is sought for as long as it was found on the first.
    let quiet = outside.second_interface.to_owned();
    let heard = tokio::task::block_in_place(|| {
        outside.run(|| async move {
            Ok(brski_lab::discovery::browse(&[quiet], Duration::from_secs(2)).await?)
        })
    })?;
    assert_eq!(heard, []);

    // Its records would last two minutes.
    let (ready, waits) = std::sync::mpsc::channel();
    let (watched, awaited) = (outside.clone(), instance.clone());
    let watcher = std::thread::spawn(move || {
        wait_for(&watched, watched.interface, |each| {
            if matches!(each, Sighting::Here(_)) {
                // The first sighting is what is waited for.
                let _ = ready.send(());
            }
            *each == Sighting::Gone { instance: awaited.clone() }
        })
    });
    tokio::task::block_in_place(|| waits.recv_timeout(LIMIT))?;
    registrar.stop().await;
    let gone = tokio::task::block_in_place(|| watcher.join()).unwrap()?;
    assert_eq!(gone, Sighting::Gone { instance });
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pledge_joins_by_way_of_the_proxy_that_works() -> anyhow::Result<()> {
    let Some(network) = Network::start()? else {
        return Ok(());
    };
    let (inside, outside) = (&network.inside, &network.outside);
    let factory = Factory::start(inside, &["PROXIED-1"]).await?;
    // No device reaches it but by way of a proxy, and it is not announced.
    let registrar =
        factory.registrar(inside, &format!("127.0.0.1:{}", process::free_port()?), "").await?;
    let nowhere = format!("127.0.0.1:{}", process::free_port()?);
    let (_broken, _) = factory.proxy(inside, "a nowhere", &nowhere).await?;
    let (mut proxy, log) =
        factory.proxy(inside, "b gate", &registrar.address().to_string()).await?;
    for name in ["a nowhere", "b gate"] {
        tokio::task::block_in_place(|| {
            wait_for(outside, outside.interface, |each| match each {
                Sighting::Here(places) => {
                    places.iter().any(|place| place.instance.starts_with(name))
                }
                Sighting::Gone { .. } => false,
            })
        })?;
    }
    let (device, told) = factory.pledge(outside, "PROXIED-1").await?;
    assert_eq!(device["san"], serde_json::json!(["proxied-1.iot.lab.example"]), "{device}");
    let failed = told.find("a nowhere._brski-proxy._tcp.local.").context(told.clone())?;
    let joined = told.find("joined at b gate._brski-proxy._tcp.local.").context(told.clone())?;
    assert!(failed < joined, "{told}");
    process::stop(&mut proxy).await;
    let log = std::fs::read_to_string(log)?;
    assert!(log.contains("connections were carried") && !log.contains(" 0 connections"), "{log}");
    registrar.stop().await;
    Ok(())
}
