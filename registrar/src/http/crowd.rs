//! How many connections there may be at once, and which one goes when there are too many.
//!
//! What is scarce is shared by source: an IPv4 address, or an IPv6 network of 64 bits. Where there is no room, a newcomer
//! takes the place of the oldest connection of the source that has most, if that is more than the newcomer's own source
//! would have; or of one that has had time enough and proved nothing. A connection whose client proved to be a known
//! device is never sent away. So a flood, from wherever it comes, takes places from itself.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How long a connection may take to prove something before a newcomer of its own source may take its place.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who shares places: an IPv4 address, or an IPv6 network of 64 bits, which one customer has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from(network))
            }
        })
    }
}

/// There is no room, and nobody who would have to make any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Everybody who has a place.
#[derive(Debug)]
pub(super) struct Crowd {
    /// How many places there are.
    places: usize,
    /// How many of them one source may have.
    of_one_source: usize,
    state: Mutex<State>,
    freed: Notify,
}

/// Members are numbered in the order in which they came.
#[derive(Debug, Default)]
struct State {
    last: u64,
    members: HashMap<u64, Member>,
    sources: HashMap<Source, Group>,
    /// Sources by how many unproved members they have, then by how long their oldest one is here.
    by_size: BTreeSet<(usize, Reverse<u64>, Source)>,
    /// Unproved members, the oldest first.
    by_age: BTreeSet<u64>,
}

#[derive(Debug)]
struct Member {
    source: Source,
    since: Instant,
    leave: Arc<Notify>,
}

/// The members of one source.
#[derive(Debug, Default)]
struct Group {
    unproved: BTreeSet<u64>,
    proved: BTreeSet<u64>,
}

impl Group {
    fn size(&self) -> usize {
        self.unproved.len().saturating_add(self.proved.len())
    }

    /// Its place among all groups; none if nobody of it may be sent away.
    fn key(&self, source: Source) -> Option<(usize, Reverse<u64>, Source)> {
        self.unproved.first().map(|oldest| (self.unproved.len(), Reverse(*oldest), source))
    }
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Returns when somebody else took this place.
    pub(super) async fn taken(&self) {
        self.leave.notified().await;
    }

