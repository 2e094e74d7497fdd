//! What becomes of certificates: the wrong one, the replaced one, and chains that lead elsewhere.

use std::time::Duration;

use acme_bridge::bridge::Progress;
use acme_bridge::quota::Rate;
use acme_bridge::{Alarm, ProblemKind};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _};
use tokio::sync::watch;

use super::bench::{Bench, leaf, root};

#[tokio::test(start_paused = true)]
async fn a_renewal_that_names_what_it_replaces_is_not_counted() {
    let mut bench = Bench::new();
    bench.limits.account = Some(Rate { orders: 1, period_secs: 600 });
    bench.terms.replaces = Some("aki.serial".into());
    bench.script().resources = vec!["renewalInfo"];
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
    assert_eq!(bench.process().limits_left().await.unwrap()[0].left, 1);
    assert_eq!(bench.script().replaces, [Some("aki.serial".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_was_replaced_already_is_not_named_again() {
    let mut bench = Bench::new();
    bench.terms.replaces = Some("gone".into());
    bench.place().await.unwrap();
    assert!(matches!(bench.run(Duration::from_secs(30)).await, Progress::Issued(_)));
    assert_eq!(bench.script().replaces, [Some("gone".to_owned()), None]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_certificate_is_revoked_alarmed_and_handed_to_nobody() {
    let mut bench = Bench::new();
    bench.terms.require_eku = vec!["1.3.6.1.5.5.7.3.2".into()];
    bench.place().await.unwrap();
    let Progress::Invalid(ended) = bench.run(Duration::from_secs(30)).await else {
        panic!("handed out");
    };
    assert_eq!(ended.kind, ProblemKind::WrongCertificate);
    assert!(ended.detail.contains("lacks 1.3.6.1.5.5.7.3.2"), "{ended}");
    assert_eq!(*bench.store.alarms.lock().unwrap(), [Alarm::WrongCertificate]);
    // The next look revokes it, once.
    for _ in 0..3 {
        bench.run(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(bench.process().run(stopped));
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(stop);
    task.abort();
    assert_eq!(bench.script().revoked.len(), 1);
    assert!(bench.store.revocations.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_chain_of_the_ca_is_tried_where_the_first_leads_elsewhere() {
    let mut bench = Bench::new();
    let (own, foreign) = (root(), root());
    let key = KeyPair::generate().unwrap();
    // One intermediate, signed by both roots.
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "intermediate");
    let middle_key = KeyPair::generate().unwrap();
    let by = |root: &CertifiedIssuer<'static, KeyPair>| {
        parameters.clone().signed_by(&middle_key, root).unwrap()
    };
    let (good, bad) = (by(&own), by(&foreign));
    let issuer = rcgen::Issuer::new(parameters.clone(), &middle_key);
    let certificate = leaf().signed_by(&key, &issuer).unwrap().pem();
    bench.root = own.der().clone();
    bench.csr.spki = key.subject_public_key_info();
    bench.script().chain = format!("{certificate}{}", bad.pem());
    bench.script().alternates = vec![certificate.clone(), format!("{certificate}{}", good.pem())];
    bench.place().await.unwrap();
    let Progress::Issued(chain) = bench.run(Duration::from_secs(30)).await else {
        panic!("not issued");
    };
    assert_eq!(chain[1..], [good.der().clone(), own.der().clone()]);
    assert_eq!(bench.ca.count("alternate"), 2);
}
