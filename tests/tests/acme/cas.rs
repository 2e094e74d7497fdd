//! What each real CA does with an order, and what the bridge makes of it.

use acme_bridge::client::{AcmeError, RevocationReason};
use acme_bridge::{Contacts, OrderTerms, Problem, ProblemKind, check};
use brski_lab::pebble::Pebble;
use brski_registrar::issue::desk::{CaAccount, OrderDesk};
use brski_registrar::store::Change;
use brski_registrar::store::model::{EventFilter, Millis, RevocationRow, Sha256};
use brski_tests::acme2certifier::Acme2Certifier;
use brski_tests::bridge_site::{BridgeSite, Ca, Dns, ISSUER, wish};
use brski_tests::programs;
use brski_tests::step_ca::StepCa;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn of_pebble(pebble: &Pebble) -> Ca {
    Ca {
        directory: pebble.directory(),
        tls_anchor: pebble.tls_anchor(),
        root: pebble.root(),
        external_account: None,
        contacts: Contacts::default(),
    }
}

/// Three devices, one order and one certificate each, and nothing left in DNS.
async fn three_devices(dns: &Dns, ca: &Ca) -> anyhow::Result<BridgeSite> {
    let site = BridgeSite::start(dns, ca, |config| config.orders_in_flight = 4)?;
    for number in 1..=3 {
        let chain = site.enroll(number).await?;
        assert!(chain.len() >= 3, "leaf, intermediate, root");
    }
    assert_eq!(dns.answers_left()?, 0, "answers are taken back");
    assert_eq!(site.bridge.counters().issued_orders(), 3);
    Ok(site)
}

/// Revokes a certificate at its CA by the durable way.
async fn revoke(site: &BridgeSite, number: u64) -> anyhow::Result<()> {
    let chain = site.enroll(number).await?;
    let row = RevocationRow {
        fingerprint: Sha256::of(&chain[0]),
        issuer: ISSUER.into(),
        certificate: chain[0].clone(),
        reason: RevocationReason::CessationOfOperation,
        attempts: 0,
        due: Millis(0),
        requested_at: Millis(0),
        done_at: None,
        problem: None,
    };
    let fingerprint = row.fingerprint;
    site.store.commit(vec![Change::RequestRevocation(row)], vec![]).await?;
    let done = brski_lab::process::until(Duration::from_secs(20), async || {
        site.store.revocation(&fingerprint).await.ok().flatten()?.done_at
    });
    assert!(done.await.is_some(), "{:?}", site.store.revocation(&fingerprint).await?);
    Ok(())
}

