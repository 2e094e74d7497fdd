//! The labels of metrics: words of ours, each from a short list.
//!
//! Invariant: no label's value is made of what a peer sent. A device's name or a path as a label would give whoever
//! sends the most of them a way to fill the memory of this process and of whatever collects its metrics.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::flow::fault::Fault;
use crate::flow::refusal::Refusal;
use crate::store::model::Millis;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A label whose values are the words of a list.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its word in the exposition.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    };
}

words! {
    /// What is asked for.
    Endpoint {
        /// BRSKI: a voucher.
        RequestVoucher = "requestvoucher",
        /// BRSKI: the pledge's word on its voucher.
        VoucherStatus = "voucher_status",
        /// BRSKI: the pledge's word on its enrollment.
        EnrollStatus = "enrollstatus",
        /// EST: the CA certificates.
        CaCerts = "cacerts",
        /// EST: what a CSR must look like.
        CsrAttrs = "csrattrs",
        /// EST: a certificate.
        SimpleEnroll = "simpleenroll",
        /// EST: a certificate in the place of another.
        SimpleReenroll = "simplereenroll",
        /// EST: when a certificate should be renewed.
        RenewalInfo = "renewal_info",
        /// EST: a key that is made here, with its certificate.
        ServerKeygen = "serverkeygen",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// The class of an HTTP status.
    Class {
        /// Done, or come back.
        Success = "2xx",
        /// Elsewhere; this server never says so.
        Redirect = "3xx",
        /// The client's fault.
        ClientError = "4xx",
        /// The server's fault.
        ServerError = "5xx",
        /// The client had gone before there was an answer.
        Abandoned = "abandoned",
    }
}

words! {
    /// A part of a device's way to its certificate.
    Phase {
        /// A request for a voucher, with everything that it takes.
        Voucher = "voucher",
        /// One call to a MASA.
        Masa = "masa",
        /// A request for the CA certificates.
        CaCerts = "cacerts",
        /// A request for the CSR attributes.
        CsrAttrs = "csrattrs",
        /// A request for a certificate.
        Enroll = "enroll",
        /// A request for a certificate in the place of another.
        Reenroll = "reenroll",
        /// EST: a key is made, with its certificate.
        Keygen = "keygen",
        /// An order at an ACME CA, from the approval of its CSR to its end.
        AcmeOrder = "acme_order",
        /// A certificate of the local issuer.
        LocalIssue = "local_issue",
        /// A status report.
        Status = "status",
    }
}

words! {
    /// How a phase ended.
    Ending {
        /// With what was asked for.
        Done = "done",
        /// With "come back later".
        Waiting = "waiting",
        /// With an error, which `registrar_phase_errors` tells the fault of.
        Error = "error",
    }
}

words! {
    /// Where an order stands.
    OrderStanding {
        /// It waits for a node, or for its time.
        Waiting = "waiting",
        /// It is being driven.
        InFlight = "in_flight",
    }
}

words! {
    /// How long a certificate lasts: each range ends where the next one begins.
    DaysLeft {
        /// It is over.
        Expired = "expired",
        /// Less than a day.
        Lt1 = "lt_1",
        /// From 1 to 7 days.
        Lt7 = "lt_7",
        /// From 7 to 30 days.
        Lt30 = "lt_30",
        /// From 30 to 90 days.
        Lt90 = "lt_90",
        /// 90 days or more.
        Ge90 = "ge_90",
    }
}

words! {
    /// What is counted at intervals.
    Survey {
        /// The lengths of queues.
        Queues = "queues",
        /// Certificates by their days left.
        Certificates = "certificates",
    }
}

words! {
    /// Which of the listeners that speak TLS.
    Listener {
        /// For pledges and EST clients.
        Est = "est",
        /// For administrators.
        Admin = "admin",
    }
}

words! {
    /// How a TLS session began.
    Session {
        /// With a whole handshake.
        Full = "full",
        /// From a session before it.
        Resumed = "resumed",
    }
}

words! {
    /// Why there is no TLS session.
    HandshakeFailure {
        /// The handshake failed.
        Failed = "failed",
        /// The client took too long.
        Timeout = "timeout",
        /// There was no room for another connection.
        Crowded = "crowded",
        /// The connection made room for another one.
        Shed = "shed",
    }
}

words! {
    /// What was tried on the store.
    StoreAccess {
        /// A query.
        Read = "read",
        /// A commit, or a claim of orders.
        Write = "write",
    }
}

words! {
    /// Where notifications go.
    Target {
        /// To a program.
        Program = "program",
        /// To an HTTPS address.
        Url = "url",
    }
}

words! {
    /// What became of one attempt to notify.
    Delivery {
        /// The receiver took it.
        Delivered = "delivered",
        /// It did not; there will be another attempt.
        Failed = "failed",
    }
}

words! {
    /// Whose fault an error is.
    FaultWord {
        /// The client's.
        Pledge = "pledge",
        /// The MASA's.
        Masa = "masa",
        /// The issuer's.
        Ca = "ca",
        /// This machine's.
        Local = "local",
        /// Nobody's: the operator's rules say no.
        Policy = "policy",
    }
}

impl From<Fault> for FaultWord {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Pledge => Self::Pledge,
            Fault::Masa => Self::Masa,
            Fault::Ca => Self::Ca,
            Fault::Local => Self::Local,
            Fault::Policy => Self::Policy,
        }
    }
}

