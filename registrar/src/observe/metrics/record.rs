//! What happens, counted.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use acme_bridge::dns;
use http::StatusCode;
use rustls::HandshakeKind;
use tokio::time::Instant;

use super::labels::{
    Class, DaysLeft, DaysLeftLabel, Delivery, DeliveryLabels, Endpoint, HandshakeFailure,
    HandshakeFailureLabels, HandshakeLabels, KindLabel, Listener, ListenerLabel, OrderLabels,
    OrderStanding, Outcome, Phase, PhaseEndingLabels, PhaseFaultLabels, PhaseLabel, RequestLabels,
    Session, StoreAccess, StoreAccessLabel, Survey, SurveyLabel, Target, TargetLabel,
};
use super::{BridgeNumbers, Metrics, OTHER_KIND, seconds};
use crate::flow::fault::Fault;
use crate::store::model::{CertificateEnds, Millis, Queues};
use crate::store::watch::Access;
use crate::trail::kinds::known;

/// A request that was not answered yet; one that is dropped so was abandoned by its client.
#[derive(Debug)]
#[must_use = "the request counts as abandoned when this is dropped"]
pub struct PendingRequest {
    metrics: Arc<Metrics>,
    endpoint: Endpoint,
    since: Instant,
    class: Class,
}

impl PendingRequest {
    /// Counts the answer. `outcome`: what it is to its phase, where a refusal said so.
    pub fn answered(mut self, status: StatusCode, outcome: Option<Outcome>) {
        self.class = Class::of(status);
        if let Some(phase) = self.endpoint.phase() {
            let outcome = outcome.unwrap_or(match self.class {
                Class::Success => Outcome::Done,
                _ => Outcome::Error(Fault::Pledge),
            });
            self.metrics.phase(phase, outcome, self.since.elapsed());
        }
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        let labels = RequestLabels { endpoint: self.endpoint, class: self.class };
        self.metrics.requests.get_or_create(&labels).inc();
    }
}

/// A TLS connection, which is open as long as this lives.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct OpenConnection {
    metrics: Arc<Metrics>,
    listener: Listener,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let labels = ListenerLabel { listener: self.listener };
        self.metrics.tls_connections.get_or_create(&labels).dec();
    }
}

impl Metrics {
    /// Names the DNS responder's counters.
    pub fn watch_dns(&self, counters: Arc<dns::Counters>) {
        let _ = self.sources.dns.set(counters);
    }

    /// What the bridge to the CA of an issuer did, and what the CA still allows.
    pub fn set_bridge(&self, issuer: &str, numbers: BridgeNumbers) {
        let mut bridges = self.sources.bridges.lock().unwrap_or_else(PoisonError::into_inner);
        bridges.insert(issuer.to_owned(), numbers);
    }

    /// A request came.
    pub fn request(self: &Arc<Self>, endpoint: Endpoint) -> PendingRequest {
        let (metrics, class) = (Arc::clone(self), Class::Abandoned);
        PendingRequest { metrics, endpoint, since: Instant::now(), class }
    }

    /// A phase ended, which took so long.
    pub fn phase(&self, phase: Phase, outcome: Outcome, took: Duration) {
        let labels = PhaseEndingLabels { phase, outcome: outcome.ending() };
        self.phases.get_or_create(&labels).inc();
        if let Outcome::Error(fault) = outcome {
            let labels = PhaseFaultLabels { phase, fault: fault.into() };
            self.phase_errors.get_or_create(&labels).inc();
        }
        self.phase_durations.get_or_create(&PhaseLabel { phase }).observe(took.as_secs_f64());
    }

    /// A TLS connection begins.
    pub fn connected(
        self: &Arc<Self>,
        listener: Listener,
        session: HandshakeKind,
    ) -> OpenConnection {
        let session = match session {
            HandshakeKind::Resumed => Session::Resumed,
            HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => Session::Full,
        };
        self.tls_handshakes.get_or_create(&HandshakeLabels { listener, session }).inc();
        self.tls_connections.get_or_create(&ListenerLabel { listener }).inc();
        OpenConnection { metrics: Arc::clone(self), listener }
    }

