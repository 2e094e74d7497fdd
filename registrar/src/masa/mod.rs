//! The BRSKI-MASA side: whom the registrar may call, and the call itself (RFC 8995 §5.4).

use async_trait::async_trait;

use self::client::{MasaAnswer, MasaError, MasaRequest};

pub mod address;
pub mod client;

/// The way to the MASAs: the network, or a simulation of it.
#[async_trait]
pub trait Masa: Send + Sync + 'static {
    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`MasaError`]; those with [`MasaError::is_permanent`] come before anything is sent.
    async fn call(&self, request: MasaRequest<'_>) -> Result<MasaAnswer, MasaError>;
}