impl Endpoint {
    /// The phase that a request for it is.
    #[must_use]
    pub fn phase(self) -> Option<Phase> {
        match self {
            Self::RequestVoucher => Some(Phase::Voucher),
            Self::VoucherStatus | Self::EnrollStatus => Some(Phase::Status),
            Self::CaCerts => Some(Phase::CaCerts),
            Self::CsrAttrs => Some(Phase::CsrAttrs),
            Self::SimpleEnroll => Some(Phase::Enroll),
            Self::SimpleReenroll => Some(Phase::Reenroll),
            Self::ServerKeygen => Some(Phase::Keygen),
            Self::RenewalInfo | Self::Other => None,
        }
    }
}

impl DaysLeft {
    /// Where each range ends, the last one aside.
    #[must_use]
    pub fn ends(now: Millis) -> Vec<Millis> {
        let days = |days: i64| now.plus(days.saturating_mul(DAY_MILLIS));
        [0, 1, 7, 30, 90].map(days).to_vec()
    }
}

impl Class {
    /// The class of a status.
    #[must_use]
    pub fn of(status: http::StatusCode) -> Self {
        match status.as_u16() {
            ..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// How a phase ended, and whose fault it is where it ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With what was asked for.
    Done,
    /// With "come back later".
    Waiting,
    /// With an error.
    Error(Fault),
}

impl Outcome {
    /// What a refusal is to its phase.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        refusal.fault().map_or(Self::Waiting, Self::Error)
    }

    pub(super) fn ending(self) -> Ending {
        match self {
            Self::Done => Ending::Done,
            Self::Waiting => Ending::Waiting,
            Self::Error(_) => Ending::Error,
        }
    }
}

/// Labels of `registrar_http_requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) endpoint: Endpoint,
    pub(super) class: Class,
}

/// Labels of `registrar_phases`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseEndingLabels {
    pub(super) phase: Phase,
    pub(super) outcome: Ending,
}

/// Labels of `registrar_phase_errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseFaultLabels {
    pub(super) phase: Phase,
    pub(super) fault: FaultWord,
}

/// Labels of `registrar_phase_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabel {
    pub(super) phase: Phase,
}

/// Labels of `registrar_orders`. The issuer is a name of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OrderLabels {
    pub(super) issuer: String,
    pub(super) state: OrderStanding,
}

/// Labels of `registrar_certificates`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DaysLeftLabel {
    pub(super) days_left: DaysLeft,
}

/// Labels of `registrar_survey_timestamp_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SurveyLabel {
    pub(super) survey: Survey,
}

/// Labels of `registrar_tls_connections_open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListenerLabel {
    pub(super) listener: Listener,
}

/// Labels of `registrar_tls_handshakes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandshakeLabels {
    pub(super) listener: Listener,
    pub(super) session: Session,
}

/// Labels of `registrar_tls_handshake_failures`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandshakeFailureLabels {
    pub(super) listener: Listener,
    pub(super) reason: HandshakeFailure,
}

/// Labels of `registrar_store_failures`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StoreAccessLabel {
    pub(super) operation: StoreAccess,
}

/// Labels of `registrar_events`: a kind of the trail's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

/// Labels of the metrics of one target of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TargetLabel {
    pub(super) target: Target,
}

/// Labels of `registrar_notify_deliveries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DeliveryLabels {
    pub(super) target: Target,
    pub(super) outcome: Delivery,
}

/// Labels of what a bridge counts: its issuer, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct IssuerLabel {
    pub(super) issuer: String,
}

/// Labels of a CA's limits: `account`, or `domain/` and a registered domain of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LimitLabels {
    pub(super) issuer: String,
    pub(super) limit: String,
}
