//! Which zone a name is in, and so how its challenges are answered; and the removal of what answers left behind.
//!
//! Everything that is put on another server is a row first.
//! A record is taken back by [`Zones::run`] alone: when an order ends, when a removal failed before, and for rows that a
//! process left when it was killed. So a server that is away holds no order up, and no record is forgotten.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{Records, Solver, SolverError, TxtRecord};
use crate::answer::{AnswerKind, AnswerStore, ChallengeAnswer, Place};
use crate::challenge::{Challenge, ChallengeType};
use crate::order::OrderId;
use crate::store::OrderStoreError;

/// How often rows are looked for that nobody spoke of, and removals that failed are tried again.
const SWEEP_PAUSE: Duration = Duration::from_secs(30);
/// How many records are looked at in one sweep, and how many of them are taken back at once.
const SWEEP: u32 = 500;
const REMOVALS: usize = 8;

/// How TXT records of a zone are put out.
#[derive(Clone)]
pub enum Way {
    /// The registrar's own responders give the answers.
    BuiltIn,
    /// On another server.
    Records(Arc<dyn Records>),
    /// An operator put them there for good: dns-persist-01 alone.
    Lasting,
}

impl Way {
    fn place(&self) -> Option<Place> {
        match self {
            Self::BuiltIn => Some(Place::BuiltIn),
            Self::Records(records) => Some(records.place()),
            Self::Lasting => None,
        }
    }
}

/// How the names of one zone are proven.
#[derive(Clone)]
pub struct ZoneSolver {
    /// The zone, lower case, without a final dot.
    pub zone: String,
    /// The types of challenges that are answered, the preferred one first.
    pub challenges: Vec<ChallengeType>,
    /// Where dns-01 records are written instead of `_acme-challenge.<name>`, which is a CNAME to it.
    pub alias: Option<String>,
    /// How.
    pub way: Way,
}

/// Another order is using what only one can.
#[derive(Debug, Error)]
#[error("another order is proving {name} by tls-alpn-01")]
struct Busy {
    name: String,
}

/// The solver of all zones of a registrar.
pub struct Zones {
    zones: Vec<ZoneSolver>,
    store: Arc<dyn AnswerStore>,
    retired: Notify,
}

impl Zones {
    /// A solver of these zones.
    #[must_use]
    pub fn new(zones: Vec<ZoneSolver>, store: Arc<dyn AnswerStore>) -> Self {
        Self { zones, store, retired: Notify::new() }
    }

