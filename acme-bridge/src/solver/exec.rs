//! TXT records by a program of the operator's: whatever DNS it talks to, in whatever way.
//!
//! The program is started as `PROGRAM ARGUMENTS… present OWNER VALUE` or `… cleanup OWNER VALUE`, without a shell.
//! OWNER is the TXT record's name without a final dot, VALUE its text, beside which others may stand at the same name.
//! The environment holds `PATH` and `HOME` as the registrar has them, and `REGISTRAR_ACTION`, `REGISTRAR_NAME` (the
//! name that is proven), `REGISTRAR_OWNER` and `REGISTRAR_VALUE`; nothing else. Standard input is empty.
//!
//! It must exit with 0 once every authoritative server shows the record, or it is gone. Both actions may be asked for
//! again, and must do no harm then. Exit 78 (EX_CONFIG) says that an operator must change something; any other failure
//! is tried again. What it prints is shown to the operator, the first 2 KiB of it. When its time is up, it is killed
//! with all its children.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::{Records, SolverError, TxtRecord};
use crate::answer::Place;

/// How many programs run at once.
const PROGRAMS: usize = 8;
/// How much of what a program prints is kept, in octets.
const OUTPUT_OCTETS: usize = 2048;
/// EX_CONFIG of sysexits.h.
const EXIT_CONFIG: i32 = 78;

/// Why the program did not do what it was started for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HookError {
    /// It cannot be started.
    #[error("cannot start {}: {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{} did not end within {secs} seconds and was killed: {output}", .program.display())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// How long it had.
        secs: u64,
        /// The beginning of what it printed.
        output: String,
    },
    /// It failed.
    #[error("{} failed ({status}): {output}", .program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it printed.
        output: String,
    },
}

impl HookError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Start { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            Self::Timeout { .. } => true,
            Self::Failed { status, .. } => status.code() != Some(EXIT_CONFIG),
        }
    }
}

impl From<HookError> for SolverError {
    fn from(error: HookError) -> Self {
        match error.is_passing() {
            true => Self::Passing(Box::new(error)),
            false => Self::Configuration(Box::new(error)),
        }
    }
}

/// Which program, and how long it may take.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A program that puts TXT records out.
#[derive(Debug)]
pub struct Hook {
    config: HookConfig,
    permits: Semaphore,
}

impl Hook {
    /// A program as configured.
    #[must_use]
    pub fn new(config: HookConfig) -> Self {
        Self { config, permits: Semaphore::new(PROGRAMS) }
    }

    async fn run(&self, action: &str, record: &TxtRecord) -> Result<(), HookError> {
        // The semaphore is never closed; without a permit the program would run all the same.
        let _permit = self.permits.acquire().await;
        let program = || self.config.program.clone();
        let mut child = self
            .command(action, record)
            .spawn()
            .map_err(|source| HookError::Start { program: program(), source })?;
        let mut group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut output = Output::default();
        let mut ended = None;
        let working = async {
            let reading = output.read(stdout, stderr);
            tokio::pin!(reading);
            tokio::select! {
                status = child.wait() => ended = Some(status),
                () = &mut reading => return ended = Some(child.wait().await),
            }
            // What the program left running ends with it, so that its output has an end, too.
            group.kill();
            reading.await;
        };
        // Whether it was in time is seen by its status.
        let _ = tokio::time::timeout(self.config.timeout, working).await;
        group.kill();
        let output = output.text();
        match ended {
            Some(Ok(status)) if status.success() => Ok(()),
            Some(Ok(status)) => Err(HookError::Failed { program: program(), status, output }),
            Some(Err(source)) => Err(HookError::Start { program: program(), source }),
            None => {
                // Reaps it; the signal is on its way already.
                let _ = child.kill().await;
                let secs = self.config.timeout.as_secs();
                Err(HookError::Timeout { program: program(), secs, output })
            }
        }
    }

    fn command(&self, action: &str, record: &TxtRecord) -> Command {
        let inherited = ["PATH", "HOME"].into_iter();
        let inherited = inherited.filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(&self.config.program);
        command
            .args(&self.config.arguments)
            .args([action, &record.owner, &record.value])
            .env_clear()
            .envs(inherited)
            .env("REGISTRAR_ACTION", action)
            .env("REGISTRAR_NAME", &record.name)
            .env("REGISTRAR_OWNER", &record.owner)
            .env("REGISTRAR_VALUE", &record.value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// The process group of a program; all of it is killed when this is dropped, which is what a cancelled task does.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Kills them once: later the number may be somebody else's.
    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // Most often nobody is left, which is no error worth a word.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The beginning of what a program prints.
#[derive(Default)]
struct Output(Vec<u8>);

impl Output {
    /// Reads both until they end, and keeps the beginning: a program that prints much is not held up.
    async fn read(
        &mut self,
        stdout: Option<impl AsyncRead + Unpin>,
        stderr: Option<impl AsyncRead + Unpin>,
    ) {
        let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) else {
            return;
        };
        let (mut first, mut second) = ([0; 1024], [0; 1024]);
        let (mut is_first_open, mut is_second_open) = (true, true);
        while is_first_open || is_second_open {
            tokio::select! {
                read = stdout.read(&mut first), if is_first_open => {
                    is_first_open = self.keep(&first, read);
                }
                read = stderr.read(&mut second), if is_second_open => {
                    is_second_open = self.keep(&second, read);
                }
            }
        }
    }

    /// Keeps what was read while there is room; says whether there may be more to read.
    fn keep(&mut self, octets: &[u8], read: io::Result<usize>) -> bool {
        let length = read.unwrap_or(0);
        let room = OUTPUT_OCTETS.saturating_sub(self.0.len());
        self.0.extend(octets.iter().take(length.min(room)));
        length > 0
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let clean = |each: char| if each.is_control() { ' ' } else { each };
        match text.trim() {
            "" => "it printed nothing".to_owned(),
            text => text.chars().map(clean).collect(),
        }
    }
}

#[async_trait]
impl Records for Hook {
    fn place(&self) -> Place {
        Place::Exec
    }

    async fn add(&self, record: &TxtRecord) -> Result<(), SolverError> {
        Ok(self.run("present", record).await?)
    }

    async fn remove(&self, record: &TxtRecord) -> Result<(), SolverError> {
        Ok(self.run("cleanup", record).await?)
    }
}
