//! How the registrar shows a MASA who it is: its certificate or another one, HTTP Basic and Digest (RFC 8995 §5.4).

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use brski_est::authentication::Credentials;
use brski_lab::masa::{LogStyle, Login, Masa, MasaOptions, Scheme};
use brski_lab::pki::{self, Authority};
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey;
use brski_tests::site::{TestSite, json};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::desk::{ask, assert_refused, plan, start};

/// Writes a file with this mode.
fn secret(folder: &TempDir, name: &str, text: &str, mode: u32) -> anyhow::Result<PathBuf> {
    let file = folder.path().join(name);
    std::fs::write(&file, text)?;
    std::fs::set_permissions(&file, PermissionsExt::from_mode(mode))?;
    Ok(file)
}

fn word(path: &Path) -> &str {
    path.to_str().expect("temporary files have readable names")
}

fn login(scheme: Scheme) -> anyhow::Result<MasaOptions> {
    let credentials = Credentials::new("campus", "correct: horse")?;
    let login = Some(Login { scheme, credentials });
    Ok(MasaOptions { login, log: LogStyle::Path, ..MasaOptions::default() })
}

#[tokio::test]
async fn basic_and_digest_are_answered_when_the_masa_asks() -> anyhow::Result<()> {
    for scheme in [Scheme::Basic, Scheme::Digest] {
        let folder = tempfile::tempdir()?;
        let file = secret(&folder, "masa", "campus:correct: horse\n", 0o600)?;
        let arguments = ["--masa-credential", word(&file)];
        let site = start(plan(login(scheme)?, &arguments), &[]).await?;
        let address = site.lab.registrar.address();
        journey::bootstrap(&site.lab.pledge("LOGIN-1")?, address).await?;
        // Once without, once with; so for the log, at both of its places.
        assert_eq!((site.lab.masa.requests(), site.lab.masa.log_requests()), (2, 2), "{scheme:?}");
        let story = json(site.site(), "voucher show", &["LOGIN-1"]).await?;
        assert_eq!(story["last_exchange"]["audit"], "accepted");
        // Who replaces the file needs no restart.
        secret(&folder, "masa", "campus:battery staple", 0o600)?;
        let (answer, _) = ask(&site, &site.lab.pledge("LOGIN-2")?).await?;
        assert_refused(&site, &answer, 502, "operator was told", "masa-unauthorized").await?;
        let events = json(site.site(), "event list", &[]).await?;
        let last = events.as_array().and_then(|events| events.last()).expect("there are events");
        assert_eq!(last["verdict"], "failed", "so that [notify] tells somebody by default");
        for shown in [
            events.to_string(),
            std::fs::read_to_string(site.site().folder().join("registrar.log"))?,
        ] {
            assert!(!shown.contains("battery") && !shown.contains("horse"), "a secret is shown");
        }
        // One that is gone is a matter of this machine, and not told to a pledge.
        std::fs::remove_file(&file)?;
        let (answer, _) = ask(&site, &site.lab.pledge("LOGIN-3")?).await?;
        assert_refused(&site, &answer, 500, "the registrar failed", "internal").await?;
        assert!(!answer.text().contains(word(&file)), "{}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn without_a_name_and_password_the_operator_is_told() -> anyhow::Result<()> {
    let site = start(plan(login(Scheme::Digest)?, &[]), &[]).await?;
    let (answer, _) = ask(&site, &site.lab.pledge("LOGIN-4")?).await?;
    assert_refused(&site, &answer, 502, "operator was told", "masa-unauthorized").await
}

#[tokio::test]
async fn secrets_that_others_may_read_or_that_are_nowhere_are_refused_at_once() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let open = secret(&folder, "open", "campus:secret", 0o644)?;
    let closed = secret(&folder, "closed", "campus:secret", 0o600)?;
    let missing = folder.path().join("missing");
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    let ca = site.folder.path().join("manufacturer-ca.pem");
    for (arguments, words) in [
        (vec!["--masa-credential", word(&open)], "chmod 600"),
        (vec!["--masa-credential", word(&missing)], "cannot be read"),
        (vec!["--masa-credential", "systemd:masa"], "LoadCredential"),
        (
            vec!["--masa-client-certificate", word(&ca), "--masa-client-key", word(&open)],
            "chmod 600",
        ),
        (vec!["--masa-client-certificate", word(&ca)], "--masa-client-key"),
        (vec!["--masa-client-key", word(&closed)], "--masa-client-certificate"),
    ] {
        let all = ["--name", "second", "--ca", word(&ca)].into_iter().chain(arguments);
        let all: Vec<&str> = all.collect();
        let error = site.site().command("manufacturer add", &all).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let listed = json(site.site(), "manufacturer list", &[]).await?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "nothing was added");
    Ok(())
}

/// A device of a MASA that wants certificates of this CA.
async fn guarded(
    site: &TestSite,
    clients: CertificateDer<'static>,
    serial: &str,
) -> anyhow::Result<(Masa, Pledge)> {
    let options = MasaOptions { clients: Some(clients), ..MasaOptions::default() };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let masa = Masa::start_with(loopback, &site.lab.manufacturer, options).await?;
    let authority = &site.lab.manufacturer.authority;
    let pledge = Pledge::new(authority.idevid(serial, &masa.url())?, authority.certificate())?;
    Ok((masa, pledge))
}

#[tokio::test]
async fn the_registrars_own_certificate_is_shown_unless_the_operator_says_otherwise()
-> anyhow::Result<()> {
    for (arguments, status) in [(vec![], 200), (vec!["--masa-client-certificate", "none"], 503)] {
        let site = start(plan(MasaOptions::default(), &arguments), &[]).await?;
        let domain = site.site().folder().join("domain-ca.pem");
        let (masa, pledge) =
            guarded(&site, CertificateDer::from_pem_file(domain)?, "MTLS-1").await?;
        let (answer, _) = ask(&site, &pledge).await?;
        assert_eq!(answer.status, status, "{arguments:?}: {}", answer.text());
        assert_eq!(masa.issued(), u32::from(status == 200));
    }
    Ok(())
}

#[tokio::test]
async fn a_manufacturer_may_have_given_a_certificate_of_its_own() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let customers = Authority::new("customers of lab-devices, LAB ONLY")?;
    pki::write(folder.path(), "campus", &customers.client("campus")?)?;
    let (certificate, key) = (folder.path().join("campus.pem"), folder.path().join("campus.key"));
    let arguments =
        ["--masa-client-certificate", word(&certificate), "--masa-client-key", word(&key)];
    let site = start(plan(MasaOptions::default(), &arguments), &[]).await?;
    let (masa, pledge) = guarded(&site, customers.certificate().clone(), "MTLS-2").await?;
    let (answer, _) = ask(&site, &pledge).await?;
    assert_eq!((answer.status, masa.issued()), (200, 1), "{}", answer.text());
    let listed = json(site.site(), "manufacturer list", &[]).await?;
    assert_eq!(listed[0]["masa"]["client_certificate"], word(&certificate));
    Ok(())
}
