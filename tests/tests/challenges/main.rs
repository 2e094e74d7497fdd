//! Challenges against real programs: DNS servers that take updates, resolvers that ask ours, a CA that validates.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod check;
mod responder;
mod tls;
mod updates;
mod validation;
