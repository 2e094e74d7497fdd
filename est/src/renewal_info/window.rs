//! The time in which a certificate should be renewed (RFC 9773 §4.2).

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::certificate::Fields;

/// Certificates that live shorter are renewed at half of their life.
const SHORT_LIFE_SECS: u64 = 10 * 24 * 3600;

/// Why there is no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WindowError {
    /// It ends before it starts, or with it.
    #[error("the window does not end after it starts")]
    Order,
    /// A time is not one of RFC 3339, or lies before 1970.
    #[error("a time of the window is not one of RFC 3339 since 1970")]
    Time,
    /// The certificate, or its validity, cannot be read.
    #[error("the validity of the certificate cannot be read")]
    Validity,
}

/// The time in which to renew: `start` belongs to it, `end` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start: UnixTime,
    end: UnixTime,
}

impl Window {
    /// Takes a window.
    ///
    /// # Errors
    /// [`WindowError::Order`].
    pub fn new(start: UnixTime, end: UnixTime) -> Result<Self, WindowError> {
        if end > start { Ok(Self { start, end }) } else { Err(WindowError::Order) }
    }

    /// The window of a certificate whose CA suggests none.
    ///
    /// It starts at two thirds of the certificate's life, or at half of a life below ten days,
    /// and ends when a tenth of the rest has gone: early enough that tries which fail can be repeated,
    /// and long enough that a fleet does not come at once.
    ///
    /// # Errors
    /// [`WindowError::Order`] where the validity leaves no second for it.
    pub fn of_validity(not_before: UnixTime, not_after: UnixTime) -> Result<Self, WindowError> {
        let (from, until) = (not_before.as_secs(), not_after.as_secs());
        let life = until.checked_sub(from).ok_or(WindowError::Order)?;
        let rest = if life < SHORT_LIFE_SECS { life / 2 } else { life / 3 };
        let start = until.saturating_sub(rest);
        Self::new(seconds(start), seconds(start.saturating_add((rest / 10).max(1)).min(until)))
    }

    /// As [`Window::of_validity`], from a certificate.
    ///
    /// # Errors
    /// [`WindowError::Validity`], [`WindowError::Order`].
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, WindowError> {
        let validity = Fields::read(certificate).and_then(|fields| fields.validity());
        let (not_before, not_after) = validity.ok_or(WindowError::Validity)?;
        Self::of_validity(not_before, not_after)
    }

    /// When it starts.
    #[must_use]
    pub fn start(&self) -> UnixTime {
        self.start
    }

    /// When it is over.
    #[must_use]
    pub fn end(&self) -> UnixTime {
        self.end
    }

    /// A moment in it, for a client to renew at; one that has passed means now.
    ///
    /// `random`: any number, each as likely as the others.
    ///
    /// RFC 9773 §4.2.
    #[must_use]
    pub fn moment(&self, random: u64) -> UnixTime {
        let length = self.end.as_secs().saturating_sub(self.start.as_secs()).max(1);
        seconds(self.start.as_secs().saturating_add(random % length))
    }
}

fn seconds(since_epoch: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(since_epoch))
}

/// Writes a time to the second, in UTC. One beyond the year 9999 is written as that year's end.
pub(super) fn rfc3339(time: UnixTime) -> String {
    const YEAR_9999: &str = "9999-12-31T23:59:59Z";
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| YEAR_9999.to_owned())
}

/// Reads a time of any offset; parts of a second are dropped.
pub(super) fn unix_time(text: &str) -> Result<UnixTime, WindowError> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| WindowError::Time)?;
    u64::try_from(time.unix_timestamp()).map(seconds).map_err(|_| WindowError::Time)
}
