//! What the registrar keeps in memory: idle, and for each connection.

use std::net::{IpAddr, Ipv4Addr};

use brski_lab::http::{Connection, Route};
use brski_lab::pledge::tls::{TlsVersions, provisional};
use brski_lab::up::Issuer;

use super::document::Row;
use super::site;
use super::turns::Size;

/// From how many addresses connections come: one may have half of a registrar's places.
const ADDRESSES: u64 = 3;

/// Resident memory of a process, in KiB. `field`: `VmRSS` now, `VmHWM` at most.
pub(crate) fn resident_kib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix("kB"));
    Ok(number.ok_or_else(|| anyhow::anyhow!("no {field}"))?.trim().parse()?)
}

pub(crate) async fn measure(size: Size) -> anyhow::Result<Vec<Row>> {
    let (lab, _folder) = site(Issuer::Local).await?;
    let pid = lab.registrar.process_id().ok_or_else(|| anyhow::anyhow!("no process"))?;
    let idle = resident_kib(pid, "VmRSS")?;
    // Of the thousand places that a registrar has where its configuration says nothing else.
    let number = size.of(900, 300);
    let pledge = lab.pledge("MEMORY-1")?;
    let mut connections: Vec<Connection> = Vec::new();
    for each in 0..number {
        // 127.0.0.2 and those after it are on this machine's own interface, too.
        let source = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(each % ADDRESSES)?);
        let route = Route::to(lab.registrar.address()).from(Some(IpAddr::V4(source)));
        let credential = Some(pledge.credential());
        connections.push(provisional(route, credential, TlsVersions::Tls13).await?.0);
    }
    let open = resident_kib(pid, "VmRSS")?;
    for connection in &mut connections {
        let answer = connection.get("/.well-known/est/cacerts").await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
    }
    let asked = resident_kib(pid, "VmRSS")?;
    drop(connections);
    lab.stop().await;
    let each = |kib: f64| (kib - idle) / number as f64;
    Ok(vec![
        Row::limit("resident memory, idle", idle / 1024.0, 40.0, "MiB"),
        Row::limit("resident memory of a TLS connection", each(open), 24.0, "KiB"),
        Row::limit("the same after a request", each(asked), 40.0, "KiB"),
    ])
}
