//! The account at a real CA: bound to an external one, given another key through every crash, ended.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use acme_bridge::account::Connect as _;
use acme_bridge::client::AcmeError;
use acme_bridge::{OrderTerms, ProblemKind};
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_registrar::store::model::EventFilter;
use brski_tests::bridge_site::{BridgeSite, Ca, Dns, key_in, wish};
use brski_tests::programs;
use brski_tests::proxy::{Fault, Proxy};

use super::cas::of_pebble;

const KEY_IDENTIFIER: &str = "kid-1";
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A Pebble behind a proxy, as the bridge sees it.
pub(super) struct Behind {
    pub(super) pebble: Pebble,
    pub(super) proxy: Proxy,
    pub(super) ca: Ca,
    pub(super) _folder: tempfile::TempDir,
}

pub(super) async fn behind(dns: &Dns) -> anyhow::Result<Option<Behind>> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let options = PebbleOptions { nonces_rejected_percent: 0, ..PebbleOptions::default() };
    let pebble = Pebble::start_with(&program, folder.path(), dns.address(), &options).await?;
    let proxy = Proxy::start(pebble.address(), &pebble.tls_anchor()).await?;
    let anchor = folder.path().join("proxy-ca.pem");
    std::fs::write(&anchor, proxy.anchor())?;
    let ca = Ca {
        directory: format!("https://localhost:{}/dir", proxy.address().port()),
        tls_anchor: anchor,
        ..of_pebble(&pebble)
    };
    Ok(Some(Behind { pebble, proxy, ca, _folder: folder }))
}

#[tokio::test]
async fn an_external_account_is_bound_and_a_wrong_one_is_refused() -> anyhow::Result<()> {
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let options = PebbleOptions {
        external_accounts: [(KEY_IDENTIFIER.to_owned(), KEY.to_owned())].into(),
        ..PebbleOptions::default()
    };
    let pebble = Pebble::start_with(&program, folder.path(), dns.address(), &options).await?;
    let file = folder.path().join("eab");
    let write = |text: String| -> std::io::Result<()> {
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
    };
    let without = of_pebble(&pebble);
    let site = BridgeSite::start(&dns, &without, |_| {})?;
    let error = site.bridge.account().await.unwrap_err().to_string();
    assert!(error.contains("external account"), "{error}");
    site.stop().await;
    let with = Ca { external_account: Some(file.clone()), ..without };
    write(format!("{KEY_IDENTIFIER}\n{}\n", KEY.replace('z', "y")))?;
    let site = BridgeSite::start(&dns, &with, |_| {})?;
    let waits = wish(1)?;
    site.place(&waits, OrderTerms::default()).await?;
    site.wait(&waits.id, Duration::from_secs(2)).await.unwrap_err();
    site.stop().await;
    write(format!("{KEY_IDENTIFIER}\n{KEY}\n"))?;
    let site = BridgeSite::start(&dns, &with, |_| {})?;
    assert_eq!(site.bridge.account().await?.status, "valid");
    site.enroll(2).await?;
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_account_gets_another_key_and_orders_with_it() -> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let Some(Behind { pebble: _pebble, proxy: _proxy, ca, _folder }) = behind(&dns).await? else {
        return Ok(());
    };
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    site.enroll(1).await?;
    let before = site.bridge.account().await?;
    let file = site.account_key();
    let old = key_in(&file)?;
    let after = site.bridge.rotate_key().await?;
    assert_eq!(before.url, after.url, "the same account");
    assert_ne!(before.thumbprint, after.thumbprint);
    assert_ne!(old, key_in(&file)?);
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    assert!(!file.with_extension("key.next").exists());
    site.enroll(2).await?;
    site.stop().await;
    Ok(())
}

