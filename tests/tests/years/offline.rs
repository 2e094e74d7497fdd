//! The domain CA's key is elsewhere: a request goes there, and the answer is installed.

use std::path::Path;
use std::process::Command;

use brski_tests::programs;
use brski_tests::site::{self, TestSite, edit, json};
use brski_voucher::certificate::Certificate;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::support::served;

/// A site without the domain CA's key, and that key as its keeper has it.
async fn site_and_ca() -> anyhow::Result<(TestSite, Issuer<'static, KeyPair>)> {
    let mut ca = None;
    let site = site::prepared(|folder| {
        let key = KeyPair::from_pem(&std::fs::read_to_string(folder.join("domain-ca.key"))?)?;
        let certificate = CertificateDer::from_pem_file(folder.join("domain-ca.pem"))?;
        ca = Some(Issuer::from_ca_cert_der(&certificate, key)?);
        std::fs::remove_file(folder.join("domain-ca.key"))?;
        edit(folder, "domain_ca_key = \"domain-ca.key\"", "# without the key")?;
        Ok(vec!["env".into()])
    })
    .await?;
    Ok((site, ca.expect("the folder was prepared")))
}

/// A certificate of the registrar's key, from now on for a year.
fn certificate(
    registrar: &Certificate,
    ca: &Issuer<'static, KeyPair>,
    change: impl FnOnce(&mut CertificateParams),
) -> anyhow::Result<String> {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()])?;
    let now = brski_lab::masa::now().as_secs();
    parameters.not_before = date(now)?;
    parameters.not_after = date(now + 365 * 24 * 3600)?;
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 28]),
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    change(&mut parameters);
    let key = SubjectPublicKeyInfo::from_der(registrar.spki_der())?;
    Ok(parameters.signed_by(&key, ca)?.pem())
}

fn date(seconds: u64) -> anyhow::Result<time::OffsetDateTime> {
    Ok(time::OffsetDateTime::from_unix_timestamp(i64::try_from(seconds)?)?)
}

fn file(folder: &Path, content: &str) -> anyhow::Result<String> {
    let file = folder.join("answer.pem");
    std::fs::write(&file, content)?;
    Ok(file.to_string_lossy().into_owned())
}

#[tokio::test]
async fn the_answer_to_a_request_is_installed_and_served() -> anyhow::Result<()> {
    if programs::outside("openssl", "openssl").is_none() {
        return Ok(());
    }
    let (site, ca) = site_and_ca().await?;
    let registrar = site.site();
    let (before, _) = served(&site).await?;
    let request = registrar.command::<&str>("identity request", &[]).await?;
    let folder = site.folder.path();
    std::fs::write(folder.join("request.pem"), request)?;
    std::fs::write(folder.join("ca.key"), ca.key().serialize_pem())?;
    let output = Command::new("openssl")
        .args(["x509", "-req", "-copy_extensions", "copyall", "-days", "365"])
        .args(["-in", "request.pem", "-CAkey", "ca.key", "-out", "made.pem", "-CA"])
        .arg(registrar.folder().join("domain-ca.pem"))
        .current_dir(folder)
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pem = std::fs::read_to_string(folder.join("made.pem"))?;
    registrar.command("identity install", &[file(folder, &pem)?]).await?;
    let (after, _) = served(&site).await?;
    assert_eq!(after.der(), &CertificateDer::from_pem_slice(pem.as_bytes())?);
    assert_eq!(after.spki_der(), before.spki_der());
    assert_eq!(after.dns_names(), before.dns_names());
    let shown = json(registrar, "identity show", &[]).await?;
    assert_eq!(shown["origin"], "store");
    let kinds = site::event_kinds(registrar).await?;
    assert!(kinds.iter().any(|kind| kind == "identity-installed"), "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn refuses_to_install_what_no_pledge_would_take() -> anyhow::Result<()> {
    let (site, ca) = site_and_ca().await?;
    let registrar = site.site();
    let (before, _) = served(&site).await?;
    let other_key = {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()])?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.signed_by(&key, &ca)?.pem()
    };
    let other_ca = {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = Issuer::new(parameters, KeyPair::generate()?);
        certificate(&before, &issuer, |_| ())?
    };
    let now = brski_lab::masa::now().as_secs();
    let (past, old) = (date(now - 60)?, date(now - 30 * 24 * 3600)?);
    let cases = [
        ("no PEM at all".to_owned(), "holds no certificate"),
        (other_key, "is of another key than the registrar's"),
        (other_ca, "does not chain to the root in use"),
        (
            certificate(&before, &ca, |parameters| {
                parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })?,
            "lacks the extended key usage cmcRA",
        ),
        (
            certificate(&before, &ca, |each| each.not_after = past)?,
            "does not chain to the root in use",
        ),
        (
            certificate(&before, &ca, |each| each.not_before = old)?,
            "began no later than the one in use",
        ),
        ("x".repeat(70_000), "more than 65536 characters"),
    ];
    for (pem, reason) in cases {
        let file = file(site.folder.path(), &pem)?;
        let error = registrar.command("identity install", &[file]).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    assert_eq!(served(&site).await?.0.der(), before.der());
    Ok(())
}

#[tokio::test]
async fn a_newer_certificate_in_the_file_is_taken_up_by_a_reload() -> anyhow::Result<()> {
    let (site, ca) = site_and_ca().await?;
    let registrar = site.site();
    let (before, _) = served(&site).await?;
    std::fs::write(registrar.folder().join("registrar.pem"), certificate(&before, &ca, |_| ())?)?;
    let told = registrar.command::<&str>("reload", &[]).await?;
    assert!(told.contains("identity.certificate: applies now"), "{told}");
    let (after, _) = served(&site).await?;
    assert_ne!(after.der(), before.der());
    // A file that does not fit the key changes nothing, and says so.
    let foreign = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(registrar.folder().join("registrar.pem"), foreign.cert.pem())?;
    let error = registrar.command::<&str>("reload", &[]).await.unwrap_err().to_string();
    assert!(error.contains("is of another key than"), "{error}");
    let still: Certificate = served(&site).await?.0;
    assert_eq!(still.der(), after.der());
    Ok(())
}
