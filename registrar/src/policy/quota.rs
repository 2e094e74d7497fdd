//! How many vouchers and enrollments one device, and the devices of one manufacturer, may ask for in a time. Pure.
//!
//! Each quota is a bucket that fills steadily; what is taken from it is written with what it was taken for,
//! so that restarts and other nodes know it.

use std::fmt;

use acme_bridge::quota::{self, Rate};

use crate::store::Change;
use crate::store::model::{Id, Millis};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A voucher: a pledge's request that was not seen before.
    Voucher,
    /// A certificate: an enrollment that was not begun before.
    Enrollment,
}

impl Wish {
    /// The words for several of them.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Voucher => "vouchers",
            Self::Enrollment => "enrollments",
        }
    }
}

/// The section `[policy.quota]`; without one, nothing is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// For each device.
    pub device_vouchers: Option<Rate>,
    /// For each device.
    pub device_enrollments: Option<Rate>,
    /// For all devices of a manufacturer together.
    pub manufacturer_vouchers: Option<Rate>,
    /// For all devices of a manufacturer together.
    pub manufacturer_enrollments: Option<Rate>,
}

/// Whose quota it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The device's own.
    Device,
    /// That of all devices of its manufacturer.
    Manufacturer,
}

/// A quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Whose.
    pub holder: Holder,
    /// Of what.
    pub wish: Wish,
    /// When there is some of it again, in seconds from now; at least one.
    pub retry_after_secs: u32,
}

impl fmt::Display for Spent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.holder {
            Holder::Device => "this device has",
            Holder::Manufacturer => "the devices of this manufacturer have",
        };
        write!(formatter, "{who} asked for as many {} as may be for now", self.wish.plural())
    }
}

/// The buckets that a wish takes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets(Vec<(Holder, String, Rate)>);

impl Quotas {
    /// The buckets of a device's wish; none where no quota holds.
    ///
    /// `manufacturer`: none for a device with a credential.
    #[must_use]
    pub fn buckets(&self, wish: Wish, device: &Id, manufacturer: Option<&Id>) -> Buckets {
        let (of_device, of_manufacturer) = match wish {
            Wish::Voucher => (self.device_vouchers, self.manufacturer_vouchers),
            Wish::Enrollment => (self.device_enrollments, self.manufacturer_enrollments),
        };
        let what = wish.plural();
        let own = of_device.map(|rate| (Holder::Device, format!("device/{device}/{what}"), rate));
        let shared = of_manufacturer.zip(manufacturer).map(|(rate, manufacturer)| {
            (Holder::Manufacturer, format!("manufacturer/{manufacturer}/{what}"), rate)
        });
        Buckets(own.into_iter().chain(shared).collect())
    }
}

impl Buckets {
    /// Their names, as the store knows them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(_, name, _)| name.clone()).collect()
    }

    /// The one that most devices share; none where there is no bucket.
    #[must_use]
    pub fn widest(&self) -> Option<&str> {
        self.0.last().map(|(_, name, _)| name.as_str())
    }

    /// Takes one from each, or from none.
    ///
    /// `before`: what the store has of each, in their order.
    ///
    /// # Errors
    /// The quota that is used up: the device's own before its manufacturer's.
    pub fn take(
        &self,
        wish: Wish,
        before: &[Option<i64>],
        now: Millis,
    ) -> Result<Vec<Change>, Spent> {
        let mut changes = Vec::with_capacity(self.0.len());
        for ((holder, name, rate), before) in self.0.iter().zip(before) {
            match quota::take(&[(name.clone(), *rate)], &[*before], now.0) {
                Ok(spendings) => changes.extend(spendings.into_iter().map(Change::SpendQuota)),
                Err(later) => {
                    let millis = later.saturating_sub(now.0).max(1);
                    let seconds = u32::try_from(millis.div_euclid(1000).saturating_add(1));
                    let retry_after_secs = seconds.unwrap_or(u32::MAX);
                    return Err(Spent { holder: *holder, wish, retry_after_secs });
                }
            }
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { orders: 2, period_secs: 60 };

    fn id(text: &str) -> Id {
        Id::from_stored(text.to_owned())
    }

    fn after(changes: &[Change]) -> Vec<Option<i64>> {
        let after = |change: &Change| match change {
            Change::SpendQuota(spending) => Some(spending.after),
            other => panic!("{other:?}"),
        };
        changes.iter().map(after).collect()
    }

    #[test]
    fn a_device_gets_what_its_quota_gives_and_then_waits() {
        let quotas = Quotas { device_vouchers: Some(RATE), ..Quotas::default() };
        let buckets = quotas.buckets(Wish::Voucher, &id("d"), Some(&id("m")));
        assert_eq!(buckets.names(), ["device/d/vouchers"]);
        let mut before = vec![None];
        for _ in 0..2 {
            before = after(&buckets.take(Wish::Voucher, &before, Millis(1000)).unwrap());
        }
        let spent = buckets.take(Wish::Voucher, &before, Millis(1000)).unwrap_err();
        assert_eq!((spent.holder, spent.wish), (Holder::Device, Wish::Voucher));
        assert!((30..=31).contains(&spent.retry_after_secs), "{spent:?}");
        assert!(buckets.take(Wish::Voucher, &before, Millis(32_000)).is_ok());
    }

    #[test]
    fn a_manufacturers_quota_is_shared_and_a_credential_has_none() {
        let quotas = Quotas { manufacturer_enrollments: Some(RATE), ..Quotas::default() };
        let of = |device: &str| quotas.buckets(Wish::Enrollment, &id(device), Some(&id("m")));
        assert_eq!(of("a").names(), ["manufacturer/m/enrollments"]);
        assert_eq!(of("a"), of("b"));
        let full = [Some(60_001)];
        let spent = of("a").take(Wish::Enrollment, &full, Millis(1)).unwrap_err();
        assert_eq!(spent.holder, Holder::Manufacturer);
        let none = quotas.buckets(Wish::Enrollment, &id("a"), None);
        assert!(none.take(Wish::Enrollment, &[], Millis(1)).unwrap().is_empty());
        assert!(quotas.buckets(Wish::Voucher, &id("a"), Some(&id("m"))).names().is_empty());
    }

    #[test]
    fn nothing_is_taken_of_one_bucket_when_another_is_empty() {
        let quotas = Quotas {
            device_vouchers: Some(RATE),
            manufacturer_vouchers: Some(RATE),
            ..Quotas::default()
        };
        let buckets = quotas.buckets(Wish::Voucher, &id("d"), Some(&id("m")));
        let spent = buckets.take(Wish::Voucher, &[None, Some(60_001)], Millis(1)).unwrap_err();
        assert_eq!(spent.holder, Holder::Manufacturer);
        assert_eq!(buckets.take(Wish::Voucher, &[None, None], Millis(1)).unwrap().len(), 2);
    }
}
