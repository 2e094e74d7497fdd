//! What the service manager is told where there is one (sd_notify(3)): ready, reading the configuration again, ending,
//! and that the daemon still lives.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Requests are taken from now on.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] follows, whatever comes of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[NotifyState::Reloading, since]),
        Err(error) => warn!(%error, "the service manager is not told of the reload"),
    }
}

/// No request is taken any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the daemon lives, twice as often as the service manager asks (WATCHDOG_USEC); nothing if it does not ask.
///
/// It is a task like every other one: where tasks hang, it hangs too.
pub(super) fn live() -> Living {
    let limit = sd_notify::watchdog_enabled();
    Living(limit.map(|limit| tokio::spawn(say_so(limit / 2))))
}

/// Says that the daemon lives, until this is dropped.
pub(super) struct Living(Option<JoinHandle<()>>);

impl Drop for Living {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn say_so(often: Duration) {
    let mut saying = interval(often.max(Duration::from_millis(1)));
    saying.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        saying.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager is not told");
    }
}