    /// The client proved to be a known device: it keeps the place for as long as it wants it.
    pub(super) fn prove(&self) {
        let mut state = self.crowd.lock();
        let Some(source) = state.members.get(&self.number).map(|member| member.source) else {
            return;
        };
        state.by_age.remove(&self.number);
        state.regroup(source, |group| {
            if group.unproved.remove(&self.number) {
                group.proved.insert(self.number);
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.number);
        self.crowd.freed.notify_waiters();
    }
}

impl Crowd {
    /// `of_one_source`: how many of the places one source may have.
    pub(super) fn new(places: usize, of_one_source: usize) -> Arc<Self> {
        let (state, freed) = (Mutex::default(), Notify::new());
        Arc::new(Self { places, of_one_source, state, freed })
    }

    /// Takes a place, if need be somebody else's.
    ///
    /// # Errors
    /// [`Full`] if there is none, and nobody who would have to go.
    pub(super) fn enter(self: &Arc<Self>, source: Source, now: Instant) -> Result<Place, Full> {
        let mut state = self.lock();
        let own = state.sources.get(&source);
        let (size, unproved) = own.map_or((0, 0), |own| (own.size(), own.unproved.len()));
        if size >= self.of_one_source {
            let oldest = own.and_then(|own| own.unproved.first()).copied();
            let oldest = oldest.filter(|oldest| state.is_overdue(*oldest, now));
            state.send_away(oldest.ok_or(Full)?);
        } else if state.members.len() >= self.places {
            let victim = state.of_larger_source(unproved.saturating_add(1));
            let victim = victim.or_else(|| {
                state.by_age.first().copied().filter(|oldest| state.is_overdue(*oldest, now))
            });
            state.send_away(victim.ok_or(Full)?);
        }
        let leave = Arc::new(Notify::new());
        let number = state.add(Member { source, since: now, leave: Arc::clone(&leave) });
        drop(state);
        Ok(Place { crowd: Arc::clone(self), number, leave })
    }

    /// Takes a place as soon as there is one.
    pub(super) async fn wait(self: &Arc<Self>, source: Source) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Ok(place) = self.enter(source, Instant::now()) {
                return place;
            }
            // Somebody's time may be up without a place getting free.
            let _ = timeout(PATIENCE, freed).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_overdue(&self, number: u64, now: Instant) -> bool {
        let since = self.members.get(&number).map(|member| member.since);
        since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    /// The oldest unproved member of the source that has most of them, if they are more than `most`.
    fn of_larger_source(&self, most: usize) -> Option<u64> {
        let (size, Reverse(oldest), _) = self.by_size.last()?;
        (*size > most).then_some(*oldest)
    }

    fn add(&mut self, member: Member) -> u64 {
        self.last = self.last.wrapping_add(1);
        let (number, source) = (self.last, member.source);
        self.members.insert(number, member);
        self.by_age.insert(number);
        self.regroup(source, |group| {
            group.unproved.insert(number);
        });
        number
    }

    fn send_away(&mut self, number: u64) {
        if let Some(member) = self.remove(number) {
            member.leave.notify_one();
        }
    }

    /// Frees a place; whoever was sent away has none any more.
    fn remove(&mut self, number: u64) -> Option<Member> {
        let member = self.members.remove(&number)?;
        self.by_age.remove(&number);
        self.regroup(member.source, |group| {
            group.unproved.remove(&number);
            group.proved.remove(&number);
        });
        Some(member)
    }

    /// Changes a group, and what is sorted by it.
    fn regroup(&mut self, source: Source, change: impl FnOnce(&mut Group)) {
        let group = self.sources.entry(source).or_default();
        let before = group.key(source);
        change(group);
        let after = group.key(source);
        if group.size() == 0 {
            self.sources.remove(&source);
        }
        if let Some(before) = before {
            self.by_size.remove(&before);
        }
        if let Some(after) = after {
            self.by_size.insert(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::from(IpAddr::from([192, 0, 2, last]))
    }

    /// Whether somebody took the place.
    async fn is_taken(place: &Place) -> bool {
        timeout(Duration::ZERO, place.taken()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_a_place_from_the_source_that_has_most() {
        let crowd = Crowd::new(4, 4);
        let now = Instant::now();
        let flood: Vec<Place> = (0..3).map(|_| crowd.enter(source(1), now).unwrap()).collect();
        let honest = crowd.enter(source(2), now).unwrap();
        let newcomer = crowd.enter(source(3), now).unwrap();
        assert!(is_taken(&flood[0]).await, "the oldest of the flood goes");
        for place in [&flood[1], &flood[2], &honest, &newcomer] {
            assert!(!is_taken(place).await);
        }
        // The flood itself gets nobody's place at once, its own neither.
        assert_eq!(crowd.enter(source(1), now).unwrap_err(), Full);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_has_no_more_than_its_share() {
        let crowd = Crowd::new(10, 2);
        let now = Instant::now();
        let first = crowd.enter(source(1), now).unwrap();
        let _second = crowd.enter(source(1), now).unwrap();
        assert_eq!(crowd.enter(source(1), now).unwrap_err(), Full);
        let _other = crowd.enter(source(2), now).unwrap();
        let _third = crowd.enter(source(1), now + PATIENCE).unwrap();
        assert!(is_taken(&first).await, "it had time enough");
    }

    #[tokio::test(start_paused = true)]
    async fn known_devices_are_never_sent_away() {
        let crowd = Crowd::new(2, 2);
        let now = Instant::now();
        let known = [crowd.enter(source(1), now).unwrap(), crowd.enter(source(1), now).unwrap()];
        known.iter().for_each(Place::prove);
        let later = now + 100 * PATIENCE;
        assert_eq!(crowd.enter(source(2), later).unwrap_err(), Full);
        assert_eq!(crowd.enter(source(1), later).unwrap_err(), Full);
        let [one, other] = known;
        drop(one);
        let stranger = crowd.enter(source(2), later).unwrap();
        let _next = crowd.enter(source(3), later + PATIENCE).unwrap();
        assert!(is_taken(&stranger).await && !is_taken(&other).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_each_from_many_sources_ends_by_age() {
        let crowd = Crowd::new(2, 2);
        let now = Instant::now();
        let oldest = crowd.enter(source(1), now).unwrap();
        let younger = crowd.enter(source(2), now + PATIENCE / 2).unwrap();
        assert_eq!(crowd.enter(source(3), now + PATIENCE / 2).unwrap_err(), Full);
        let _third = crowd.enter(source(3), now + PATIENCE).unwrap();
        assert!(is_taken(&oldest).await && !is_taken(&younger).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_place_of_who_goes_or_is_overdue() {
        let crowd = Crowd::new(1, 1);
        let first = crowd.wait(source(1)).await;
        let waiting = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.wait(source(1)).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = waiting.await.unwrap();
        let before = Instant::now();
        let _third = crowd.wait(source(1)).await;
        assert!(is_taken(&second).await);
        assert!(before.elapsed() >= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_who_is_gone() {
        let crowd = Crowd::new(8, 4);
        let now = Instant::now();
        for round in 0..100_u8 {
            let places: Vec<_> =
                (0..12).filter_map(|_| crowd.enter(source(round % 5), now).ok()).collect();
            places.iter().step_by(2).for_each(Place::prove);
            if round % 2 == 0 {
                places.iter().for_each(Place::prove);
            }
        }
        let state = crowd.lock();
        assert!(state.members.is_empty() && state.sources.is_empty());
        assert!(state.by_size.is_empty() && state.by_age.is_empty());
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
