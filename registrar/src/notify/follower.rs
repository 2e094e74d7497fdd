//! Follows the trail of this node and tells a receiver of the chosen events, each at least once and in order.
//!
//! How far it came is kept in the store. An event that is not taken is told again, with pauses that grow, for as long
//! as it takes; those behind it wait, so that none overtakes another. Events that are removed for their age meanwhile
//! are lost to the receiver, counted, and said to be.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{DeliveryError, Receiver, message};
use crate::config::Chosen;
use crate::observe::log::with_sources;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Delivery, Target};
use crate::store::model::StoredEvent;
use crate::store::{Change, Store, StoreError};

/// How many events are read at once.
const PAGE: u32 = 100;
/// The pauses between two attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// When a store that failed is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How far, and for how long, the store may be behind with events that nobody is told of.
const UNKEPT_EVENTS: i64 = 100;
const UNKEPT: Duration = Duration::from_secs(600);
/// How long an attempt that is under way may take when the daemon ends.
const LAST_ATTEMPT: Duration = Duration::from_secs(5);

/// The task that follows.
pub struct Follower {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where attempts are counted.
    pub metrics: Arc<Metrics>,
    /// This node, whose events are told.
    pub node: String,
    /// Which of them.
    pub chosen: Chosen,
    /// Who is told.
    pub receiver: Box<dyn Receiver>,
    /// What the receiver is.
    pub target: Target,
    /// Changes whenever events were written.
    pub written: watch::Receiver<u64>,
    /// True when the daemon ends.
    pub shutdown: watch::Receiver<bool>,
}

/// Why following stops.
enum Stop {
    /// The daemon ends.
    Ending,
    /// The store fails.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How far it came.
struct Place {
    /// The last event that it is done with.
    seen: i64,
    /// The last one that a receiver took.
    told: i64,
    /// The last one that the store knows it is done with, and since when.
    kept: i64,
    kept_at: Instant,
}

impl Follower {
    /// Follows until the daemon ends.
    pub async fn run(mut self) {
        let mut place = None;
        loop {
            self.written.mark_unchanged();
            match self.follow(&mut place).await {
                Ok(()) => {
                    if self.rest(place.as_ref()).await.is_err() {
                        break;
                    }
                }
                Err(Stop::Ending) => break,
                Err(Stop::Store(error)) => {
                    let error = with_sources(&error);
                    warn!(error, receiver = self.target.as_str(), "nobody is told for now");
                    if self.pause(STORE_PAUSE).await.is_err() {
                        break;
                    }
                }
            }
        }
        if let Some(place) = &mut place
            && let Err(error) = self.keep(place).await
        {
            let error = with_sources(&error);
            warn!(error, "some events may be told again after the next start");
        }
    }

    /// Waits for more events, or until the store must hear how far it came.
    async fn rest(&mut self, place: Option<&Place>) -> Result<(), Stop> {
        let is_unkept = place.is_some_and(|place| place.seen > place.kept);
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            changed = self.written.changed() => changed.map_err(|_| Stop::Ending),
            () = sleep(UNKEPT), if is_unkept => Ok(()),
            () = ended(&mut shutdown) => Err(Stop::Ending),
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), Stop> {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = ended(&mut shutdown) => Err(Stop::Ending),
        }
    }

    /// Looks at every event that there is.
    async fn follow(&self, place: &mut Option<Place>) -> Result<(), Stop> {
        let place = match place {
            Some(place) => place,
            None => place.insert(self.begin().await?),
        };
        loop {
            if *self.shutdown.borrow() {
                return Err(Stop::Ending);
            }
            let events = self.store.chain(&self.node, place.seen, PAGE).await?;
            self.count_behind(place.seen).await?;
            let Some(first) = events.first() else {
                return Ok(self.keep_sometimes(place).await?);
            };
            self.count_lost(place, first.seq);
            for event in &events {
                if self.chosen.has(&event.kind, &event.verdict) {
                    self.tell(event).await?;
                    (place.seen, place.told) = (event.seq, event.seq);
                    self.keep(place).await?;
                } else {
                    place.seen = event.seq;
                }
            }
            self.keep_sometimes(place).await?;
        }
    }

