//! An EST client for any server: trust, authentication, waiting and CSRs, around the messages of `brski-est`.
//!
//! [`Client`] speaks to one server, by way of [`client::ClientError`] when it does not work; [`request`] makes keys and
//! CSRs as the server's CSR attributes ask; [`operations`] are what a person wants of it (RFC 7030 §4).

pub mod client;
pub mod folder;
pub mod key;
pub mod operations;
pub mod report;
pub mod request;
pub mod trust;

pub use self::client::{Client, ClientError, Patience};
pub use self::key::KeyType;
pub use self::trust::{Trust, TrustError};
