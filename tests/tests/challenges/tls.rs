//! tls-alpn-01 on the EST listener, as OpenSSL sees it: a CA gets its certificate, everybody else what they always got.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use acme_bridge::{
    AnswerKind, ChallengeAnswer, Csr, IssuerName, OrderId, OrderRecord, OrderTerms, Place,
};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brski_lab::process;
use brski_lab::registrar::{Registrar, Site};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store as _};
use brski_tests::{programs, site};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const NAME: &str = "dev-1.iot.example.org";
const DIGEST: [u8; 32] = [0xa5; 32];

struct Bench {
    openssl: PathBuf,
    registrar: Registrar,
    _folder: TempDir,
}

impl Bench {
    /// A registrar whose store knows the answer to one challenge; none where OpenSSL is missing.
    async fn start() -> anyhow::Result<Option<Self>> {
        let Some(openssl) = programs::outside("openssl", "openssl") else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
        let listen = format!("127.0.0.1:{}", process::free_port()?);
        site.init(&["--domain", "iot.example.org", "--listen", &listen]).await?;
        site::edit(site.folder(), "challenge = \"dns-01\"", "challenge = \"tls-alpn-01\"")?;
        let answer = ChallengeAnswer {
            order: OrderId::new("1"),
            name: NAME.into(),
            kind: AnswerKind::TlsAlpn,
            owner: NAME.into(),
            value: URL_SAFE_NO_PAD.encode(DIGEST),
            place: Place::BuiltIn,
        };
        let store = SqliteStore::open(&site.folder().join("registrar.db"), "node")?;
        let changes = vec![Change::InsertOrder(order()), Change::PutAnswer(answer)];
        store.commit(changes, vec![]).await?;
        drop(store);
        let registrar = site.serve().await?;
        Ok(Some(Self { openssl, registrar, _folder: folder }))
    }

    /// What `openssl s_client` prints of a connection over which a request for `/cacerts` is sent.
    async fn connect(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut child = Command::new(&self.openssl)
            .args(["s_client", "-ign_eof", "-connect", &self.registrar.address().to_string()])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().context("there is no stdin")?;
        let request =
            "GET /.well-known/est/cacerts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        // A CA's connection may be closed before this is sent, which is as it should be.
        let _ = stdin.write_all(request.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr))
    }

    /// The certificate in what `openssl s_client` printed, as text.
    async fn certificate(&self, printed: &str, folder: &Path) -> anyhow::Result<String> {
        let begin = printed.find("-----BEGIN CERTIFICATE").context("there is no certificate")?;
        let file = folder.join("seen.pem");
        std::fs::write(&file, &printed[begin..])?;
        let output = Command::new(&self.openssl)
            .args(["x509", "-noout", "-text", "-in"])
            .arg(&file)
            .output()
            .await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// An order that nobody is to drive for now.
fn order() -> OrderRecord {
    let csr = Csr { der: vec![1], names: vec![NAME.into()], spki: vec![2] };
    let (id, issuer) = (OrderId::new("1"), IssuerName::new("ca"));
    OrderRecord::new(id, issuer, csr, OrderTerms::default(), i64::MAX)
}

#[tokio::test]
async fn a_ca_gets_the_certificate_of_its_challenge_and_is_asked_for_none() -> anyhow::Result<()> {
    let Some(bench) = Bench::start().await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for version in ["-tls1_2", "-tls1_3"] {
        let printed = bench.connect(&["-alpn", "acme-tls/1", "-servername", NAME, version]).await?;
        assert!(printed.contains("ALPN protocol: acme-tls/1"), "{printed}");
        assert!(!printed.contains("Requested Signature Algorithms"), "{printed}");
        assert!(!printed.contains("HTTP/1.1"), "{printed}");
        let text = bench.certificate(&printed, folder.path()).await?;
        assert!(text.contains(&format!("DNS:{NAME}")), "{text}");
        assert_eq!(text.matches("DNS:").count(), 1, "{text}");
        let extension = text.split("1.3.6.1.5.5.7.1.31: critical").nth(1).context("no digest")?;
        let value = extension.trim_start().lines().next().unwrap_or_default();
        // An OCTET STRING of 32 octets, which OpenSSL prints as it finds them.
        assert!(value.starts_with('.') || value.starts_with("04:20"), "{value}");
    }
    bench.registrar.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_ca_that_asks_for_a_name_without_a_challenge_gets_an_alert() -> anyhow::Result<()> {
    let Some(bench) = Bench::start().await? else {
        return Ok(());
    };
    for words in [
        ["-alpn", "acme-tls/1", "-servername", "dev-2.iot.example.org"].as_slice(),
        ["-alpn", "acme-tls/1", "-noservername"].as_slice(),
    ] {
        let printed = bench.connect(words).await?;
        assert!(printed.contains("no peer certificate available"), "{printed}");
        assert!(printed.contains("alert"), "{printed}");
    }
    bench.registrar.stop().await;
    Ok(())
}

#[tokio::test]
async fn every_other_client_meets_the_registrar_as_ever() -> anyhow::Result<()> {
    let Some(bench) = Bench::start().await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for words in [
        [].as_slice(),
        ["-alpn", "http/1.1"].as_slice(),
        ["-alpn", "h2,http/1.1"].as_slice(),
        ["-alpn", "acme-tls/1,http/1.1", "-servername", NAME].as_slice(),
        ["-servername", NAME, "-tls1_2"].as_slice(),
        ["-noservername"].as_slice(),
    ] {
        let printed = bench.connect(words).await?;
        assert!(printed.contains("HTTP/1.1 200 OK"), "{words:?}: {printed}");
        assert!(printed.contains("No ALPN negotiated"), "{words:?}: {printed}");
        // It is asked for its certificate in the first handshake, as pledges must be.
        assert!(printed.contains("Requested Signature Algorithms"), "{words:?}: {printed}");
        let text = bench.certificate(&printed, folder.path()).await?;
        assert!(!text.contains(NAME), "{words:?}: {text}");
    }
    bench.registrar.stop().await;
    Ok(())
}
