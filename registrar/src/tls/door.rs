//! Which TLS server a client meets: the one of pledges and EST clients, or the answer to a CA's tls-alpn-01 challenge.
//!
//! A CA says so in its first message, by offering `acme-tls/1` and nothing else; everybody else, whatever it offers or
//! leaves out, meets the same server as ever, which chooses no protocol. A CA is never asked for a certificate, reads
//! ours, and is gone: nothing that it sends after the handshake is read. (RFC 8737 §3.)

use std::io;
use std::sync::Arc;

use acme_bridge::tls_alpn::TlsAlpn;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The servers behind one address.
#[derive(Clone)]
pub struct Door {
    ordinary: Arc<ServerConfig>,
    challenges: Option<Arc<TlsAlpn>>,
}

impl Door {
    /// `challenges`: where a zone is proven by tls-alpn-01.
    #[must_use]
    pub fn new(ordinary: ServerConfig, challenges: Option<TlsAlpn>) -> Self {
        Self { ordinary: Arc::new(ordinary), challenges: challenges.map(Arc::new) }
    }

    /// Shakes hands; none if the client was a CA, which has got all that it came for.
    ///
    /// # Errors
    /// What went wrong in the handshake; the client was told by an alert.
    pub async fn open(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let challenges = self.challenges.as_ref().filter(|_| TlsAlpn::is_asked(&hello));
        let Some(challenges) = challenges else {
            return start.into_stream(Arc::clone(&self.ordinary)).await.map(Some);
        };
        let name = hello.server_name().map(str::to_owned);
        let server = challenges.server(name.as_deref()).await.map_err(io::Error::other)?;
        let mut connection = start.into_stream(Arc::new(server)).await?;
        connection.shutdown().await?;
        Ok(None)
    }
}