    /// Where it stopped last; for the first time, at the newest event: nobody wants to hear of the past years.
    async fn begin(&self) -> Result<Place, StoreError> {
        let cursors = self.store.cursor(self.reader()).await?;
        let known = cursors.into_iter().find(|(node, _)| *node == self.node);
        let (seen, kept) = match known {
            Some((_, seq)) => (seq, seq),
            None => (self.store.head(&self.node).await?.seq, -1),
        };
        let mut place = Place { seen, told: seen, kept, kept_at: Instant::now() };
        self.keep(&mut place).await?;
        Ok(place)
    }

    /// The name of its cursor.
    fn reader(&self) -> &'static str {
        match self.target {
            Target::Program => "notify-program",
            Target::Url => "notify-url",
        }
    }

    async fn keep(&self, place: &mut Place) -> Result<(), StoreError> {
        if place.seen > place.kept {
            let (reader, node) = (self.reader().to_owned(), self.node.clone());
            let change = Change::SetCursor { reader, node, seq: place.seen };
            self.store.commit(vec![change], Vec::new()).await?;
        }
        (place.kept, place.kept_at) = (place.seen, Instant::now());
        Ok(())
    }

    /// Keeps the place where it matters: events that nobody is told of may be looked at again.
    async fn keep_sometimes(&self, place: &mut Place) -> Result<(), StoreError> {
        let unkept = place.seen.saturating_sub(place.kept);
        let is_due = place.told > place.kept || unkept >= UNKEPT_EVENTS;
        match is_due || place.kept_at.elapsed() >= UNKEPT {
            true => self.keep(place).await,
            false => Ok(()),
        }
    }

    async fn count_behind(&self, seen: i64) -> Result<(), StoreError> {
        let head = self.store.head(&self.node).await?;
        let behind = u64::try_from(head.seq.saturating_sub(seen)).unwrap_or(0);
        self.metrics.set_behind(self.target, behind);
        Ok(())
    }

    fn count_lost(&self, place: &Place, first: i64) {
        let lost = first.saturating_sub(place.seen).saturating_sub(1);
        if let Some(events) = u64::try_from(lost).ok().filter(|lost| *lost > 0) {
            self.metrics.lost(self.target, events);
            warn!(
                events,
                receiver = self.target.as_str(),
                "events were removed for their age before they were looked at; \
                 store.keep_events_days says how long they stay",
            );
        }
    }

    /// Tells of one event until it is taken.
    async fn tell(&self, event: &StoredEvent) -> Result<(), Stop> {
        let known = match &event.device {
            Some(device) => self.store.device(device).await?,
            None => None,
        };
        let text = message::text(event, known.as_ref());
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(&text).await? {
                Ok(()) => {
                    self.metrics.notified(self.target, Delivery::Delivered);
                    info!(
                        seq = event.seq,
                        kind = event.kind,
                        receiver = self.target.as_str(),
                        "told"
                    );
                    return Ok(());
                }
                Err(error) => {
                    self.metrics.notified(self.target, Delivery::Failed);
                    let (seq, kind, receiver) = (event.seq, &event.kind, self.target.as_str());
                    let again_secs = pause.as_secs();
                    warn!(%error, seq, kind, receiver, again_secs, "not told; it will be told again");
                }
            }
            self.pause(pause).await?;
            self.count_behind(event.seq.saturating_sub(1)).await?;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// One attempt; one that is under way when the daemon ends gets a little longer.
    async fn attempt(&self, text: &str) -> Result<Result<(), DeliveryError>, Stop> {
        let mut shutdown = self.shutdown.clone();
        let mut attempt = std::pin::pin!(self.receiver.deliver(text));
        tokio::select! {
            outcome = &mut attempt => Ok(outcome),
            () = ended(&mut shutdown) => {
                timeout(LAST_ATTEMPT, attempt).await.map_err(|_| Stop::Ending)
            }
        }
    }
}

/// Waits for the daemon's end; a sender that is gone is a daemon that is gone.
async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
