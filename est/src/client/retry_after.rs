//! How long to wait, as a server says it (RFC 9110 §10.2.3).

use http::HeaderMap;
use http::header::RETRY_AFTER;
use rustls_pki_types::UnixTime;

/// The longest wait that a client takes on, in seconds.
const LONGEST_SECS: u64 = 24 * 3600;

/// Seconds to wait: 1 to 86400, whatever was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(u32);

impl RetryAfter {
    /// Where a server names no time that can be read.
    pub const DEFAULT: Self = Self(60);
    /// As [`RetryAfter::DEFAULT`], for renewal information (RFC 9773 §4.3).
    pub(super) const RENEWAL_INFO_DEFAULT: Self = Self(6 * 3600);
    /// The shortest time between two looks at renewal information.
    pub(super) const RENEWAL_INFO_LEAST: Self = Self(60);

    /// Takes a number of seconds, into the bounds.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        Self(u32::try_from(seconds.clamp(1, LONGEST_SECS)).unwrap_or(u32::MAX))
    }

    /// Reads the header's value: whole seconds, or a date in any of the three forms of HTTP.
    ///
    /// `now`: by which a date is turned into seconds; one that has passed means at once.
    #[must_use]
    pub fn parse(value: &str, now: UnixTime) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|each| each.is_ascii_digit()) {
            // A number beyond 64 bits is longer than any wait.
            return Some(Self::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        Some(Self::from_secs(date(value)?.saturating_sub(now.as_secs())))
    }

    /// Reads the header, if there is one that can be read.
    #[must_use]
    pub fn of(headers: &HeaderMap, now: UnixTime) -> Option<Self> {
        Self::parse(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
    }

    /// The seconds.
    #[must_use]
    pub fn secs(self) -> u32 {
        self.0
    }
}

/// Seconds since the epoch.
#[expect(clippy::disallowed_types, reason = "a value is converted; no clock is asked")]
fn date(value: &str) -> Option<u64> {
    let time = std::time::SystemTime::from(value.parse::<httpdate::HttpDate>().ok()?);
    time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}
