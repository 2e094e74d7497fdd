//! What the links of a site are like, as options say it. Pure.
//!
//! `NAME:KEY=VALUE,…`, such as `pledges:delay_ms=40,loss_percent=2,rate_kbit=512,cut_secs=3-5`; each direction of a link
//! is like this. Units are in the keys.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

/// The longest delay, in milliseconds.
const DELAY_MS: u64 = 60_000;
/// What is lost at most, in percent; a link that loses everything is cut.
const LOSS_PERCENT: f64 = 90.0;
/// Between what a link carries, in kilobits a second.
const RATE_KBIT: std::ops::RangeInclusive<u32> = 8..=10_000_000;
/// The last moment of a cut, in seconds.
const CUT_SECS: f64 = 86_400.0;
/// How often a link may be cut.
const CUTS: usize = 32;

/// Which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkName {
    /// Between the pledges and the join proxy.
    Pledges,
    /// Between the join proxy and the registrar.
    Site,
    /// Between the registrar and the MASA.
    Masa,
    /// Between the registrar and the ACME CA.
    Ca,
}

impl LinkName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pledges, Self::Site, Self::Masa, Self::Ca];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pledges => "pledges",
            Self::Site => "site",
            Self::Masa => "masa",
            Self::Ca => "ca",
        }
    }
}

/// A time in which a link carries nothing, counted from when the pledges set out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its beginning.
    pub from: Duration,
    /// Its end, after its beginning.
    pub to: Duration,
}

/// What a link is like, in each direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// How long a frame is under way.
    pub delay: Duration,
    /// How many frames of a hundred are lost.
    pub loss_percent: f64,
    /// How much it carries, in kilobits (1,000 bits) a second; as much as comes where there is none.
    pub rate_kbit: Option<u32>,
    /// When it carries nothing.
    pub cuts: Vec<Cut>,
}

/// A link and what it is to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkWish {
    /// Which link.
    pub link: LinkName,
    /// What it is to be like.
    pub quality: Quality,
}

/// Why a link cannot be like this.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is no colon.
    #[error("it is not NAME:KEY=VALUE,..., such as pledges:delay_ms=40,loss_percent=2")]
    Form,
    /// No link of this name.
    #[error("there is no link {0:?}; the links are pledges, site, masa and ca")]
    Link(String),
    /// No key of this name.
    #[error("there is no key {0:?}; the keys are delay_ms, loss_percent, rate_kbit and cut_secs")]
    Key(String),
    /// A key twice, where one value alone has a meaning.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A value out of bounds.
    #[error("{key} is {wanted}, not {value:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it may be.
        wanted: String,
        /// What was given.
        value: String,
    },
}

impl FromStr for LinkWish {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let (name, rest) = text.split_once(':').ok_or(LinkError::Form)?;
        let link = LinkName::ALL.into_iter().find(|link| link.as_str() == name);
        let link = link.ok_or_else(|| LinkError::Link(name.to_owned()))?;
        let mut quality = Quality::default();
        let mut seen: Vec<&'static str> = Vec::new();
        for pair in rest.split(',') {
            let (key, value) = pair.split_once('=').ok_or(LinkError::Form)?;
            let key = quality.set(key, value)?;
            if key != "cut_secs" && seen.contains(&key) {
                return Err(LinkError::Twice(key));
            }
            seen.push(key);
        }
        Ok(Self { link, quality })
    }
}

impl Quality {
    /// Takes over one value, and gives its key back.
    fn set(&mut self, key: &str, value: &str) -> Result<&'static str, LinkError> {
        match key {
            "delay_ms" => {
                let delay = bounded(
                    "delay_ms",
                    value,
                    |delay: &u64| *delay <= DELAY_MS,
                    || format!("a whole number up to {DELAY_MS}"),
                )?;
                self.delay = Duration::from_millis(delay);
                Ok("delay_ms")
            }
            "loss_percent" => {
                let is_good = |loss: &f64| (0.0..=LOSS_PERCENT).contains(loss);
                let wanted = || format!("a number from 0 to {LOSS_PERCENT}");
                self.loss_percent = bounded("loss_percent", value, is_good, wanted)?;
                Ok("loss_percent")
            }
            "rate_kbit" => {
                let wanted =
                    || format!("a whole number from {} to {}", RATE_KBIT.start(), RATE_KBIT.end());
                let is_good = |rate: &u32| RATE_KBIT.contains(rate);
                self.rate_kbit = Some(bounded("rate_kbit", value, is_good, wanted)?);
                Ok("rate_kbit")
            }
            "cut_secs" => {
                self.cuts.push(cut(value)?);
                if self.cuts.len() > CUTS {
                    let wanted = format!("given {CUTS} times at most");
                    return Err(LinkError::Value { key: "cut_secs", wanted, value: value.into() });
                }
                Ok("cut_secs")
            }
            other => Err(LinkError::Key(other.to_owned())),
        }
    }
}

