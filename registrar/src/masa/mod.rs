//! The BRSKI-MASA side: whom the registrar may call, and the call itself (RFC 8995 §5.4).

use async_trait::async_trait;

use self::client::{MasaAnswer, MasaRequest};
use self::error::MasaError;

pub mod address;
pub mod client;
pub mod error;
mod line;
pub mod probe;
mod tls;

/// The way to the MASAs: the network, or a simulation of it.
#[async_trait]
pub trait Masa: Send + Sync + 'static {
    /// Sends a request and reads the whole answer; of an audit log that is elsewhere at the same host, the log.
    ///
    /// # Errors
    /// [`MasaError`]; those whose [`remedy`](MasaError::remedy) is an operator come before anything is sent.
    async fn call(&self, request: MasaRequest<'_>) -> Result<MasaAnswer, MasaError>;
}
