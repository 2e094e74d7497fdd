//! How much may be asked of a CA in how much time, so that its published limits are never met. Pure.
//!
//! Each limit is a bucket that fills steadily. What is kept of one is a single number, the time at which it would be
//! full again (the "generic cell rate algorithm"), so that it outlives restarts and nodes share it.

use crate::order::{IssuerName, OrderRecord};
use crate::store::Spending;

/// So many orders in so much time, refilled steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least one.
    pub orders: u32,
    /// In how many seconds; at least one.
    pub period_secs: u32,
}

impl Rate {
    /// How long it takes until another order is there, in milliseconds.
    fn interval(self) -> i64 {
        (self.period() / i64::from(self.orders.max(1))).max(1)
    }

    fn period(self) -> i64 {
        i64::from(self.period_secs.max(1)).saturating_mul(1000)
    }

    /// Takes one order: when the bucket would be full again, or else when an order will be there.
    fn take(self, before: Option<i64>, now: i64) -> Result<i64, i64> {
        let after = before.unwrap_or(now).max(now).saturating_add(self.interval());
        let full = now.saturating_add(self.period());
        if after <= full { Ok(after) } else { Err(after.saturating_sub(self.period())) }
    }

    /// How many orders are left now.
    fn left(self, before: Option<i64>, now: i64) -> u32 {
        let used = before.unwrap_or(now).max(now).saturating_sub(now);
        let free = self.period().saturating_sub(used).max(0);
        u32::try_from(free / self.interval()).unwrap_or(u32::MAX).min(self.orders)
    }
}

/// The limits of a CA; without one, nothing is held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For the account.
    pub account: Option<Rate>,
    /// For each registered domain.
    pub registered_domain: Option<Rate>,
    /// For each exact set of names: a device's certificates.
    pub names: Option<Rate>,
}

impl Limits {
    /// What Let's Encrypt publishes: 300 orders an account in 3 hours, 50 certificates a registered domain and
    /// 5 an exact set of names in 7 days.
    #[must_use]
    pub fn lets_encrypt() -> Self {
        const WEEK: u32 = 7 * 24 * 3600;
        Self {
            account: Some(Rate { orders: 300, period_secs: 3 * 3600 }),
            registered_domain: Some(Rate { orders: 50, period_secs: WEEK }),
            names: Some(Rate { orders: 5, period_secs: WEEK }),
        }
    }

    /// The buckets that are known without an order: the account's, and those of the registered domains.
    pub(crate) fn known(&self, issuer: &IssuerName, domains: &[String]) -> Vec<(String, Rate)> {
        let account = self.account.map(|rate| (format!("{issuer}/account"), rate));
        let domains = self.registered_domain.into_iter().flat_map(|rate| {
            domains.iter().map(move |domain| (format!("{issuer}/domain/{domain}"), rate))
        });
        account.into_iter().chain(domains).collect()
    }

    /// The buckets that an order takes from, with their rates.
    ///
    /// `domains`: the registered domains that are known.
    pub(crate) fn buckets(&self, order: &OrderRecord, domains: &[String]) -> Vec<(String, Rate)> {
        let issuer = &order.issuer;
        let mut buckets = Vec::new();
        if let Some(rate) = self.account {
            buckets.push((format!("{issuer}/account"), rate));
        }
        if let Some(rate) = self.registered_domain {
            let mut registered: Vec<String> = order
                .csr
                .names
                .iter()
                .map(|name| format!("{issuer}/domain/{}", registered_domain(name, domains)))
                .collect();
            registered.sort_unstable();
            registered.dedup();
            buckets.extend(registered.into_iter().map(|name| (name, rate)));
        }
        if let Some(rate) = self.names {
            let mut names = order.csr.names.clone();
            names.sort_unstable();
            buckets.push((format!("{issuer}/names/{}", names.join(",")), rate));
        }
        buckets
    }
}

/// How much is left of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitLeft {
    /// `account`, or `domain/` and the domain.
    pub limit: String,
    /// How many orders are left now.
    pub left: u32,
    /// Of how many.
    pub of: u32,
}

impl LimitLeft {
    pub(crate) fn new(limit: String, rate: Rate, before: Option<i64>, now: i64) -> Self {
        Self { limit, left: rate.left(before, now), of: rate.orders }
    }
}

