//! Keys in a PKCS#11 token, with Debian's SoftHSM: made there, and used for everything; and what is said without them.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use brski_lab::masa::Masa;
use brski_lab::pki::{self, Manufacturer};
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::pledge::tls::TlsVersions;
use brski_lab::registrar::Site;
use brski_lab::{process, up};
use brski_tests::programs;
use brski_tests::site::edit;
use brski_voucher::{media_type, path};
use tempfile::TempDir;

use crate::support::{details, own, voucher};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "pin-7391-of-the-test";

/// A token of the test's own.
struct Token {
    folder: TempDir,
}

impl Token {
    /// Makes one; none, and it says so, without SoftHSM.
    fn new() -> anyhow::Result<Option<Self>> {
        let Some(program) = programs::outside("softhsm2-util", "softhsm2") else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("tokens"))?;
        let tokens = folder.path().join("tokens");
        std::fs::write(
            folder.path().join("softhsm2.conf"),
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()),
        )?;
        let token = Self { folder };
        token.write_pin(PIN)?;
        let made = Command::new(program)
            .args([
                "--init-token",
                "--free",
                "--label",
                "years",
                "--pin",
                PIN,
                "--so-pin",
                "so-pin",
            ])
            .env("SOFTHSM2_CONF", token.config())
            .output()?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(Some(token))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn pin_file(&self) -> PathBuf {
        self.folder.path().join("pin")
    }

    fn write_pin(&self, pin: &str) -> anyhow::Result<()> {
        std::fs::write(self.pin_file(), format!("{pin}\n"))?;
        Ok(std::fs::set_permissions(self.pin_file(), std::fs::Permissions::from_mode(0o600))?)
    }

    fn uri(&self) -> String {
        format!(
            "pkcs11:token=years?module-path={MODULE}&pin-source=file:{}",
            self.pin_file().display()
        )
    }

    /// What starts a program that finds the token.
    fn launcher(&self) -> Vec<OsString> {
        let mut variable = OsString::from("SOFTHSM2_CONF=");
        variable.push(self.config());
        vec!["env".into(), variable]
    }

    /// Runs a command of the registrar.
    fn registrar(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let program = programs::ours("registrar")?;
        Ok(Command::new(program).args(arguments).env("SOFTHSM2_CONF", self.config()).output()?)
    }

    /// Makes a folder whose keys are all in the token.
    fn init(&self, folder: &Path, kind: &str) -> anyhow::Result<Output> {
        let listen = format!("127.0.0.1:{}", process::free_port()?);
        let (uri, folder) = (self.uri(), folder.to_string_lossy());
        let fixed = ["init", "--dir", &*folder, "--domain", up::ZONE, "--listen", &listen];
        let keys = ["--token", &uri, "--key-type", kind];
        let all: Vec<&str> = fixed.into_iter().chain(keys).collect();
        self.registrar(&all)
    }
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

struct Made {
    token: Token,
    folder: TempDir,
    site: Site,
}

impl Made {
    fn new() -> anyhow::Result<Option<Self>> {
        Self::with("ec-p256")
    }

    /// All keys of a kind.
    fn with(kind: &str) -> anyhow::Result<Option<Self>> {
        let Some(token) = Token::new()? else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("registrar");
        let made = token.init(&place, kind)?;
        anyhow::ensure!(made.status.success(), "{}", text(&made));
        edit(&place, "allow_lab_anchors = false", "allow_lab_anchors = true")?;
        let site = Site::new(&programs::ours("registrar")?, &place)?.under(token.launcher());
        Ok(Some(Self { token, folder, site }))
    }

    fn config(&self) -> String {
        self.site.config().to_string_lossy().into_owned()
    }

