//! The pledge-facing accept loop: a bounded number of connections, a bounded handshake, one [`Peer`] each.
//!
//! The peer travels with every request of its connection as a request extension.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;
use tracing::debug;

use crate::config::Timeouts;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{HandshakeFailure, Listener};
use crate::tls::door::Door;
use crate::tls::peer::Peer;

/// The longest header that is read, in octets.
const HEADER_OCTETS: usize = 16 * 1024;

/// How many connections there may be at once, how slow each may be, and where they are counted.
#[derive(Clone, Debug)]
pub struct Bounds {
    connections: usize,
    metrics: Arc<Metrics>,
    listener: Listener,
    timeouts: Timeouts,
}

impl Bounds {
    /// So many connections, each no slower than this, counted as this listener's.
    #[must_use]
    pub fn new(
        connections: usize,
        timeouts: Timeouts,
        metrics: &Arc<Metrics>,
        listener: Listener,
    ) -> Self {
        Self { connections, timeouts, metrics: Arc::clone(metrics), listener }
    }
}

/// Accepts connections until `shutdown` turns true, then lets open requests end.
pub async fn run(
    listener: TcpListener,
    door: Door,
    router: Router,
    bounds: Bounds,
    mut shutdown: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    loop {
        // The permit comes first, so that above the limit clients wait in the kernel's queue.
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        let Some((stream, address, permit)) = accepted else {
            continue;
        };
        let door = door.clone();
        let router = router.clone();
        let bounds = bounds.clone();
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _permit = permit;
            let Some(connection) = handshake(&door, stream, address, &bounds).await else {
                return;
            };
            let peer = Arc::new(Peer::capture(address, connection.get_ref().1));
            let _open = bounds.metrics.connected(bounds.listener, peer.session);
            let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Arc::clone(&peer));
                router.clone().oneshot(request.map(Body::new))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.timeouts.header)
                .max_header_size(HEADER_OCTETS)
                .serve_connection(TokioIo::new(connection), service);
            if let Err(error) = watcher.watch(connection).await {
                debug!(%address, %error, "connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(bounds.timeouts.shutdown, graceful.shutdown()).await.is_err() {
        debug!("some requests did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, permit)),
        Err(error) => {
            // Out of file descriptors, most likely: some connection must end first.
            debug!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn handshake(
    door: &Door,
    stream: TcpStream,
    address: SocketAddr,
    bounds: &Bounds,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    // Without this, an answer of two segments waits 40 ms for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%address, %error, "cannot set TCP_NODELAY");
    }
    match tokio::time::timeout(bounds.timeouts.handshake, door.open(stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(%address, %error, "TLS handshake failed");
            bounds.metrics.handshake_failed(bounds.listener, HandshakeFailure::Failed);
            None
        }
        Err(_) => {
            debug!(%address, "TLS handshake took too long");
            bounds.metrics.handshake_failed(bounds.listener, HandshakeFailure::Timeout);
            None
        }
    }
}