/// The change of the key fails at each of its two sides, and the process ends there: the account is found again.
#[tokio::test]
async fn a_change_of_key_that_is_cut_off_is_found_out_after_a_restart() -> anyhow::Result<()> {
    for (fault, is_changed) in [(Fault::Drop, false), (Fault::Cut, true)] {
        let dns = Dns::start().await?;
        let Some(Behind { pebble: _pebble, proxy, ca, _folder }) = behind(&dns).await? else {
            return Ok(());
        };
        let site = BridgeSite::start(&dns, &ca, |_| {})?;
        site.enroll(1).await?;
        let before = site.bridge.account().await?;
        let file = site.account_key();
        let old = key_in(&file)?;
        // Pebble's keyChange has a path of its own, and nothing else that follows is about "other".
        proxy.fault(Some("other"), 0, 1, fault.clone());
        let error = site.bridge.rotate_key().await.unwrap_err();
        assert!(matches!(error, AcmeError::Unreachable(_)), "{error}");
        let next = file.with_extension("key.next");
        assert!(next.exists(), "both keys are kept until the CA has said which it knows");
        let pending = key_in(&next)?;
        site.stop().await;
        // Another process, which knows the files and the store alone.
        proxy.heal();
        let site = BridgeSite::start(&dns, &ca, |_| {})?;
        let after = site.bridge.account().await?;
        assert_eq!(before.url, after.url);
        assert_eq!(before.thumbprint != after.thumbprint, is_changed, "{fault:?}");
        assert_eq!(key_in(&file)?, if is_changed { pending } else { old });
        assert!(!next.exists());
        site.enroll(2).await?;
        site.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_was_ended_orders_nothing_more() -> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let Some(Behind { pebble, proxy: _proxy, ca, _folder }) = behind(&dns).await? else {
        return Ok(());
    };
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    site.enroll(1).await?;
    assert_eq!(site.bridge.deactivate_account().await?.status, "deactivated");
    let waits = wish(2)?;
    site.place(&waits, OrderTerms::default()).await?;
    site.wait(&waits.id, Duration::from_secs(3)).await.unwrap_err();
    let order = site.store.order(&waits.id).await?.unwrap();
    assert_ne!(order.problem.expect("the CA's words are kept").kind, ProblemKind::Refused);
    assert_eq!(pebble.count("Issued certificate serial")?, 1);
    site.stop().await;
    Ok(())
}

/// Each node has a file of its own with the account's key; when one node changes the key, the others say so.
#[tokio::test]
async fn a_node_whose_key_was_changed_elsewhere_says_so_and_goes_on_with_the_new_one()
-> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let Some(Behind { pebble, proxy: _proxy, ca, _folder }) = behind(&dns).await? else {
        return Ok(());
    };
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    site.enroll(1).await?;
    let (here, folder) = (site.account_key(), tempfile::tempdir()?);
    let there = folder.path().join("account.key");
    std::fs::copy(&here, &there)?;
    let changed = site.account_elsewhere(&ca, &there)?.rotate_key().await?;
    let noticed = brski_lab::process::until(Duration::from_secs(10), async || {
        site.bridge.account().await.err().filter(|it| matches!(it, AcmeError::ForeignKey { .. }))
    });
    let error = noticed.await.expect("the account is opened anew").to_string();
    assert!(error.contains("copy the file from there"), "{error}");
    let waits = wish(2)?;
    site.place(&waits, OrderTerms::default()).await?;
    site.wait(&waits.id, Duration::from_secs(2)).await.unwrap_err();
    let problem = site.store.order(&waits.id).await?.unwrap().problem.expect("it says why");
    assert_eq!(problem.kind, ProblemKind::Account);
    assert!(problem.detail.contains("another key"), "{}", problem.detail);
    let filter =
        EventFilter { kind: Some("acme-account-refused".to_owned()), ..EventFilter::default() };
    let alarms = site.store.events(&filter, None, 10).await?;
    assert_eq!(alarms.len(), 1, "once for an order, whenever it is looked at");
    assert_eq!(pebble.count("Issued certificate serial")?, 1, "no other account was made");
    std::fs::copy(&there, &here)?;
    site.wait(&waits.id, Duration::from_secs(60)).await?;
    assert_eq!(site.bridge.account().await?.thumbprint, changed.thumbprint);
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn after_an_account_was_ended_a_new_key_makes_another() -> anyhow::Result<()> {
    let dns = Dns::start().await?;
    let Some(Behind { pebble: _pebble, proxy: _proxy, ca, _folder }) = behind(&dns).await? else {
        return Ok(());
    };
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    let ended = site.bridge.account().await?;
    site.bridge.deactivate_account().await?;
    for error in [site.bridge.account().await, site.bridge.rotate_key().await] {
        let error = error.unwrap_err();
        assert!(matches!(error, AcmeError::Ended { .. }), "{error}");
    }
    let file = site.account_key();
    site.stop().await;
    std::fs::remove_file(file)?;
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    assert_ne!(site.bridge.account().await?.url, ended.url);
    site.enroll(1).await?;
    site.stop().await;
    Ok(())
}
