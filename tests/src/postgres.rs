//! A PostgreSQL server of a test's own: made in a temporary folder, run as an unprivileged user, reached over a
//! Unix socket alone, and gone with the test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::programs::skipped;

/// How long the server may take to start or to stop.
const LIMIT: Duration = Duration::from_secs(60);
/// The user that Debian's package makes; the server refuses to run as root.
const USER: &str = "postgres";

/// A running server.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    server: Option<Child>,
    databases: AtomicU32,
}

impl Cluster {
    /// Makes and starts a server; where PostgreSQL is missing, says so and gives nothing.
    ///
    /// # Errors
    /// What went wrong, with the server's own words.
    pub fn start() -> anyhow::Result<Option<Self>> {
        let Some(programs) = programs() else {
            skipped("PostgreSQL is not installed (Debian package postgresql)");
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let cluster = Self { folder, programs, server: None, databases: AtomicU32::new(0) };
        if is_root() {
            let path = cluster.folder.path();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))?;
            let owned = cluster.folder.path().join("cluster");
            std::fs::create_dir(&owned)?;
            let chown = Command::new("chown").arg(USER).arg(&owned).status()?;
            ensure!(chown.success(), "cannot give {} to user {USER}", owned.display());
        } else {
            std::fs::create_dir(cluster.data_parent())?;
        }
        let mut initdb = cluster.command("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=registrar", "--encoding=UTF8"]);
        let output = initdb.args(["--locale=C.UTF-8", "-D"]).arg(cluster.data()).output()?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut cluster = cluster;
        cluster.resume()?;
        Ok(Some(cluster))
    }

    fn data_parent(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    fn data(&self) -> PathBuf {
        self.data_parent().join("data")
    }

    /// A program of PostgreSQL, as a user that it runs as.
    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/").env("LC_ALL", "C.UTF-8");
        command
    }

    /// Starts the server, after [`Cluster::stop`] too.
    ///
    /// # Errors
    /// What the server says.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        let log = self.folder.path().join("server.log");
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(self.data_parent());
        server.args(["-c", "listen_addresses=", "-c", "max_connections=60"]);
        server.stdin(Stdio::null()).stdout(Stdio::null());
        server.stderr(std::fs::OpenOptions::new().create(true).append(true).open(&log)?);
        self.server = Some(server.spawn()?);
        let deadline = Instant::now() + LIMIT;
        while !self.answers() {
            let ended = self.server.as_mut().context("no server")?.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!("PostgreSQL does not start: {}", std::fs::read_to_string(&log)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("--quiet").arg("-h").arg(self.data_parent());
        ready.status().is_ok_and(|status| status.success())
    }

    /// Kills the server as a crash would: every connection ends, what was committed stays.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT: immediate shutdown; the next start recovers from the log.
            let pid = server.id().to_string();
            Command::new("kill").args(["-QUIT", &pid]).status()?;
            server.wait()?;
        }
        Ok(())
    }

    /// Makes an empty database and gives its URL.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn database(&self) -> anyhow::Result<String> {
        let name = format!("registrar_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let output = Command::new(self.programs.join("createdb"))
            .arg("-h")
            .arg(self.data_parent())
            .args(["-U", "registrar", &name])
            .output()?;
        ensure!(output.status.success(), "createdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(format!("host={} user=registrar dbname={name}", self.data_parent().display()))
    }

    /// Runs SQL in the database of a URL, as somebody who is not the registrar, and gives what it prints.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn sql(&self, url: &str, sql: &str) -> anyhow::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-v", "ON_ERROR_STOP=1", "-qAtX", "-c", sql])
            .arg(url)
            .output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("PostgreSQL does not stop: {error}");
        }
        // What the other user wrote is removed by root alone, which is who gave it to him.
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|line| line.split_whitespace().nth(1)).is_some_and(|uid| uid == "0")
}

/// The folder of the newest installed version: Debian keeps it out of the PATH.
fn programs() -> Option<PathBuf> {
    let installed = Path::new("/usr/lib/postgresql");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(installed)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    folders.sort();
    folders.into_iter().rfind(|folder| {
        ["initdb", "postgres", "createdb"].iter().all(|name| folder.join(name).is_file())
    })
}
