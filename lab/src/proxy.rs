//! A circuit join proxy: bytes go from pledges to one registrar and back, and nothing is read of them.
//!
//! RFC 8995 §4.1, §4.1.1: no version of TLS is assumed. Connections and idle time are bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use crate::service::{self, Service};

/// How long the registrar may take to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// What a join proxy is told.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// The registrar, HOST:PORT; the name is resolved for each connection.
    pub registrar: String,
    /// How many connections at once; more are closed at once.
    pub connections: usize,
    /// How long nothing may come from either side.
    pub idle: Duration,
}

/// A running join proxy; it takes nothing more when this is dropped.
pub struct JoinProxy {
    address: SocketAddr,
    relayed: Arc<AtomicU64>,
    service: Service,
}

impl JoinProxy {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start(listen: SocketAddr, options: ProxyOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let relayed = Arc::new(AtomicU64::new(0));
        let service = Service::start(serve(listener, options, Arc::clone(&relayed)));
        Ok(Self { address, relayed, service })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it took through to the registrar.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Relaxed)
    }

    /// Waits until it ends by itself; gives why.
    pub async fn ended(&self) -> String {
        self.service.ended().await
    }
}

/// Carries whoever comes; ends with the listener, and says why.
async fn serve(listener: TcpListener, options: ProxyOptions, relayed: Arc<AtomicU64>) -> io::Error {
    let permits = Arc::new(Semaphore::new(options.connections));
    let options = Arc::new(options);
    loop {
        let pledge = match service::accept(&listener).await {
            Ok(pledge) => pledge,
            Err(error) => return error,
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            // Dropped: closed at once, and the pledge tries another proxy.
            continue;
        };
        let (options, relayed) = (Arc::clone(&options), Arc::clone(&relayed));
        tokio::spawn(async move {
            let _permit = permit;
            let connect = TcpStream::connect(&options.registrar);
            if let Ok(Ok(registrar)) = timeout(CONNECT_LIMIT, connect).await {
                relayed.fetch_add(1, Ordering::Relaxed);
                relay(pledge, registrar, options.idle).await;
            }
        });
    }
}

/// Carries bytes both ways until both sides have ended, one of them fails, or neither says anything.
async fn relay(pledge: TcpStream, registrar: TcpStream, idle: Duration) {
    // A handshake is many small messages.
    let _ = (pledge.set_nodelay(true), registrar.set_nodelay(true));
    let heard = Mutex::new(Instant::now());
    let (from_pledge, to_pledge) = pledge.into_split();
    let (from_registrar, to_registrar) = registrar.into_split();
    let both = async {
        tokio::try_join!(
            pump(from_pledge, to_registrar, &heard),
            pump(from_registrar, to_pledge, &heard)
        )
    };
    tokio::select! {
        // Whichever side fails closes both; why is its own business.
        _ = both => {}
        () = silence(&heard, idle) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    heard: &Mutex<Instant>,
) -> io::Result<()> {
    let mut octets = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut octets).await?;
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match octets.get(..count) {
            Some(read) if count > 0 => to.write_all(read).await?,
            _ => return to.shutdown().await,
        }
    }
}

/// Ends when nothing was heard for so long.
async fn silence(heard: &Mutex<Instant>, idle: Duration) {
    loop {
        let end = *heard.lock().unwrap_or_else(PoisonError::into_inner) + idle;
        if Instant::now() >= end {
            return;
        }
        sleep_until(end).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn proxy(registrar: SocketAddr, connections: usize, idle: Duration) -> JoinProxy {
        let options = ProxyOptions { registrar: registrar.to_string(), connections, idle };
        JoinProxy::start("127.0.0.1:0".parse().unwrap(), options).await.unwrap()
    }

    #[tokio::test]
    async fn carries_bytes_both_ways_and_the_end_of_each() {
        let proxy = proxy(echo().await, 1, Duration::from_secs(60)).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        assert_eq!(proxy.relayed(), 1);
    }

    #[tokio::test]
    async fn closes_what_is_more_than_it_may_carry() {
        let proxy = proxy(echo().await, 1, Duration::from_secs(60)).await;
        let mut first = TcpStream::connect(proxy.address()).await.unwrap();
        first.write_all(b"a").await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'a');
        let mut second = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(second.read_u8().await.is_err(), "it is closed");
        drop(first);
        // The first one's place is free again, sooner or later.
        let free = crate::process::until(Duration::from_secs(10), async || {
            let mut third = TcpStream::connect(proxy.address()).await.ok()?;
            third.write_all(b"b").await.ok()?;
            third.read_u8().await.ok()
        });
        assert_eq!(free.await, Some(b'b'));
    }

    #[tokio::test]
    async fn closes_what_is_silent_for_too_long() {
        let proxy = proxy(echo().await, 1, Duration::from_millis(50)).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        assert!(stream.read_u8().await.is_err(), "it is closed");
    }

    #[tokio::test]
    async fn closes_where_no_registrar_is() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let proxy = proxy(nobody, 1, Duration::from_secs(60)).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(stream.read_u8().await.is_err());
        assert_eq!(proxy.relayed(), 0);
    }
}
