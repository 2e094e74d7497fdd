//! What the registrar keeps in memory: idle, and for each connection.

use brski_lab::http::Connection;
use brski_lab::pledge::tls::{TlsVersions, provisional};
use brski_lab::up::Issuer;

use super::document::Row;
use super::site;
use super::turns::Size;

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
    // One address has at most half of the places of a registrar.
    let number = size.of(450, 200);
    let pledge = lab.pledge("MEMORY-1")?;
    let mut connections: Vec<Connection> = Vec::new();
    for _ in 0..number {
        let credential = Some(pledge.credential());
        let address = lab.registrar.address();
        connections.push(provisional(address, credential, TlsVersions::Tls13).await?.0);
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
