//! What runs is met by outside programs: OpenSSL reads what is signed, strongSwan's EST client what is served.

use brski_lab::pledge::tls::{self, TlsVersions};
use brski_tests::programs;
use brski_tests::site;
use brski_voucher::{media_type, path};

use crate::{assert_success, run};

#[tokio::test]
async fn openssl_verifies_the_pledges_request_and_the_voucher() -> anyhow::Result<()> {
    let Some(openssl) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    let site = site::local().await?;
    let pledge = site.lab.pledge("OPENSSL-1")?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let request = pledge.voucher_request(chain.own().expect("a server has a certificate"))?;
    let folder = site.folder.path();
    std::fs::write(folder.join("request.der"), &request.der)?;
    let answer =
        connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, request.der).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    std::fs::write(folder.join("voucher.der"), &answer.body)?;
    for file in ["request.der", "voucher.der"] {
        let arguments = [
            "cms",
            "-verify",
            "-inform",
            "DER",
            "-in",
            file,
            "-CAfile",
            "manufacturer-ca.pem",
            "-purpose",
            "any",
        ];
        let output = run(&openssl, &arguments, folder)?;
        assert_success(&output);
        let content = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(content.contains("OPENSSL-1"), "{content}");
    }
    Ok(())
}

#[tokio::test]
async fn strongswan_fetches_the_ca_certificates() -> anyhow::Result<()> {
    let Some(pki) = programs::outside("pki", "strongswan-pki") else {
        return Ok(());
    };
    let site = site::local().await?;
    let folder = site.folder.path();
    let url = format!("https://localhost:{}", site.lab.registrar.address().port());
    let anchor = site.site().folder().join("domain-ca.pem");
    let anchor = anchor.to_string_lossy();
    let arguments = ["--estca", "--url", &url, "--cacert", &anchor, "--caout", "ca", "--force"];
    let output = tokio::task::spawn_blocking({
        let (pki, folder) = (pki.clone(), folder.to_owned());
        let arguments: Vec<String> = arguments.iter().map(|each| (*each).to_owned()).collect();
        move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run(&pki, &arguments, &folder)
        }
    })
    .await??;
    assert_success(&output);
    let written: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("ca"))
        .collect();
    assert_eq!(written.len(), 2, "the domain CA and the device CA: {written:?}");
    Ok(())
}

#[tokio::test]
async fn openssl_reads_the_ca_certificates() -> anyhow::Result<()> {
    let Some(openssl) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    let site = site::local().await?;
    let (mut connection, _) =
        tls::provisional(site.lab.registrar.address(), None, TlsVersions::Any).await?;
    let answer = connection.get("/.well-known/est/cacerts").await?;
    let der = brski_est::transfer::decode(&answer.body)?;
    std::fs::write(site.folder.path().join("cacerts.der"), der)?;
    let arguments = ["pkcs7", "-inform", "DER", "-in", "cacerts.der", "-print_certs", "-noout"];
    let output = run(&openssl, &arguments, site.folder.path())?;
    assert_success(&output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("domain CA") && text.contains("device CA"), "{text}");
    Ok(())
}
