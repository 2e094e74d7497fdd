//! The one way to see and change what the registrar knows: HTTP and JSON, over a Unix socket and over TLS.
//!
//! A request goes through [`server`]: who asks ([`actor`]), what they may do, what they want ([`api`]); then
//! [`service`] does it, or [`problem`] says why not. The command line is a client ([`client`]) like any other:
//! of the running daemon, so that a change takes effect at once, and where none runs, of the same router
//! in its own process, on the store itself.

pub mod actor;
pub mod api;
pub mod client;
pub mod cursor;
pub mod problem;
pub mod registry;
pub mod server;
pub mod service;
