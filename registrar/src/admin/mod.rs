//! The one way to see and change what the registrar knows: HTTP and JSON over a Unix socket.
//!
//! The command line talks to a running daemon over it, so that a change takes effect at once;
//! where none runs, it calls the same [`Service`](service::Service) on the store, under a lock.

pub mod api;
pub mod client;
pub mod lock;
pub mod server;
pub mod service;
