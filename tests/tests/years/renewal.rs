//! The registrar's certificate is renewed with the same key, and nobody notices but those who look.

use std::process::Command;
use std::time::Duration;

use brski_lab::pledge::journey::{self, Label};
use brski_lab::process;
use brski_tests::programs;
use brski_tests::site::{self, edit, json};
use brski_voucher::certificate::{CMC_RA, Certificate, SERVER_AUTH};

use crate::support::{ahead, details, own, served, voucher};

#[tokio::test]
async fn a_renewed_certificate_is_served_at_once_and_ends_no_connection() -> anyhow::Result<()> {
    let site = site::local().await?;
    let address = site.lab.registrar.address();
    let pledge = site.lab.pledge("YEARS-1")?;
    let (mut open, old_chain) = pledge.connect(address).await?;
    let before = own(&old_chain);
    let told = site.site().command::<&str>("identity renew", &[]).await?;
    assert!(told.contains("from the              store"), "{told}");
    let (mut new, new_chain) = pledge.connect(address).await?;
    let after = own(&new_chain);
    assert_ne!(after.der(), before.der());
    assert_eq!(after.spki_der(), before.spki_der());
    assert_eq!(after.subject_der(), before.subject_der());
    assert_eq!(after.dns_names(), before.dns_names());
    assert!(after.has_extended_key_usage(CMC_RA) && after.has_extended_key_usage(SERVER_AUTH));
    assert!(after.not_after() >= before.not_after());
    // The connection that was open goes on, and a request that names what it showed is accepted on both.
    voucher(&pledge, &mut open, &before, &old_chain).await?;
    voucher(&pledge, &mut new, &before, &new_chain).await?;
    voucher(&pledge, &mut new, &after, &new_chain).await?;
    journey::run(&site.lab.pledge("YEARS-2")?, address, &Label::default()).await?;
    let status = site.site().command::<&str>("status", &[]).await?;
    assert!(status.contains("certificate  from the store, until "), "{status}");
    let check = Command::new(programs::ours("registrar")?)
        .args(["check", "--config"])
        .arg(site.site().config())
        .output()?;
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(said.contains("the certificate in use is from the store, until "), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_the_same_key_that_is_not_ours_is_refused() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("YEARS-3")?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    // The same key, certified by somebody else: the registrar never had it.
    let ours = own(&chain);
    let pair = rcgen::KeyPair::generate()?;
    let issuer = rcgen::CertifiedIssuer::self_signed(rcgen::CertificateParams::default(), pair)?;
    let key = rcgen::SubjectPublicKeyInfo::from_der(ours.spki_der())?;
    let foreign = rcgen::CertificateParams::default().signed_by(&key, &issuer)?;
    let foreign = Certificate::from_der(foreign.der())?;
    let error = voucher(&pledge, &mut connection, &foreign, &chain).await.unwrap_err().to_string();
    assert!(error.starts_with("401"), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_daemon_renews_by_itself_before_the_end_and_all_is_kept() -> anyhow::Result<()> {
    // Made for five years: 1825 days. It is renewed when 90 are left.
    let (Some(early), Some(late)) = (ahead(1700), ahead(1750)) else {
        return Ok(());
    };
    let mut site = site::local().await?;
    let (before, _) = served(&site).await?;
    let stopped = site.lab.registrar.stop().await;
    site.lab.registrar = stopped.under(early).serve().await?;
    let (same, _) = served(&site).await?;
    assert_eq!(same.der(), before.der(), "125 days are left");
    let stopped = site.lab.registrar.stop().await;
    site.lab.registrar = stopped.under(late).serve().await?;
    let renewed = process::until(Duration::from_secs(20), async || {
        details(site.site(), "identity-renewed").await.ok()?.pop()
    });
    let detail = renewed.await.expect("it is renewed");
    let (after, _) = served(&site).await?;
    assert_ne!(after.der(), before.der());
    assert_eq!(after.spki_der(), before.spki_der());
    assert!(detail.contains("for 1825 days"), "{detail}");
    assert!(after.not_after() - before.not_after() > 1740 * 24 * 3600);
    // It is in the store: a restarted daemon shows the same one, and does not renew again.
    let stopped = site.lab.registrar.stop().await;
    site.lab.registrar = stopped.serve().await?;
    let (kept, _) = served(&site).await?;
    assert_eq!(kept.der(), after.der());
    assert_eq!(details(site.site(), "identity-renewed").await?.len(), 1);
    let shown = json(site.site(), "identity show", &[]).await?;
    assert_eq!(shown["origin"], "store");
    Ok(())
}

#[tokio::test]
async fn without_the_domain_cas_key_somebody_is_told_ahead_of_time_and_once() -> anyhow::Result<()>
{
    let Some(late) = ahead(1750) else {
        return Ok(());
    };
    let mut site = site::prepared(|folder| {
        edit(folder, "domain_ca_key = \"domain-ca.key\"", "# domain_ca_key = \"\"")?;
        std::fs::remove_file(folder.join("domain-ca.key"))?;
        Ok(vec!["env".into()])
    })
    .await?;
    let (before, _) = served(&site).await?;
    for _ in 0..2 {
        let stopped = site.lab.registrar.stop().await;
        site.lab.registrar = stopped.under(late.clone()).serve().await?;
        let told = process::until(Duration::from_secs(20), async || {
            details(site.site(), "identity-renewal-failed").await.ok()?.pop()
        });
        let detail = told.await.expect("somebody is told");
        assert!(
            detail.contains("ends in 74 days") || detail.contains("ends in 75 days"),
            "{detail}"
        );
        assert!(detail.contains("registrar identity request"), "{detail}");
    }
    assert_eq!(details(site.site(), "identity-renewal-failed").await?.len(), 1);
    assert_eq!(served(&site).await?.0.der(), before.der());
    let error = site.site().command::<&str>("identity renew", &[]).await.unwrap_err().to_string();
    assert!(error.contains("identity.domain_ca_key"), "{error}");
    Ok(())
}
