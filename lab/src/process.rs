//! Processes that the lab starts: free ports for them, and an end for them whatever happens.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a process may take to end when asked to.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How many lines of a log are shown of a component that failed.
const LOG_LINES: usize = 15;
/// How often something that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The ports to choose from: below those that the system gives to connections and to listeners without a wish,
/// so that none of these takes a port between its choice and its use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How many ports of the range were chosen by this process.
static CHOSEN: AtomicU32 = AtomicU32::new(0);

/// Finds a port on the loopback interface that is free for TCP and UDP, and that this process did not choose before.
///
/// # Errors
/// What the system says.
pub fn free_port() -> io::Result<u16> {
    let length = u32::from(PORTS.end - PORTS.start);
    // Processes begin at different places, so that two of them seldom look at the same port.
    let begin = std::process::id().wrapping_mul(997);
    let mut last = io::Error::other("no free port");
    for _ in 0..length {
        let step = begin.wrapping_add(CHOSEN.fetch_add(1, Ordering::Relaxed)) % length;
        let port = PORTS.start + u16::try_from(step).unwrap_or_default();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match TcpListener::bind(address).and_then(|_| UdpSocket::bind(address)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Starts a program whose output goes to a file; it is killed when the handle is dropped.
///
/// # Errors
/// What the system says, with the program's name.
pub fn start(command: &mut Command, log: &Path) -> io::Result<Child> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let program = command.as_std().get_program().to_string_lossy().into_owned();
            io::Error::new(error.kind(), format!("cannot start {program}: {error}"))
        })
}

/// Asks a process to end (SIGTERM), and ends it after a while.
pub async fn stop(child: &mut Child) {
    if let Some(pid) = child.id() {
        let _ = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
    }
    if tokio::time::timeout(END_LIMIT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Waits until a process ends by itself; gives how.
pub async fn ended(child: &mut Child) -> String {
    match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// The last lines of a log, for whoever must know why a process ended.
#[must_use]
pub fn last_lines(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// What is told of a component that ended by itself: how, and the last lines of its log.
pub(crate) fn last_words(name: &str, how: &str, log: &Path) -> String {
    let last = last_lines(log, LOG_LINES);
    format!("{name} ended by itself ({how}); the last lines of {}:\n{last}", log.display())
}

/// Looks again and again until `look` finds something, at most for `limit`.
pub async fn until<T, L>(limit: Duration, mut look: L) -> Option<T>
where
    L: AsyncFnMut() -> Option<T>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}
