//! The device, the MASA and the registrar of RFC 8995's appendix C, whose keys are published, on a day on which their
//! certificates were valid: Debian's `faketime` sets the clock of the real programs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use brski_lab::http::Answer;
use brski_lab::pki::{self, Authority, Credential};
use brski_lab::pledge::tls::{self, TlsVersions};
use brski_lab::process;
use brski_lab::registrar::{Registrar, Site};
use brski_lab::up::ZONE;
use brski_tests::programs;
use brski_tests::site::json;
use brski_voucher::{media_type, path};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The published device.
const SERIAL: &str = "00-D0-E5-F2-00-02";
/// 2021-05-01, 00:00 UTC: each published certificate is valid.
const THAT_DAY: u64 = 1_619_827_200;
const LIMIT: Duration = Duration::from_secs(20);

/// Whose certificate the registrar has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// One that `registrar init` made on that day.
    Own,
    /// The published registrar's.
    Published,
}

/// All programs on that day.
struct ThatDay {
    folder: TempDir,
    vectors: PathBuf,
    library: PathBuf,
    offset: u64,
}

impl ThatDay {
    /// Finds what is needed; where something is missing, says so and gives nothing.
    fn begin() -> anyhow::Result<Option<Self>> {
        let (Some(vectors), Some(_)) =
            (programs::vectors("rfc8995"), programs::outside("openssl", "openssl"))
        else {
            return Ok(None);
        };
        let libraries = std::fs::read_dir("/usr/lib")?.flatten();
        let mut libraries = libraries.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.find(|file| file.is_file()) else {
            programs::skipped("faketime is not installed (Debian package faketime)");
            return Ok(None);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let (folder, offset) = (tempfile::tempdir()?, now - THAT_DAY);
        Ok(Some(Self { folder, vectors, library, offset }))
    }

    /// A program of ours that believes to run on that day: a script that starts it so, since `faketime` itself would
    /// stay in between.
    fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let script = self.folder.path().join(name);
        let text = format!(
            "#!/bin/sh\nexec env LD_PRELOAD='{}' FAKETIME='-{}' DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 '{}' \"$@\"\n",
            self.library.display(),
            self.offset,
            programs::ours(name)?.display()
        );
        std::fs::write(&script, text)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }

    fn maker(&self) -> PathBuf {
        self.folder.path().join("maker")
    }

    /// The folder of `brski-lab pki`, with what was published in it.
    async fn found_the_maker(&self) -> anyhow::Result<()> {
        let maker = self.maker();
        std::fs::create_dir(&maker)?;
        self.publish("vendor", &maker, "ca").await?;
        self.publish("masa", &maker, "voucher-signer").await?;
        self.publish(&format!("idevid_{SERIAL}"), &maker, &format!("idevid-{SERIAL}")).await?;
        // The MASA's TLS certificate was not published.
        let authority = Authority::new("MASA TLS CA, LAB ONLY")?;
        pki::write(&maker, "masa-tls", &authority.server("MASA, LAB ONLY")?)?;
        Ok(std::fs::write(maker.join("masa-tls-ca.pem"), authority.pem())?)
    }

