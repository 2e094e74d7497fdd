//! The registrar in the field: found by devices, doubled behind a balancer, met by the devices of the standard itself,
//! by every kind of device key and TLS.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod at_once;
mod discovery;
mod matrix;
mod net;
mod nodes;
mod published;
mod walk;
