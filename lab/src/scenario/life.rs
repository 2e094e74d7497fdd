//! The life of one device in a run: it comes, joins or lies, and comes again for its renewals.
//!
//! A real device whose connection breaks does not give up: it begins again after a pause, which grows. So does this one,
//! and the report says how often.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::ca::LyingCa;
use super::factory::{Works, prefix};
use super::plan::{Coming, Intent, Speed};
use super::turn::Turn;
use super::{Fleet, Renewal};
use crate::fault::report::Finding;
use crate::fault::run::Workshop;
use crate::fault::{self, Fault, Liar};
use crate::pledge::discover::{self, Search};
use crate::pledge::journey::{self, Enrolled, Label, Phases};
use crate::pledge::{Pledge, PledgeError};
use crate::report::DeviceReport;

/// How often a device begins again whose connections break.
const TRIES_MOST: u32 = 20;
/// The pause before it begins for the second time; each further one is twice as long,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// What is heard of devices while they run.
#[derive(Debug)]
pub(super) enum News {
    /// It has its first certificate.
    Joined { fleet: usize, device: Box<DeviceReport>, phases: Phases, took: Duration },
    /// Its connection broke, and it begins again.
    BeginsAgain { fleet: usize, error: PledgeError },
    /// It gave up.
    GaveUp { fleet: usize, serial: String, error: PledgeError },
    /// It told its lie.
    Lied { fleet: usize, finding: Box<Finding>, took: Duration },
    /// It has another certificate.
    Renewed { fleet: usize, took: Duration },
    /// It could not renew.
    RenewalFailed { fleet: usize, serial: String, error: PledgeError },
}

/// What all devices of a run share.
pub(super) struct Stage {
    pub(super) works: Arc<Vec<Works>>,
    /// The CA, if it lies on demand.
    pub(super) lying_ca: Option<Arc<LyingCa>>,
    pub(super) registrar: SocketAddr,
    pub(super) way: Way,
    /// How many look for their way at once.
    pub(super) searches: Semaphore,
    /// How many are at work at once.
    pub(super) permits: Semaphore,
    pub(super) speed: Speed,
    pub(super) begin: Instant,
}

impl Stage {
    /// Where a device finds the registrar, or a join proxy that leads to it.
    async fn way(&self) -> Result<SocketAddr, PledgeError> {
        let search = match &self.way {
            Way::Told => return Ok(self.registrar),
            Way::Searched(search) => search,
        };
        let _permit = self.searches.acquire().await;
        let found = discover::find(search).await;
        found.map(|place| place.address).map_err(|error| PledgeError::check("discovery", error))
    }

    /// Waits until the CA is honest, for somebody who orders.
    async fn turn(&self) -> Option<Turn<'_>> {
        match &self.lying_ca {
            Some(ca) => Some(ca.turns.among_others().await),
            None => None,
        }
    }
}

/// How devices know where to go.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// They are told where the registrar is.
    Told,
    /// Each looks for a join proxy when it comes, and keeps to the one that it found.
    Searched(Search),
}

/// How many devices look for their way at once: each has mDNS, with a thread and sockets, to itself.
pub(super) const SEARCHES_MOST: usize = 200;

/// A device that has joined, or is about to.
struct Guest<'a> {
    pledge: &'a Pledge,
    registrar: SocketAddr,
    label: &'a Label,
}

/// An honest device comes at its time, joins, and renews.
pub(super) async fn honest(
    stage: &Stage,
    coming: Coming,
    fleet: &Fleet,
    pledge: Pledge,
    news: &UnboundedSender<News>,
) {
    let due = stage.begin + coming.at;
    tokio::time::sleep_until(due).await;
    let label = Label::new(fleet.label.clone());
    let joined = async {
        let registrar = stage.way().await?;
        let _permit = stage.permits.acquire().await;
        let _turn = stage.turn().await;
        let join = || journey::run(&pledge, registrar, &label);
        Ok::<_, PledgeError>((registrar, again_and_again(coming, news, join).await?))
    };
    let place = coming.fleet;
    let (registrar, device) = match joined.await {
        Ok(joined) => joined,
        Err(error) => {
            let serial = pledge.serial().to_string();
            let _ = news.send(News::GaveUp { fleet: place, serial, error });
            return;
        }
    };
    let (report, phases) = (Box::new(DeviceReport::of(&device)), device.phases);
    // What it waited for its turn counts: somebody waits for the device.
    let took = due.elapsed();
    let _ = news.send(News::Joined { fleet: place, device: report, phases, took });
    if let Some(renewal) = fleet.renewal {
        let guest = Guest { pledge: &pledge, registrar, label: &label };
        renewals(stage, coming, renewal, (guest, device), news).await;
    }
}

