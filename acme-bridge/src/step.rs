//! One step of an order: what its state and the CA say, what is written, what is sent. (RFC 8555 §7.4, §7.5.)
//!
//! The state that a step leaves was written before; the state that it reaches is written before anything else is sent.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use crate::check::{self, ChainRefusal, Expectation};
use crate::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress, Downloaded,
    OfferedChallenge, OrderRequest, OrderStatus, OrderView,
};
use crate::order::{OrderRecord, OrderState};
use crate::problem::{Course, Problem, ProblemKind};
use crate::solver::{Solver, SolverError};
use crate::store::OrderStoreError;

/// When an answer that could not be put out is tried again, in seconds.
pub(crate) const SOLVER_SECS: u32 = 5;
/// After how many looks at an order its authorizations are looked at, too.
const LOOKS: u32 = 8;

/// What one step came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The order is in another state; the words are for its steps.
    Advanced(OrderState, String),
    /// The CA is at work; look again soon, or after so many seconds.
    Working(Option<u32>),
    /// This order failed at the CA; another may succeed.
    Lost(Problem),
    /// There will be no certificate for this CSR. A certificate that came all the same is to be revoked.
    Refused(Problem, Option<CertificateDer<'static>>),
    /// The CA cannot be used now for this.
    Later(Problem, Whom),
}

/// Whom the CA's "not now" is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// This order.
    Order,
    /// Whoever asks.
    Everybody,
}

/// A step that could not be taken because our own store failed.
pub(crate) type StepResult = Result<Outcome, OrderStoreError>;

/// What a step needs beside the order.
pub(crate) struct Tools<'a> {
    pub(crate) client: &'a Arc<dyn AcmeClient>,
    pub(crate) solver: &'a Arc<dyn Solver>,
    pub(crate) roots: &'a [CertificateDer<'static>],
    pub(crate) profile: Option<&'a str>,
    pub(crate) ancestor: Option<&'a str>,
    pub(crate) now: i64,
}

/// What was seen of an order in this turn, so that nothing is read twice. It may be forgotten at any time.
#[derive(Debug, Default)]
pub(crate) enum Memory {
    /// Nothing: the CA is asked.
    #[default]
    Unknown,
    /// Its authorizations, a moment ago.
    Seen(Vec<AuthorizationView>),
    /// The CA was told to validate them all; the number of looks at the order since.
    Told(u32),
}

/// Takes the next step of an order.
pub(crate) async fn step(
    order: &OrderRecord,
    memory: &mut Memory,
    tools: &Tools<'_>,
) -> StepResult {
    match &order.state {
        OrderState::Intended => Ok(place(order, tools).await),
        OrderState::Placed { url } => Ok(prepare(memory, tools, url).await),
        OrderState::Authorizing { url } => authorize(order, memory, tools, url).await,
        // The drive passes through it on its way to the next.
        OrderState::Ready { .. } => {
            Ok(Outcome::Advanced(order.state.clone(), "all names are authorized".to_owned()))
        }
        OrderState::Finalizing { url } => Ok(finalize(order, tools, url).await),
        OrderState::Valid { url } => Ok(fetch(order, tools, url).await),
        OrderState::Issued { .. } | OrderState::Invalid { .. } => Ok(Outcome::Working(None)),
    }
}

async fn place(order: &OrderRecord, tools: &Tools<'_>) -> Outcome {
    let request = OrderRequest {
        names: &order.csr.names,
        profile: tools.profile,
        replaces: order.terms.replaces.as_deref(),
        ancestor: tools.ancestor,
    };
    match tools.client.new_order(&request).await {
        Ok(view) => {
            let words = format!("the CA has the order {}", view.url);
            Outcome::Advanced(OrderState::Placed { url: view.url }, words)
        }
        // A limit on orders is this order's; any other one is everybody's.
        Err(AcmeError::Problem(problem)) if problem.kind == ProblemKind::RateLimited => {
            Outcome::Later(problem, Whom::Order)
        }
        Err(error) => failed(error),
    }
}

