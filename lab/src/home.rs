//! Where the parts of a site live: all on this machine, or each on a machine of a network of its own.
//!
//! What a site is made of does not depend on it: whoever starts a part is told its home, and starts it there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::process;

/// A home is no more, or what was started there failed.
#[derive(Debug, Error)]
#[error("what was started at {0} failed")]
pub(crate) struct HomeError(IpAddr);

/// Where a part lives: its address, and the threads that whatever opens a socket there must run in.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    address: IpAddr,
    /// Those of this process where there are none.
    threads: Option<Handle>,
}

impl Home {
    /// On this machine.
    pub(crate) fn here() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), threads: None }
    }

    /// On the machine that these threads are on.
    pub(crate) fn on(address: Ipv4Addr, threads: Handle) -> Self {
        Self { address: IpAddr::V4(address), threads: Some(threads) }
    }

    /// Its address.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Runs something there; it ends half-way when this is given up.
    pub(crate) async fn run<T, F>(
        &self,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, HomeError>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        match &self.threads {
            None => Ok(work().await),
            Some(threads) => run_in(threads, work).await.ok_or(HomeError(self.address)),
        }
    }

    /// Has a task run there that ends with its set.
    pub(crate) fn add<T: Send + 'static>(
        &self,
        tasks: &mut JoinSet<T>,
        work: impl Future<Output = T> + Send + 'static,
    ) {
        match &self.threads {
            None => tasks.spawn(work),
            Some(threads) => tasks.spawn_on(work, threads),
        };
    }
}

/// Runs something in a thread of its own among these; nothing comes back if it panics.
pub(crate) async fn run_in<T, F>(
    threads: &Handle,
    work: impl FnOnce() -> F + Send + 'static,
) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let handle = threads.clone();
    let (_wanted, given_up) = oneshot::channel::<()>();
    let thread = threads.spawn_blocking(move || {
        handle.block_on(async {
            tokio::select! {
                done = work() => Some(done),
                _ = given_up => None,
            }
        })
    });
    thread.await.ok().flatten()
}

/// Where each part of a site lives.
#[derive(Clone, Debug)]
pub(crate) struct Homes {
    /// The devices.
    pub(crate) pledges: Home,
    /// The registrar.
    pub(crate) registrar: Home,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where it answers the CA's questions for proofs.
    pub(crate) dns: SocketAddr,
    /// The MASAs of all manufacturers, each with a port of its own.
    pub(crate) masa: Home,
    /// The ACME CA, if there is a place for one.
    pub(crate) ca: Option<Home>,
}

impl Homes {
    /// All on this machine.
    pub(crate) fn here() -> io::Result<Self> {
        let free = || Ok::<_, io::Error>((Ipv4Addr::LOCALHOST, process::free_port()?).into());
        Ok(Self {
            pledges: Home::here(),
            registrar: Home::here(),
            listen: free()?,
            dns: free()?,
            masa: Home::here(),
            ca: Some(Home::here()),
        })
    }
}
