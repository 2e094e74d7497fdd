//! The one thread that writes: it groups commits that come at the same time into one durable transaction.
//!
//! Each commit is a savepoint of its own, so that one that fails takes nobody with it.
//! Nobody hears of success before the transaction around all of them is on the disk.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::{apply, rows};
use crate::store::model::Event;
use crate::store::{Change, StoreError};

/// How many commits may wait.
const QUEUE: usize = 1024;
/// How many commits go into one transaction.
const GROUP: usize = 256;

type Answer = Result<super::Claimed, StoreError>;

/// What the thread is asked to do.
pub(super) enum Work {
    Commit { changes: Vec<Change>, events: Vec<Event> },
    Claim(super::Claim),
}

struct Job {
    work: Work,
    answer: oneshot::Sender<Answer>,
}

/// The way to the thread; it ends when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    pub(super) fn start(connection: Connection, node: String) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(connection, &node, &queue))?;
        Ok(Self { jobs })
    }

    pub(super) async fn perform(&self, work: Work) -> Answer {
        let (answer, waiting) = oneshot::channel();
        let jobs = self.jobs.clone();
        let job = Job { work, answer };
        // A full queue means a slow disk: waiting for it must not stop the runtime.
        let sent = match jobs.try_send(job) {
            Ok(()) => true,
            Err(std::sync::mpsc::TrySendError::Full(job)) => {
                tokio::task::spawn_blocking(move || jobs.send(job).is_ok()).await.unwrap_or(false)
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => false,
        };
        if !sent {
            return Err(gone());
        }
        waiting.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> StoreError {
    StoreError::Database("the store's writer has ended".into())
}

fn run(mut connection: Connection, node: &str, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while jobs.len() < GROUP
            && let Ok(next) = queue.try_recv()
        {
            jobs.push(next);
        }
        let answers = group(&mut connection, node, &jobs);
        for (job, answer) in jobs.into_iter().zip(answers) {
            // Whoever asked may have gone; what was written stays written.
            let _ = job.answer.send(answer);
        }
    }
}

/// Performs all jobs in one transaction. If that cannot be committed, none of them happened.
fn group(connection: &mut Connection, node: &str, jobs: &[Job]) -> Vec<Answer> {
    let attempt = |connection: &mut Connection| -> rusqlite::Result<Vec<Answer>> {
        let mut transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            let savepoint = transaction.savepoint()?;
            let answer = match &job.work {
                Work::Commit { changes, events } => {
                    apply::commit(&savepoint, node, changes, events).map(|()| Vec::new())
                }
                Work::Claim(claim) => apply::claim(&savepoint, claim),
            };
            if answer.is_ok() {
                savepoint.commit()?;
            } else {
                drop(savepoint);
            }
            answers.push(answer);
        }
        transaction.commit()?;
        Ok(answers)
    };
    match attempt(connection) {
        Ok(answers) => answers,
        Err(error) => {
            let text = error.to_string();
            jobs.iter().map(|_| Err(rows::database_text(&text))).collect()
        }
    }
}
