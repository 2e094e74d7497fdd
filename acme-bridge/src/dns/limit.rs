//! How many answers go to one network: a token bucket for each prefix, so that nobody is flooded in our name.
//!
//! A query's source address over UDP may be forged; over TCP it is not, so TCP is not limited here.
//! Of the answers above the limit each second one goes out truncated and empty: a resolver behind the flood tries TCP.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many prefixes are told apart; above it, the newcomers share one bucket.
const PREFIXES: usize = 65_536;

/// How often full buckets are looked for in a full table.
const PURGE_PAUSE: Duration = Duration::from_secs(1);

/// What may be done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes out.
    Send,
    /// It goes out without its records, so that the client asks over TCP.
    Truncate,
    /// It does not go out.
    Drop,
}

/// A network: the first 24 bits of an IPv4 address, the first 56 of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Prefix {
    V4([u8; 3]),
    V6([u8; 7]),
    /// All that came when the table was full.
    Others,
}

impl Prefix {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.to_ipv4_mapped() {
            Some(mapped) => Self::of(IpAddr::V4(mapped)),
            None => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g])
            }
        }
    }
}

/// When the bucket of a prefix is full again, and how many answers it was refused since.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
    refused: u32,
}

/// The buckets.
pub(super) struct RateLimit {
    interval: Duration,
    burst: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    buckets: HashMap<Prefix, Bucket>,
    /// When full buckets were last looked for: a full table must not cost a walk for each query.
    purged_at: Option<Instant>,
}

impl Table {
    /// The key of a prefix's bucket: its own, unless the table is full of busy ones.
    fn key(&mut self, prefix: Prefix, now: Instant) -> Prefix {
        if self.buckets.len() < PREFIXES || self.buckets.contains_key(&prefix) {
            return prefix;
        }
        if self.purged_at.is_none_or(|at| now.duration_since(at) >= PURGE_PAUSE) {
            self.buckets.retain(|_, bucket| bucket.full_at > now);
            self.purged_at = Some(now);
        }
        if self.buckets.len() < PREFIXES { prefix } else { Prefix::Others }
    }
}

impl RateLimit {
    /// `per_second`: how many answers a prefix may have in the long run, at least one; twice as many at once.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: Duration::from_secs(2), table: Mutex::default() }
    }

    /// Whether an answer may go to this address now.
    pub(super) fn check(&self, address: IpAddr, now: Instant) -> Verdict {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let key = table.key(Prefix::of(address), now);
        let bucket = table.buckets.entry(key).or_insert(Bucket { full_at: now, refused: 0 });
        let full_at = bucket.full_at.max(now) + self.interval;
        if full_at.duration_since(now) <= self.burst {
            *bucket = Bucket { full_at, refused: 0 };
            return Verdict::Send;
        }
        bucket.refused = bucket.refused.wrapping_add(1);
        if bucket.refused.is_multiple_of(2) { Verdict::Truncate } else { Verdict::Drop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_flood_from_one_network_is_cut_and_others_are_served() {
        let limit = RateLimit::new(10);
        let now = Instant::now();
        let verdicts: Vec<Verdict> =
            (0..40).map(|number| limit.check(address(number), now)).collect();
        assert_eq!(verdicts.iter().filter(|each| **each == Verdict::Send).count(), 20);
        assert_eq!(verdicts.iter().filter(|each| **each == Verdict::Truncate).count(), 10);
        assert_eq!(limit.check(IpAddr::from([192, 0, 3, 1]), now), Verdict::Send);
        let later = now + Duration::from_secs(1);
        assert_eq!(limit.check(address(1), later), Verdict::Send);
    }

    #[test]
    fn a_mapped_address_is_the_address_that_it_maps() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]);
        assert_eq!(limit.check(mapped, now), Verdict::Send);
        assert_eq!(limit.check(address(7), now), Verdict::Send);
        assert_eq!(limit.check(address(8), now), Verdict::Drop);
    }

    #[test]
    fn the_table_does_not_grow_without_end() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        for number in 0..70_000_u32 {
            let [_, b, c, d] = number.to_be_bytes();
            let _ = limit.check(IpAddr::from([b, c, d, 0]), now);
        }
        let count = || limit.table.lock().unwrap_or_else(PoisonError::into_inner).buckets.len();
        assert!(count() <= PREFIXES + 1, "{}", count());
        let later = now + Duration::from_secs(5);
        assert_eq!(limit.check(address(1), later), Verdict::Send);
        assert_eq!(count(), 1, "what is full again is forgotten");
    }
}
