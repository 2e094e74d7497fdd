//! The daemon as a service: what it tells its manager, and how it ends.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brski_lab::masa::Masa;
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::journey::Label;
use brski_lab::pledge::tls::{TlsVersions, provisional};
use brski_lab::pledge::{Pledge, journey};
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::proxy::{Fault, Proxy};
use brski_tests::site::{self, TestSite, edit};
use brski_tests::{est, programs};
use brski_voucher::{media_type, path};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A service manager's socket, and a site whose daemon knows it.
async fn managed(more: &[&str]) -> anyhow::Result<(TestSite, UnixDatagram, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut variable = OsString::from("NOTIFY_SOCKET=");
    variable.push(&path);
    let words = more.iter().map(OsString::from);
    let launcher = [OsString::from("env"), variable].into_iter().chain(words).collect();
    let site = site::prepared(|_| Ok(launcher)).await?;
    Ok((site, socket, folder))
}

/// The next message. Where nobody asks for signs of life, there are none among them.
fn next(socket: &UnixDatagram) -> anyhow::Result<String> {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_hears_of_every_turn() -> anyhow::Result<()> {
    let (site, socket, _folder) = managed(&[]).await?;
    assert_eq!(next(&socket)?, "READY=1\n");
    site.site().command::<&str>("reload", &[]).await?;
    let text = next(&socket)?;
    assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
    assert_eq!(next(&socket)?, "READY=1\n");
    // A file with a mistake: the daemon goes on as it was, and says so.
    edit(site.site().folder(), "unexpected = \"admit\"", "unexpected = \"perhaps\"")?;
    let pid = site.lab.registrar.process_id().expect("it runs").to_string();
    Command::new("kill").args(["-HUP", &pid]).status()?;
    assert!(next(&socket)?.starts_with("RELOADING=1\n"));
    assert_eq!(next(&socket)?, "READY=1\n");
    site.lab.registrar.stop().await;
    assert_eq!(next(&socket)?, "STOPPING=1\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_hears_that_the_daemon_lives() -> anyhow::Result<()> {
    let (_site, socket, _folder) = managed(&["WATCHDOG_USEC=400000"]).await?;
    assert_eq!(next(&socket)?, "READY=1\n");
    for _ in 0..4 {
        assert_eq!(next(&socket)?, "WATCHDOG=1\n");
    }
    Ok(())
}

/// A way to a server that opens when the test says so, and how often it was asked for.
async fn gate(to: SocketAddr) -> anyhow::Result<(SocketAddr, watch::Sender<bool>, Arc<Notify>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (open, opened) = watch::channel(false);
    let asked = Arc::new(Notify::new());
    let tell = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tell.notify_one();
            let mut opened = opened.clone();
            tokio::spawn(async move {
                opened.wait_for(|open| *open).await.ok()?;
                let mut to = TcpStream::connect(to).await.ok()?;
                tokio::io::copy_bidirectional(&mut from, &mut to).await.ok()
            });
        }
    });
    Ok((address, open, asked))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_can_write_stops_nothing() -> anyhow::Result<()> {
    let site = site::local().await?;
    let address = site.lab.registrar.address();
    let pledge = site.lab.pledge("UNLOGGED")?;
    let own = site.site().clone();
    site.lab.registrar.stop().await;
    let mut daemon = Command::new(programs::ours("registrar")?)
        .arg("serve")
        .arg("--config")
        .arg(own.config())
        .stderr(std::fs::File::options().write(true).open("/dev/full")?)
        .spawn()?;
    let is_up = process::until(LIMIT, async || TcpStream::connect(address).await.ok());
    assert!(is_up.await.is_some(), "nobody listens: {:?}", daemon.try_wait()?);
    // One that is refused, and so told in the log, and one that joins.
    let (mut stranger, _) = provisional(address, None, TlsVersions::Any).await?;
    let refused = est::post(&mut stranger, "simpleenroll", b"x", None).await?;
    assert_eq!(refused.status, 401, "{}", refused.text());
    journey::run(&pledge, address, &Label::default()).await?;
    assert!(daemon.try_wait()?.is_none(), "it ended");
    let pid = daemon.id().to_string();
    Command::new("kill").arg(&pid).status()?;
    assert!(daemon.wait()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_open_ends_before_the_daemon_does() -> anyhow::Result<()> {
    let site = site::local().await?;
    let address = site.lab.registrar.address();
    let (masa, open, asked) = gate(site.lab.masa.address()).await?;
    let manufacturer = &site.lab.manufacturer;
    let url = format!("https://localhost:{}", masa.port());
    let idevid = manufacturer.authority.idevid("ENDING-1", &url)?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let (mut connection, chain) = pledge.connect(address).await?;
    let request = pledge.voucher_request(chain.own().expect("a certificate"))?;
    let (to, kind, der) = (path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, request.der);
    let answer = tokio::spawn(async move { connection.post(to, kind, der).await });
    // The registrar waits for the MASA, and is told to end.
    tokio::time::timeout(LIMIT, asked.notified()).await?;
    let stopping = tokio::spawn(site.lab.registrar.stop());
    let closed =
        process::until(LIMIT, async || TcpStream::connect(address).await.is_err().then_some(()));
    assert!(closed.await.is_some(), "the daemon still lets somebody in");
    open.send_replace(true);
    let answer = tokio::time::timeout(LIMIT, answer).await???;
    assert_eq!(answer.status, 200, "{}", answer.text());
    pledge.verify_voucher(&answer.body, &request.nonce, &chain)?;
    tokio::time::timeout(LIMIT, stopping).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_off_in_time() -> anyhow::Result<()> {
    let site = site::prepared(|folder| {
        edit(folder, "shutdown_secs = 20", "shutdown_secs = 1")?;
        edit(folder, "masa_timeout_secs = 10", "masa_timeout_secs = 60")?;
        Ok(vec!["env".into()])
    })
    .await?;
    let (masa, _open, asked) = gate(site.lab.masa.address()).await?;
    let manufacturer = &site.lab.manufacturer;
    let url = format!("https://localhost:{}", masa.port());
    let idevid = manufacturer.authority.idevid("ENDING-2", &url)?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let request = pledge.voucher_request(chain.own().expect("a certificate"))?;
    let (to, kind, der) = (path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, request.der);
    let answer = tokio::spawn(async move { connection.post(to, kind, der).await });
    tokio::time::timeout(LIMIT, asked.notified()).await?;
    let began = Instant::now();
    site.lab.registrar.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(answer.await?.is_err(), "nobody answers any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_held_is_told_to_come_back_and_its_order_goes_on() -> anyhow::Result<()> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(SocketAddr::from(([127, 0, 0, 1], 0)), &manufacturer).await?;
    let dns = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
    let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(&program, folder.path(), dns, &options).await?;
    let proxy = Proxy::start(pebble.address(), &pebble.tls_anchor()).await?;
    let anchor = folder.path().join("proxy-ca.pem");
    std::fs::write(&anchor, proxy.anchor())?;
    let directory = format!("https://localhost:{}/dir", proxy.address().port());
    let listen = format!("127.0.0.1:{}", process::free_port()?);
    let mut arguments: Vec<OsString> = vec!["--domain".into(), up::ZONE.into(), "--listen".into()];
    arguments.push(listen.into());
    let acme = up::acme_arguments(&directory, &pebble, dns);
    arguments.extend(acme.into_iter().map(|argument| {
        if argument == pebble.tls_anchor().as_os_str() { anchor.clone().into() } else { argument }
    }));
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    site.init(&arguments).await?;
    edit(site.folder(), "hold_secs = 10", "hold_secs = 60")?;
    let registrar = site.serve().await?;
    up::introduce(&site, folder.path(), &manufacturer).await?;
    let idevid = manufacturer.authority.idevid("PARKED-1", &masa.url())?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let (mut connection, pinned) = journey::bootstrap(&pledge, registrar.address()).await?;
    let csr = est::Key::new()?.csr("parked-1")?;
    // The CA does not answer the order, once.
    proxy.fault(Some("new-order"), 0, 1, Fault::HoldRequest);
    let wish = csr.clone();
    let held =
        tokio::spawn(async move { est::post(&mut connection, "simpleenroll", &wish, None).await });
    tokio::time::timeout(LIMIT, proxy.reached()).await?;
    let began = Instant::now();
    let stopping = tokio::spawn(registrar.stop());
    let answer = tokio::time::timeout(LIMIT, held).await???;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(!answer.retry_after.is_empty());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let site = tokio::time::timeout(Duration::from_secs(40), stopping).await??;
    // After the next start the same request gets its certificate, of one order.
    let registrar = site.serve().await?;
    let credential = pledge.credential().clone();
    let mut connection = pledge.reconnect(registrar.address(), &pinned, &credential).await?;
    let answer = est::post(&mut connection, "simpleenroll", &csr, None).await?;
    let certificate = est::certificate(&answer)?;
    assert_eq!(certificate.dns_names(), ["parked-1.iot.lab.example"]);
    assert_eq!(pebble.count("Issued certificate serial")?, 1);
    Ok(())
}

#[test]
fn the_unit_is_one_and_leaves_the_daemon_few_rights() -> anyhow::Result<()> {
    let Some(analyze) = programs::outside("systemd-analyze", "systemd") else {
        return Ok(());
    };
    let unit = std::fs::read_to_string(programs::workspace().join("docs/registrar.service"))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("registrar.service");
    // The program is not installed here.
    let program = programs::ours("registrar")?;
    std::fs::write(&file, unit.replace("/usr/bin/registrar", &program.to_string_lossy()))?;
    let run = |arguments: &[&str], file: &Path| -> anyhow::Result<(bool, String)> {
        let output = Command::new(&analyze).args(arguments).arg(file).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    };
    let (is_good, text) = run(&["verify", "--man=no"], &file)?;
    assert!(is_good && !text.contains("registrar.service:"), "{text}");
    let (is_good, text) = run(&["security", "--offline=true", "--threshold=20"], &file)?;
    assert!(is_good, "{text}");
    Ok(())
}