#[tokio::test]
async fn debians_pebble_issues_once_for_each_and_revokes() -> anyhow::Result<()> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let pebble = Pebble::start(&program, folder.path(), dns.address()).await?;
    let site = three_devices(&dns, &of_pebble(&pebble)).await?;
    assert_eq!(pebble.count("Added order")?, 3);
    assert_eq!(pebble.count("Issued certificate serial")?, 3);
    revoke(&site, 9).await?;
    let shown = site.bridge.account().await?;
    assert_eq!(shown.status, "valid");
    assert!(shown.offers.contains(&"keyChange") && !shown.offers.contains(&"renewalInfo"));
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn current_pebble_issues_once_for_each_says_when_to_renew_and_revokes() -> anyhow::Result<()>
{
    let Some(program) = programs::go("pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let pebble = Pebble::start(&program, folder.path(), dns.address()).await?;
    let site = three_devices(&dns, &of_pebble(&pebble)).await?;
    let chain = site.enroll(4).await?;
    let window = site.bridge.renewal_window(&chain[0]).await?;
    assert!(window.start < window.end && window.retry_after_secs >= 60);
    revoke(&site, 9).await?;
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_renewal_names_the_certificate_that_it_replaces() -> anyhow::Result<()> {
    let Some(program) = programs::go("pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let pebble = Pebble::start(&program, folder.path(), dns.address()).await?;
    let site = BridgeSite::start(&dns, &of_pebble(&pebble), |_| {})?;
    let first = wish(1)?;
    site.place(&first, OrderTerms::default()).await?;
    let chain = site.wait(&first.id, Duration::from_secs(60)).await?;
    // Pebble wants the same names in the order that replaces; a device has one name.
    let again = brski_tests::bridge_site::Wish {
        id: acme_bridge::OrderId::new(format!("{:032x}", 2)),
        csr: wish(1)?.csr,
    };
    let replaces = check::renewal_identifier(&chain[0]);
    let terms = OrderTerms { replaces, ..OrderTerms::default() };
    site.place_renewal(&first, &again, terms).await?;
    site.wait(&again.id, Duration::from_secs(60)).await?;
    let order = site.store.order(&again.id).await?.unwrap();
    assert!(order.terms.replaces.is_some(), "the CA took it");
    assert_eq!(order.attempts, 0);
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_ca_that_drops_client_auth_is_alarmed_and_its_certificate_revoked() -> anyhow::Result<()>
{
    let Some(program) = programs::go("pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let pebble = Pebble::start(&program, folder.path(), dns.address()).await?;
    let site = BridgeSite::start(&dns, &of_pebble(&pebble), |_| {})?;
    let wish = wish(1)?;
    let require_eku = vec!["1.3.6.1.5.5.7.3.2".to_owned()];
    site.place(&wish, OrderTerms { require_eku, ..OrderTerms::default() }).await?;
    site.wait(&wish.id, Duration::from_secs(60)).await.unwrap_err();
    let order = site.store.order(&wish.id).await?.unwrap();
    assert_eq!(order.problem.unwrap().kind, ProblemKind::WrongCertificate);
    let filter = EventFilter { kind: Some("certificate-mismatch".into()), ..Default::default() };
    assert_eq!(site.store.events(&filter, None, 9).await?.len(), 1);
    let revoked =
        EventFilter { kind: Some("certificate-revoked-at-ca".into()), ..Default::default() };
    let done = brski_lab::process::until(Duration::from_secs(20), async || {
        let events = site.store.events(&revoked, None, 9).await.ok()?;
        (events.len() == 1).then_some(())
    });
    assert!(done.await.is_some(), "not revoked");
    assert!(
        site.store
            .certificates_of(&brski_registrar::store::model::Id::from_stored(format!(
                "d{}",
                &wish.id.as_str()[1..]
            )))
            .await?
            .is_empty()
    );
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_profile_that_the_ca_has_is_ordered_and_another_waits_for_an_operator()
-> anyhow::Result<()> {
    let Some(program) = programs::go("pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let pebble = Pebble::start(&program, folder.path(), dns.address()).await?;
    let ca = of_pebble(&pebble);
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    let profiles = site.bridge.account().await?.profiles;
    let known = profiles.first().cloned().expect("this Pebble has profiles");
    site.stop().await;
    let site = BridgeSite::start(&dns, &ca, |config| config.profile = Some(known))?;
    site.enroll(1).await?;
    site.stop().await;
    let site = BridgeSite::start(&dns, &ca, |config| config.profile = Some("none such".into()))?;
    let waits = wish(2)?;
    site.place(&waits, OrderTerms::default()).await?;
    let words = site.wait(&waits.id, Duration::from_secs(3)).await.unwrap_err().to_string();
    assert!(words.contains("no profile"), "{words}");
    let Problem { kind, .. } = site.store.order(&waits.id).await?.unwrap().problem.unwrap();
    assert_eq!(kind, ProblemKind::Configuration);
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn step_ca_issues_and_revokes_and_has_no_change_of_keys() -> anyhow::Result<()> {
    let Some(program) = programs::go("step-ca") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let step = StepCa::start(&program, folder.path(), dns.address()).await?;
    let ca = Ca {
        directory: step.directory(),
        tls_anchor: step.root(),
        root: step.root(),
        external_account: None,
        contacts: Contacts::default(),
    };
    let site = three_devices(&dns, &ca).await?;
    revoke(&site, 9).await?;
    // It has keyChange in its directory and answers it with 501: the old key stays, and works.
    let error = site.bridge.rotate_key().await.unwrap_err();
    println!("step-ca says of keyChange: {error}");
    assert!(!matches!(error, AcmeError::Local(_)), "{error}");
    site.enroll(10).await?;
    let accounts = [(ISSUER.to_owned(), CaAccount::Driven(Arc::clone(&site.bridge)))].into();
    let clock = Arc::new(brski_registrar::clock::SystemClock);
    let desk = OrderDesk::new(Arc::clone(&site.store), clock, accounts);
    let shown = desk.show(wish(10)?.id.as_str()).await?;
    assert_eq!(shown.listed.order.state.name(), "issued");
    let told = ["the CA has the order", "answers go out", "sending the CSR", "passed every check"];
    assert!(
        told.iter().all(|words| shown.steps.iter().any(|(_, step)| step.contains(words))),
        "{:?}",
        shown.steps
    );
    site.stop().await;
    Ok(())
}

/// Its orders stay "processing" for a while, and its problems have shapes of their own.
#[tokio::test]
async fn acme2certifier_issues_revokes_and_changes_the_accounts_key() -> anyhow::Result<()> {
    let Some(python) = programs::python_of("acme2certifier") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let server = Acme2Certifier::start(&python, folder.path(), dns.address()).await?;
    let ca = Ca {
        directory: server.directory(),
        tls_anchor: server.root(),
        root: server.root(),
        external_account: None,
        contacts: Contacts::default(),
    };
    let site = three_devices(&dns, &ca).await?;
    revoke(&site, 9).await?;
    let before = site.bridge.account().await?;
    assert_eq!(before.status, "valid");
    let after = site.bridge.rotate_key().await?;
    assert_ne!(before.thumbprint, after.thumbprint);
    site.enroll(10).await?;
    site.stop().await;
    Ok(())
}
