//! How the CA reaches the owner of an account: told when the account is made, and when the configuration changes;
//! a refusal is told to the operator and stops nothing (RFC 8555 §7.3, §7.3.2).

use std::path::Path;
use std::time::Duration;

use acme_bridge::account::AccountShown;
use acme_bridge::{Contacts, ContactsTold};
use brski_lab::acme::{AcmeCa, CaStyle};
use brski_lab::pebble::{Pebble, PebbleOptions};
use brski_lab::process::until;
use brski_registrar::store::model::{EventFilter, StoredEvent};
use brski_tests::bridge_site::{BridgeSite, Ca, Dns, ISSUER};
use brski_tests::programs;
use serde_json::json;

use super::cas::of_pebble;

const FIRST: &str = "mailto:pki@example.org";
const SECOND: &str = "mailto:security@example.org";
const TELEPHONE: &str = "tel:+12025550100";

async fn scripted(folder: &Path) -> anyhow::Result<(AcmeCa, Ca)> {
    let scripted = AcmeCa::start(([127, 0, 0, 1], 0).into(), CaStyle::Plain).await?;
    let (tls_anchor, root) = (folder.join("tls.pem"), folder.join("root.pem"));
    std::fs::write(&tls_anchor, scripted.tls_anchor())?;
    std::fs::write(&root, scripted.root())?;
    let (directory, contacts) = (scripted.directory(), Contacts::default());
    Ok((scripted, Ca { directory, tls_anchor, root, external_account: None, contacts }))
}

fn reached_by(ca: &Ca, urls: &[&str]) -> anyhow::Result<Ca> {
    let contacts = Contacts::parse(urls.iter().map(|url| (*url).to_owned()).collect())?;
    Ok(Ca { contacts, ..ca.clone() })
}

/// A process with these contacts, when nothing is left to tell the CA. It places no order.
async fn settled(dns: &Dns, ca: &Ca, urls: &[&str]) -> anyhow::Result<BridgeSite> {
    let site = BridgeSite::start(dns, &reached_by(ca, urls)?, |_| {})?;
    let told = until(Duration::from_secs(10), async || {
        let account = site.store.account(ISSUER).await.ok()??;
        (account.contacts.urls == urls).then_some(())
    });
    anyhow::ensure!(told.await.is_some(), "{:?}", site.store.account(ISSUER).await?);
    Ok(site)
}

async fn told(site: &BridgeSite) -> anyhow::Result<ContactsTold> {
    Ok(site.store.account(ISSUER).await?.expect("there is an account").contacts)
}

async fn refusals(site: &BridgeSite) -> anyhow::Result<Vec<StoredEvent>> {
    let kind = Some("acme-contact-refused".to_owned());
    Ok(site.store.events(&EventFilter { kind, ..EventFilter::default() }, None, 10).await?)
}

#[tokio::test]
async fn an_account_is_made_with_its_contacts_and_told_of_others_once() -> anyhow::Result<()> {
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let (scripted, ca) = scripted(folder.path()).await?;
    let site = BridgeSite::start(&dns, &reached_by(&ca, &[FIRST])?, |_| {})?;
    site.enroll(1).await?;
    let asked = scripted.asked("/new-account");
    let made = json!({"termsOfServiceAgreed": true, "contact": [FIRST]});
    assert_eq!(asked, [json!({"onlyReturnExisting": true}), made]);
    let first = site.bridge.account().await?;
    assert_eq!(first.contact, [FIRST]);
    site.stop().await;
    // The same again: the account is known, and there is nothing to tell.
    let site = BridgeSite::start(&dns, &reached_by(&ca, &[FIRST])?, |_| {})?;
    site.enroll(2).await?;
    assert_eq!(told(&site).await?.urls, [FIRST]);
    site.stop().await;
    let changes = || -> Vec<_> {
        scripted.asked("/account").into_iter().filter(|payload| !payload.is_null()).collect()
    };
    assert!(changes().is_empty(), "{:?}", changes());
    // Others, none, and some again: each told at the start, before there is an order, to the same account.
    for urls in [&[SECOND, FIRST][..], &[], &[SECOND]] {
        let site = settled(&dns, &ca, urls).await?;
        let shown = site.bridge.account().await?;
        assert_eq!(shown.url, first.url);
        assert_eq!(shown.contact, urls);
        assert_eq!(shown.told, ContactsTold { urls: shown.contact.clone(), refusal: None });
        assert!(refusals(&site).await?.is_empty());
        site.stop().await;
    }
    assert_eq!(
        changes(),
        [json!({"contact": [SECOND, FIRST]}), json!({"contact": []}), json!({"contact": [SECOND]})]
    );
    assert_eq!(scripted.asked("/new-account").len(), 2, "one account");
    Ok(())
}