/// Sees which answers are to be put out: that is done, and written, before the CA is told.
async fn prepare(memory: &mut Memory, tools: &Tools<'_>, url: &str) -> Outcome {
    let authorizations = match tools.client.authorizations(url).await {
        Ok(authorizations) => authorizations,
        Err(error) => return failed(error),
    };
    let mut answers = Vec::new();
    for AuthorizationView { name, status } in &authorizations {
        match status {
            AuthorizationStatus::Pending { offered } => {
                let Some(OfferedChallenge { challenge, .. }) = choose(tools.solver, name, offered)
                else {
                    return no_challenge(tools, name, offered);
                };
                answers.push(format!("{} for {name}", challenge.kind()));
            }
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Failed { problem } => return judged(problem.clone()),
        }
    }
    if answers.is_empty() {
        // Every name is authorized already.
        return look(tools, url).await;
    }
    *memory = Memory::Seen(authorizations);
    let state = OrderState::Authorizing { url: url.to_owned() };
    let words = format!("answers go out ({}) before the CA is told", answers.join(", "));
    Outcome::Advanced(state, words)
}

/// Puts out the answers to the authorizations that were just seen; gives what hinders that.
pub(crate) async fn publish(
    order: &OrderRecord,
    memory: &Memory,
    solver: &Arc<dyn Solver>,
) -> Result<Option<Outcome>, OrderStoreError> {
    let Memory::Seen(authorizations) = memory else { return Ok(None) };
    for AuthorizationView { name, status } in authorizations {
        if let AuthorizationStatus::Pending { offered } = status
            && let Some(OfferedChallenge { challenge, .. }) = choose(solver, name, offered)
            && let Err(error) = solver.publish(&order.id, name, challenge).await
        {
            return unpublished(error).map(Some);
        }
    }
    Ok(None)
}

/// Tells the CA to validate what it was not told yet, and sees how far it is.
async fn authorize(
    order: &OrderRecord,
    memory: &mut Memory,
    tools: &Tools<'_>,
    url: &str,
) -> StepResult {
    let is_resumed = !matches!(memory, Memory::Seen(_));
    let authorizations = match std::mem::take(memory) {
        Memory::Told(looks) if looks < LOOKS => {
            *memory = Memory::Told(looks + 1);
            return Ok(look(tools, url).await);
        }
        Memory::Seen(authorizations) => authorizations,
        Memory::Told(_) | Memory::Unknown => match tools.client.authorizations(url).await {
            Ok(authorizations) => authorizations,
            Err(error) => return Ok(failed(error)),
        },
    };
    let mut is_told = false;
    for AuthorizationView { name, status } in &authorizations {
        match status {
            AuthorizationStatus::Valid => {}
            AuthorizationStatus::Pending { offered } => {
                let Some(OfferedChallenge { challenge, progress }) =
                    choose(tools.solver, name, offered)
                else {
                    return Ok(no_challenge(tools, name, offered));
                };
                if *progress == ChallengeProgress::Validating {
                    continue;
                }
                // The answer may have gone with a crash of another kind; the same one twice is there once.
                if is_resumed
                    && let Err(error) = tools.solver.publish(&order.id, name, challenge).await
                {
                    return unpublished(error);
                }
                if let Err(error) = tools.client.validate(url, name, challenge.kind()).await {
                    return Ok(failed(error));
                }
                is_told = true;
            }
            AuthorizationStatus::Failed { problem } => return Ok(judged(problem.clone())),
        }
    }
    *memory = Memory::Told(0);
    if is_told {
        return Ok(Outcome::Working(None));
    }
    Ok(look(tools, url).await)
}

/// Reads an order whose authorizations are under way, and why it failed where it does not say so itself.
async fn look(tools: &Tools<'_>, url: &str) -> Outcome {
    let view = match tools.client.order(url).await {
        Ok(view) => view,
        Err(error) => return failed(error),
    };
    if view.status != OrderStatus::Invalid || view.problem.is_some() {
        return follow(view);
    }
    let authorizations = match tools.client.authorizations(url).await {
        Ok(authorizations) => authorizations,
        Err(error) => return failed(error),
    };
    let failure = authorizations.into_iter().find_map(|view| match view.status {
        AuthorizationStatus::Failed { problem } => Some(problem),
        _ => None,
    });
    failure.map_or_else(|| follow(view), judged)
}

/// Sends the CSR if the CA still waits for it: the order is read first, whatever was sent before.
async fn finalize(order: &OrderRecord, tools: &Tools<'_>, url: &str) -> Outcome {
    match tools.client.finalize(url, &order.csr.der).await {
        Ok(view) => match view.status {
            OrderStatus::Ready | OrderStatus::Processing => Outcome::Working(view.retry_after_secs),
            _ => follow(view),
        },
        Err(error) => failed(error),
    }
}

