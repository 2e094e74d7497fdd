//! The pledge-facing accept loop: a bounded number of connections, a bounded handshake, one [`Peer`] each.
//!
//! Where there are too many connections, `crowd` says which one goes; a client that a request proves to
//! be a known device keeps its connection.
//!
//! The peer travels with every request of its connection as a request extension.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;
use tracing::debug;

use super::crowd::{Crowd, Place, Source};
use crate::config::{ConnectionLimits, Timeouts};
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{HandshakeFailure, Listener};
use crate::tls::door::Door;
use crate::tls::peer::Peer;

/// The longest header that is read, in octets.
const HEADER_OCTETS: usize = 16 * 1024;

/// The most octets that are read ahead of one connection.
const BUFFER_OCTETS: usize = 64 * 1024;
/// How long nothing is accepted after the machine ran out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be at once, how slow each may be, and where they are counted.
#[derive(Clone, Debug)]
pub struct Bounds {
    crowd: Arc<Crowd>,
    /// Those of them that shake hands.
    shaking: Arc<Crowd>,
    /// Those beside them that wait until there is room.
    waiting: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    listener: Listener,
    timeouts: Timeouts,
}

impl Bounds {
    /// So many connections, each no slower than this, counted as this listener's.
    #[must_use]
    pub fn new(
        limits: ConnectionLimits,
        timeouts: Timeouts,
        metrics: &Arc<Metrics>,
        listener: Listener,
    ) -> Self {
        let ConnectionLimits { all, of_one_address, handshakes } = limits;
        Self {
            crowd: Crowd::new(all, of_one_address),
            shaking: Crowd::new(handshakes, handshakes),
            waiting: Arc::new(Semaphore::new(all / 2)),
            metrics: Arc::clone(metrics),
            listener,
            timeouts,
        }
    }

    fn failed(&self, reason: HandshakeFailure) {
        self.metrics.handshake_failed(self.listener, reason);
    }

    /// A place for a connection, at once or as soon as there is one; none if too many wait for theirs already.
    async fn place(&self, source: Source) -> Option<Place> {
        if let Ok(place) = self.crowd.enter(source, Instant::now()) {
            return Some(place);
        }
        let _waits = self.waiting.try_acquire().ok()?;
        timeout(self.timeouts.handshake, self.crowd.wait(source)).await.ok()
    }
}

/// What every connection of a listener is served with.
#[derive(Clone)]
struct Server {
    door: Door,
    router: Router,
    bounds: Bounds,
}

/// Accepts connections until `shutdown` turns true, then lets open requests end.
pub async fn run(
    listener: TcpListener,
    door: Door,
    router: Router,
    bounds: Bounds,
    mut shutdown: watch::Receiver<bool>,
) {
    let limit = bounds.timeouts.shutdown;
    let server = Server { door, router, bounds };
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                tokio::spawn(server.clone().admit(stream, address, graceful.watcher()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: some connection must end first.
                debug!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(limit, graceful.shutdown()).await.is_err() {
        debug!("some requests did not end in time");
    }
}

impl Server {
    /// Serves a connection for as long as it has a place.
    async fn admit(self, stream: TcpStream, address: SocketAddr, watcher: Watcher) {
        let source = Source::from(address.ip());
        let Some(place) = self.bounds.place(source).await else {
            debug!(%address, "there is no room for this connection");
            return self.bounds.failed(HandshakeFailure::Crowded);
        };
        tokio::select! {
            () = self.serve(stream, address, &place, watcher) => {}
            () = place.taken() => {
                debug!(%address, "the connection made room for another one");
                self.bounds.failed(HandshakeFailure::Shed);
            }
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr, place: &Place, watcher: Watcher) {
        // On the heap, and so is the stream: else a handshake's memory stays for as long as the connection does.
        let shaking = Box::pin(handshake(&self.door, stream, address, &self.bounds));
        let Some(connection) = shaking.await else {
            return;
        };
        let peer = Arc::new(Peer::capture(address, connection.get_ref().1));
        let _open = self.bounds.metrics.connected(self.bounds.listener, peer.session);
        let (known, router) = (Arc::clone(&peer), self.router.clone());
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.timeouts.header)
            .max_header_size(HEADER_OCTETS)
            .max_buf_size(BUFFER_OCTETS)
            .serve_connection(TokioIo::new(connection), service);
        let mut connection = pin!(watcher.watch(connection));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = known.recognised() => {
                place.prove();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%address, %error, "connection ended early");
        }
    }
}

async fn handshake(
    door: &Door,
    stream: TcpStream,
    address: SocketAddr,
    bounds: &Bounds,
) -> Option<Box<TlsStream<TcpStream>>> {
    // Without this, an answer of two segments waits 40 ms for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%address, %error, "cannot set TCP_NODELAY");
    }
    let shaking = async {
        let place = bounds.shaking.wait(Source::from(address.ip())).await;
        tokio::select! {
            opened = door.open(stream) => Some(opened),
            () = place.taken() => None,
        }
    };
    match timeout(bounds.timeouts.handshake, shaking).await {
        Ok(Some(Ok(connection))) => connection.map(Box::new),
        Ok(Some(Err(error))) => {
            debug!(%address, %error, "TLS handshake failed");
            bounds.failed(HandshakeFailure::Failed);
            None
        }
        Ok(None) => {
            debug!(%address, "TLS handshake made room for another one");
            bounds.failed(HandshakeFailure::Shed);
            None
        }
        Err(_) => {
            debug!(%address, "TLS handshake took too long");
            bounds.failed(HandshakeFailure::Timeout);
            None
        }
    }
}
