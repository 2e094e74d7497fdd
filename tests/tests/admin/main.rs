//! The admin API and the command line that is its client, against the real process.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod access;
mod accounts;
mod description;
mod import;
mod lifecycle;
mod orders;
mod reload;
mod trail;
mod writes;
