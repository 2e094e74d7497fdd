//! What a run across a network came to.

use std::time::Duration;

use serde::Serialize;

use super::link::{Cut, LinkName};
use super::relay::Frames;
use super::shaper::{Link, Shaper};
use crate::pledge::discover::Joined;
use crate::report::{self, DeviceReport};
use crate::up::Issuer;

/// What a run across a network came to.
#[derive(Debug, Serialize)]
pub struct NetReport {
    /// How many pledges there were.
    pub pledges: usize,
    /// How many hold a verified certificate.
    pub enrolled: usize,
    /// How many do not.
    pub failed: usize,
    /// How long all of them took together.
    pub seconds: f64,
    /// `acme` or `local`.
    pub issuer: &'static str,
    /// Those that made it.
    pub devices: Vec<DeviceReport>,
    /// Why the others did not.
    pub errors: Vec<String>,
    /// How many DNS queries of the CA were answered.
    pub dns_queries_answered: u64,
    /// Who spoiled the links.
    #[serde(flatten)]
    pub shaper: Shaper,
    /// The links.
    pub links: Vec<LinkReport>,
    /// Where each pledge joined that did.
    pub joined: Vec<JoinReport>,
    /// The signal that ended the run before its time.
    pub interrupted_by: Option<&'static str>,
}

/// Where a pledge joined.
#[derive(Debug, Serialize)]
pub struct JoinReport {
    /// Its serial number.
    pub serial: String,
    /// The place, by its name.
    pub at: String,
    /// Its address.
    pub address: String,
    /// How often it looked for places, and tried them.
    pub rounds: u32,
}

/// What a link was like, and what became of its frames.
#[derive(Debug, Serialize)]
pub struct LinkReport {
    /// Which.
    pub name: LinkName,
    /// How late each frame was, in milliseconds.
    pub delay_ms: u128,
    /// How many of a hundred were to be lost.
    pub loss_percent: f64,
    /// How much it carried at most, in kilobits a second.
    pub rate_kbit: Option<u32>,
    /// When it was to be cut, in seconds: from and to.
    pub cut_secs: Vec<[f64; 2]>,
    /// What became of its frames, where the lab's relay carried them.
    pub frames: Option<Frames>,
}

impl LinkReport {
    pub(super) fn of(link: &Link) -> Self {
        let quality = link.quality();
        let seconds = |Cut { from, to }: &Cut| [from.as_secs_f64(), to.as_secs_f64()];
        Self {
            name: link.name(),
            delay_ms: quality.delay.as_millis(),
            loss_percent: quality.loss_percent,
            rate_kbit: quality.rate_kbit,
            cut_secs: quality.cuts.iter().map(seconds).collect(),
            frames: link.frames(),
        }
    }

    /// A line for people, where its frames were counted.
    pub(super) fn text(&self) -> Option<String> {
        let Frames { carried, lost, cut, dropped } = self.frames?;
        Some(format!(
            "link {:<8} {carried} frames carried, {lost} lost, {cut} lost to cuts, {dropped} dropped\n",
            self.name.as_str()
        ))
    }
}

impl NetReport {
    /// The report of a run, whose links are as they are now.
    pub(super) fn new(
        issuer: Issuer,
        outcomes: Vec<Result<Joined, String>>,
        took: Duration,
        shaper: Shaper,
        links: &[Link],
    ) -> Self {
        let pledges = outcomes.len();
        let (mut devices, mut joins, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(Joined { place, round, enrolled }) => {
                    joins.push(JoinReport {
                        serial: enrolled.serial.clone(),
                        at: place.instance,
                        address: place.address.to_string(),
                        rounds: round,
                    });
                    devices.push(DeviceReport::of(&enrolled));
                }
                Err(error) => errors.push(error),
            }
        }
        Self {
            pledges,
            enrolled: devices.len(),
            failed: errors.len(),
            seconds: took.as_secs_f64(),
            issuer: match issuer {
                Issuer::Acme => "acme",
                Issuer::Local => "local",
            },
            devices,
            errors,
            dns_queries_answered: 0,
            shaper,
            links: links.iter().map(LinkReport::of).collect(),
            joined: joins,
            interrupted_by: None,
        }
    }

    /// Whether every pledge made it, and nobody ended the run.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.interrupted_by.is_none()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![report::devices(&self.devices)];
        lines.extend(self.links.iter().filter_map(LinkReport::text));
        lines.extend(self.errors.iter().map(|error| format!("failed  {error}\n")));
        if let Some(signal) = self.interrupted_by {
            lines.push(format!("interrupted by {signal}\n"));
        }
        lines.push(format!(
            "{} of {} pledges hold a verified certificate, after {:.1} s.\n",
            self.enrolled, self.pledges, self.seconds
        ));
        lines.concat()
    }
}
