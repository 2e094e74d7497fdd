//! The generator itself: beside a bare hyper client, and with ten thousand pledges in one process.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::est::Trust;
use brski_lab::load::{self, Connections, Proof, Question};
use brski_lab::pki;
use brski_lab::pledge::tls::TlsVersions;
use brski_tests::{programs, site};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;

use super::document::Row;
use super::floor::Floor;
use super::memory::resident_kib;
use super::turns::{CONNECTIONS, Measured, Size, Turns, per};

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn measure(floor: &Floor, size: Size) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (reuse, how) in
        [(Connections::Kept, "kept connection"), (Connections::OneRequest, "new connection")]
    {
        let mut turns = Turns::default();
        for _ in 0..size.turns() {
            let requests = size.of(4000, 400);
            let question = Question::CaCertificates;
            let ours = floor.measured.ask(question, vec![Proof::None], reuse, requests).await?;
            let bare = bare(&floor.measured, reuse, requests).await?;
            turns.note(per(ours.own_time, requests)?, bare);
        }
        let name = format!("generator, {how}: beside a bare hyper client");
        rows.push(Row::ratio(&name, turns.ours(), turns.floor(), turns.ratio(), Some(1.2)));
    }
    Ok(rows)
}

/// The processor time of a request of bare clients, in microseconds; they are as many, on one thread too.
async fn bare(server: &Measured, reuse: Connections, requests: u64) -> anyhow::Result<f64> {
    let tls = load::tls(&Trust::DangerAnybody, None, TlsVersions::Tls13)?;
    let address = server.target.address();
    let each = requests / CONNECTIONS as u64;
    let thread = std::thread::spawn(move || -> anyhow::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let before = load::own_time();
            let mut clients = tokio::task::JoinSet::new();
            for _ in 0..CONNECTIONS {
                clients.spawn(client(address, Arc::clone(&tls), reuse, each));
            }
            while let Some(done) = clients.join_next().await {
                done??;
            }
            per(load::own_time() - before, each * CONNECTIONS as u64)
        })
    });
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("the bare client failed"))?
}

async fn client(
    address: std::net::SocketAddr,
    tls: Arc<ClientConfig>,
    reuse: Connections,
    requests: u64,
) -> anyhow::Result<()> {
    let mut kept = None;
    for _ in 0..requests {
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::IpAddress(address.ip().into());
                let stream = TlsConnector::from(Arc::clone(&tls)).connect(name, stream).await?;
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        let request = http::Request::get("/.well-known/est/cacerts").header("host", "localhost");
        let response = sender.send_request(request.body(Full::new(Bytes::new()))?).await?;
        anyhow::ensure!(response.status() == 200, "{}", response.status());
        response.into_body().collect().await?;
        if reuse == Connections::Kept {
            sender.ready().await?;
            kept = Some(sender);
        }
    }
    Ok(())
}

/// As many pledges as asked for at once, in one process of `brski-lab load`.
pub(crate) async fn many_pledges(size: Size) -> anyhow::Result<Vec<Row>> {
    let number = size.of(10_000, 300);
    let site = site::prepared(|folder| {
        site::edit(folder, "connections = 1000", "connections = 30000")?;
        Ok(Vec::new())
    })
    .await?;
    let (folder, lab) = (site.folder.path().join("pledges"), &site.lab);
    std::fs::create_dir_all(&folder)?;
    let authority = &lab.manufacturer.authority;
    std::fs::write(folder.join("ca.pem"), authority.pem())?;
    for each in 0..number {
        let serial = format!("MANY-{each}");
        let idevid = authority.idevid(&serial, &lab.masa.url())?;
        pki::write(&folder, &format!("idevid-{serial}"), &idevid)?;
    }
    let child = Command::new(programs::ours("brski-lab")?)
        .args(["load", "--scenario", "onboard", "--json", "--pki"])
        .arg(&folder)
        .arg("--url")
        .arg(format!("https://{}", lab.registrar.address()))
        .args(["--connections", &number.to_string(), "--requests", &number.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().context("it has ended")?;
    let mut output = std::pin::pin!(child.wait_with_output());
    let mut most = 0.0_f64;
    let output = loop {
        tokio::select! {
            output = &mut output => break output?,
            () = tokio::time::sleep(LOOK) => {
                most = most.max(resident_kib(pid, "VmHWM").unwrap_or(0.0));
            }
        }
    };
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    println!("{number} pledges at once: {}", summary(&report));
    site.lab.stop().await;
    let name = format!("memory of the generator with {number} pledges at once");
    Ok(vec![
        Row::limit(&name, most / 1024.0, 1024.0, "MiB"),
        Row::figure("of those pledges, enrolled", format!("{} of {number}", report["succeeded"])),
    ])
}

fn summary(report: &serde_json::Value) -> String {
    let part = |name: &str| report[name].to_string();
    format!("{} succeeded, {} a second, {}", part("succeeded"), part("per_second"), part("errors"))
}
