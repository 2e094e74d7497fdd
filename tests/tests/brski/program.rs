//! `brski-lab masa` as a process: what it is told to be like on its command line, it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use brski_lab::http::{Answer, Connection};
use brski_lab::process;
use brski_tests::programs;
use brski_voucher::{media_type, path};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(20);

/// A manufacturer's files.
async fn factory() -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut pki = Command::new(programs::ours("brski-lab")?);
    pki.arg("pki").arg("--dir").arg(folder.path());
    assert!(pki.output().await?.status.success());
    Ok(folder)
}

/// Its MASA, told this, and where it listens.
async fn masa(folder: &TempDir, arguments: &[&str]) -> anyhow::Result<(Child, SocketAddr)> {
    let log = folder.path().join(format!("masa{}.log", arguments.join("")).replace('/', "_"));
    let mut command = Command::new(programs::ours("brski-lab")?);
    command.arg("masa").arg("--dir").arg(folder.path());
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    let child = process::start(&mut command, &log)?;
    let address = process::until(LIMIT, async || {
        let text = std::fs::read_to_string(&log).ok()?;
        let (_, rest) = text.split_once("MASA listens on https://")?;
        rest.split_once('\n')?.0.parse().ok()
    });
    let address =
        address.await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    Ok((child, address))
}

/// Asks it for a voucher with something that is no request.
async fn ask(folder: &TempDir, address: SocketAddr) -> anyhow::Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.path().join("ca.pem"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let mut connection = Connection::open(address, name, Arc::new(configuration)).await?;
    Ok(connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, "no request").await?)
}

#[tokio::test]
async fn a_masa_is_in_the_mood_that_its_command_line_says() -> anyhow::Result<()> {
    let folder = factory().await?;
    let secret = folder.path().join("login");
    std::fs::write(&secret, "registrar:secret\n")?;
    let secret = secret.to_str().context("a path")?;
    for (arguments, status, words) in [
        (&[][..], 403, ""),
        // A lie by the name that the list of faults has, and by the library's.
        (&["--misbehave", "masa-closed"], 503, "closed for today"),
        (&["--misbehave", "unavailable"], 503, "closed for today"),
        (&["--misbehave", "masa-sends-elsewhere"], 307, "over there"),
        (&["--misbehave", "voucher-garbage"], 200, "no voucher"),
        (&["--failure-percent", "100"], 503, "out of order"),
        (&["--login", "basic", "--login-file", secret], 401, "who are you?"),
    ] {
        let (mut child, address) = masa(&folder, arguments).await?;
        let answer = ask(&folder, address).await?;
        assert_eq!(answer.status, status, "{arguments:?}: {}", answer.text());
        assert!(answer.text().contains(words), "{arguments:?}: {}", answer.text());
        assert_eq!(answer.authenticate.starts_with("Basic"), status == 401, "{arguments:?}");
        process::stop(&mut child).await;
    }
    let (mut child, address) = masa(&folder, &["--latency-ms", "400"]).await?;
    let begin = Instant::now();
    ask(&folder, address).await?;
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    process::stop(&mut child).await;
    Ok(())
}

#[tokio::test]
async fn a_mood_that_nobody_has_is_refused_by_name() -> anyhow::Result<()> {
    let folder = factory().await?;
    for (arguments, code, words) in [
        (&["--misbehave", "csr-empty"][..], 2, "csr-empty"),
        (&["--misbehave", "sulks"], 2, "sulks"),
        (&["--failure-percent", "101"], 2, "101"),
        (&["--login", "basic"], 2, "--login-file"),
        (&["--login", "basic", "--login-file", "/nowhere"], 1, "/nowhere"),
        (&["--client-ca", "/nowhere"], 1, "/nowhere"),
    ] {
        let mut command = Command::new(programs::ours("brski-lab")?);
        command.arg("masa").arg("--dir").arg(folder.path()).args(["--listen", "127.0.0.1:0"]);
        let output = command.args(arguments).kill_on_drop(true).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}
