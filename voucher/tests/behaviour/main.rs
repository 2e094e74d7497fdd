//! What the library does, from outside: published vectors, round trips, tampering, and every refusal.

// What clippy.toml allows in tests does not reach the helpers beside them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as a test does"
)]

mod audit;
mod certificate;
mod crafted;
mod encodings;
mod idevid;
mod masa;
mod negative;
mod pledge;
mod properties;
mod quirks;
mod registrar;
mod round_trip;
mod support;
mod tampering;
mod telemetry;
mod trust;
mod vectors;
