//! The TLS server configuration that pledges meet: 1.2 and 1.3, one certificate for any or no SNI, no 0-RTT.
//!
//! RFC 8995 §5.1: the registrar requests the client certificate in the first handshake.
//! A pledge knows an address only, so whatever name it sends is not looked at.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use thiserror::Error;

use super::verifier::PossessionVerifier;
use crate::identity::live::LiveIdentity;

/// Why no TLS server can be made.
#[derive(Debug, Error)]
#[error("the cryptographic provider does not make a TLS server")]
pub struct ServerConfigError(#[source] rustls::Error);

/// Builds the configuration of the pledge-facing listener.
///
/// # Errors
/// If the provider cannot do TLS 1.2 and 1.3.
pub fn server_config(
    provider: Arc<CryptoProvider>,
    identity: Arc<LiveIdentity>,
) -> Result<ServerConfig, ServerConfigError> {
    let verifier = PossessionVerifier::new(provider.signature_verification_algorithms);
    let mut configuration = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(ServerConfigError)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity);
    // A pledge comes once with each of its certificates, and resuming TLS 1.3 costs nearly what a handshake does:
    // the second ticket would be a twelfth of a handshake for nothing.
    configuration.send_tls13_tickets = 1;
    Ok(configuration)
}
