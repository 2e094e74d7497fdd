//! Tells by running a program: no shell, a clean environment, one line of JSON on stdin, a limit on its time.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tracing::debug;

use super::{DeliveryError, Receiver};
use crate::config::ProgramConfig;

/// What the program finds as PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of what it writes is kept, of stdout and of stderr each, in octets.
const KEPT: usize = 4096;
/// How long to read on after it ended: something it left behind may hold its stdout open.
const REST: Duration = Duration::from_millis(200);

/// A program that is told.
#[derive(Clone, Debug)]
pub struct Program {
    program: PathBuf,
    arguments: Vec<String>,
    limit: Duration,
}

impl Program {
    /// Tells this program, which has so long for one event.
    #[must_use]
    pub fn new(config: &ProgramConfig, limit: Duration) -> Self {
        let ProgramConfig { program, arguments } = config.clone();
        Self { program, arguments, limit }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that it ends together with whatever it started.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

#[async_trait]
impl Receiver for Program {
    async fn deliver(&self, message: &str) -> Result<(), DeliveryError> {
        let mut child = self.spawn().map_err(DeliveryError::Run)?;
        let mut group = Group::of(&child);
        let mut output = (Vec::new(), Vec::new());
        let ended = timeout(self.limit, converse(&mut child, message, &mut output)).await;
        let (out, err) = (String::from_utf8_lossy(&output.0), String::from_utf8_lossy(&output.1));
        debug!(program = %self.program.display(), %out, %err, "the program was told");
        match ended {
            Err(_) => {
                group.end();
                let _ = child.wait().await;
                Err(DeliveryError::Timeout(self.limit))
            }
            Ok(ended) => {
                group.forget();
                match ended.map_err(DeliveryError::Run)? {
                    status if status.success() => Ok(()),
                    status => Err(DeliveryError::Ended(status)),
                }
            }
        }
    }
}

/// Writes the message, reads what comes, and waits for the end.
async fn converse(
    child: &mut Child,
    message: &str,
    (out, err): &mut (Vec<u8>, Vec<u8>),
) -> std::io::Result<std::process::ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let told = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read what it is told may still be content.
            let _ = stdin.write_all(format!("{message}\n").as_bytes()).await;
        }
        child.wait().await
    };
    let mut read = std::pin::pin!(async {
        tokio::join!(keep(stdout, out), keep(stderr, err));
    });
    let mut told = std::pin::pin!(told);
    tokio::select! {
        status = &mut told => {
            let _ = timeout(REST, read).await;
            status
        }
        () = &mut read => told.await,
    }
}

/// Reads to the end and keeps the beginning.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else {
        return;
    };
    let mut octets = [0; 1024];
    while let Ok(count) = stream.read(&mut octets).await {
        if count == 0 {
            return;
        }
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(octets.iter().take(count.min(room)));
    }
}

/// The processes of a program that has not ended; they are ended when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program has ended: its number may belong to another one from now on.
    fn forget(&mut self) {
        self.0 = None;
    }

    fn end(&mut self) {
        if let Some(leader) = self.0.take() {
            // The group may be gone already.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}
