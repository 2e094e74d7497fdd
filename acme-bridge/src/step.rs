//! One step of an order: what its state and the CA say, what is written, what is sent. (RFC 8555 §7.4, §7.5.)
//!
//! The state that a step leaves was written before; the state that it reaches is written before anything else is sent.

use std::sync::Arc;

use crate::check;
use crate::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress,
    OfferedChallenge, OrderStatus, OrderView,
};
use crate::order::{OrderRecord, OrderState};
use crate::problem::{Problem, ProblemKind};
use crate::solver::{Solver, SolverError};
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
    /// The CA, or where its questions are answered, cannot be used now; look again later.
    Away(String),
    /// Nothing will come of it before an operator changes something; look again much later.
    Misconfigured(String),
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
        OrderState::Authorizing { url } => authorize(tools, url).await,
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
    let mut answers = Vec::new();
    for AuthorizationView { name, status } in &authorizations {
        match status {
            AuthorizationStatus::Pending { offered } => {
                let Some(OfferedChallenge { challenge, .. }) = choose(tools, name, offered) else {
                    return Ok(no_challenge(tools, name, offered));
                };
                if let Err(error) = tools.solver.publish(&order.id, name, challenge).await {
                    return unpublished(error);
                }
                answers.push(format!("{} for {name}", challenge.kind()));
            }
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Failed { problem } => return Ok(Outcome::Lost(problem.clone())),
        }
    }
    let state = OrderState::Authorizing { url: url.to_owned() };
    let words = match answers.join(", ") {
        none if none.is_empty() => "every name is authorized already".to_owned(),
        answers => format!("answers are out ({answers}); telling the CA"),
    };
    Ok(Outcome::Advanced(state, words))
}

/// Tells the CA to validate what it was not told yet, and sees how far it is.
async fn authorize(tools: &Tools<'_>, url: &str) -> StepResult {
    let authorizations = match tools.client.authorizations(url).await {
        Ok(authorizations) => authorizations,
        Err(error) => return Ok(failed(error)),
    };
    let mut is_done = true;
    for AuthorizationView { name, status } in &authorizations {
        match status {
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Pending { offered } => {
                is_done = false;
                let Some(OfferedChallenge { challenge, progress }) = choose(tools, name, offered)
                else {
                    return Ok(no_challenge(tools, name, offered));
                };
                if *progress == ChallengeProgress::Validating {
                    continue;
                }
                // Its answer is out: this state was written after that.
                if let Err(error) = tools.client.validate(url, name, challenge.kind()).await {
                    return Ok(failed(error));
                }
            }
            AuthorizationStatus::Failed { problem } => return Ok(Outcome::Lost(problem.clone())),
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

/// The challenge to answer: the one that the CA validates already, else the first of the solver's that is offered.
fn choose<'a>(
    tools: &Tools<'_>,
    name: &str,
    offered: &'a [OfferedChallenge],
) -> Option<&'a OfferedChallenge> {
    let answered = tools.solver.challenges(name);
    let begun = offered.iter().find(|each| {
        each.progress == ChallengeProgress::Validating && answered.contains(&each.challenge.kind())
    });
    let first =
        || answered.iter().find_map(|kind| offered.iter().find(|o| o.challenge.kind() == *kind));
    begun.or_else(first)
}

fn no_challenge(tools: &Tools<'_>, name: &str, offered: &[OfferedChallenge]) -> Outcome {
    let list = |kinds: Vec<&str>| if kinds.is_empty() { "none".into() } else { kinds.join(", ") };
    let offered = list(offered.iter().map(|each| each.challenge.kind().as_str()).collect());
    let answered = list(tools.solver.challenges(name).iter().map(|kind| kind.as_str()).collect());
    let detail = format!(
        "the CA offers no challenge for {name} that is answered here: offered {offered}, \
         configured {answered}"
    );
    Outcome::Refused(Problem::new(ProblemKind::Ca, "", &detail))
}

/// What becomes of an order whose answer could not be put out: it waits, since nobody asked the CA for anything.
fn unpublished(error: SolverError) -> StepResult {
    match error {
        SolverError::Store(error) => Err(error),
        SolverError::Passing(_) | SolverError::Busy(_) => Ok(Outcome::Away(error.to_string())),
        SolverError::Configuration(_) | SolverError::Unsupported { .. } => {
            Ok(Outcome::Misconfigured(error.to_string()))
        }
    }
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
