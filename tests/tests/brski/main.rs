//! The registrar side of RFC 8995 against pledges and MASAs of every kind, through the real process.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod audit;
mod desk;
mod encodings;
mod login;
mod masa;
mod nonceless;
mod program;
mod telemetry;
mod tls;
