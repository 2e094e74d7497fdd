//! The one writer of a node: it groups commits that come at the same time into one durable transaction.
//!
//! A commit that fails takes nobody with it.
//! Nobody hears of success before the transaction around all of them is on the disk.
//! The writer alone knows the head of its node's event chain, since nobody else appends to it.

use std::sync::Arc;
use std::time::Instant;

use acme_bridge::{OrderRecord, Which};
use tokio::sync::{mpsc, oneshot};

use super::session::{Dialect, Session};
use super::{apply, orders, trail};
use crate::store::model::{Event, Head, Millis};
use crate::store::watch::Watcher;
use crate::store::{Change, StoreError};

/// How many commits may wait.
const QUEUE: usize = 1024;
/// How many commits go into one transaction.
const GROUP: usize = 256;

/// What comes of work: the orders that were claimed, if that was asked.
pub(in crate::store) type Answer = Result<Vec<OrderRecord>, StoreError>;

/// Which orders a node asks for.
pub(in crate::store) struct Claim {
    pub(in crate::store) issuer: String,
    pub(in crate::store) node: String,
    pub(in crate::store) lease_until: Millis,
    pub(in crate::store) now: Millis,
    pub(in crate::store) limit: u32,
    pub(in crate::store) which: Which,
}

/// What the writer is asked to do.
pub(in crate::store) enum Work {
    Commit { changes: Vec<Change>, events: Vec<Event> },
    Claim(Claim),
}

/// Work, and whoever waits for it.
pub(in crate::store) struct Job {
    work: Work,
    /// When it was asked for.
    since: Instant,
    answer: oneshot::Sender<Answer>,
}

/// The way to the writer, which ends when the last of these is dropped.
#[derive(Clone)]
pub(in crate::store) struct Queue {
    jobs: mpsc::Sender<Job>,
}

/// The writer's end of the queue.
pub(in crate::store) type Jobs = mpsc::Receiver<Job>;

/// A queue and its two ends.
pub(in crate::store) fn queue() -> (Queue, Jobs) {
    let (jobs, receiver) = mpsc::channel(QUEUE);
    (Queue { jobs }, receiver)
}

impl Queue {
    /// Has work done; whoever stops waiting does not stop it.
    pub(in crate::store) async fn perform(&self, work: Work) -> Answer {
        let (answer, waiting) = oneshot::channel();
        let job = Job { work, since: Instant::now(), answer };
        if self.jobs.send(job).await.is_err() {
            return Err(gone());
        }
        waiting.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> StoreError {
    StoreError::Database("the store's writer has ended".into())
}

/// Adds what waits already to the first job of a group.
pub(in crate::store) fn gather(first: Job, queue: &mut Jobs) -> Vec<Job> {
    let mut jobs = vec![first];
    while jobs.len() < GROUP
        && let Ok(next) = queue.try_recv()
    {
        jobs.push(next);
    }
    jobs
}

/// Tells everybody of the group that the database cannot be reached.
pub(in crate::store) fn refuse(jobs: Vec<Job>, reason: &str) {
    for job in jobs {
        let _ = job.answer.send(Err(StoreError::Database(reason.to_owned().into())));
    }
}

/// A node that writes.
pub(in crate::store) struct Node {
    name: String,
    /// The head of its chain; unknown at the start, and after a transaction of unknown end.
    head: Option<Head>,
    watcher: Arc<dyn Watcher>,
}

impl Node {
    pub(in crate::store) fn new(name: &str, watcher: Arc<dyn Watcher>) -> Self {
        Self { name: name.to_owned(), head: None, watcher }
    }

    /// Performs all jobs in one transaction and answers them. If that cannot be committed, none of them happened.
    pub(in crate::store) async fn perform(&mut self, session: &mut dyn Session, jobs: Vec<Job>) {
        let answers = match self.transaction(session, &jobs).await {
            Ok(answers) => answers,
            Err(error) => {
                self.head = None;
                let _ = session.batch("ROLLBACK").await;
                return refuse(jobs, &reason(&error));
            }
        };
        let mut written = Vec::with_capacity(jobs.len());
        for (job, answer) in jobs.into_iter().zip(answers) {
            if answer.is_ok() {
                written.push((job.work, job.since.elapsed()));
            }
            // Whoever asked may have gone; what was written stays written.
            let _ = job.answer.send(answer);
        }
        self.watcher.grouped(written.len());
        for (work, took) in written {
            if let Work::Commit { events, .. } = work {
                self.watcher.committed(&events, took);
            }
        }
    }

    /// Performs all jobs as if none could fail, and each in a savepoint of its own only when one did: a savepoint has
    /// SQLite keep a copy of each page that is touched in it, and PostgreSQL is asked twice more for each.
    async fn transaction(
        &mut self,
        session: &mut dyn Session,
        jobs: &[Job],
    ) -> Result<Vec<Answer>, StoreError> {
        let mut head = self.begin(session).await?;
        let answers = match (together(session, &self.name, &mut head, jobs).await, jobs) {
            (Ok(answers), _) => answers,
            // What the database said first says more than why there is nothing to take back any more.
            (Err(error), [_]) => {
                return match session.batch("ROLLBACK").await {
                    Ok(()) => Ok(vec![Err(error)]),
                    Err(_) => Err(error),
                };
            }
            (Err(_), _) => {
                session.batch("ROLLBACK").await?;
                head = self.begin(session).await?;
                apart(session, &self.name, &mut head, jobs).await?
            }
        };
        session.batch("COMMIT").await?;
        self.head = Some(head);
        Ok(answers)
    }

    /// Begins a transaction, and says where this node's chain ends.
    async fn begin(&self, session: &mut dyn Session) -> Result<Head, StoreError> {
        let begin = match session.dialect() {
            // The write lock at once, so that no reader's lock has to be raised later.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        session.batch(begin).await?;
        match self.head {
            Some(head) => Ok(head),
            None => trail::head(session, &self.name).await,
        }
    }
}

/// Performs jobs one after the other, up to the first that fails; what it did then stands half done.
async fn together(
    session: &mut dyn Session,
    node: &str,
    head: &mut Head,
    jobs: &[Job],
) -> Result<Vec<Answer>, StoreError> {
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        answers.push(Ok(work(session, node, head, &job.work).await?));
    }
    Ok(answers)
}

/// Performs each job in a savepoint, so that one that fails takes nobody with it.
async fn apart(
    session: &mut dyn Session,
    node: &str,
    head: &mut Head,
    jobs: &[Job],
) -> Result<Vec<Answer>, StoreError> {
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        session.batch("SAVEPOINT job").await?;
        let mut after = *head;
        let answer = work(session, node, &mut after, &job.work).await;
        if answer.is_ok() {
            *head = after;
        } else {
            session.batch("ROLLBACK TO SAVEPOINT job").await?;
        }
        session.batch("RELEASE SAVEPOINT job").await?;
        answers.push(answer);
    }
    Ok(answers)
}

async fn work(session: &mut dyn Session, node: &str, head: &mut Head, work: &Work) -> Answer {
    match work {
        Work::Commit { changes, events } => {
            for change in changes {
                apply::apply(session, change).await?;
            }
            for event in events {
                *head = trail::append(session, node, *head, event).await?;
            }
            Ok(Vec::new())
        }
        Work::Claim(claim) => orders::claim(session, claim).await,
    }
}

/// An error with its cause, which the callers of a whole group share.
fn reason(error: &StoreError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
