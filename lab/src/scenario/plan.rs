//! Who comes when: made of a scenario alone, so that it can be looked at without a run.

use std::time::Duration;

use super::{Fleet, Pace, Scenario};
use crate::fault::Fault;

/// How much of a scenario is run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    /// How many devices of each fleet there are.
    pub size: Size,
    /// How many times faster everything comes.
    pub speed: Speed,
}

/// How many devices of each fleet there are; at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Size {
    /// All.
    #[default]
    Whole,
    /// At most so many.
    AtMost(u32),
    /// This share, more than 0 and at most 1.
    Share(f64),
}

/// How many times faster everything comes that has a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// From a tenth to a hundred thousand times.
    #[must_use]
    pub fn new(times: f64) -> Option<Self> {
        (0.1..=100_000.0).contains(&times).then_some(Self(times))
    }

    /// A time of the scenario, as it is in the run.
    #[must_use]
    pub fn of(self, time: Duration) -> Duration {
        time.div_f64(self.0)
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self(1.0)
    }
}

/// One device that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// The place of its fleet in the scenario.
    pub fleet: usize,
    /// Its number in the fleet, from 1.
    pub number: u32,
    /// When, counted from the beginning.
    pub at: Duration,
    /// What it wants.
    pub intent: Intent,
}

/// What a device wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To join.
    Join,
    /// To tell a lie.
    Lie(Fault),
}

/// Makes the list of all who come, the earliest first.
#[must_use]
pub fn plan(scenario: &Scenario, scale: Scale) -> Vec<Coming> {
    let fleets = scenario.fleets.iter().enumerate();
    let mut coming: Vec<Coming> =
        fleets.flat_map(|(place, fleet)| of(place, fleet, scale)).collect();
    coming.sort_by_key(|each| (each.at, each.fleet, each.number));
    coming
}

/// How many come, without a list of them.
#[must_use]
pub fn count(scenario: &Scenario, scale: Scale) -> u64 {
    scenario.fleets.iter().map(|fleet| u64::from(size(fleet.count, scale.size))).sum()
}

fn of(place: usize, fleet: &Fleet, scale: Scale) -> impl Iterator<Item = Coming> {
    let count = size(fleet.count, scale.size);
    (0..count).map(move |number| Coming {
        fleet: place,
        number: number.saturating_add(1),
        at: scale.speed.of(fleet.arrival.after + offset(fleet.arrival.pace, number, count)),
        intent: match lie(&fleet.faults, number, count) {
            Some(fault) => Intent::Lie(fault),
            None => Intent::Join,
        },
    })
}

/// How many devices of a fleet come.
#[must_use]
pub fn size(count: u32, size: Size) -> u32 {
    match size {
        Size::Whole => count,
        Size::AtMost(most) => count.min(most).max(1),
        Size::Share(share) => {
            // The whole part of a number, which a time has and a number has not without `as`.
            let part = Duration::try_from_secs_f64(f64::from(count) * share).unwrap_or_default();
            u32::try_from(part.as_secs()).unwrap_or(count).clamp(1, count.max(1))
        }
    }
}

/// The lie of a device: the lies in turn, or evenly chosen ones where there are more lies than devices.
fn lie(faults: &[Fault], number: u32, count: u32) -> Option<Fault> {
    let (number, count) = (usize::try_from(number).ok()?, usize::try_from(count).ok()?);
    let place = match count < faults.len() {
        true => number.saturating_mul(faults.len()).checked_div(count)?,
        false => number.checked_rem(faults.len())?,
    };
    faults.get(place).copied()
}

