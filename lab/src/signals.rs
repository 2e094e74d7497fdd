//! The signals that end a run of the lab, which then cleans up.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a signal may come after the end of a component that got the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(300);

/// Ctrl-C, what a service manager sends, and what a terminal sends that is closed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on a signal does not end the process by itself.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one, and gives its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }

    /// The one that a component got, too, which has just ended; nothing if there is none.
    pub(crate) async fn same(&mut self) -> Option<&'static str> {
        tokio::time::timeout(SAME_SIGNAL, self.next()).await.ok()
    }
}
