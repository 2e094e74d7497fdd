//! The account at an ACME CA, from the command line: shown, given another key through a kill, ended.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::process::until;
use brski_lab::registrar::Site;
use brski_tests::est::{Key, post};
use brski_tests::programs;
use brski_tests::site::{self, TestSite, json};
use serde_json::Value;

async fn show(site: &Site) -> anyhow::Result<Value> {
    json(site, "acme account show", &["acme"]).await
}

async fn enroll(site: &TestSite, serial: &str) -> anyhow::Result<()> {
    let pledge = site.lab.pledge(serial)?;
    journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    Ok(())
}

#[tokio::test]
async fn an_accounts_key_is_changed_under_way_and_survives_a_kill() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    enroll(&site, "KEY-1").await?;
    let first = show(site.site()).await?;
    assert_eq!((&first["status"], &first["issuer"]), (&"valid".into(), &"acme".into()));
    assert!(first["offers"].to_string().contains("keyChange"), "{first}");
    let read = site.site().command("acme account show", &["acme"]).await?;
    assert!(read.contains("status      valid"), "{read}");
    let said = site.site().command("acme account rotate-key", &["acme"]).await?;
    let second = show(site.site()).await?;
    assert_eq!(first["url"], second["url"], "the same account");
    assert_ne!(first["thumbprint"], second["thumbprint"]);
    assert!(said.contains(second["thumbprint"].as_str().expect("it has a key")), "{said}");
    enroll(&site, "KEY-2").await?;
    let TestSite { mut lab, folder } = site;
    let killed = lab.registrar.kill().await;
    // The key is the file's, whoever reads it; here, where no daemon runs, it is changed once more.
    assert_eq!(show(&killed).await?["thumbprint"], second["thumbprint"]);
    killed.command("acme account rotate-key", &["acme"]).await?;
    lab.registrar = killed.serve().await?;
    let site = TestSite { lab, folder };
    let third = show(site.site()).await?;
    assert_ne!(second["thumbprint"], third["thumbprint"]);
    enroll(&site, "KEY-3").await?;
    let changes = json(site.site(), "event list", &["--kind", "acme-key-changed"]).await?;
    let changes = changes.as_array().expect("a list");
    assert_eq!(changes.len(), 2);
    for change in changes {
        assert!(change["peer"].as_str().is_some_and(|peer| peer.starts_with("uid ")), "{change}");
        assert_eq!(change["clause"], "RFC 8555 §7.3");
    }
    assert_eq!(site.pebble_counts()?, (3, 3));
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_ended_account_orders_nothing_and_the_operator_is_told_what_follows()
-> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    enroll(&site, "LAST-1").await?;
    let said = site.site().command("acme account deactivate", &["acme"]).await?;
    assert!(said.contains("is deactivated"), "{said}");
    let pledge = site.lab.pledge("LAST-2")?;
    let (mut connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    let answer = post(&mut connection, "simpleenroll", &Key::new()?.csr("last-2")?, None).await?;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let waits = json(site.site(), "order list", &["--device", "LAST-2"]).await?;
    assert_ne!(waits[0]["state"], "invalid", "it waits for an operator");
    assert!(waits[0]["problem"]["detail"].is_string(), "the CA's words are kept: {waits}");
    let ended = json(site.site(), "event list", &["--kind", "acme-account-deactivated"]).await?;
    assert_eq!(ended.as_array().map(Vec::len), Some(1));
    assert_eq!(site.pebble_counts()?, (1, 1));
    let unknown = site.site().command("acme account show", &["none"]).await.unwrap_err();
    assert!(unknown.to_string().contains("there is acme"), "{unknown}");
    site.lab.stop().await;
    Ok(())
}

/// What `registrar check` says of the contacts.
fn checked(site: &Site) -> anyhow::Result<String> {
    let mut check = Command::new(programs::ours("registrar")?);
    let output = check.arg("check").arg("--config").arg(site.config()).output()?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr)?;
    let line = said.lines().find(|line| line.contains("issuer.acme.contact: "));
    line.map(str::to_owned).with_context(|| said.clone())
}

/// The contacts of an account are changed by the configuration alone; a refusal is told wherever an operator looks.
#[tokio::test]
async fn contacts_change_with_the_configuration_and_a_refusal_is_told() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    enroll(&site, "REACHED-1").await?;
    assert_eq!(show(site.site()).await?["contact"], serde_json::json!([]));
    let TestSite { mut lab, folder } = site;
    let mut before = "# contact = [\"mailto:pki@example.org\"]".to_owned();
    for (url, is_taken) in [("mailto:pki@example.org", true), ("tel:+12025550100", false)] {
        let stopped = lab.registrar.stop().await;
        let contact = format!("contact = [\"{url}\"]");
        site::edit(stopped.folder(), &before, &contact)?;
        before = contact;
        let due = checked(&stopped)?;
        assert!(due.contains(&format!("contact: the CA is told of {url} at")), "{due}");
        lab.registrar = stopped.serve().await?;
        // Told at the start, without an order.
        let told = until(Duration::from_secs(20), async || {
            let told = checked(lab.registrar.site()).ok()?;
            (!told.contains("the CA is told of")).then_some(told)
        });
        let told = told.await.context("the CA is told at the start")?;
        let shown = show(lab.registrar.site()).await?;
        assert_eq!(shown["contact"], serde_json::json!(["mailto:pki@example.org"]), "what it took");
        assert_eq!(shown["contact_told"], serde_json::json!([url]));
        let read = lab.registrar.site().command("acme account show", &["acme"]).await?;
        if is_taken {
            assert!(told.contains(&format!("contact: the CA was told of {url}")), "{told}");
            assert!(shown["contact_refused"].is_null(), "{shown}");
            assert!(!read.contains("refused "), "{read}");
        } else {
            let words = format!("the CA refused {url}: unsupportedContact: ");
            assert!(told.starts_with("warning: ") && told.contains(&words), "{told}");
            assert!(read.contains("told        tel:"), "{read}");
            assert!(read.contains("refused     unsupportedContact: "), "{read}");
        }
    }
    let site = TestSite { lab, folder };
    enroll(&site, "REACHED-2").await?;
    let refused = json(site.site(), "event list", &["--kind", "acme-contact-refused"]).await?;
    assert_eq!(refused.as_array().map(Vec::len), Some(1), "{refused}");
    assert_eq!(refused[0]["verdict"], "failed");
    assert_eq!(site.pebble_counts()?, (2, 2), "a refusal stops nothing");
    site.lab.stop().await;
    Ok(())
}

/// The key that signs what the CA is asked for cannot also be a device's (RFC 8555 §11.1).
#[tokio::test]
async fn a_csr_with_the_key_of_the_account_is_refused() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    let pledge = site.lab.pledge("HELD-2")?;
    let (mut connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    let keys: Vec<_> = std::fs::read_dir(site.site().folder())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains("account"))
        .collect();
    let [file] = keys.as_slice() else { anyhow::bail!("one account key: {keys:?}") };
    let key = Key::from_pem(&std::fs::read_to_string(file)?)?;
    let answer = post(&mut connection, "simpleenroll", &key.csr("held-2")?, None).await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("belongs to an ACME account"), "{}", answer.text());
    let kinds = site::event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some("csr-key-held"), "{kinds:?}");
    assert_eq!(site.pebble_counts()?, (0, 0), "the CA heard nothing of it");
    site.lab.stop().await;
    Ok(())
}
