//! The metrics' own listener: plain HTTP, for a collector and a load balancer. Everything about it is bounded, since
//! it asks nobody who they are.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use tracing::debug;

/// How many connections there are at once; more wait.
const CONNECTIONS: usize = 64;
/// How long a request's header may take to arrive; an idle connection is closed after the same time.
const HEADER_LIMIT: Duration = Duration::from_secs(30);
/// The longest header that is read, in octets.
const HEADER_OCTETS: usize = 16 * 1024;
/// How long a connection may last: one whose client does not read what it asked for would stay for ever.
const LIFE: Duration = Duration::from_secs(300);
/// How long the answer that is under way may take then.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until `shutdown` turns true.
pub async fn run(listener: TcpListener, router: Router, mut shutdown: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits).acquire_owned();
        let accepted = tokio::select! {
            accepted = async { (permit.await, listener.accept().await) } => accepted,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        match accepted {
            (Ok(permit), Ok((stream, _))) => {
                let (router, shutdown) = (router.clone(), shutdown.clone());
                tokio::spawn(async move {
                    serve(stream, router, shutdown).await;
                    drop(permit);
                });
            }
            (_, outcome) => {
                debug!(error = ?outcome.err(), "cannot accept a connection for the metrics");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router, mut shutdown: watch::Receiver<bool>) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_header_size(HEADER_OCTETS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep(LIFE) => None,
        _ = shutdown.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match timeout(LAST_ANSWER, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection for the metrics ended early");
    }
}