/// How long after the first one a device comes. `number`: from 0.
fn offset(pace: Pace, number: u32, count: u32) -> Duration {
    let number = f64::from(number);
    let seconds = match pace {
        Pace::Burst { within } => within.as_secs_f64() * number / f64::from(count.max(1)),
        Pace::Rate { per_second } => number / per_second,
        Pace::Ramp { from, to, over } => {
            // Until `over` the number that came by t is from·t + slope·t²/2; from then on the rate stays.
            let over = over.as_secs_f64();
            let by_then = (from + to) / 2.0 * over;
            let slope = (to - from) / over;
            match number >= by_then {
                true => over + (number - by_then) / to,
                false if slope.abs() < 1e-9 => number / from,
                false => ((from * from + 2.0 * slope * number).max(0.0).sqrt() - from) / slope,
            }
        }
    };
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Arrival;
    use super::super::words::IssuerKind;
    use super::*;

    fn seconds(pace: Pace, count: u32, scale: Scale) -> Vec<f64> {
        let mut scenario = Scenario::usual(count, 1, IssuerKind::Local);
        for fleet in &mut scenario.fleets {
            fleet.arrival = Arrival { after: Duration::from_secs(2), pace };
        }
        plan(&scenario, scale).iter().map(|coming| coming.at.as_secs_f64()).collect()
    }

    fn is_near(seconds: &[f64], expected: &[f64]) -> bool {
        seconds.len() == expected.len()
            && seconds.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6)
    }

    #[test]
    fn a_burst_comes_within_its_time() {
        let whole = Scale::default();
        let at_once = Pace::Burst { within: Duration::ZERO };
        assert!(is_near(&seconds(at_once, 3, whole), &[2.0, 2.0, 2.0]));
        let spread = Pace::Burst { within: Duration::from_secs(1) };
        assert!(is_near(&seconds(spread, 4, whole), &[2.0, 2.25, 2.5, 2.75]));
    }

    #[test]
    fn a_rate_is_kept() {
        let scale = Scale::default();
        assert!(is_near(&seconds(Pace::Rate { per_second: 4.0 }, 3, scale), &[2.0, 2.25, 2.5]));
    }

    #[test]
    fn a_ramp_reaches_its_rate_and_keeps_it() {
        let ramp = Pace::Ramp { from: 0.0, to: 2.0, over: Duration::from_secs(4) };
        // Four come within the ramp: number 1 after √(2·1/0.5) seconds.
        let times = seconds(ramp, 7, Scale::default());
        assert!(is_near(&times[..2], &[2.0, 4.0]), "{times:?}");
        assert!(is_near(&times[4..], &[6.0, 6.5, 7.0]), "{times:?}");
        let flat = Pace::Ramp { from: 2.0, to: 2.0, over: Duration::from_secs(4) };
        assert!(is_near(&seconds(flat, 3, Scale::default()), &[2.0, 2.5, 3.0]));
    }

    #[test]
    fn a_speed_makes_all_times_shorter() {
        let scale = Scale { speed: Speed::new(10.0).unwrap(), ..Scale::default() };
        assert!(is_near(&seconds(Pace::Rate { per_second: 1.0 }, 3, scale), &[0.2, 0.3, 0.4]));
        assert_eq!(Speed::new(0.0), None);
        assert_eq!(Speed::new(f64::NAN), None);
    }

    #[test]
    fn a_small_size_leaves_no_fleet_without_a_device() {
        assert_eq!(size(2000, Size::Whole), 2000);
        assert_eq!(size(2000, Size::AtMost(5)), 5);
        assert_eq!(size(3, Size::AtMost(5)), 3);
        assert_eq!(size(2000, Size::Share(0.01)), 20);
        assert_eq!(size(3, Size::Share(0.01)), 1);
        assert_eq!(size(3, Size::Share(1.0)), 3);
    }

    #[test]
    fn lies_are_told_in_turn_or_evenly_chosen() {
        let faults = &Fault::ALL[..4];
        let told = |count: u32| -> Vec<Fault> {
            (0..count).filter_map(|number| lie(faults, number, count)).collect()
        };
        assert_eq!(told(2), [faults[0], faults[2]]);
        assert_eq!(told(5), [faults[0], faults[1], faults[2], faults[3], faults[0]]);
        assert_eq!(lie(&[], 0, 1), None);
    }

    #[test]
    fn all_fleets_are_in_the_order_of_their_coming() {
        let mut scenario = Scenario::usual(2, 1, IssuerKind::Local);
        let mut late = Fleet::plain("late", 1);
        late.arrival.after = Duration::from_secs(1);
        scenario.fleets.insert(0, late);
        let fleets: Vec<usize> =
            plan(&scenario, Scale::default()).iter().map(|coming| coming.fleet).collect();
        assert_eq!(fleets, [1, 1, 0]);
        assert_eq!(count(&scenario, Scale::default()), 3);
    }
}
