//! `brski-lab up` as a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use brski_tests::programs;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long a run of a test may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What a run came to.
pub(crate) struct Came {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) stdout: String,
}

impl Came {
    /// The report of `--json`.
    pub(crate) fn report(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("no report in {:?}; it said {}", self.stdout, self.said))
    }
}

pub(crate) fn samples() -> PathBuf {
    programs::workspace().join("docs/scenarios")
}

/// Writes a scenario into a folder.
pub(crate) fn written(folder: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join("scenario.toml");
    std::fs::write(&file, text)?;
    Ok(file)
}

pub(crate) fn command(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::ours("brski-lab")?);
    command.arg("up").args(arguments);
    if !arguments.contains(&"--registrar") {
        command.arg("--registrar").arg(programs::ours("registrar")?);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

/// Runs it to its end.
pub(crate) async fn up(arguments: &[&str]) -> anyhow::Result<Came> {
    let output = tokio::time::timeout(LIMIT, command(arguments)?.output());
    let output = output.await.context("it does not end")??;
    Ok(Came {
        code: output.status.code(),
        said: String::from_utf8(output.stderr)?,
        stdout: String::from_utf8(output.stdout)?,
    })
}

/// A run that is told to end later.
pub(crate) struct Running {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = command(arguments)?.spawn()?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        Ok(Self { child, stderr: BufReader::new(stderr).lines(), said: String::new() })
    }

    /// Waits for a line on stderr that begins with this; gives the rest of it.
    pub(crate) async fn line(&mut self, begin: &str) -> anyhow::Result<String> {
        let found = async {
            while let Some(line) = self.stderr.next_line().await? {
                if let Some(rest) = line.strip_prefix(begin) {
                    return Ok(rest.to_owned());
                }
                self.said.push_str(&line);
                self.said.push('\n');
            }
            anyhow::bail!("it ended without {begin:?}: {}", self.said)
        };
        tokio::time::timeout(LIMIT, found).await.context("it never says so")?
    }

    /// Its process.
    pub(crate) fn process(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// As Ctrl-C does, and waits until it has ended.
    pub(crate) async fn interrupt(self) -> anyhow::Result<Came> {
        let pid = self.process()?.to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await?;
        anyhow::ensure!(sent.success(), "kill -INT {pid}");
        self.end().await
    }

    /// Waits until it has ended.
    pub(crate) async fn end(mut self) -> anyhow::Result<Came> {
        let mut stdout = self.child.stdout.take().context("stdout is piped")?;
        let rest = async {
            let mut text = String::new();
            stdout.read_to_string(&mut text).await?;
            while let Some(line) = self.stderr.next_line().await? {
                self.said.push_str(&line);
                self.said.push('\n');
            }
            let code = self.child.wait().await?.code();
            anyhow::Ok(Came { code, said: std::mem::take(&mut self.said), stdout: text })
        };
        tokio::time::timeout(LIMIT, rest).await.context("it does not end")?
    }
}