#[tokio::test]
async fn an_account_of_before_that_was_told_nothing_is_told() -> anyhow::Result<()> {
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let (scripted, ca) = scripted(folder.path()).await?;
    let site = BridgeSite::start(&dns, &ca, |_| {})?;
    site.enroll(1).await?;
    site.stop().await;
    let plain = json!({"termsOfServiceAgreed": true});
    assert_eq!(scripted.asked("/new-account")[1], plain, "no contact is no empty contact");
    assert!(scripted.asked("/account").is_empty());
    settled(&dns, &ca, &[FIRST]).await?.stop().await;
    assert_eq!(scripted.asked("/account"), [json!({"contact": [FIRST]})]);
    Ok(())
}

#[tokio::test]
async fn contacts_that_a_ca_refuses_are_told_to_the_operator_and_stop_nothing() -> anyhow::Result<()>
{
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let (scripted, ca) = scripted(folder.path()).await?;
    let site = BridgeSite::start(&dns, &reached_by(&ca, &[TELEPHONE])?, |_| {})?;
    site.enroll(1).await?;
    let AccountShown { contact, told: refused, .. } = site.bridge.account().await?;
    assert!(contact.is_empty(), "{contact:?}");
    assert_eq!(refused.urls, [TELEPHONE]);
    let words = refused.refusal.clone().expect("the CA's words are kept");
    assert!(words.starts_with("unsupportedContact: "), "{words}");
    site.stop().await;
    // Each start tries once, and is no news.
    for number in 2..=3 {
        let site = BridgeSite::start(&dns, &reached_by(&ca, &[TELEPHONE])?, |_| {})?;
        site.enroll(number).await?;
        assert_eq!(told(&site).await?, refused);
        let events = refusals(&site).await?;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(
            (events[0].clause.as_str(), events[0].peer.as_str()),
            ("RFC 8555 §7.3", "issuer ca")
        );
        assert_eq!(events[0].detail, format!("{TELEPHONE}: {words}"));
        site.stop().await;
    }
    assert_eq!(scripted.asked("/account").iter().filter(|it| !it.is_null()).count(), 2);
    // What the CA takes ends it.
    let site = settled(&dns, &ca, &[FIRST]).await?;
    assert_eq!(told(&site).await?.refusal, None);
    assert_eq!(site.bridge.account().await?.contact, [FIRST]);
    site.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_real_ca_takes_contacts_and_their_change_and_says_what_it_refuses() -> anyhow::Result<()>
{
    let Some(program) = programs::outside("pebble", "pebble") else {
        return Ok(());
    };
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let options = PebbleOptions::default();
    let pebble = Pebble::start_with(&program, folder.path(), dns.address(), &options).await?;
    let ca = of_pebble(&pebble);
    let site = BridgeSite::start(&dns, &reached_by(&ca, &[FIRST])?, |_| {})?;
    let made = site.bridge.account().await?;
    assert_eq!(made.contact, [FIRST]);
    site.stop().await;
    let site = settled(&dns, &ca, &[FIRST, SECOND]).await?;
    let changed = site.bridge.account().await?;
    assert_eq!(changed.url, made.url);
    assert_eq!(changed.contact, [FIRST, SECOND]);
    site.stop().await;
    // Pebble takes two, and mail addresses alone; an account keeps what it had.
    for (urls, word) in [
        (&[TELEPHONE][..], "unsupportedContact: "),
        (&[FIRST, SECOND, "mailto:c@example.org"], "malformed: "),
    ] {
        let site = settled(&dns, &ca, urls).await?;
        let refusal = told(&site).await?.refusal.expect("it was refused");
        assert!(refusal.starts_with(word), "{refusal}");
        assert_eq!(site.bridge.account().await?.contact, [FIRST, SECOND]);
        site.stop().await;
    }
    let site = settled(&dns, &ca, &[]).await?;
    assert!(site.bridge.account().await?.contact.is_empty());
    site.enroll(1).await?;
    site.stop().await;
    Ok(())
}
