//! A valve on the way to a registrar: connections pass, are counted, and nothing comes back once it is shut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running valve; nobody listens and nothing passes any more when this is dropped.
pub struct Valve {
    address: SocketAddr,
    opened: Arc<AtomicU64>,
    shut: watch::Sender<bool>,
    breaks: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Valve {
    /// Opens a valve that leads from one address to another.
    ///
    /// # Errors
    /// What the system says.
    pub async fn open(listen: SocketAddr, target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let opened = Arc::new(AtomicU64::new(0));
        let (shut, is_shut) = watch::channel(false);
        let breaks = Arc::new(AtomicBool::new(false));
        let (counter, broken) = (Arc::clone(&opened), Arc::clone(&breaks));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(client, target, is_shut.clone(), Arc::clone(&broken)));
            }
        });
        Ok(Self { address, opened, shut, breaks, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections came this way.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// From now on nothing comes back.
    pub fn shut(&self) {
        self.shut.send_replace(true);
    }

    /// The next thing that would come back is lost, and its connection with it.
    pub fn break_once(&self) {
        self.breaks.store(true, Ordering::Relaxed);
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    client: TcpStream,
    target: SocketAddr,
    is_shut: watch::Receiver<bool>,
    breaks: Arc<AtomicBool>,
) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut closed = is_shut.clone();
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut octets = vec![0; 16 * 1024];
        loop {
            let count = from_server.read(&mut octets).await?;
            let read = octets.get(..count).unwrap_or_default();
            if read.is_empty() || breaks.swap(false, Ordering::Relaxed) {
                return std::io::Result::Ok(());
            }
            if !*is_shut.borrow() {
                to_client.write_all(read).await?;
            }
        }
    };
    tokio::select! {
        // Whichever side ends first ends both; the sender is gone when the valve is.
        _ = there => {}
        _ = back => {}
        () = async { while closed.changed().await.is_ok() {} } => {}
    }
}