    fn check(&self) -> anyhow::Result<String> {
        Ok(text(&self.token.registrar(&["check", "--config", &self.config()])?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_live_in_the_token_and_do_everything() -> anyhow::Result<()> {
    keys_of_a_kind_do_everything("ec-p256", "(256 bit)").await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_on_p_384_in_the_token_do_everything() -> anyhow::Result<()> {
    keys_of_a_kind_do_everything("ec-p384", "(384 bit)").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_keys_in_the_token_do_everything() -> anyhow::Result<()> {
    keys_of_a_kind_do_everything("rsa-2048", "(2048 bit)").await
}

/// What OpenSSL says of an artefact, PEM; none, and it says so, without OpenSSL.
fn openssl(arguments: &[&str], pem: &Path) -> anyhow::Result<Option<String>> {
    let Some(program) = programs::outside("openssl", "openssl") else {
        return Ok(None);
    };
    let output = Command::new(program).args(arguments).arg("-in").arg(pem).output()?;
    anyhow::ensure!(output.status.success(), "{}", text(&output));
    Ok(Some(text(&output)))
}

/// Makes the registrar's, the domain CA's and the local issuer's key, and has each sign all that it is for.
async fn keys_of_a_kind_do_everything(kind: &str, size: &str) -> anyhow::Result<()> {
    let Some(made) = Made::with(kind)? else {
        return Ok(());
    };
    let folder = made.site.folder();
    for name in ["registrar.key", "domain-ca.key", "device-ca.key"] {
        assert!(!folder.join(name).exists(), "{name} is a file");
    }
    assert!(made.check()?.starts_with("ok\n"), "{}", made.check()?);
    // A second one does not overwrite the first one's keys.
    let again = text(&made.token.init(&made.folder.path().join("second"), kind)?);
    assert!(again.contains("already, which is not overwritten"), "{again}");

    for name in ["registrar.pem", "domain-ca.pem", "device-ca.pem"] {
        let said = openssl(&["x509", "-noout", "-text"], &folder.join(name))?;
        assert!(said.is_none_or(|said| said.contains(size)), "{name}");
    }

    let registrar = made.site.serve().await?;
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(([127, 0, 0, 1], 0).into(), &manufacturer).await?;
    up::introduce(&made.site, made.folder.path(), &manufacturer).await?;
    // A request for the next certificate, which the key signs.
    let request = made.folder.path().join("request.pem");
    std::fs::write(&request, made.site.command::<&str>("identity request", &[]).await?)?;
    openssl(&["req", "-noout", "-verify"], &request)?;
    let pledge = |serial: &str| -> anyhow::Result<Pledge> {
        let idevid = manufacturer.authority.idevid(serial, &masa.url())?;
        Ok(Pledge::new(idevid, manufacturer.authority.certificate())?)
    };
    // TLS of both versions, a signed voucher request, and a certificate of the local issuer.
    for (serial, versions) in [("TOKEN-1", TlsVersions::Tls13), ("TOKEN-2", TlsVersions::Tls12)] {
        let pledge = pledge(serial)?.speaking(versions);
        let enrolled = journey::run(&pledge, registrar.address(), &Label::default()).await?;
        assert_eq!(enrolled.certificate.dns_names().len(), 1);
        let (issued, ca) = (made.folder.path().join(serial), folder.join("device-ca.pem"));
        std::fs::write(&issued, pki::pem("CERTIFICATE", enrolled.certificate.der()))?;
        if let Some(program) = programs::outside("openssl", "openssl") {
            let mut verify = Command::new(program);
            let said = verify.arg("verify").arg("-CAfile").arg(&ca).arg(&issued).output()?;
            assert!(said.status.success(), "{}", text(&said));
        }
    }
    // The domain CA renews, and makes a root whose key is in the token, too.
    made.site.command::<&str>("identity renew", &[]).await?;
    let told = made.site.command::<&str>("ca rotate", &[]).await?;
    assert!(told.contains("object=domain-ca-"), "{told}");
    made.site.command::<&str>("identity renew", &[]).await?;
    journey::run(&pledge("TOKEN-3")?, registrar.address(), &Label::default()).await?;
    let site = registrar.stop().await;
    let log = std::fs::read_to_string(site.folder().join("registrar.log"))?;
    assert!(!log.contains(PIN), "the PIN is in the log");
    assert!(!std::fs::read_to_string(site.config())?.contains(PIN), "the PIN is in the file");
    Ok(())
}

#[test]
fn what_is_wrong_with_a_token_is_said_by_name_and_without_the_pin() -> anyhow::Result<()> {
    let Some(made) = Made::new()? else {
        return Ok(());
    };
    let folder = made.site.folder();
    let check = |reason: &str| -> anyhow::Result<()> {
        let said = made.check()?;
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(said.contains("identity"), "{said}");
        assert!(!said.contains(PIN) && !said.contains("wrong-pin-55"), "{said}");
        // The daemon does not start either, and says the same.
        let serve = text(&made.token.registrar(&["serve", "--config", &made.config()])?);
        assert!(serve.contains(reason), "{reason}: {serve}");
        assert!(!serve.contains(PIN) && !serve.contains("wrong-pin-55"), "{serve}");
        Ok(())
    };
    made.token.write_pin("wrong-pin-55")?;
    check("does not accept the PIN")?;
    made.token.write_pin(PIN)?;
    let pin = made.token.pin_file();
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o644))?;
    check("may be read by others (mode 644)")?;
    made.token.write_pin("")?;
    check("holds no PIN")?;
    std::fs::remove_file(&pin)?;
    check("cannot be read")?;
    made.token.write_pin(PIN)?;
    // The comment above the key has another token.
    let uri = |token: &str, object: &str, module: &str| {
        format!("token={token};object={object}?module-path={module}&pin-source=file:")
    };
    let right = uri("years", "registrar", MODULE);
    for (wrong, reason) in [
        (uri("years", "nobody", MODULE), "has no private key \"nobody\""),
        (uri("years", "domain-ca", MODULE), "is of another key than"),
        (uri("lost", "registrar", MODULE), "no token is called \"lost\""),
        (uri("years", "registrar", "/usr/lib/none.so"), "/usr/lib/none.so cannot be used"),
    ] {
        edit(folder, &right, &wrong)?;
        check(reason)?;
        edit(folder, &wrong, &right)?;
    }
    let with_pin = right.replace("pin-source=file:", "pin-value=wrong-pin-55#");
    edit(folder, &right, &with_pin)?;
    check("has a pin-value")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_token_is_away_requests_are_told_to_come_back() -> anyhow::Result<()> {
    let Some(made) = Made::new()? else {
        return Ok(());
    };
    let registrar = made.site.serve().await?;
    let manufacturer = Manufacturer::new("lab-devices")?;
    let masa = Masa::start(([127, 0, 0, 1], 0).into(), &manufacturer).await?;
    up::introduce(&made.site, made.folder.path(), &manufacturer).await?;
    let idevid = manufacturer.authority.idevid("AWAY-1", &masa.url())?;
    let pledge = Pledge::new(idevid, manufacturer.authority.certificate())?;
    let (mut connection, chain) = pledge.connect(registrar.address()).await?;
    let seen = own(&chain);
    // The token is pulled.
    let tokens = made.token.folder.path().join("tokens");
    let away = made.token.folder.path().join("away");
    std::fs::rename(&tokens, &away)?;
    let request = pledge.voucher_request(seen.der())?;
    let (to, kind) = (path::REQUEST_VOUCHER, media_type::VOUCHER_CMS);
    let answer = connection.post(to, kind, request.der.clone()).await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.retry_after.is_empty());
    let detail = details(&made.site, "key-unavailable").await?;
    assert_eq!(detail.len(), 1, "{detail:?}");
    // It is back: the same request gets its voucher, from the same process.
    std::fs::rename(&away, &tokens)?;
    let voucher_is_here = process::until(Duration::from_secs(20), async || {
        voucher(&pledge, &mut connection, &seen, &chain).await.ok()
    });
    assert!(
        voucher_is_here.await.is_some(),
        "{}",
        std::fs::read_to_string(made.site.folder().join("registrar.log"))?
    );
    Ok(())
}