async fn fetch(order: &OrderRecord, tools: &Tools<'_>, url: &str) -> Outcome {
    let Downloaded { pem, alternates } = match tools.client.certificate(url).await {
        Ok(downloaded) => downloaded,
        Err(error) => return failed(error),
    };
    let expected = Expectation {
        csr: &order.csr,
        require_eku: &order.terms.require_eku,
        roots: tools.roots,
        now: tools.now,
    };
    let mut refusal = match check::chain(&pem, &expected) {
        Ok(chain) => return passed(chain),
        Err(refusal) => refusal,
    };
    for alternate in alternates {
        if !refusal.is_about_the_path() {
            break;
        }
        let other = match tools.client.alternate(&alternate).await {
            Ok(other) => other,
            Err(error) => return failed(error),
        };
        match check::chain(&other, &expected) {
            Ok(chain) => return passed(chain),
            Err(other) => refusal = other,
        }
    }
    mismatch(&refusal, &pem)
}

fn passed(chain: Vec<CertificateDer<'static>>) -> Outcome {
    let words = format!("the chain of {} certificates passed every check", chain.len());
    Outcome::Advanced(OrderState::Issued { chain }, words)
}

fn mismatch(refusal: &ChainRefusal, pem: &str) -> Outcome {
    let problem = Problem::new(ProblemKind::WrongCertificate, "", &refusal.to_string());
    Outcome::Refused(problem, check::leaf(pem))
}

/// The state that an order has at the CA.
fn follow(view: OrderView) -> Outcome {
    let OrderView { url, status, problem, retry_after_secs } = view;
    let words = format!("at the CA the order is {status:?}");
    match status {
        OrderStatus::Pending => Outcome::Working(retry_after_secs),
        OrderStatus::Ready => Outcome::Advanced(OrderState::Ready { url }, words),
        OrderStatus::Processing => Outcome::Advanced(OrderState::Finalizing { url }, words),
        OrderStatus::Valid => Outcome::Advanced(OrderState::Valid { url }, words),
        OrderStatus::Invalid => judged(problem.unwrap_or_else(|| {
            Problem::new(ProblemKind::Ca, "", "the order is invalid and the CA does not say why")
        })),
    }
}

/// The challenge to answer: the one that the CA validates already, else the first of the solver's that is offered.
fn choose<'a>(
    solver: &Arc<dyn Solver>,
    name: &str,
    offered: &'a [OfferedChallenge],
) -> Option<&'a OfferedChallenge> {
    let answered = solver.challenges(name);
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
    Outcome::Refused(Problem::new(ProblemKind::Ca, "", &detail), None)
}

/// What becomes of an order whose answer could not be put out: it waits, since nobody asked the CA for anything.
fn unpublished(error: SolverError) -> StepResult {
    match error {
        SolverError::Store(error) => Err(error),
        SolverError::Passing(_) | SolverError::Busy(_) => {
            let mut problem = Problem::new(ProblemKind::Validation, "", &error.to_string());
            problem.retry_after_secs = Some(SOLVER_SECS);
            Ok(Outcome::Later(problem, Whom::Order))
        }
        SolverError::Configuration(_) | SolverError::Unsupported { .. } => {
            let problem = Problem::new(ProblemKind::Configuration, "", &error.to_string());
            Ok(Outcome::Later(problem, Whom::Order))
        }
    }
}

fn failed(error: AcmeError) -> Outcome {
    match error {
        AcmeError::Problem(problem) => judged(problem),
        // Nothing that waiting would change, but an operator may.
        error @ AcmeError::Unsupported(_) => {
            let problem = Problem::new(ProblemKind::Configuration, "", &error.to_string());
            Outcome::Later(problem, Whom::Order)
        }
        other => {
            let problem = Problem::new(ProblemKind::Unavailable, "", &other.to_string());
            Outcome::Later(problem, Whom::Everybody)
        }
    }
}

fn judged(problem: Problem) -> Outcome {
    match problem.course() {
        Course::GiveUp => Outcome::Refused(problem, None),
        Course::Anew | Course::WithoutReplaces => Outcome::Lost(problem),
        Course::Again => Outcome::Working(None),
        Course::Later => Outcome::Later(problem, Whom::Everybody),
        Course::LaterAndAlarm | Course::Done => Outcome::Later(problem, Whom::Order),
    }
}
