//! TLS of the pledge-facing listener: the handshake proves possession of a key, nothing more.
//!
//! Who the peer is, and what it may do, is decided for each request in [`flow::peer`](crate::flow::peer).
//! So a refusal is an HTTP answer with a reason and an event, not a dead handshake.

pub mod door;
pub mod peer;
pub mod server;
pub mod verifier;
