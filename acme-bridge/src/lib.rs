//! From an approved CSR to a certificate chain, by way of an ACME CA (RFC 8555).
//!
//! A CSR goes in with its names; a verified chain comes out, or "come back at".
//! Orders are durable jobs: each state is written before the network call that leaves it, so that a process that is
//! killed at any point goes on with the same order when it starts again.
//!
//! The bridge knows nothing of devices, vouchers or EST, and it cannot edit a CSR: its owner signed it.
//!
//! Data flows one way: [`Bridge::place`](bridge::Bridge::place) writes an order, [`Bridge::run`](bridge::Bridge::run)
//! drives it step by step over an [`AcmeClient`](client::AcmeClient), a [`Solver`](solver::Solver) answers the CA's
//! challenges, [`check::chain`] judges what comes back, and the [`OrderStore`] keeps it.
//! Answers to challenges are kept in an [`AnswerStore`], so that any node gives them.

pub mod account;
pub mod answer;
pub mod bridge;
pub mod challenge;
pub mod check;
pub mod client;
pub mod clock;
pub mod contact;
pub mod counters;
pub mod dns;
mod drive;
mod health;
pub mod http01;
mod http_client;
mod instant;
pub mod order;
mod pace;
mod persist;
pub mod problem;
pub mod quota;
mod revocation;
mod setback;
mod signed;
pub mod solver;
mod step;
pub mod store;
pub mod tls_alpn;
pub mod zone;

pub use answer::{AnswerKind, AnswerStore, ChallengeAnswer, Place};
pub use challenge::{Challenge, ChallengeType};
pub use clock::Clock;
pub use contact::{ContactError, Contacts};
pub use http_client::library_client;
pub use order::{Csr, IssuerName, Lease, OrderId, OrderRecord, OrderState, OrderTerms};
pub use problem::{Course, Problem, ProblemKind, Subproblem};
pub use signed::RevocationReason;
pub use store::{
    AccountRecord, Alarm, ContactsTold, OrderStore, OrderStoreError, Revocation, RevocationOutcome,
    Spending, Step, Which,
};
