//! The real registrar as a process: made with `registrar init`, run with `registrar serve`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::process;

/// How long a registrar may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
const LISTENING: &str = "registrar: listening on https://";

/// Why a registrar does not do what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistrarError {
    /// The program is not there.
    #[error("the program {} is not there; build it with 'cargo build --workspace --bins', or name it with --registrar", .0.display())]
    Missing(PathBuf),
    /// Its files or its process.
    #[error("the registrar: {0}")]
    System(#[from] io::Error),
    /// A command failed.
    #[error("'registrar {command}' failed: {message}")]
    Command {
        /// The command.
        command: String,
        /// What it printed.
        message: String,
    },
    /// It does not listen.
    #[error("the registrar does not listen: {}", .0.trim_end())]
    Silent(String),
}

/// How a registrar does.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Counters {
    /// DNS queries since its start.
    pub dns_queries: u64,
    /// DNS queries that were answered with a challenge's value.
    pub dns_answers: u64,
}

/// A registrar's program and folder.
#[derive(Clone, Debug)]
pub struct Site {
    program: PathBuf,
    folder: PathBuf,
    launcher: Vec<OsString>,
}

impl Site {
    /// A site in a folder that `registrar init` makes.
    ///
    /// # Errors
    /// [`RegistrarError::Missing`].
    pub fn new(program: &Path, folder: &Path) -> Result<Self, RegistrarError> {
        if !program.is_file() {
            return Err(RegistrarError::Missing(program.to_owned()));
        }
        Ok(Self { program: program.to_owned(), folder: folder.to_owned(), launcher: Vec::new() })
    }

    /// The same site, whose daemon is started by another program: `faketime` and its arguments, say.
    #[must_use]
    pub fn under(self, launcher: Vec<OsString>) -> Self {
        Self { launcher, ..self }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("registrar.toml")
    }

    /// Where its daemon writes what it does.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("registrar.log")
    }

    /// Runs `registrar init --dir FOLDER` with these arguments, and has it trust the lab's certificates.
    ///
    /// # Errors
    /// [`RegistrarError::Command`].
    pub async fn init<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String, RegistrarError> {
        let folder = ["--dir".as_ref(), self.folder.as_os_str()];
        let arguments: Vec<&OsStr> =
            folder.into_iter().chain(arguments.iter().map(AsRef::as_ref)).collect();
        let said = self.run("init", &arguments).await?;
        let config = self.config();
        let text = std::fs::read_to_string(&config).map_err(|error| RegistrarError::Command {
            command: "init".to_owned(),
            message: format!("it left no {}: {error}", config.display()),
        })?;
        let (refused, allowed) = ("allow_lab_anchors = false", "allow_lab_anchors = true");
        std::fs::write(self.config(), text.replacen(refused, allowed, 1))?;
        Ok(said)
    }

    /// Runs a command on its configuration, and gives what it prints on stdout.
    ///
    /// # Errors
    /// [`RegistrarError::Command`].
    pub async fn command<S: AsRef<OsStr>>(
        &self,
        command: &str,
        arguments: &[S],
    ) -> Result<String, RegistrarError> {
        let config = self.config();
        let tail = ["--config".as_ref(), config.as_os_str()];
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).chain(tail).collect();
        self.run(command, &arguments).await
    }

    async fn run(&self, command: &str, arguments: &[&OsStr]) -> Result<String, RegistrarError> {
        let output = Command::new(&self.program)
            .args(command.split(' '))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(RegistrarError::Command {
            command: command.to_owned(),
            message: match said.trim() {
                "" => format!("{}, without a word", output.status),
                said => said.to_owned(),
            },
        })
    }

    /// Starts the daemon and waits until it listens.
    ///
    /// # Errors
    /// [`RegistrarError::Silent`] with the end of its log.
    pub async fn serve(&self) -> Result<Registrar, RegistrarError> {
        let log = self.log();
        let before = std::fs::read_to_string(&log).map_or(0, |text| text.len());
        let mut words =
            self.launcher.iter().map(OsString::as_os_str).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("serve").arg("--config").arg(self.config());
        let mut child = process::start(&mut command, &log)?;
        let address = process::until(START_LIMIT, async || {
            let text = std::fs::read_to_string(&log).ok()?;
            let new = text.get(before..)?;
            let line = new.lines().find_map(|line| line.strip_prefix(LISTENING));
            if let Some(line) = line {
                let address = line.split(',').next().unwrap_or_default();
                return Some(address.parse::<SocketAddr>().map_err(|_| new.to_owned()));
            }
            match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(Err(format!("{status}; it said: {new}"))),
                Err(error) => Some(Err(error.to_string())),
            }
        });
        match address.await {
            Some(Ok(address)) => Ok(Registrar { site: self.clone(), child, address }),
            Some(Err(text)) => Err(RegistrarError::Silent(text)),
            None => Err(RegistrarError::Silent(format!("see {}", log.display()))),
        }
    }
}

/// A running registrar.
pub struct Registrar {
    site: Site,
    child: Child,
    address: SocketAddr,
}

impl Registrar {
    /// Where pledges come.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its program and folder.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// How it does.
    ///
    /// # Errors
    /// [`RegistrarError`].
    pub async fn counters(&self) -> Result<Counters, RegistrarError> {
        let text = self.site.command("status", &["--json"]).await?;
        serde_json::from_str(&text).map_err(|error| RegistrarError::Silent(error.to_string()))
    }

    /// Where it writes what it does.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.site.log()
    }

    /// Waits until it ends by itself; gives how.
    pub async fn ended(&mut self) -> String {
        process::ended(&mut self.child).await
    }

    /// Kills it at once (SIGKILL), as a power cut would.
    pub async fn kill(mut self) -> Site {
        let _ = self.child.kill().await;
        self.site
    }

    /// Asks it to end.
    pub async fn stop(mut self) -> Site {
        process::stop(&mut self.child).await;
        self.site
    }
}
