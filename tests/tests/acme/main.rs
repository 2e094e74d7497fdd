//! The bridge before real CAs: Debian's Pebble, the current one, step-ca; what each does, and what becomes of orders
//! when the way to the CA, the CA, or the registrar itself fails.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod account;
mod cas;
mod contacts;
mod faults;
mod kills;
mod load;
mod local;
mod nodes;
mod subdomains;
