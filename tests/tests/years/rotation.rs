//! `registrar ca rotate`: a new root, while pledges hold vouchers that pin the old one.

use std::path::Path;
use std::process::Command;

use brski_est::{certs_only, transfer};
use brski_lab::pledge::journey::{self, Label};
use brski_tests::programs;
use brski_tests::site::{self, TestSite, edit, json};
use brski_voucher::certificate::Certificate;
use brski_voucher::{media_type, path};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::support::{own, served, voucher};

async fn pinning(pin: &'static str) -> anyhow::Result<TestSite> {
    site::prepared(|folder| {
        edit(folder, "pin = \"root\"", &format!("pin = \"{pin}\""))?;
        Ok(vec!["env".into()])
    })
    .await
}

fn root_file(site: &TestSite) -> anyhow::Result<Certificate> {
    let file = site.site().folder().join("domain-ca.pem");
    Ok(Certificate::from_der(&CertificateDer::from_pem_file(file)?)?)
}

/// What `/cacerts` serves.
async fn ca_certificates(site: &TestSite) -> anyhow::Result<Vec<Certificate>> {
    let mut connection = brski_tests::est::connect(site, None).await?;
    let answer = connection.get("/.well-known/est/cacerts").await?;
    let certificates = certs_only::decode(&transfer::decode(&answer.body)?)?;
    Ok(certificates.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?)
}

/// A voucher that was given before the rotation is good after it; a request that saw the old certificate gets one that
/// fits what it saw; a new pledge pins what is new.
async fn rotates_under(pin: &'static str) -> anyhow::Result<(Certificate, Certificate)> {
    let site = pinning(pin).await?;
    let address = site.lab.registrar.address();
    let old = site.lab.pledge("ROTATE-OLD")?;
    let (mut open, old_chain) = old.connect(address).await?;
    let seen = own(&old_chain);
    let request = old.voucher_request(seen.der())?;
    let (to, kind) = (path::REQUEST_VOUCHER, media_type::VOUCHER_CMS);
    let answer = open.post(to, kind, request.der.clone()).await?;
    let pinned_before = old.verify_voucher(&answer.body, &request.nonce, &old_chain)?;

    site.site().command::<&str>("ca rotate", &[]).await?;

    let (mut again, new_chain) = old.connect(address).await?;
    assert_ne!(own(&new_chain).der(), seen.der());
    assert_eq!(own(&new_chain).spki_der(), seen.spki_der());
    // The pledge lost its connection and comes back with the same request: the same voucher, and it verifies.
    let stored = again.post(to, kind, request.der).await?;
    assert_eq!(stored.body, answer.body);
    old.verify_voucher(&stored.body, &request.nonce, &new_chain)?;
    let credential = old.credential().clone();
    old.reconnect(address, &pinned_before, &credential).await?;
    // Another request of one who saw the old certificate only, over the connection that it has, and over another.
    let pinned = voucher(&old, &mut open, &seen, &old_chain).await?;
    assert_eq!(pinned.der(), pinned_before.der());
    voucher(&old, &mut again, &seen, &new_chain).await?;
    // One who comes later.
    let new = site.lab.pledge("ROTATE-NEW")?;
    let (mut connection, chain) = new.connect(address).await?;
    let pinned_after = voucher(&new, &mut connection, &own(&chain), &chain).await?;
    journey::run(&site.lab.pledge("ROTATE-ALL")?, address, &Label::default()).await?;
    Ok((pinned_before, pinned_after))
}

#[tokio::test]
async fn vouchers_that_pin_the_root_are_served_across_a_rotation() -> anyhow::Result<()> {
    let (before, after) = rotates_under("root").await?;
    assert!(before.is_ca() && after.is_ca());
    assert_ne!(before.spki_der(), after.spki_der());
    assert_eq!(before.subject_der(), after.subject_der());
    Ok(())
}

#[tokio::test]
async fn vouchers_that_pin_the_issuing_ca_are_served_across_a_rotation() -> anyhow::Result<()> {
    let (before, after) = rotates_under("issuing-ca").await?;
    assert!(before.is_ca() && after.is_ca());
    assert_ne!(before.spki_der(), after.spki_der());
    Ok(())
}

