//! The signals that end a run of the lab, which then cleans up.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a signal may come after the end of a component that got the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(300);

/// Ctrl-C, what a service manager sends, and what a terminal sends that is closed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Nothing where whoever started this process wants it to live on without its terminal, as `nohup` does.
    hang_up: Option<Signal>,
}

impl Signals {
    /// From here on a signal does not end the process by itself.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: match is_ignored(SignalKind::hangup()) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Waits for one, and gives its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            Some(_) = hang_up(&mut self.hang_up) => "SIGHUP",
        }
    }

    /// The one that a component got, too, which has just ended; nothing if there is none.
    pub(crate) async fn same(&mut self) -> Option<&'static str> {
        tokio::time::timeout(SAME_SIGNAL, self.next()).await.ok()
    }
}

async fn hang_up(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

/// Whether this process was started so that a signal does nothing, as far as the system says.
fn is_ignored(kind: SignalKind) -> bool {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()).unwrap_or(0);
    let number = u32::try_from(kind.as_raw_value()).unwrap_or(0);
    number.checked_sub(1).is_some_and(|place| ignored.checked_shr(place).unwrap_or(0) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_known() {
        // Programs in Rust ignore this one, and no program can ignore the other.
        assert!(is_ignored(SignalKind::pipe()));
        assert!(!is_ignored(SignalKind::from_raw(9)));
    }
}
