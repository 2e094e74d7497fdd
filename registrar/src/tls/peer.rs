//! What a TLS connection tells of the client at its other end; captured once per connection.

use std::net::SocketAddr;

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;

/// The client of one TLS connection. Its certificates are proven to be its own and nothing else.
#[derive(Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The certificates that it sent, its own first; empty if it sent none.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The `tls-exporter` channel binding (RFC 9266); TLS 1.3 only.
    pub exporter: Option<[u8; 32]>,
    /// Whether the session was resumed, which skips the certificate verifier.
    pub session: HandshakeKind,
    known: Notify,
}

impl Peer {
    /// Captures the peer of a connection whose handshake is done.
    #[must_use]
    pub fn capture(address: SocketAddr, connection: &ServerConnection) -> Self {
        let certificates = connection
            .peer_certificates()
            .map(|chain| chain.iter().map(|der| der.clone().into_owned()).collect())
            .unwrap_or_default();
        let exporter = (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| {
                connection
                    .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
                    .ok()
            })
            .flatten();
        let session = connection.handshake_kind().unwrap_or(HandshakeKind::Full);
        Self::new(address, certificates, exporter, session)
    }

    /// The client of a connection that somebody else captured.
    #[must_use]
    pub fn new(
        address: SocketAddr,
        certificates: Vec<CertificateDer<'static>>,
        exporter: Option<[u8; 32]>,
        session: HandshakeKind,
    ) -> Self {
        Self { address, certificates, exporter, session, known: Notify::new() }
    }

    /// A request of the connection proved that its client is a known device.
    pub fn recognise(&self) {
        self.known.notify_one();
    }

    /// Returns once the client is known.
    pub async fn recognised(&self) {
        self.known.notified().await;
    }
}
