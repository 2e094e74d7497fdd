//! The responder's sockets: so many queries and connections at once, so long for each, and not more.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::answer::{Authority, Transport, truncated};
use super::limit::{RateLimit, Verdict};

/// How many UDP queries are looked up at once; what comes above is dropped, and asked again by its resolver.
const UDP_QUERIES: usize = 1024;
/// The longest query, in octets.
const QUERY_OCTETS: usize = 4096;
/// How many TCP connections there may be, and how many of them from one address.
const TCP_CONNECTIONS: usize = 256;
const TCP_CONNECTIONS_FROM_ONE: usize = 32;
/// How long a TCP connection may be idle (RFC 7766 §6.2.3), and how long its client may take to read an answer.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Both sockets on one port; a free one is looked for a few times, since UDP and TCP are taken apart.
pub(super) async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { 10 } else { 1 };
    loop {
        let udp = UdpSocket::bind(address).await?;
        tries -= 1;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// Answers over UDP until the task is ended.
pub(super) async fn serve_udp(socket: UdpSocket, authority: Arc<Authority>, limit: RateLimit) {
    let (socket, limit) = (Arc::new(socket), Arc::new(limit));
    let permits = Arc::new(Semaphore::new(UDP_QUERIES));
    let mut octets = vec![0; QUERY_OCTETS];
    loop {
        let (length, address) = match socket.recv_from(&mut octets).await {
            Ok(received) => received,
            Err(error) => {
                // An answer that could not be delivered shows up here on some systems.
                debug!(%error, "cannot receive a DNS query");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            authority.counters.limited.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let query = octets.get(..length).unwrap_or_default().to_vec();
        let (socket, authority, limit) =
            (Arc::clone(&socket), Arc::clone(&authority), Arc::clone(&limit));
        tokio::spawn(async move {
            let _permit = permit;
            let verdict = limit.check(address.ip(), Instant::now());
            if verdict != Verdict::Send {
                authority.counters.limited.fetch_add(1, Ordering::Relaxed);
            }
            let answer = match verdict {
                Verdict::Drop => None,
                Verdict::Truncate => truncated(&query),
                Verdict::Send => authority.reply(&query, Transport::Udp).await,
            };
            if let Some(answer) = answer
                && let Err(error) = socket.send_to(&answer, address).await
            {
                debug!(%address, %error, "cannot send a DNS answer");
            }
        });
    }
}

/// Answers over TCP until the task is ended.
pub(super) async fn serve_tcp(listener: TcpListener, authority: Arc<Authority>) {
    let permits = Arc::new(Semaphore::new(TCP_CONNECTIONS));
    let clients = Arc::new(Clients::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a DNS connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let admitted =
            Arc::clone(&permits).try_acquire_owned().ok().zip(clients.enter(address.ip()));
        let Some(admitted) = admitted else {
            authority.counters.limited.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let authority = Arc::clone(&authority);
        tokio::spawn(async move {
            let _admitted = admitted;
            if let Err(error) = converse(stream, &authority).await {
                debug!(%address, %error, "a DNS connection ended early");
            }
        });
    }
}

/// One query after the other, each with its length before it (RFC 1035 §4.2.2).
async fn converse(mut stream: TcpStream, authority: &Authority) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let query = match timeout(TCP_IDLE, receive(&mut stream)).await {
            Ok(Ok(query)) => query,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        // Without an answer the connection ends: its client shall ask elsewhere, or again.
        let Some(answer) = authority.reply(&query, Transport::Tcp).await else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let message = [length.to_be_bytes().as_slice(), &answer].concat();
        timeout(TCP_IDLE, stream.write_all(&message)).await??;
    }
}

async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_OCTETS {
        return Err(io::Error::other("the query is too long"));
    }
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).await?;
    Ok(octets)
}

/// How many connections each address has.
#[derive(Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

/// A connection's place among those of its address.
struct Entered {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Clients {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= TCP_CONNECTIONS_FROM_ONE {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Entered { clients: Arc::clone(self), address })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