    /// The innermost zone that a name is in; whole labels are compared.
    fn zone(&self, name: &str) -> Option<&ZoneSolver> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_in = |zone: &str| {
            name.strip_suffix(zone).is_some_and(|head| head.is_empty() || head.ends_with('.'))
        };
        let zones = self.zones.iter().filter(|zone| is_in(&zone.zone));
        zones.max_by_key(|zone| zone.zone.len())
    }

    fn answer(
        zone: &ZoneSolver,
        order: &OrderId,
        name: &str,
        challenge: &Challenge,
    ) -> Option<ChallengeAnswer> {
        let expected = challenge.expectation(name);
        let alias = zone.alias.as_ref().filter(|_| challenge.kind() == ChallengeType::Dns01);
        let fixed = match &zone.way {
            Way::Records(records) => records.fixed_owner().map(str::to_owned),
            Way::BuiltIn | Way::Lasting => None,
        };
        Some(ChallengeAnswer {
            order: order.clone(),
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            kind: expected.kind,
            owner: fixed.or_else(|| alias.cloned()).unwrap_or(expected.owner),
            value: expected.value,
            place: zone.way.place()?,
        })
    }

    /// A handshake shows one certificate, so one order at a time proves a name by tls-alpn-01.
    async fn wait_for_turn(&self, answer: &ChallengeAnswer) -> Result<(), SolverError> {
        if answer.kind != AnswerKind::TlsAlpn {
            return Ok(());
        }
        let mut others = self.store.values(answer.kind, &answer.owner).await?;
        others.retain(|value| *value != answer.value);
        match others.is_empty() {
            true => Ok(()),
            false => Err(SolverError::Busy(Box::new(Busy { name: answer.name.clone() }))),
        }
    }

    /// Takes back what no order needs any more, until `shutdown` turns true: at the start, when an order ends, and now
    /// and then for what could not be removed before.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.sweep().await {
                warn!(%error, "cannot look for challenge answers to be taken back");
            }
            tokio::select! {
                () = self.retired.notified() => {}
                () = tokio::time::sleep(SWEEP_PAUSE) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Takes back what no order needs any more, once.
    ///
    /// # Errors
    /// [`OrderStoreError`]; a server that does not give a record up is none, since it is asked again.
    pub async fn sweep(self: &Arc<Self>) -> Result<(), OrderStoreError> {
        let mut removals = JoinSet::new();
        for answer in self.store.retired(SWEEP).await? {
            if removals.len() >= REMOVALS {
                removals.join_next().await;
            }
            let zones = Arc::clone(self);
            removals.spawn(async move { zones.take_back(&answer).await });
        }
        while removals.join_next().await.is_some() {}
        Ok(())
    }

    async fn take_back(&self, answer: &ChallengeAnswer) {
        let record = TxtRecord {
            name: answer.name.clone(),
            owner: answer.owner.clone(),
            value: answer.value.clone(),
        };
        let removed = match self.store.is_in_force(answer).await {
            Err(error) => Err(SolverError::Store(error)),
            // Another order, or this one again, needs the very same record.
            Ok(true) => Ok(()),
            Ok(false) => self.remove(answer.place, &record).await,
        };
        let forgotten = match removed {
            Ok(()) => self.store.remove(answer).await.map_err(SolverError::Store),
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            let (owner, place) = (&answer.owner, answer.place.as_str());
            warn!(%error, owner, place, "a TXT record is left over; its removal is tried again");
        }
    }

    async fn remove(&self, place: Place, record: &TxtRecord) -> Result<(), SolverError> {
        let way = self.zone(&record.name).map(|zone| &zone.way);
        match way {
            _ if place == Place::BuiltIn => Ok(()),
            Some(Way::Records(records)) if records.place() == place => {
                records.remove(record).await?;
                info!(owner = record.owner, place = place.as_str(), "took a TXT record back");
                Ok(())
            }
            _ => {
                let (owner, value, place) = (&record.owner, &record.value, place.as_str());
                warn!(
                    owner,
                    value,
                    place,
                    "a TXT record is left over from an earlier configuration; remove it by hand"
                );
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Solver for Zones {
    fn challenges(&self, name: &str) -> &[ChallengeType] {
        self.zone(name).map(|zone| zone.challenges.as_slice()).unwrap_or_default()
    }

    async fn publish(
        &self,
        order: &OrderId,
        name: &str,
        challenge: &Challenge,
    ) -> Result<(), SolverError> {
        let kind = challenge.kind();
        let unsupported = || SolverError::Unsupported { kind, name: name.to_owned() };
        let zone = self.zone(name).filter(|zone| zone.challenges.contains(&kind));
        let zone = zone.ok_or_else(unsupported)?;
        let Some(answer) = Self::answer(zone, order, name, challenge) else {
            return Ok(());
        };
        match &zone.way {
            Way::Records(records) if answer.kind == AnswerKind::Txt => {
                let ChallengeAnswer { name, owner, value, .. } = answer.clone();
                let record = TxtRecord { name, owner, value };
                let _turn = records.turn(&record).await?;
                self.store.put(&answer).await?;
                let added = records.add(&record).await;
                if matches!(added, Err(SolverError::Busy(_))) {
                    // Else orders that wait would keep each other out.
                    self.clean_up(order).await?;
                }
                added
            }
            Way::Records(_) | Way::Lasting => Err(unsupported()),
            Way::BuiltIn => {
                self.wait_for_turn(&answer).await?;
                Ok(self.store.put(&answer).await?)
            }
        }
    }

    async fn clean_up(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.store.retire(order).await?;
        self.retired.notify_one();
        Ok(())
    }
}
