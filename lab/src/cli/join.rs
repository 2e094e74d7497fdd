//! `brski-lab proxy`, and how `brski-lab pledge --discover` finds its way.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::discovery::Announcement;
use crate::pledge::Pledge;
use crate::pledge::discover::{self, Joined, Search};
use crate::pledge::journey::{Enrolled, Label};
use crate::proxy::{JoinProxy, ProxyOptions};
use crate::signals::Signals;

#[derive(Debug, Args)]
pub(super) struct ProxyArguments {
    /// The registrar
    #[arg(long, value_name = "HOST:PORT")]
    registrar: String,
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A network interface to announce the proxy on, by mDNS; not announced if left out
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// The name to announce
    #[arg(long, default_value = "join proxy, LAB ONLY")]
    name: String,
    /// How many connections at once; more are closed
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    connections: u16,
    /// How long a connection may be silent, in seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    idle_secs: u64,
    /// Listen on another address than this machine's own
    #[arg(long)]
    danger_bind: bool,
}

#[derive(Debug, Args)]
pub(super) struct DiscoverArguments {
    /// Find a join proxy or a registrar by mDNS, and try the next one where one fails
    #[arg(long, requires = "interfaces", conflicts_with = "registrar")]
    pub(super) discover: bool,
    /// A network interface to look on
    #[arg(long = "interface", value_name = "NAME", requires = "discover")]
    interfaces: Vec<String>,
    /// How long to look, in seconds
    #[arg(long, default_value_t = 3, requires = "discover", value_parser = clap::value_parser!(u64).range(1..=600))]
    discover_secs: u64,
}

pub(super) async fn proxy(arguments: ProxyArguments) -> anyhow::Result<ExitCode> {
    if !arguments.listen.ip().is_loopback() && !arguments.danger_bind {
        bail!(
            "{} is reachable from elsewhere; use a loopback address, or --danger-bind",
            arguments.listen
        );
    }
    let mut signals = Signals::listen()?;
    let idle = Duration::from_secs(arguments.idle_secs);
    let ProxyArguments { registrar, listen, interfaces, name, connections, .. } = arguments;
    let options = ProxyOptions { registrar, connections: connections.into(), idle };
    let proxy = JoinProxy::start(listen, options).await.with_context(|| listen.to_string())?;
    let announcement = match interfaces.is_empty() {
        true => None,
        false => Some(Announcement::proxy(&interfaces, &name, proxy.address())?),
    };
    eprintln!("brski-lab: join proxy listens on {}", proxy.address());
    let announced = async {
        match &announcement {
            Some(announcement) => announcement.ended().await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        _ = signals.next() => None,
        why = proxy.ended() => Some(format!("the join proxy ended by itself: {why}")),
        why = announced => Some(format!("nobody announces the join proxy any more: {why}")),
    };
    if let Some(announcement) = announcement {
        announcement.end().await;
    }
    eprintln!("brski-lab: {} connections were carried", proxy.relayed());
    match why {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => bail!(why),
    }
}

/// Joins at the first place that lets it.
pub(super) async fn discovered(
    pledge: &Pledge,
    label: &Label,
    arguments: &DiscoverArguments,
) -> anyhow::Result<Enrolled> {
    let interfaces = arguments.interfaces.clone();
    let period = Duration::from_secs(arguments.discover_secs);
    let search = Search { interfaces, period, rounds: 1 };
    let joined = discover::join(pledge, label, &search, |place, error| {
        eprintln!("brski-lab: {} ({}): {error}", place.instance, place.address);
    });
    let Joined { place, enrolled, .. } = joined.await?;
    eprintln!("brski-lab: joined at {} ({})", place.instance, place.address);
    Ok(enrolled)
}