#[tokio::test]
async fn vouchers_that_pin_the_registrar_are_served_across_a_rotation() -> anyhow::Result<()> {
    let (before, after) = rotates_under("ee").await?;
    assert_ne!(before.der(), after.der());
    assert_eq!(before.spki_der(), after.spki_der());
    Ok(())
}

#[tokio::test]
async fn cacerts_has_both_roots_and_what_leads_between_them() -> anyhow::Result<()> {
    let site = site::local().await?;
    let old_root = root_file(&site)?;
    assert_eq!(ca_certificates(&site).await?[0].der(), old_root.der());
    let told = site.site().command::<&str>("ca rotate", &[]).await?;
    assert!(told.contains("earlier root"), "{told}");
    let served = ca_certificates(&site).await?;
    let [new_root, earlier, new_with_old, old_with_new, ..] = served.as_slice() else {
        panic!("{} certificates", served.len());
    };
    assert_eq!(earlier.der(), old_root.der());
    assert_eq!(new_with_old.spki_der(), new_root.spki_der());
    assert_eq!(old_with_new.spki_der(), old_root.spki_der());
    // RFC 4210 §4.4: all four have one name.
    assert!(served[..4].iter().all(|each| each.subject_der() == old_root.subject_der()));
    assert_eq!(old_with_new.not_after(), old_root.not_after());
    assert_eq!(new_with_old.not_after(), old_root.not_after());
    // A second one has to wait, and leaves everything as it is.
    let error = site.site().command::<&str>("ca rotate", &[]).await.unwrap_err().to_string();
    assert!(error.contains("an earlier root is still served"), "{error}");
    assert_eq!(ca_certificates(&site).await?.len(), served.len());
    // What was made is there after a restart, and the new root's key renews.
    let mut site = site;
    let stopped = site.lab.registrar.stop().await;
    site.lab.registrar = stopped.serve().await?;
    site.site().command::<&str>("identity renew", &[]).await?;
    let shown = json(site.site(), "identity show", &[]).await?;
    assert_eq!(shown["earlier_roots"].as_array().map(Vec::len), Some(1));
    site.site().command::<&str>("check", &[]).await?;
    Ok(())
}

fn openssl_verify(root: &Path, untrusted: &Path, leaf: &Path) -> anyhow::Result<String> {
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"])
        .arg(root)
        .arg("-untrusted")
        .args([untrusted, leaf])
        .output()?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn openssl_verifies_what_tls_sends_under_either_root() -> anyhow::Result<()> {
    if programs::outside("openssl", "openssl").is_none() {
        return Ok(());
    }
    let site = site::local().await?;
    let old_root = root_file(&site)?;
    site.site().command::<&str>("ca rotate", &[]).await?;
    let new_root = ca_certificates(&site).await?.remove(0);
    let (_, chain) = served(&site).await?;
    let [leaf, bridge] = chain.certificates() else {
        panic!("{} certificates", chain.certificates().len());
    };
    let folder = site.folder.path();
    let write = |name: &str, der: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, brski_lab::pki::pem("CERTIFICATE", der)).map(|()| file)
    };
    let (leaf, bridge) = (write("leaf.pem", leaf)?, write("bridge.pem", bridge)?);
    let foreign = rcgen::generate_simple_self_signed(vec!["foreign".to_owned()])?;
    for (name, root, is_trusted) in [
        ("old.pem", old_root.der(), true),
        ("new.pem", new_root.der(), true),
        ("foreign.pem", foreign.cert.der(), false),
    ] {
        let said = openssl_verify(&write(name, root)?, &bridge, &leaf)?;
        assert_eq!(said.trim_end().ends_with(": OK"), is_trusted, "{name}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_cannot_be_kept_changes_nothing() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (before, _) = served(&site).await?;
    let folder = site.site().folder();
    // The key moves to where nothing can be written, not even by root.
    std::fs::remove_file(folder.join("domain-ca.key"))?;
    edit(folder, "domain_ca_key = \"domain-ca.key\"", "domain_ca_key = \"/proc/self/none.key\"")?;
    site.site().command::<&str>("reload", &[]).await?;
    let error = site.site().command::<&str>("ca rotate", &[]).await.unwrap_err().to_string();
    assert!(error.contains("/proc/self/none.key"), "{error}");
    assert_eq!(served(&site).await?.0.der(), before.der());
    assert!(
        json(site.site(), "identity show", &[]).await?["earlier_roots"] == serde_json::json!([])
    );
    Ok(())
}