    /// A TLS handshake did not succeed.
    pub fn handshake_failed(&self, listener: Listener, reason: HandshakeFailure) {
        self.tls_failures.get_or_create(&HandshakeFailureLabels { listener, reason }).inc();
    }

    /// A commit is durable, so long after it was asked for.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// An event was written.
    pub fn event(&self, kind: &str) {
        let kind = known(kind).unwrap_or(OTHER_KIND);
        self.events.get_or_create(&KindLabel { kind }).inc();
    }

    /// A transaction around so many commits is durable.
    pub fn grouped(&self, commits: usize) {
        if let Some(commits) = u32::try_from(commits).ok().filter(|commits| *commits > 0) {
            self.groups.observe(f64::from(commits));
        }
    }

    /// The database failed.
    pub fn store_failed(&self, access: Access) {
        let operation = match access {
            Access::Read => StoreAccess::Read,
            Access::Write => StoreAccess::Write,
        };
        self.store_failures.get_or_create(&StoreAccessLabel { operation }).inc();
    }

    /// A receiver was told of an event, or was not.
    pub fn notified(&self, target: Target, outcome: Delivery) {
        self.deliveries.get_or_create(&DeliveryLabels { target, outcome }).inc();
    }

    /// So many settings differ from another node's.
    pub fn set_settings_differing(&self, count: usize) {
        self.settings_differing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// This node's clock is earlier than the newest event by so many seconds; 0 if it is right.
    pub fn set_clock_behind(&self, seconds: i64) {
        self.clock_behind.set(seconds);
    }

    /// By how many seconds this node's clock was earlier than the newest event when it was looked at last.
    pub fn clock_behind(&self) -> i64 {
        self.clock_behind.get()
    }

    /// So many events have yet to be looked at for a receiver.
    pub fn set_behind(&self, target: Target, events: u64) {
        self.behind.get_or_create(&TargetLabel { target }).set(gauge(events));
    }

    /// So many events were removed before a receiver was told.
    pub fn lost(&self, target: Target, events: u64) {
        self.lost.get_or_create(&TargetLabel { target }).inc_by(events);
    }

    /// When the registrar's own certificate and the root of the domain end.
    pub fn set_own_ends(&self, certificate: Millis, root: Millis) {
        self.certificate_end.set(seconds(certificate));
        self.root_end.set(seconds(root));
    }

    /// The lengths of queues, counted at `now`.
    pub fn set_queues(&self, queues: &Queues, now: Millis) {
        let known = self.issuers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for issuer in &known {
            if queues.orders.iter().all(|queue| queue.issuer != *issuer) {
                self.set_orders(issuer, 0, 0);
            }
        }
        for queue in &queues.orders {
            self.set_orders(&queue.issuer, queue.waiting, queue.in_flight);
        }
        self.enrollments_approved.set(gauge(queues.enrollments_approved));
        self.approvals_waiting.set(gauge(queues.approvals_waiting));
        self.revocations_waiting.set(gauge(queues.revocations_waiting));
        self.surveyed(Survey::Queues, now);
    }

    pub(super) fn set_orders(&self, issuer: &str, waiting: u64, in_flight: u64) {
        let counts = [(OrderStanding::Waiting, waiting), (OrderStanding::InFlight, in_flight)];
        for (state, count) in counts {
            let labels = OrderLabels { issuer: issuer.to_owned(), state };
            self.orders.get_or_create(&labels).set(gauge(count));
        }
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner).insert(issuer.to_owned());
    }

    /// Certificates by their ends before [`DaysLeft::ends`], counted at `now`.
    pub fn set_certificates(&self, ends: &CertificateEnds, now: Millis) {
        let mut below = 0;
        for (days_left, up_to) in DaysLeft::ALL.iter().zip(ends.before.iter().chain([&ends.all])) {
            let labels = DaysLeftLabel { days_left: *days_left };
            self.certificates.get_or_create(&labels).set(gauge(up_to.saturating_sub(below)));
            below = *up_to;
        }
        self.surveyed(Survey::Certificates, now);
    }

    fn surveyed(&self, survey: Survey, now: Millis) {
        self.surveys.get_or_create(&SurveyLabel { survey }).set(seconds(now));
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