    /// Copies a published certificate and its key, as PKCS#8.
    async fn publish(&self, name: &str, folder: &Path, new: &str) -> anyhow::Result<()> {
        let at = |ending: &str| self.vectors.join(format!("{name}.{ending}"));
        std::fs::copy(at("crt"), folder.join(format!("{new}.pem")))?;
        let key = folder.join(format!("{new}.key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["pkcs8", "-topk8", "-nocrypt", "-in"]).arg(at("key")).arg("-out").arg(&key);
        let output = openssl.output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?)
    }

    /// Starts the MASA and gives its port.
    async fn masa(&self) -> anyhow::Result<(Child, u16)> {
        let port = process::free_port()?;
        let log = self.folder.path().join("masa.log");
        let mut command = Command::new(self.program("brski-lab")?);
        command.arg("masa").arg("--dir").arg(self.maker());
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let child = process::start(&mut command, &log)?;
        let listens = process::until(LIMIT, async || {
            std::fs::read_to_string(&log).ok()?.contains("MASA listens on").then_some(())
        });
        listens.await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok((child, port))
    }

    /// Starts a registrar that knows the published manufacturer.
    async fn registrar(&self, identity: Identity, masa: u16) -> anyhow::Result<Registrar> {
        let folder = self.folder.path().join("registrar-folder");
        let site = Site::new(&self.program("registrar")?, &folder)?;
        let listen = format!("127.0.0.1:{}", process::free_port()?);
        site.init(&["--domain", ZONE, "--listen", &listen]).await?;
        if identity == Identity::Published {
            self.publish("jrc_prime256v1", &folder, "registrar").await?;
            self.publish("ownerca_secp384r1", &folder, "domain-ca").await?;
        }
        let registrar = site.serve().await?;
        let path = |name: &str| self.maker().join(name).display().to_string();
        let (ca, masa_ca) = (path("ca.pem"), path("masa-tls-ca.pem"));
        let url = format!("https://localhost:{masa}");
        let arguments = [
            ["--name", "highway-test"],
            ["--ca", &ca],
            ["--masa-url", &url],
            ["--masa-ca", &masa_ca],
            ["--masa-host", "localhost"],
        ];
        site.command("manufacturer add", arguments.as_flattened()).await?;
        Ok(registrar)
    }

    /// Lets the published device go the whole way.
    async fn journey(&self, registrar: &Registrar) -> anyhow::Result<Value> {
        let mut command = Command::new(self.program("brski-lab")?);
        command.arg("pledge").arg("--dir").arg(self.maker()).kill_on_drop(true);
        command.args(["--serial", SERIAL, "--registrar"]);
        let output = command.arg(format!("https://{}", registrar.address())).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The content of a CMS message whose signer the published manufacturer stands for, by OpenSSL.
    async fn content(&self, message: &[u8]) -> anyhow::Result<Value> {
        let file = self.folder.path().join("message.der");
        std::fs::write(&file, message)?;
        let mut openssl = Command::new("openssl");
        openssl.args(["cms", "-verify", "-inform", "DER", "-purpose", "any", "-no_check_time"]);
        openssl.arg("-in").arg(&file).arg("-CAfile").arg(self.maker().join("ca.pem"));
        let output = openssl.output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Sends a voucher request over a session of the published device, or of nobody.
    async fn ask(
        &self,
        registrar: &Registrar,
        device: Option<&Credential>,
        request: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let address = registrar.address();
        let (mut connection, _) = tls::provisional(address, device, TlsVersions::Any).await?;
        Ok(connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, request).await?)
    }

    fn device(&self) -> anyhow::Result<Credential> {
        let at = |ending: &str| self.maker().join(format!("idevid-{SERIAL}.{ending}"));
        Ok(Credential {
            certificate: CertificateDer::from_pem_file(at("pem"))?,
            key: PrivatePkcs8KeyDer::from_pem_file(at("key"))?,
        })
    }
}

fn assert_enrolled_on_that_day(device: &Value) {
    assert_eq!(device["san"], serde_json::json!(["00-d0-e5-f2-00-02.iot.lab.example"]), "{device}");
    let begin = device["not_before"].as_str().unwrap_or_default();
    // Backdated by an hour.
    assert!(begin.starts_with("2021-04-30T23:"), "{device}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_device_joins_on_a_day_of_its_time() -> anyhow::Result<()> {
    let Some(day) = ThatDay::begin()? else {
        return Ok(());
    };
    day.found_the_maker().await?;
    let (_masa, port) = day.masa().await?;
    let registrar = day.registrar(Identity::Own, port).await?;
    assert_enrolled_on_that_day(&day.journey(&registrar).await?);
    let story = json(registrar.site(), "device show", &[SERIAL]).await?;
    assert_eq!(story["device"]["state"], "enrolled", "{story}");
    // The published request is for the published registrar: RFC 8995 §5.2.
    let request = std::fs::read(day.vectors.join(format!("vr_{SERIAL}.der")))?;
    let answer = day.ask(&registrar, Some(&day.device()?), request).await?;
    assert_eq!(answer.status, 401, "{}", answer.text());
    registrar.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_registrar_takes_the_published_request_as_it_is() -> anyhow::Result<()> {
    let Some(day) = ThatDay::begin()? else {
        return Ok(());
    };
    day.found_the_maker().await?;
    let (_masa, port) = day.masa().await?;
    let registrar = day.registrar(Identity::Published, port).await?;
    let request = std::fs::read(day.vectors.join(format!("vr_{SERIAL}.der")))?;

    // Whoever read the RFC has the request, but not the device's key.
    let answer = day.ask(&registrar, None, request.clone()).await?;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let mut changed = request.clone();
    let at = changed.len() - 1;
    changed[at] ^= 1;
    let answer = day.ask(&registrar, Some(&day.device()?), changed).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());

    let answer = day.ask(&registrar, Some(&day.device()?), request).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let voucher = &day.content(&answer.body).await?["ietf-voucher:voucher"];
    let published = std::fs::read(day.vectors.join(format!("voucher_{SERIAL}.der")))?;
    let published = &day.content(&published).await?["ietf-voucher:voucher"];
    for leaf in ["serial-number", "nonce"] {
        assert!(voucher[leaf].is_string(), "{voucher}");
        assert_eq!(voucher[leaf], published[leaf], "{leaf}");
    }
    assert_eq!(voucher["nonce"], "-_XE9zK9q8Ll1qylMtLKeg");
    assert_enrolled_on_that_day(&day.journey(&registrar).await?);
    registrar.stop().await;
    Ok(())
}