/// Takes from all buckets, or says when there will be enough in each.
///
/// `before`: when each would be full again, as it was kept; `now`: Unix milliseconds.
///
/// # Errors
/// When there will be enough: Unix milliseconds.
pub fn take(
    buckets: &[(String, Rate)],
    before: &[Option<i64>],
    now: i64,
) -> Result<Vec<Spending>, i64> {
    let mut spendings = Vec::with_capacity(buckets.len());
    let mut until = None;
    for ((bucket, rate), before) in buckets.iter().zip(before) {
        match rate.take(*before, now) {
            Ok(after) => {
                spendings.push(Spending { bucket: bucket.clone(), before: *before, after });
            }
            Err(later) => until = until.max(Some(later)),
        }
    }
    match until {
        None => Ok(spendings),
        Some(until) => Err(until),
    }
}

/// The domain that a CA counts a name under: the longest known one, else the last two labels.
fn registered_domain<'a>(name: &'a str, known: &'a [String]) -> &'a str {
    let is_in = |domain: &str| {
        name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    if let Some(domain) =
        known.iter().filter(|domain| is_in(domain)).max_by_key(|domain| domain.len())
    {
        return domain;
    }
    let start = name.rmatch_indices('.').nth(1).map_or(0, |(position, _)| position + 1);
    name.get(start..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Csr, OrderId, OrderTerms};

    const RATE: Rate = Rate { orders: 5, period_secs: 100 };

    #[test]
    fn a_full_bucket_gives_its_orders_at_once_and_then_one_an_interval() {
        let mut bucket = None;
        let mut now = 1_000_000;
        for left in (0..5).rev() {
            bucket = Some(RATE.take(bucket, now).unwrap());
            assert_eq!(RATE.left(bucket, now), left);
        }
        let until = RATE.take(bucket, now).unwrap_err();
        assert_eq!(until, now + 20_000);
        now = until - 1;
        assert!(RATE.take(bucket, now).is_err());
        bucket = Some(RATE.take(bucket, until).unwrap());
        assert_eq!(RATE.left(bucket, until), 0);
        // Long afterwards it is full, and not fuller.
        assert_eq!(RATE.left(bucket, until + 10_000_000), 5);
    }

    #[test]
    fn an_order_takes_from_all_buckets_or_from_none() {
        let full = ("a".to_owned(), RATE);
        let empty = ("b".to_owned(), Rate { orders: 1, period_secs: 60 });
        let before = [None, Some(70_000)];
        assert_eq!(take(&[full.clone(), empty.clone()], &before, 20_000), Err(70_000));
        let taken = take(&[full, empty], &before, 70_000).unwrap();
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[1].after, 130_000);
    }

    #[test]
    fn rates_of_nothing_and_of_too_much_do_not_overflow() {
        for rate in [
            Rate { orders: 0, period_secs: 0 },
            Rate { orders: u32::MAX, period_secs: 1 },
            Rate { orders: 1, period_secs: u32::MAX },
        ] {
            for now in [0, i64::MAX, i64::MIN] {
                let _ = rate.take(Some(i64::MAX), now);
                let _ = rate.left(Some(i64::MIN), now);
            }
        }
    }

    #[test]
    fn names_are_counted_under_their_registered_domain() {
        let known = ["example.co.uk".to_owned(), "uk".to_owned()];
        assert_eq!(registered_domain("dev.iot.example.co.uk", &known), "example.co.uk");
        assert_eq!(registered_domain("evilexample.co.uk", &known), "uk");
        assert_eq!(registered_domain("dev.iot.example.org", &[]), "example.org");
        assert_eq!(registered_domain("localhost", &[]), "localhost");
        assert_eq!(registered_domain("example.org", &[]), "example.org");
    }

    #[test]
    fn each_limit_is_a_bucket_of_its_own() {
        let csr = Csr {
            der: Vec::new(),
            names: vec!["b.iot.example.org".into(), "a.iot.example.org".into()],
            spki: Vec::new(),
        };
        let (id, issuer) = (OrderId::new("1"), IssuerName::new("le"));
        let order = OrderRecord::new(id, issuer, csr, OrderTerms::default(), 0);
        let names: Vec<String> =
            Limits::lets_encrypt().buckets(&order, &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["le/account", "le/domain/example.org", "le/names/a.iot.example.org,b.iot.example.org"]
        );
        assert!(Limits::default().buckets(&order, &[]).is_empty());
    }
}