async fn renewals(
    stage: &Stage,
    coming: Coming,
    renewal: Renewal,
    (guest, mut device): (Guest<'_>, Enrolled),
    news: &UnboundedSender<News>,
) {
    let fleet = coming.fleet;
    for _ in 0..renewal.times {
        let due = Instant::now() + stage.speed.of(renewal.after);
        tokio::time::sleep_until(due).await;
        let _permit = stage.permits.acquire().await;
        let _turn = stage.turn().await;
        let Guest { pledge, registrar, label } = guest;
        let renew = || journey::renew(pledge, &device, registrar, label);
        match again_and_again(coming, news, renew).await {
            Ok(renewed) => {
                let _ = news.send(News::Renewed { fleet, took: due.elapsed() });
                device = renewed;
            }
            Err(error) => {
                let serial = device.serial;
                let _ = news.send(News::RenewalFailed { fleet, serial, error });
                return;
            }
        }
    }
}

/// Tries until it succeeds, is refused, or has had enough of broken connections.
async fn again_and_again<T, F>(
    coming: Coming,
    news: &UnboundedSender<News>,
    mut once: impl FnMut() -> F,
) -> Result<T, PledgeError>
where
    F: Future<Output = Result<T, PledgeError>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match once().await {
            Err(error @ PledgeError::Http { .. }) if tries < TRIES_MOST => {
                let _ = news.send(News::BeginsAgain { fleet: coming.fleet, error });
                tokio::time::sleep(pause(tries, coming.number)).await;
            }
            done => return done,
        }
    }
}

/// The pause after a broken connection: it doubles, and devices of different numbers take different ones.
fn pause(tries: u32, number: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let longest = doubled.min(LONGEST_PAUSE);
    // Between half of it and all of it, spread by a multiplicative hash, so that those who broke off together
    // do not come back together.
    let spread = number.wrapping_mul(2_654_435_761).rotate_left(tries) % 1000;
    longest / 2 + longest / 2 * spread / 1000
}

/// A device comes at its time and lies, and so does not join; its honest twin does.
pub(super) async fn liar(
    stage: &Stage,
    coming: Coming,
    fleet: &Fleet,
    fault: Fault,
    news: &UnboundedSender<News>,
) {
    let due = stage.begin + coming.at;
    tokio::time::sleep_until(due).await;
    let Some(works) = stage.works.get(fleet.maker) else {
        return;
    };
    let registrar = match stage.way().await {
        Ok(registrar) => registrar,
        Err(error) => {
            let serial = format!("{}-{}", prefix(&fleet.name), coming.number);
            let _ = news.send(News::GaveUp { fleet: coming.fleet, serial, error });
            return;
        }
    };
    let _permit = stage.permits.acquire().await;
    // Each takes its turn at the MASA and then at the CA, so that nobody waits for somebody who waits for him.
    let liar = fault.card().liar;
    let _masa = match liar {
        Liar::Masa => works.turns.alone().await,
        _ => works.turns.among_others().await,
    };
    let _ca = match (&stage.lying_ca, liar) {
        (Some(ca), Liar::Ca) => Some(ca.turns.alone().await),
        _ => stage.turn().await,
    };
    let workshop = Workshop {
        registrar,
        manufacturer: &works.manufacturer,
        masa: &works.masa,
        ca: stage.lying_ca.as_deref().map(|lying| &lying.acme),
        prefix: prefix(&fleet.name),
    };
    let number = usize::try_from(coming.number).unwrap_or(usize::MAX);
    let finding = Box::new(fault::run::run(&workshop, number, fault).await);
    let _ = news.send(News::Lied { fleet: coming.fleet, finding, took: due.elapsed() });
}

/// Runs one device of the plan.
pub(super) async fn live(
    stage: Arc<Stage>,
    coming: Coming,
    fleet: Fleet,
    pledge: Option<Pledge>,
    news: UnboundedSender<News>,
) {
    match (coming.intent, pledge) {
        (Intent::Join, Some(pledge)) => honest(&stage, coming, &fleet, pledge, &news).await,
        (Intent::Lie(fault), _) => liar(&stage, coming, &fleet, fault, &news).await,
        // Whoever wants to join was made before.
        (Intent::Join, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_are_spread() {
        for (tries, most) in [(1, 1), (2, 2), (3, 4), (6, 32), (19, 32)] {
            let most = Duration::from_secs(most);
            let pauses: Vec<Duration> = (1..=100).map(|number| pause(tries, number)).collect();
            assert!(pauses.iter().all(|pause| *pause >= most / 2 && *pause <= most), "{tries}");
            let different: std::collections::BTreeSet<&Duration> = pauses.iter().collect();
            assert!(different.len() > 50, "{tries}: {}", different.len());
        }
    }
}
