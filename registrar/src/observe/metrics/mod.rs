//! The metrics, each there from the start with every label that it can have; docs/OPERATING.md has their table.
//!
//! Names follow the conventions of Prometheus: a prefix, base units, `_total` on what only grows, which the encoder
//! adds. Whoever does something counts it here; nothing here asks the store, so that nobody can make the store busy
//! by asking for the metrics.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::labels::{
    Class, DaysLeft, DaysLeftLabel, Delivery, DeliveryLabels, Ending, Endpoint, FaultWord,
    HandshakeFailure, HandshakeFailureLabels, HandshakeLabels, KindLabel, Listener, ListenerLabel,
    OrderLabels, Phase, PhaseEndingLabels, PhaseFaultLabels, PhaseLabel, RequestLabels, Session,
    StoreAccess, StoreAccessLabel, Survey, SurveyLabel, Target, TargetLabel,
};
use self::sources::Sources;
use crate::store::model::Millis;
use crate::trail::kinds::KINDS;

pub mod labels;
mod record;
mod sources;

pub use self::record::{OpenConnection, PendingRequest};
pub use self::sources::BridgeNumbers;

/// What the exposition is: the text format of OpenMetrics.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The kind of an event that the table does not have.
const OTHER_KIND: &str = "other";
/// The bounds of durations, in seconds: from a commit to an order at a slow CA.
const SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1800.0,
];
/// The bounds of the number of commits in one transaction.
const COMMITS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

fn durations() -> Histogram {
    Histogram::new(SECONDS)
}

type Durations = Family<PhaseLabel, Histogram, fn() -> Histogram>;
type Timestamp = Gauge<f64, AtomicU64>;

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sources: Arc<Sources>,
    /// The issuers whose orders are shown, also when they have none.
    issuers: Mutex<BTreeSet<String>>,
    requests: Family<RequestLabels, Counter>,
    phases: Family<PhaseEndingLabels, Counter>,
    phase_errors: Family<PhaseFaultLabels, Counter>,
    phase_durations: Durations,
    orders: Family<OrderLabels, Gauge>,
    enrollments_approved: Gauge,
    approvals_waiting: Gauge,
    revocations_waiting: Gauge,
    certificates: Family<DaysLeftLabel, Gauge>,
    surveys: Family<SurveyLabel, Timestamp>,
    tls_connections: Family<ListenerLabel, Gauge>,
    tls_handshakes: Family<HandshakeLabels, Counter>,
    tls_failures: Family<HandshakeFailureLabels, Counter>,
    commits: Histogram,
    groups: Histogram,
    store_failures: Family<StoreAccessLabel, Counter>,
    events: Family<KindLabel, Counter>,
    deliveries: Family<DeliveryLabels, Counter>,
    settings_differing: Gauge,
    clock_behind: Gauge,
    behind: Family<TargetLabel, Gauge>,
    lost: Family<TargetLabel, Counter>,
    certificate_end: Timestamp,
    root_end: Timestamp,
}

