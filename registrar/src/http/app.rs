//! The daemon's parts, and what every request has in common: judge the peer, answer, leave a trail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use acme_bridge::Clock;
use arc_swap::ArcSwap;
use axum::response::Response;
use tracing::{Instrument as _, Span, debug_span, error};

use super::est::credential::Attempt;
use super::locks::Locks;
use super::status;
use crate::config::{BodyLimits, Config, Profile};
use crate::entropy::random_id;
use crate::flow::peer::{PeerIdentity, judge};
use crate::flow::refusal::Refusal;
use crate::flow::{Decision, Visit};
use crate::identity::RegistrarIdentity;
use crate::issue::Issuer;
use crate::masa::Masa;
use crate::observe::decision;
use crate::observe::log::with_sources;
use crate::observe::metrics::Metrics;
use crate::policy::attempts::Attempts;
use crate::policy::manufacturers::ManufacturerDirectory;
use crate::store::model::{Id, IssuedCertificate, KnownDevice, Millis, Sha256};
use crate::store::{Store, StoreError};
use crate::tls::peer::Peer;

/// Everything that a request may need.
pub struct App {
    /// The configuration, as of the last reload.
    pub config: Arc<ArcSwap<Config>>,
    /// What is known.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The registrar's certificate and key.
    pub identity: Arc<RegistrarIdentity>,
    /// The manufacturers, as of the last change.
    pub manufacturers: ArcSwap<ManufacturerDirectory>,
    /// The way to the MASAs.
    pub masa: Arc<dyn Masa>,
    /// The issuers, by their names in the configuration.
    pub issuers: BTreeMap<String, Arc<dyn Issuer>>,
    /// Failed attempts with credentials.
    pub attempts: Attempts<Attempt>,
    /// One request at a time for the same exchange or enrollment.
    pub locks: Locks,
    /// Requests answered since the start.
    pub requests: AtomicU64,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
}

/// A request whose peer was judged.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// How the trail knows it.
    pub visit: Visit,
    /// What the peer proved to be.
    pub identity: PeerIdentity,
    /// The `tls-exporter` value of the session, TLS 1.3 only.
    pub exporter: Option<[u8; 32]>,
}

impl App {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(self.clock.now())
    }

    /// How long and how slow a body may be.
    #[must_use]
    pub fn body_limits(&self) -> BodyLimits {
        self.config.load().limits.body
    }

    /// The profile of a device that names none.
    ///
    /// # Errors
    /// [`Refusal::Internal`] if the configuration has no profile of that name any more.
    pub fn profile(&self, name: &str) -> Result<Arc<Profile>, Refusal> {
        self.config.load().profiles.get(name).cloned().ok_or_else(|| Refusal::Internal {
            reason: format!("the configuration has no profile {name:?}"),
        })
    }

    /// Judges the peer, runs `work`, and turns a refusal into an event and an answer.
    pub async fn answer<W>(self: Arc<Self>, peer: Arc<Peer>, work: W) -> Response
    where
        W: AsyncFnOnce(&Self, &Arrival) -> Result<Response, Refused>,
    {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut visit = Visit {
            now: self.now(),
            peer: peer.address.to_string(),
            correlation: random_id().to_string(),
        };
        Span::current().record("correlation", visit.correlation.as_str());
        let judged = self.judge(&peer, visit.now).instrument(debug_span!("judge")).await;
        let outcome = match judged {
            Err(refusal) => Err(Refused::from(refusal)),
            Ok(identity) => {
                visit.peer = format!("{} {}", peer.address, identity.describe());
                Span::current().record("peer", visit.peer.as_str());
                let arrival = Arrival { visit: visit.clone(), identity, exporter: peer.exporter };
                work(&self, &arrival).await
            }
        };
        match outcome {
            Ok(response) => response,
            Err(refused) => self.refuse(&visit, refused).await,
        }
    }

    async fn judge(&self, peer: &Peer, now: Millis) -> Result<PeerIdentity, Refusal> {
        let issued = match peer.certificates.first() {
            Some(own) => self.issued(own).await?,
            None => None,
        };
        judge(&peer.certificates, issued, &self.manufacturers.load(), now)
    }

    async fn issued(
        &self,
        certificate: &[u8],
    ) -> Result<Option<(IssuedCertificate, KnownDevice)>, StoreError> {
        let Some(certificate) = self.store.certificate(&Sha256::of(certificate)).await? else {
            return Ok(None);
        };
        let device = self.store.device(&certificate.device).await?;
        Ok(device.map(|device| (certificate, device)))
    }

    /// Writes what was decided; whoever watches the store says so in the log.
    ///
    /// # Errors
    /// As [`Store::commit`]; then nothing was written.
    pub async fn commit(&self, decision: Decision) -> Result<(), StoreError> {
        self.store.commit(decision.changes, decision.events).instrument(debug_span!("commit")).await
    }

    async fn refuse(&self, visit: &Visit, refused: Refused) -> Response {
        let Refused { refusal, device, mut decision } = refused;
        let event = visit.refused(&refusal, device.as_ref());
        match refusal.leaves_event() {
            true => decision.events.push(event),
            false => decision::tell_unwritten(&event),
        }
        if let Err(failure) = self.commit(decision).await {
            let (peer, correlation) = (&visit.peer, &visit.correlation);
            let reason = with_sources(&failure);
            error!(reason, refusal = refusal.kind(), peer, correlation, "cannot record a refusal");
            return status::response(&Refusal::Store(failure));
        }
        status::response(&refusal)
    }
}

/// A refusal with what is known about it, and the changes that go with it.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The device, where it is known.
    pub device: Option<Id>,
    /// What changes all the same, in the same transaction as the refusal's event.
    pub decision: Decision,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, device: None, decision: Decision::default() }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::from(Refusal::Store(error))
    }
}

impl Refused {
    /// The refusal of a request of this device.
    #[must_use]
    pub fn of(device: &Id, refusal: Refusal) -> Self {
        Self { refusal, device: Some(device.clone()), decision: Decision::default() }
    }

    /// The same, of this device where none is known yet.
    #[must_use]
    pub fn about(mut self, device: Option<&Id>) -> Self {
        self.device = self.device.or_else(|| device.cloned());
        self
    }
}
