//! A CA that authorizes whole domains (RFC 9444) and has two chains for a certificate: the lab's, since no real
//! CA that can be had does either.

use std::time::Duration;

use acme_bridge::Contacts;
use brski_lab::acme::{AcmeCa, CaStyle};
use brski_tests::bridge_site::{BridgeSite, Ca, Dns, ZONE};
use serde_json::json;

#[tokio::test]
async fn one_challenge_stands_for_a_zone_and_the_chain_to_our_root_is_found() -> anyhow::Result<()>
{
    let (folder, dns) = (tempfile::tempdir()?, Dns::start().await?);
    let scripted = AcmeCa::start(([127, 0, 0, 1], 0).into(), CaStyle::Domains).await?;
    let (tls_anchor, root) = (folder.path().join("tls.pem"), folder.path().join("root.pem"));
    std::fs::write(&tls_anchor, scripted.tls_anchor())?;
    std::fs::write(&root, scripted.root())?;
    let ca = Ca {
        directory: scripted.directory(),
        tls_anchor,
        root,
        external_account: None,
        contacts: Contacts::default(),
    };
    let site = BridgeSite::start(&dns, &ca, |config| {
        config.zones = vec![ZONE.to_owned()];
        config.lease = Duration::from_secs(60);
    })?;
    let authorized = brski_lab::process::until(Duration::from_secs(20), async || {
        (!scripted.asked("/domain").is_empty() && dns.answers_left().ok()? == 0).then_some(())
    });
    assert!(authorized.await.is_some(), "the zone is not authorized");
    let identifier = json!({"type": "dns", "value": ZONE, "subdomainAuthAllowed": true});
    assert_eq!(scripted.asked("/new-authz"), [json!({"identifier": identifier})]);
    assert_eq!(scripted.asked("/domain-challenge"), [json!({})]);
    let chain = site.enroll(1).await?;
    assert_eq!(chain.len(), 3);
    let name = format!("dev-1.{ZONE}");
    let identifier = json!({"type": "dns", "value": name, "ancestorDomain": ZONE});
    assert_eq!(scripted.asked("/new-order"), [json!({"identifiers": [identifier]})]);
    assert_eq!(scripted.asked("/domain-challenge").len(), 1, "none for the order");
    assert_eq!((scripted.asked("/cert").len(), scripted.asked("/cert-2").len()), (1, 1));
    site.stop().await;
    Ok(())
}
