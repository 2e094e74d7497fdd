//! One step of an order: what its state and the CA say, what is written, what is sent. (RFC 8555 §7.4, §7.5.)
//!
//! The state that a step leaves was written before; the state that it reaches is written before anything else is sent.

use std::sync::Arc;

use crate::check;
use crate::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, OrderStatus, OrderView,
};
use crate::order::{OrderRecord, OrderState};
use crate::problem::{Problem, ProblemKind};
use crate::solver::Solver;
use crate::store::OrderStoreError;

use rustls_pki_types::CertificateDer;

/// What one step came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The order is in another state; the words are for its steps.
    Advanced(OrderState, String),
    /// The CA is at work; look again soon.
    Working,
    /// This order failed at the CA; another may succeed.
    Lost(Problem),
    /// There will be no certificate for this CSR.
    Refused(Problem),
    /// The CA cannot be used now; look again later.
    Away(String),
}

/// A step that could not be taken because our own store failed.
pub(crate) type StepResult = Result<Outcome, OrderStoreError>;

/// What a step needs beside the order.
pub(crate) struct Tools<'a> {
    pub(crate) client: &'a Arc<dyn AcmeClient>,
    pub(crate) solver: &'a Arc<dyn Solver>,
    pub(crate) roots: &'a [CertificateDer<'static>],
    pub(crate) now: i64,
}

/// Takes the next step of an order.
pub(crate) async fn step(order: &OrderRecord, tools: &Tools<'_>) -> StepResult {
    match &order.state {
        OrderState::Intended => Ok(place(order, tools).await),
        OrderState::Placed { url } => publish(order, tools, url).await,
        OrderState::Authorizing { url } => authorize(order, tools, url).await,
        OrderState::Ready { url } => {
            tools.solver.clean_up(&order.id).await?;
            let state = OrderState::Finalizing { url: url.clone() };
            Ok(Outcome::Advanced(state, "all names are authorized; sending the CSR".to_owned()))
        }
        OrderState::Finalizing { url } => Ok(finalize(order, tools, url).await),
        OrderState::Valid { url } => Ok(fetch(order, tools, url).await),
        OrderState::Issued { .. } | OrderState::Invalid { .. } => Ok(Outcome::Working),
    }
}

async fn place(order: &OrderRecord, tools: &Tools<'_>) -> Outcome {
    match tools.client.new_order(&order.csr.names).await {
        Ok(view) => {
            let words = format!("the CA has the order {}", view.url);
            Outcome::Advanced(OrderState::Placed { url: view.url }, words)
        }
        Err(error) => failed(error),
    }
}

/// Puts the answers out, and writes that they are before the CA is told.
async fn publish(order: &OrderRecord, tools: &Tools<'_>, url: &str) -> StepResult {
    let view = match tools.client.order(url).await {
        Ok(view) => view,
        Err(error) => return Ok(failed(error)),
    };
    if view.status != OrderStatus::Pending {
        return Ok(follow(view));
    }
    let authorizations = match tools.client.authorizations(url).await {
        Ok(authorizations) => authorizations,
        Err(error) => return Ok(failed(error)),
    };
    for AuthorizationView { name, status } in &authorizations {
        match status {
            AuthorizationStatus::Open { value } | AuthorizationStatus::Validating { value } => {
                tools.solver.publish(&order.id, name, value).await?;
            }
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Failed { problem } => return Ok(Outcome::Lost(problem.clone())),
            AuthorizationStatus::NoDnsChallenge => return Ok(no_dns_challenge(name)),
        }
    }
    let state = OrderState::Authorizing { url: url.to_owned() };
    Ok(Outcome::Advanced(state, "the dns-01 answers are out; telling the CA".to_owned()))
}

