//! The lab's own relay on a link: Ethernet frames go from one interface to the other, late, some not at all.
//!
//! Both ends are TAP interfaces, each on its machine, whose other end is here: the system computes checksums and cuts
//! segments before a frame comes, and everything that crosses the link is treated alike, multicast too.
//! Times are good to a millisecond.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

use super::link::Quality;
use crate::service::{self, Service};

/// The longest frame: 1500 octets of payload, a header, a tag.
const FRAME_OCTETS: usize = 2048;
/// How many frames of a direction are under way at most; what comes then is dropped, as any queue does.
const QUEUE: usize = 1000;

/// What became of the frames of a link, both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Frames {
    /// Carried to the other end.
    pub carried: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost since the link was cut.
    pub cut: u64,
    /// Dropped since too many were under way.
    pub dropped: u64,
}

#[derive(Default)]
struct Counters {
    carried: AtomicU64,
    lost: AtomicU64,
    cut: AtomicU64,
    dropped: AtomicU64,
}

struct Shared {
    quality: Quality,
    is_cut: AtomicBool,
    counters: Counters,
}

/// A running relay; it carries nothing more when this is dropped.
pub(super) struct Relay {
    shared: Arc<Shared>,
    directions: Vec<Service>,
}

impl Relay {
    /// Carries frames between two interfaces.
    pub(super) fn start(one: Tun, other: Tun, quality: Quality) -> Self {
        let (one, other) = (Arc::new(one), Arc::new(other));
        let (is_cut, counters) = (AtomicBool::new(false), Counters::default());
        let shared = Arc::new(Shared { quality, is_cut, counters });
        let mut directions = Vec::new();
        for (from, to) in [(&one, &other), (&other, &one)] {
            let (sender, receiver) = mpsc::channel(QUEUE);
            directions.push(Service::start(take(Arc::clone(from), sender, Arc::clone(&shared))));
            directions.push(Service::start(give(Arc::clone(to), receiver, Arc::clone(&shared))));
        }
        Self { shared, directions }
    }

    /// From now on nothing crosses.
    pub(super) fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::Relaxed);
    }

    /// From now on it is as it was.
    pub(super) fn mend(&self) {
        self.shared.is_cut.store(false, Ordering::Relaxed);
    }

    /// What became of the frames so far.
    pub(super) fn frames(&self) -> Frames {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Frames {
            carried: read(&counters.carried),
            lost: read(&counters.lost),
            cut: read(&counters.cut),
            dropped: read(&counters.dropped),
        }
    }

    /// Waits until it carries nothing more in one of its directions; gives why.
    pub(super) async fn ended(&self) -> String {
        service::first(self.directions.iter().map(Service::ended)).await
    }
}

/// A frame, and when it is at the other end.
type Late = (Instant, Vec<u8>);

/// Takes frames from an interface, and decides what becomes of each; ends with the interface, and says why.
async fn take(from: Arc<Tun>, queue: mpsc::Sender<Late>, shared: Arc<Shared>) -> io::Error {
    let mut line = Line::new(&shared.quality);
    let mut octets = vec![0; FRAME_OCTETS];
    loop {
        let count = match from.recv(&mut octets).await {
            Ok(count) => count,
            Err(error) => return error,
        };
        let counter = if shared.is_cut.load(Ordering::Relaxed) {
            &shared.counters.cut
        } else if is_lost(shared.quality.loss_percent, chance()) {
            &shared.counters.lost
        } else {
            let frame = octets.get(..count).unwrap_or_default().to_vec();
            let due = line.due(Instant::now(), frame.len());
            match queue.try_send((due, frame)) {
                Ok(()) => continue,
                Err(_) => &shared.counters.dropped,
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives frames to an interface when they are due. What was under way when the link was cut is lost, too.
///
/// Ends with the interface, and says why.
async fn give(to: Arc<Tun>, mut queue: mpsc::Receiver<Late>, shared: Arc<Shared>) -> io::Error {
    while let Some((due, frame)) = queue.recv().await {
        sleep_until(due).await;
        let counter = match shared.is_cut.load(Ordering::Relaxed) {
            true => &shared.counters.cut,
            // An interface that is down takes nothing; one that is no more says that its descriptor is bad.
            false => match to.send(&frame).await {
                Ok(_) => &shared.counters.carried,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::BADFD) => return error,
                Err(_) => &shared.counters.dropped,
            },
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    io::Error::other("nothing comes any more")
}

/// A line that frames enter one after the other.
struct Line {
    delay: Duration,
    rate_kbit: Option<u32>,
    free: Option<Instant>,
}

impl Line {
    fn new(quality: &Quality) -> Self {
        Self { delay: quality.delay, rate_kbit: quality.rate_kbit, free: None }
    }

    /// When a frame that comes now is at the other end.
    fn due(&mut self, now: Instant, octets: usize) -> Instant {
        let begin = self.free.map_or(now, |free| free.max(now));
        let end = begin + self.rate_kbit.map_or(Duration::ZERO, |rate| serial(octets, rate));
        self.free = Some(end);
        end + self.delay
    }
}

/// How long it takes to put a frame on the line. A kilobit a second is a bit a millisecond.
fn serial(octets: usize, rate_kbit: u32) -> Duration {
    let bits = u64::try_from(octets).unwrap_or(u64::MAX).saturating_mul(8);
    Duration::from_nanos(bits.saturating_mul(1_000_000) / u64::from(rate_kbit.max(1)))
}

/// Whether a frame is lost, by a number of chance.
fn is_lost(loss_percent: f64, chance: u32) -> bool {
    f64::from(chance) < loss_percent / 100.0 * (f64::from(u32::MAX) + 1.0)
}

/// Any number, each as likely as the other.
fn chance() -> u32 {
    let mut octets = [0; 4];
    // Without chance nothing is lost.
    match aws_lc_rs::rand::fill(&mut octets) {
        Ok(()) => u32::from_be_bytes(octets),
        Err(_) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_one_after_the_other_and_arrive_late() {
        let quality =
            Quality { delay: Duration::from_millis(50), rate_kbit: Some(8), ..Quality::default() };
        let mut line = Line::new(&quality);
        let now = Instant::now();
        let due = |at: Instant| (at - now).as_millis();
        // A hundred octets are 800 bits, 100 ms at 8 kbit/s.
        assert_eq!(due(line.due(now, 100)), 150);
        assert_eq!(due(line.due(now, 100)), 250);
        let later = now + Duration::from_secs(1);
        assert_eq!(due(line.due(later, 100)), 1150, "the line was free meanwhile");
        let mut free = Line::new(&Quality::default());
        assert_eq!(due(free.due(now, 1500)), 0);
    }

    #[test]
    fn as_many_frames_are_lost_as_was_said() {
        assert!(!is_lost(0.0, 0));
        assert!(is_lost(1.0, 0) && !is_lost(1.0, u32::MAX));
        let half = u32::MAX / 2;
        assert!(is_lost(50.0, half) && !is_lost(50.0, half + 1));
        let lost = (0..10_000).filter(|_| is_lost(20.0, chance())).count();
        assert!((1_700..2_300).contains(&lost), "{lost} of 10000");
    }
}
