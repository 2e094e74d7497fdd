//! The main job: pledges go from factory state to a certificate, through real processes.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

#[path = "end_to_end/console.rs"]
mod console;
#[path = "end_to_end/lab.rs"]
mod lab;
#[path = "end_to_end/liars.rs"]
mod liars;
#[path = "end_to_end/parts.rs"]
mod parts;
#[path = "end_to_end/refusals.rs"]
mod refusals;
#[path = "end_to_end/scenarios.rs"]
mod scenarios;

use std::time::Duration;

use brski_est::client::{EstServer, Issued, Reply, RetryAfter};
use brski_est::csr_builder::{CsrRequest, PrivateKey, Signer as _};
use brski_est::{media_type, transfer};
use brski_lab::masa::now;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::pledge::tls::TlsVersions;
use brski_lab::pledge::{Pledge, tls};
use brski_lab::process;
use brski_tests::site::{self, TestSite, event_kinds, json};
use rcgen::KeyPair;

/// What a CSR comes back with.
async fn enroll(site: &TestSite, pledge: &Pledge, key: &KeyPair) -> anyhow::Result<Reply<Issued>> {
    let address = site.lab.registrar.address();
    let (mut connection, _) = journey::bootstrap(pledge, address).await?;
    let signer = PrivateKey::from_pkcs8_der(key.serialized_der())?;
    let name = format!("{}.iot.lab.example", pledge.serial().as_str().to_lowercase());
    let csr = CsrRequest::new(&[&name]).sign(&signer)?;
    let server = EstServer::new(address.to_string().parse()?);
    let response = connection.exchange(server.simple_enroll(&csr)).await?;
    Ok(server.read_enrolled(&response, signer.spki_der(), now())?)
}

#[tokio::test]
async fn pledges_get_certificates_of_a_real_acme_ca() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    for serial in ["E2E-1", "E2E-2", "E2E-3"] {
        let pledge = site.lab.pledge(serial)?;
        let enrolled =
            journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
        let name = format!("{}.iot.lab.example", serial.to_lowercase());
        assert_eq!(enrolled.certificate.dns_names(), [name.as_str()]);
        assert!(enrolled.issuer.starts_with("Pebble Intermediate"), "{}", enrolled.issuer);
        let story = json(site.site(), "device show", &[serial]).await?;
        assert_eq!(story["device"]["state"], "enrolled");
        assert_eq!(story["voucher"], "accepted");
        assert_eq!(story["enrollments"][0]["order"], "issued");
        let confirmed = story["events"]
            .as_array()
            .and_then(|events| events.iter().find(|event| event["kind"] == "enrollment-confirmed"))
            .expect("the pledge's report is recorded");
        let detail = confirmed["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("over a session with the issued certificate"), "{detail}");
    }
    assert_eq!(site.pebble_counts()?, (3, 3));
    assert!(site.lab.registrar.counters().await?.dns_answers >= 3);
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_local_issuer_needs_no_ca() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("LOCAL 1/a")?;
    let enrolled = journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    let names = enrolled.certificate.dns_names();
    // Characters were lost on the way to a DNS name, so a distinction was added.
    assert!(names[0].starts_with("local-1-a-"), "{names:?}");
    assert_eq!(enrolled.issuer, "iot.lab.example device CA");
    assert!(!enrolled.certificate.is_ca());
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn each_version_of_tls_takes_a_pledge_through() -> anyhow::Result<()> {
    let site = site::local().await?;
    for (serial, versions) in [("TLS-12", TlsVersions::Tls12), ("TLS-13", TlsVersions::Tls13)] {
        let pledge = site.lab.pledge(serial)?.speaking(versions);
        let address = site.lab.registrar.address();
        let enrolled = journey::run(&pledge, address, &Label::default()).await?;
        let name = format!("{}.iot.lab.example", serial.to_lowercase());
        assert_eq!(enrolled.certificate.dns_names(), [name]);
    }
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_same_wish_gets_the_same_certificate_and_another_key_another() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    let (pledge, key) = (site.lab.pledge("SAME-1")?, KeyPair::generate()?);
    let first = enroll(&site, &pledge, &key).await?;
    assert!(matches!(&first, Reply::Done(issued) if issued.others().is_empty()), "{first:?}");
    let second = enroll(&site, &pledge, &key).await?;
    assert_eq!(first, second);
    assert_eq!(site.pebble_counts()?, (1, 1));
    let third = enroll(&site, &pledge, &KeyPair::generate()?).await?;
    assert!(matches!(&third, Reply::Done(_)) && third != first, "{third:?}");
    assert_eq!(site.pebble_counts()?, (2, 2));
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_slow_order_is_202_and_its_certificate_comes_later() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    let TestSite { mut lab, folder } = site;
    // Nothing is held: every order takes longer than that.
    let stopped = lab.registrar.stop().await;
    let config = std::fs::read_to_string(stopped.config())?;
    std::fs::write(stopped.config(), config.replace("hold_secs = 10", "hold_secs = 0"))?;
    lab.registrar = stopped.serve().await?;
    let site = TestSite { lab, folder };
    let (pledge, key) = (site.lab.pledge("SLOW-1")?, KeyPair::generate()?);
    let first = enroll(&site, &pledge, &key).await?;
    assert_eq!(first, Reply::Wait(RetryAfter::from_secs(5)));
    let issued = process::until(Duration::from_secs(30), async || {
        match enroll(&site, &pledge, &key).await {
            Ok(Reply::Wait(_)) => None,
            other => Some(other),
        }
    });
    let issued = issued.await.expect("the order ends")?;
    assert!(matches!(issued, Reply::Done(_)), "{issued:?}");
    assert_eq!(site.pebble_counts()?, (1, 1));
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn anybody_may_read_the_ca_certificates_and_a_stranger_gets_no_name() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (mut connection, _) =
        tls::provisional(site.lab.registrar.address(), None, TlsVersions::Any).await?;
    let answer = connection.get("/.well-known/est/cacerts").await?;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, media_type::CA_CERTS));
    let certificates = brski_est::certs_only::decode(&transfer::decode(&answer.body)?)?;
    assert_eq!(certificates.len(), 2, "the domain CA and the device CA");
    let answer = connection.get("/.well-known/est/csrattrs").await?;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, media_type::CSR_ATTRS));
    let attributes =
        brski_est::csr_attributes::CsrAttributes::from_der(&transfer::decode(&answer.body)?)?;
    assert_eq!(attributes.dns_name, None);
    assert!(attributes.key.is_some());
    assert!(event_kinds(site.site()).await?.iter().all(|kind| kind == "manufacturer-added"));
    site.lab.stop().await;
    Ok(())
}