/// Tells the CA to validate what it was not told yet, and sees how far it is.
async fn authorize(order: &OrderRecord, tools: &Tools<'_>, url: &str) -> StepResult {
    let authorizations = match tools.client.authorizations(url).await {
        Ok(authorizations) => authorizations,
        Err(error) => return Ok(failed(error)),
    };
    let mut is_done = true;
    for AuthorizationView { name, status } in &authorizations {
        match status {
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Open { value } => {
                is_done = false;
                // The answer may have gone with a crash of another kind; the same one twice is there once.
                tools.solver.publish(&order.id, name, value).await?;
                if let Err(error) = tools.client.validate(url, name).await {
                    return Ok(failed(error));
                }
            }
            AuthorizationStatus::Validating { .. } => is_done = false,
            AuthorizationStatus::Failed { problem } => return Ok(Outcome::Lost(problem.clone())),
            AuthorizationStatus::NoDnsChallenge => return Ok(no_dns_challenge(name)),
        }
    }
    if !is_done {
        return Ok(Outcome::Working);
    }
    Ok(match tools.client.order(url).await {
        Ok(view) => follow(view),
        Err(error) => failed(error),
    })
}

/// Sends the CSR if the CA still waits for it: the order is read first, whatever was sent before.
async fn finalize(order: &OrderRecord, tools: &Tools<'_>, url: &str) -> Outcome {
    match tools.client.finalize(url, &order.csr.der).await {
        Ok(view) => match view.status {
            OrderStatus::Ready | OrderStatus::Processing => Outcome::Working,
            _ => follow(view),
        },
        Err(error) => failed(error),
    }
}

async fn fetch(order: &OrderRecord, tools: &Tools<'_>, url: &str) -> Outcome {
    let pem = match tools.client.certificate(url).await {
        Ok(pem) => pem,
        Err(error) => return failed(error),
    };
    match check::chain(&pem, &order.csr, tools.roots, tools.now) {
        Ok(chain) => {
            let words = format!("the chain of {} certificates passed every check", chain.len());
            Outcome::Advanced(OrderState::Issued { chain }, words)
        }
        Err(refusal) => {
            let detail = refusal.to_string();
            Outcome::Refused(Problem::new(ProblemKind::WrongCertificate, "", &detail))
        }
    }
}

/// The state that an order has at the CA.
fn follow(view: OrderView) -> Outcome {
    let OrderView { url, status, problem } = view;
    let words = format!("at the CA the order is {status:?}");
    match status {
        OrderStatus::Pending => Outcome::Working,
        OrderStatus::Ready => Outcome::Advanced(OrderState::Ready { url }, words),
        OrderStatus::Processing => Outcome::Advanced(OrderState::Finalizing { url }, words),
        OrderStatus::Valid => Outcome::Advanced(OrderState::Valid { url }, words),
        OrderStatus::Invalid => lost_or_refused(problem.unwrap_or_else(|| {
            Problem::new(ProblemKind::Ca, "", "the order is invalid and the CA does not say why")
        })),
    }
}

fn no_dns_challenge(name: &str) -> Outcome {
    let detail = format!("the CA offers no dns-01 challenge for {name}");
    Outcome::Refused(Problem::new(ProblemKind::Ca, "", &detail))
}

fn failed(error: AcmeError) -> Outcome {
    match error {
        AcmeError::Problem(problem) => lost_or_refused(problem),
        AcmeError::Unreachable(reason) => Outcome::Away(reason),
    }
}

fn lost_or_refused(problem: Problem) -> Outcome {
    let is_passing = ["badNonce", "rateLimited", "serverInternal", "orderNotReady"]
        .iter()
        .any(|kind| problem.acme_type.ends_with(kind));
    match problem.kind {
        _ if is_passing => Outcome::Away(problem.to_string()),
        ProblemKind::Refused | ProblemKind::WrongCertificate => Outcome::Refused(problem),
        ProblemKind::Account => Outcome::Away(problem.to_string()),
        ProblemKind::Validation | ProblemKind::Ca => Outcome::Lost(problem),
    }
}
