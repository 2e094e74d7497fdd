//! Orders at ACME CAs: one of them, their list, and what the CA said, in its own words.

use acme_bridge::{OrderState, Problem, ProblemKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::moment;
use crate::issue::desk::OrderHistory;
use crate::store::model::{ListedOrder, Millis};

/// An order as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// Identifier; its enrollment has the same.
    pub id: String,
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// The identifier of the device that it is for.
    pub device: String,
    /// The DNS names that are ordered.
    pub names: Vec<String>,
    /// Where it stands: `intended`, `placed`, `authorizing`, `ready`, `finalizing`, `valid`, `issued` or `invalid`.
    pub state: String,
    /// Since when.
    pub since: String,
    /// When it was taken.
    pub created_at: String,
    /// How many orders were lost for it at the CA.
    pub attempts: u32,
    /// When it is looked at next; none: it is over.
    pub due: Option<String>,
    /// The node that drives it now.
    pub node: Option<String>,
    /// What went wrong last, also where it is tried again.
    pub problem: Option<ProblemView>,
}

/// A problem, in the CA's own words where it had any.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemView {
    /// Whose fault it is: `refused`, `validation`, `wrong-certificate`, `account`, `rate-limited`, `unavailable`,
    /// `configuration`, `cancelled` or `ca`.
    pub kind: String,
    /// The CA's error type (RFC 8555 §6.7); empty if it gave none.
    #[serde(rename = "type")]
    pub acme_type: String,
    /// What it said.
    pub detail: String,
    /// What it said of single identifiers (RFC 8555 §6.7.1).
    pub subproblems: Vec<SubproblemView>,
    /// When it wanted to be asked again, in seconds.
    pub retry_after_secs: Option<u32>,
}

/// What a CA said of one identifier.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SubproblemView {
    /// The identifier; empty if it named none.
    pub identifier: String,
    /// The CA's error type.
    #[serde(rename = "type")]
    pub acme_type: String,
    /// What it said.
    pub detail: String,
}

/// One step of an order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// When.
    pub at: String,
    /// What.
    pub step: String,
}

/// An order with its history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderDetail {
    /// The order.
    #[serde(flatten)]
    pub view: OrderView,
    /// Where it is at the CA, while it is not over.
    pub url: Option<String>,
    /// The issuer that takes over if this one fails for long.
    pub fallback: Option<String>,
    /// The certificate that is renewed, by its ARI identifier (RFC 9773 §4.1).
    pub replaces: Option<String>,
    /// The extended key usages that the certificate must have: object identifiers.
    pub require_eku: Vec<String>,
    /// What was done and what came of it, the oldest first.
    pub steps: Vec<StepView>,
}

/// Which orders are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    /// How many, at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// At this issuer.
    pub issuer: Option<String>,
    /// For this device: its identifier, name or serial number.
    pub device: Option<String>,
}

impl From<&ListedOrder> for OrderView {
    fn from(listed: &ListedOrder) -> Self {
        let order = &listed.order;
        let problem = match &order.state {
            OrderState::Invalid { problem } => Some(problem),
            _ => order.problem.as_ref(),
        };
        Self {
            id: order.id.to_string(),
            issuer: order.issuer.to_string(),
            device: order.terms.device.clone(),
            names: order.csr.names.clone(),
            state: order.state.name().to_owned(),
            since: moment(Millis(order.since)),
            created_at: moment(listed.created_at),
            attempts: order.attempts,
            due: (!order.state.is_final()).then(|| moment(Millis(order.due))),
            node: order.lease.as_ref().map(|lease| lease.node.clone()),
            problem: problem.map(Into::into),
        }
    }
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        let subproblems = problem.subproblems.iter().map(|each| SubproblemView {
            identifier: each.identifier.clone(),
            acme_type: each.acme_type.clone(),
            detail: each.detail.clone(),
        });
        Self {
            kind: word(problem.kind).to_owned(),
            acme_type: problem.acme_type.clone(),
            detail: problem.detail.clone(),
            subproblems: subproblems.collect(),
            retry_after_secs: problem.retry_after_secs,
        }
    }
}

impl From<&OrderHistory> for OrderDetail {
    fn from(OrderHistory { listed, steps }: &OrderHistory) -> Self {
        let order = &listed.order;
        let url = match &order.state {
            OrderState::Placed { url }
            | OrderState::Authorizing { url }
            | OrderState::Ready { url }
            | OrderState::Finalizing { url }
            | OrderState::Valid { url } => Some(url.clone()),
            _ => None,
        };
        let steps = steps.iter().map(|(at, step)| StepView { at: moment(*at), step: step.clone() });
        Self {
            view: listed.into(),
            url,
            fallback: order.terms.fallback.as_ref().map(ToString::to_string),
            replaces: order.terms.replaces.clone(),
            require_eku: order.terms.require_eku.clone(),
            steps: steps.collect(),
        }
    }
}

fn word(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Refused => "refused",
        ProblemKind::Validation => "validation",
        ProblemKind::WrongCertificate => "wrong-certificate",
        ProblemKind::Account => "account",
        ProblemKind::RateLimited => "rate-limited",
        ProblemKind::Unavailable => "unavailable",
        ProblemKind::Configuration => "configuration",
        ProblemKind::Cancelled => "cancelled",
        _ => "ca",
    }
}
