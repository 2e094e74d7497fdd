//! What a running registrar shows to those who run it: metrics, health, the log, and who is told of events.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod clock;
mod health;
mod log;
mod metrics;
mod notify;
mod shown;
