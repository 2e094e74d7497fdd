//! The unit of docs/ under a real systemd, in namespaces of its own that end with the test (root; skipped aloud without):
//! what it takes away from the daemon, the daemon does not need.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use brski_lab::masa::Masa;
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::programs;
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(30);
/// The number of the unit's user, whom nobody else here has.
const USER: u32 = 64_999;
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Makes the machine that systemd sees, and becomes it. Nothing of it is seen outside of its namespaces.
const BOOT: &str = r#"#!/bin/sh
set -e
folder=$1 program=$2 user=$3
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/group" /etc/group
mkdir -p /run/lock /run/program
cp "$program" /run/program/registrar
cp -r "$folder/site" /run/site
cp "$folder/registrar.service" /run/
mount -t tmpfs tmpfs /var/lib
mkdir -m 700 /var/lib/registrar
mv /run/site /var/lib/registrar/site
chown -R "$user:$user" /var/lib/registrar
mount -t tmpfs tmpfs /etc/systemd/system
cp /run/registrar.service /etc/systemd/system/
# The rest of a system is not there: nothing to wait for, and no journal.
mkdir /etc/systemd/system/registrar.service.d
cat > /etc/systemd/system/registrar.service.d/test.conf <<UNIT
[Unit]
DefaultDependencies=no
[Service]
StandardOutput=append:/run/registrar.log
StandardError=append:/run/registrar.log
UNIT
cat > /etc/systemd/system/nothing.target <<UNIT
[Unit]
DefaultDependencies=no
UNIT
export container=private
exec "$4" --system --unit=nothing.target
"#;

/// A systemd of its own; all that it started ends with it, when this is dropped.
struct Manager {
    _child: Child,
    /// The number of its process, as it is outside.
    process: u32,
}

impl Manager {
    /// Boots with a registrar's folder `site`, and what else `folder` has; none where that is not possible here.
    async fn boot(folder: &Path, program: &Path) -> anyhow::Result<Option<Self>> {
        let script = folder.join("boot");
        std::fs::write(&script, BOOT)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--ipc", "--uts", "--cgroup", "--kill-child"]);
        unshare.arg(&script).arg(folder).arg(program).arg(USER.to_string()).arg(SYSTEMD);
        let log = folder.join("boot.log");
        let child = process::start(unshare.kill_on_drop(true), &log)?;
        let own = child.id().context("it runs")?;
        let first = process::until(LIMIT, async || {
            let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
            children.ok()?.split_whitespace().next()?.parse().ok()
        });
        let Some(process) = first.await else {
            let reason = std::fs::read_to_string(&log)?;
            programs::skipped(&format!("no namespaces without root: {reason}"));
            return Ok(None);
        };
        let manager = Self { _child: child, process };
        let runs = process::until(LIMIT, async || {
            let output = manager.inside("systemctl", &["is-system-running"]).await.ok()?;
            text(&output).starts_with("running").then_some(())
        });
        runs.await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Some(manager))
    }

    /// Runs a program among what the manager sees.
    async fn inside(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let process = self.process.to_string();
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &process, "--mount", "--pid", "--ipc", "--uts", "--cgroup"]);
        Ok(nsenter.arg(program).args(arguments).output().await?)
    }

    /// As [`Manager::inside`]; what it printed, if it succeeded.
    async fn done(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.inside(program, arguments).await?;
        if !output.status.success() {
            let log = self.inside("cat", &["/run/registrar.log"]).await?;
            let status = self.inside("systemctl", &["status", "--no-pager", "registrar"]).await?;
            anyhow::bail!(
                "{program} {arguments:?}: {}{}{}",
                text(&output),
                text(&status),
                text(&log)
            );
        }
        Ok(text(&output))
    }

    /// A property of the unit.
    async fn property(&self, name: &str) -> anyhow::Result<String> {
        let value = self.done("systemctl", &["show", "registrar", "--value", "-p", name]).await?;
        Ok(value.trim().to_owned())
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The users and groups of this machine, and the unit's.
fn users(folder: &Path) -> anyhow::Result<()> {
    for (file, line) in [
        ("passwd", format!("registrar:x:{USER}:{USER}::/var/lib/registrar:/usr/sbin/nologin\n")),
        ("group", format!("registrar:x:{USER}:\n")),
    ] {
        let all = std::fs::read_to_string(Path::new("/etc").join(file))?;
        std::fs::write(folder.join(file), all + &line)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_runs_under_a_real_manager_with_all_that_it_takes_away() -> anyhow::Result<()> {
    if !PathBuf::from(SYSTEMD).is_file() {
        programs::skipped("systemd is not installed (Debian package systemd)");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let program = programs::ours("registrar")?;
    let site = Site::new(&program, &folder.path().join("site"))?;
    let port = process::free_port()?;
    site.init(&["--domain", up::ZONE, "--listen", &format!("127.0.0.1:{port}")]).await?;
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(([127, 0, 0, 1], 0).into(), &manufacturer).await?;
    up::introduce(&site, folder.path(), &manufacturer).await?;
    let unit = std::fs::read_to_string(programs::workspace().join("docs/registrar.service"))?;
    // The program is not installed here; everything else is as the document has it.
    let unit = unit.replace("/usr/bin/registrar", "/run/program/registrar");
    std::fs::write(folder.path().join("registrar.service"), unit)?;
    users(folder.path())?;
    let Some(manager) = Manager::boot(folder.path(), &program).await? else {
        return Ok(());
    };

    // It is up when the daemon says so, and does its whole work: the MASA, the database, the keys.
    manager.done("systemctl", &["start", "registrar"]).await?;
    let join = async |serial: &str| -> anyhow::Result<()> {
        let idevid = manufacturer.authority.idevid(serial, &masa.url())?;
        let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
        let address = ([127, 0, 0, 1], port).into();
        journey::run(&pledge, address, &Label::default()).await?;
        Ok(())
    };
    join("UNIT-1").await?;
    let main = manager.property("MainPID").await?;
    let status = manager.done("cat", &[&format!("/proc/{main}/status")]).await?;
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(of("Uid"), USER.to_string());
    // To bind ports below 1024, and nothing else.
    assert_eq!((&*of("CapEff"), &*of("CapBnd")), ("0000000000000400", "0000000000000400"));
    assert_eq!((&*of("NoNewPrivs"), &*of("Seccomp")), ("1", "2"), "{status}");

    manager.done("systemctl", &["reload", "registrar"]).await?;
    join("UNIT-2").await?;
    // A daemon that dies is started again, and goes on with what it knew.
    manager.done("systemctl", &["kill", "--signal=KILL", "registrar"]).await?;
    let again = process::until(LIMIT, async || {
        let is_active = manager.property("ActiveState").await.ok()? == "active";
        (is_active && manager.property("NRestarts").await.ok()? == "1").then_some(())
    });
    again.await.context("it is not started again")?;
    join("UNIT-3").await?;
    manager.done("systemctl", &["stop", "registrar"]).await?;
    assert_eq!(manager.property("Result").await?, "success");
    let log = manager.done("cat", &["/run/registrar.log"]).await?;
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}