fn bounded<T: FromStr>(
    key: &'static str,
    value: &str,
    is_good: impl Fn(&T) -> bool,
    wanted: impl Fn() -> String,
) -> Result<T, LinkError> {
    let read = value.parse().ok().filter(is_good);
    read.ok_or_else(|| LinkError::Value { key, wanted: wanted(), value: value.to_owned() })
}

/// FROM-TO, in seconds.
fn cut(value: &str) -> Result<Cut, LinkError> {
    let seconds = |text: &str| {
        let seconds: f64 = text.parse().ok()?;
        (0.0..=CUT_SECS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
    };
    let both = value.split_once('-').and_then(|(from, to)| Some((seconds(from)?, seconds(to)?)));
    match both {
        Some((from, to)) if from < to => Ok(Cut { from, to }),
        _ => Err(LinkError::Value {
            key: "cut_secs",
            wanted: format!("FROM-TO with FROM before TO, up to {CUT_SECS}"),
            value: value.to_owned(),
        }),
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.delay.is_zero() {
            parts.push(format!("{} ms late", self.delay.as_millis()));
        }
        if self.loss_percent > 0.0 {
            parts.push(format!("loses {} %", self.loss_percent));
        }
        if let Some(rate) = self.rate_kbit {
            parts.push(format!("{rate} kbit/s"));
        }
        for Cut { from, to } in &self.cuts {
            let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
            parts.push(format!("cut from second {from} to {to}"));
        }
        match parts.is_empty() {
            true => formatter.write_str("as good as it gets"),
            false => formatter.write_str(&parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_as_it_was_said() {
        let wish: LinkWish =
            "site:delay_ms=40,loss_percent=2.5,rate_kbit=512,cut_secs=3-5.5,cut_secs=8-9"
                .parse()
                .unwrap();
        assert_eq!(wish.link, LinkName::Site);
        let cuts = wish.quality.cuts.iter().map(|cut| (cut.from.as_millis(), cut.to.as_millis()));
        assert_eq!(cuts.collect::<Vec<_>>(), [(3000, 5500), (8000, 9000)]);
        assert_eq!(
            wish.quality.to_string(),
            "40 ms late, loses 2.5 %, 512 kbit/s, cut from second 3 to 5.5, cut from second 8 to 9"
        );
        assert_eq!(Quality::default().to_string(), "as good as it gets");
    }

    #[test]
    fn refuses_what_no_link_can_be() {
        for (text, words) in [
            ("", "NAME:KEY=VALUE"),
            ("site", "NAME:KEY=VALUE"),
            ("site:", "NAME:KEY=VALUE"),
            ("moon:delay_ms=1", "no link \"moon\""),
            ("site:delay=1", "no key \"delay\""),
            ("site:delay_ms=1,delay_ms=2", "delay_ms is given twice"),
            ("site:delay_ms=-1", "delay_ms is a whole number up to 60000"),
            ("site:delay_ms=60001", "delay_ms"),
            ("site:loss_percent=91", "from 0 to 90"),
            ("site:loss_percent=NaN", "from 0 to 90"),
            ("site:rate_kbit=0", "rate_kbit is a whole number from 8"),
            ("site:rate_kbit=99999999999", "rate_kbit"),
            ("site:cut_secs=5", "FROM-TO"),
            ("site:cut_secs=5-5", "FROM-TO"),
            ("site:cut_secs=5-3", "FROM-TO"),
            ("site:cut_secs=-1-3", "FROM-TO"),
            ("site:cut_secs=0-inf", "FROM-TO"),
            ("site:cut_secs=0-86401", "FROM-TO"),
        ] {
            let error = text.parse::<LinkWish>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let many = vec!["cut_secs=1-2"; 33].join(",");
        let error = format!("site:{many}").parse::<LinkWish>().unwrap_err().to_string();
        assert!(error.contains("32 times"), "{error}");
    }
}
