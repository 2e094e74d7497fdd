//! Running for years: certificates and roots that change while pledges come, and what is told ahead of time.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod custody;
mod nodes;
mod offline;
mod renewal;
mod rotation;
mod service;
mod support;
mod token;
mod unit;
