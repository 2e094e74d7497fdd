//! Whoever wants to know how the store does: the log, which tells each decision, and the metrics.
//!
//! The writer reports here after it answered, so that nobody waits for a log line, and reports what was written
//! even if whoever asked has gone.

use std::time::Duration;

use super::model::Event;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A query.
    Read,
    /// A commit, or a claim of orders.
    Write,
}

/// Whoever wants to know. Its methods are called between two transactions and must be quick.
pub trait Watcher: Send + Sync + 'static {
    /// A commit with these events is durable, `took` after it was asked for.
    fn committed(&self, events: &[Event], took: Duration);

    /// A transaction around so many commits and claims is durable.
    fn grouped(&self, commits: usize);

    /// The database failed; a commit that contradicts what is stored is no such failure.
    fn failed(&self, access: Access);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn committed(&self, _: &[Event], _: Duration) {}

    fn grouped(&self, _: usize) {}

    fn failed(&self, _: Access) {}
}