impl Metrics {
    /// Metrics at zero. `issuers`: those that have orders, by their names. `now`: when the process started.
    #[must_use]
    pub fn new<'a>(issuers: impl IntoIterator<Item = &'a str>, now: Millis) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            sources: Arc::default(),
            issuers: Mutex::default(),
            requests: Family::default(),
            phases: Family::default(),
            phase_errors: Family::default(),
            phase_durations: Family::new_with_constructor(durations),
            orders: Family::default(),
            enrollments_approved: Gauge::default(),
            approvals_waiting: Gauge::default(),
            revocations_waiting: Gauge::default(),
            certificates: Family::default(),
            surveys: Family::default(),
            tls_connections: Family::default(),
            tls_handshakes: Family::default(),
            tls_failures: Family::default(),
            commits: durations(),
            groups: Histogram::new(COMMITS),
            store_failures: Family::default(),
            events: Family::default(),
            deliveries: Family::default(),
            settings_differing: Gauge::default(),
            clock_behind: Gauge::default(),
            behind: Family::default(),
            lost: Family::default(),
            certificate_end: Timestamp::default(),
            root_end: Timestamp::default(),
        };
        metrics.create();
        for issuer in issuers {
            metrics.set_orders(issuer, 0, 0);
            metrics.set_bridge(issuer, BridgeNumbers::default());
        }
        let mut registry = Registry::default();
        metrics.register_process(&mut registry, now);
        let ours = registry.sub_registry_with_prefix("registrar");
        metrics.register_flow(ours);
        metrics.register_queues(ours);
        metrics.register_parts(ours);
        metrics.registry = registry;
        metrics
    }

    /// Makes every label set that there can be.
    fn create(&self) {
        for endpoint in Endpoint::ALL {
            for class in Class::ALL {
                let labels = RequestLabels { endpoint: *endpoint, class: *class };
                let _ = self.requests.get_or_create(&labels);
            }
        }
        for phase in Phase::ALL {
            for outcome in Ending::ALL {
                let labels = PhaseEndingLabels { phase: *phase, outcome: *outcome };
                let _ = self.phases.get_or_create(&labels);
            }
            for fault in FaultWord::ALL {
                let labels = PhaseFaultLabels { phase: *phase, fault: *fault };
                let _ = self.phase_errors.get_or_create(&labels);
            }
            let _ = self.phase_durations.get_or_create(&PhaseLabel { phase: *phase });
        }
        for days_left in DaysLeft::ALL {
            let _ = self.certificates.get_or_create(&DaysLeftLabel { days_left: *days_left });
        }
        for survey in Survey::ALL {
            let _ = self.surveys.get_or_create(&SurveyLabel { survey: *survey });
        }
        for listener in Listener::ALL.iter().copied() {
            let _ = self.tls_connections.get_or_create(&ListenerLabel { listener });
            for session in Session::ALL {
                let labels = HandshakeLabels { listener, session: *session };
                let _ = self.tls_handshakes.get_or_create(&labels);
            }
            for reason in HandshakeFailure::ALL {
                let labels = HandshakeFailureLabels { listener, reason: *reason };
                let _ = self.tls_failures.get_or_create(&labels);
            }
        }
        for operation in StoreAccess::ALL {
            let labels = StoreAccessLabel { operation: *operation };
            let _ = self.store_failures.get_or_create(&labels);
        }
        for kind in KINDS.iter().map(|(kind, _)| *kind).chain([OTHER_KIND]) {
            let _ = self.events.get_or_create(&KindLabel { kind });
        }
        for target in Target::ALL {
            for outcome in Delivery::ALL {
                let labels = DeliveryLabels { target: *target, outcome: *outcome };
                let _ = self.deliveries.get_or_create(&labels);
            }
            let _ = self.behind.get_or_create(&TargetLabel { target: *target });
            let _ = self.lost.get_or_create(&TargetLabel { target: *target });
        }
    }

    fn register_process(&self, to: &mut Registry, now: Millis) {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        let build = Info::new(version);
        to.register("registrar_build", "The version of this program", build);
        // Dashboards know this name of every process, hence without our prefix.
        let start = Timestamp::default();
        start.set(seconds(now));
        let help = "When the process began";
        to.register_with_unit("process_start_time", help, Unit::Seconds, start);
    }

    fn register_flow(&self, to: &mut Registry) {
        let help = "HTTP requests of pledges and EST clients, by what they ask for and the answer";
        to.register("http_requests", help, self.requests.clone());
        let help = "Parts of devices' ways to their certificates, by how they ended";
        to.register("phases", help, self.phases.clone());
        let help = "Phases that ended with an error, by whose fault it is";
        to.register("phase_errors", help, self.phase_errors.clone());
        let help = "How long a phase took, however it ended";
        let durations = self.phase_durations.clone();
        to.register_with_unit("phase_duration", help, Unit::Seconds, durations);
        let help = "Events that this node wrote, by kind";
        to.register("events", help, self.events.clone());
    }

    fn register_queues(&self, to: &mut Registry) {
        let help = "ACME orders that have not ended, on all nodes, by issuer and where they stand";
        to.register("orders", help, self.orders.clone());
        let help = "Enrollments that are approved and not with their issuer yet, on all nodes";
        to.register("enrollments_approved", help, self.enrollments_approved.clone());
        let help = "Questions that wait for a person";
        to.register("approvals_waiting", help, self.approvals_waiting.clone());
        let help = "Certificates that their CA has yet to revoke";
        to.register("revocations_waiting", help, self.revocations_waiting.clone());
        let help = "Devices by the days that their newest certificate, not revoked, has left";
        to.register("certificates", help, self.certificates.clone());
        let help = "When queues or certificates were counted last; 0 before the first time";
        let surveys = self.surveys.clone();
        to.register_with_unit("survey_timestamp", help, Unit::Seconds, surveys);
        to.register_collector(Box::new(Arc::clone(&self.sources)));
    }

    fn register_parts(&self, to: &mut Registry) {
        let help = "TLS connections that are open";
        to.register("tls_connections_open", help, self.tls_connections.clone());
        let help = "TLS handshakes that succeeded, by how the session began";
        to.register("tls_handshakes", help, self.tls_handshakes.clone());
        let help = "TLS handshakes that did not succeed";
        to.register("tls_handshake_failures", help, self.tls_failures.clone());
        let help = "When the registrar's own certificate ends";
        let end = self.certificate_end.clone();
        to.register_with_unit("own_certificate_end_timestamp", help, Unit::Seconds, end);
        let help = "When the root of the domain ends";
        let end = self.root_end.clone();
        to.register_with_unit("domain_root_end_timestamp", help, Unit::Seconds, end);
        let help = "From the request for a commit until it is durable";
        let commits = self.commits.clone();
        to.register_with_unit("store_commit_duration", help, Unit::Seconds, commits);
        let help = "How many commits and claims one durable transaction held";
        let unit = Unit::Other("commits".to_owned());
        to.register_with_unit("store_group", help, unit, self.groups.clone());
        let help = "Queries and commits that failed because the database did";
        to.register("store_failures", help, self.store_failures.clone());
        let help = "Settings that differ from another node's and should not";
        to.register("settings_differing", help, self.settings_differing.clone());
        let help =
            "By how much this node's clock is earlier than the newest event; 0 if it is right";
        to.register_with_unit("clock_behind", help, Unit::Seconds, self.clock_behind.clone());
        let help = "Attempts to tell a receiver of an event";
        to.register("notify_deliveries", help, self.deliveries.clone());
        let help = "Events of this node that notification has yet to look at";
        let unit = Unit::Other("events".to_owned());
        to.register_with_unit("notify_behind", help, unit, self.behind.clone());
        let help = "Events of this node that were removed for their age before they were told";
        to.register("notify_lost_events", help, self.lost.clone());
    }

    /// The exposition.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Seconds since the Unix epoch.
#[expect(clippy::as_conversions, reason = "no float is made of an i64 without it; 2^53 ms is far")]
fn seconds(at: Millis) -> f64 {
    at.0 as f64 / 1000.0
}
