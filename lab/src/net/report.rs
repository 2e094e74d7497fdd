//! What a run across a network came to.

use std::time::Duration;

use serde::Serialize;

use super::link::{Cut, LinkName};
use super::relay::Frames;
use super::shaper::{Link, Shaper};
use crate::pledge::discover::Joined;
use crate::report::Report;

/// What a run across a network came to.
#[derive(Debug, Serialize)]
pub struct NetReport {
    /// The pledges.
    #[serde(flatten)]
    pub report: Report,
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
}

impl NetReport {
    /// The report of a run, whose links are as they are now.
    pub(super) fn new(
        issuer: &str,
        outcomes: Vec<Result<Joined, String>>,
        took: Duration,
        shaper: Shaper,
        links: &[Link],
    ) -> Self {
        let join = |joined: &Joined| JoinReport {
            serial: joined.enrolled.serial.clone(),
            at: joined.place.instance.clone(),
            address: joined.place.address.to_string(),
            rounds: joined.round,
        };
        let joined = outcomes.iter().flatten().map(join).collect();
        let outcomes = outcomes.into_iter().map(|each| each.map(|joined| joined.enrolled));
        Self {
            report: Report::new(issuer, outcomes.collect(), took),
            shaper,
            links: links.iter().map(LinkReport::of).collect(),
            joined,
            interrupted_by: None,
        }
    }

    /// Whether every pledge made it, and nobody ended the run.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.report.failed == 0 && self.interrupted_by.is_none()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![self.report.table()];
        for link in &self.links {
            if let Some(Frames { carried, lost, cut, dropped }) = link.frames {
                lines.push(format!(
                    "link {:<8} {carried} frames carried, {lost} lost, {cut} lost to cuts, {dropped} dropped\n",
                    link.name.as_str()
                ));
            }
        }
        lines.extend(self.report.errors.iter().map(|error| format!("failed  {error}\n")));
        if let Some(signal) = self.interrupted_by {
            lines.push(format!("interrupted by {signal}\n"));
        }
        lines.push(format!(
            "{} of {} pledges hold a verified certificate, after {:.1} s.\n",
            self.report.enrolled, self.report.pledges, self.report.seconds
        ));
        lines.concat()
    }
}
