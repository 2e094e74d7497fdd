//! Renewals: by exactly the certificate that is renewed (RFC 7030 §4.2.2).

use brski_lab::http::Answer;
use brski_lab::pledge::journey::{self, Enrolled, Label};
use brski_tests::est::{Key, certificate, connect, post};
use brski_tests::site::{self, TestSite, edit, event_kinds};
use brski_voucher::certificate::Certificate;

const REENROLL: &str = "simplereenroll";

async fn enroll(site: &TestSite, serial: &str) -> anyhow::Result<Enrolled> {
    let pledge = site.lab.pledge(serial)?;
    Ok(journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?)
}

/// Renews the certificate of a session with this key.
async fn renew(
    site: &TestSite,
    session: &brski_lab::pki::Credential,
    key: &Key,
    label: &str,
) -> anyhow::Result<Answer> {
    let mut connection = connect(site, Some(session)).await?;
    post(&mut connection, REENROLL, &key.csr(label)?, None).await
}

#[tokio::test]
async fn each_certificate_is_renewed_once_and_a_retry_gets_the_same() -> anyhow::Result<()> {
    let site = site::local().await?;
    let first = enroll(&site, "RENEW-1").await?;
    let key = Key::new()?;
    let second = certificate(&renew(&site, &first.credential, &key, "renew-1").await?)?;
    assert_ne!(second.der(), first.certificate.der());
    assert_eq!(second.dns_names(), first.certificate.dns_names());
    let again = certificate(&renew(&site, &first.credential, &key, "renew-1").await?)?;
    assert_eq!(again.der(), second.der(), "the answer was lost, say");
    // The same key, the new certificate: renewed again.
    let third = certificate(&renew(&site, &key.with(&second), &key, "renew-1").await?)?;
    assert_ne!(third.der(), second.der());
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "certificate-issued").count(), 3, "{kinds:?}");
    Ok(())
}

/// The rules of a site, and what they say from now on.
async fn rule(site: &TestSite, from: &str, to: &str) -> anyhow::Result<()> {
    edit(site.site().folder(), from, to)?;
    site.site().command::<&str>("reload", &[]).await?;
    Ok(())
}

#[tokio::test]
async fn policy_is_asked_again_about_a_device_that_renews() -> anyhow::Result<()> {
    const HONEST: &str = "unexpected = \"admit\"";
    const RULED: &str = "unexpected = \"admit\"
[[policy.rule]]
decision = \"refuse\"
note = \"recalled\"
devices = \"all\"
manufacturer = \"lab-devices\"
serial = [\"RECALL-1\"]
made_from = 2019-01-01
";
    let site = site::local().await?;
    let (recalled, honest) = (enroll(&site, "RECALL-1").await?, enroll(&site, "STAYS-1").await?);
    let key = Key::new()?;
    let second = certificate(&renew(&site, &recalled.credential, &key, "recall-1").await?)?;
    rule(&site, HONEST, RULED).await?;
    // By either certificate, for a new key, and for what it was given a moment ago.
    for (session, key) in [
        (&recalled.credential, &Key::new()?),
        (&key.with(&second), &key),
        (&recalled.credential, &key),
    ] {
        let refused = renew(&site, session, key, "recall-1").await?;
        assert_eq!(refused.status, 404, "{}", refused.text());
        assert!(refused.text().contains("policy"), "{}", refused.text());
    }
    let mut connection = connect(&site, Some(&recalled.credential)).await?;
    let refused = post(&mut connection, "simpleenroll", &key.csr("recall-1")?, None).await?;
    assert_eq!(refused.status, 404, "{}", refused.text());
    let events = site::json(site.site(), "event list", &[]).await?.to_string();
    assert!(events.contains("rule 1 (recalled)"), "{events}");
    // A device that the rule does not speak of renews as before, and so does this one when the rule is gone.
    certificate(&renew(&site, &honest.credential, &Key::new()?, "stays-1").await?)?;
    rule(&site, "decision = \"refuse\"", "decision = \"ask\"").await?;
    certificate(&renew(&site, &recalled.credential, &Key::new()?, "recall-1").await?)?;
    Ok(())
}

#[tokio::test]
async fn a_device_that_is_barred_or_asked_for_too_much_does_not_renew() -> anyhow::Result<()> {
    let site = site::prepared(|folder| {
        let quota = "device_vouchers = { most = 60, secs = 3600 }";
        edit(folder, quota, "device_enrollments = { most = 2, secs = 3600 }")?;
        Ok(Vec::new())
    })
    .await?;
    let (greedy, honest) = (enroll(&site, "GREEDY-1").await?, enroll(&site, "STAYS-2").await?);
    let key = Key::new()?;
    certificate(&renew(&site, &greedy.credential, &key, "greedy-1").await?)?;
    let refused = renew(&site, &greedy.credential, &Key::new()?, "greedy-1").await?;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.retry_after.parse::<u32>().is_ok(), "{}", refused.retry_after);
    // What it has already takes from no quota.
    certificate(&renew(&site, &greedy.credential, &key, "greedy-1").await?)?;
    certificate(&renew(&site, &honest.credential, &Key::new()?, "stays-2").await?)?;
    site.site().command("device block", &["GREEDY-1"]).await?;
    let refused = renew(&site, &greedy.credential, &key, "greedy-1").await?;
    assert_eq!(refused.status, 403, "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn only_the_certificate_itself_renews() -> anyhow::Result<()> {
    let site = site::local().await?;
    let enrolled = enroll(&site, "RENEW-2").await?;
    let csr = Key::new()?.csr("renew-2")?;
    let pledge = site.lab.pledge("RENEW-3")?;
    let (mut idevid, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    let mut nobody = connect(&site, None).await?;
    for connection in [&mut idevid, &mut nobody] {
        let answer = post(connection, REENROLL, &csr, None).await?;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("certificate that is to be renewed"), "{}", answer.text());
    }
    // A name that is not the device's.
    let foreign = renew(&site, &enrolled.credential, &Key::new()?, "renew-3").await?;
    assert_eq!(foreign.status, 403, "{}", foreign.text());
    let hexadecimal: String =
        enrolled.certificate.fingerprint().iter().map(|octet| format!("{octet:02x}")).collect();
    site.site().command("certificate revoke", &[&hexadecimal]).await?;
    let revoked = renew(&site, &enrolled.credential, &Key::new()?, "renew-2").await?;
    assert_eq!(revoked.status, 403, "{}", revoked.text());
    assert!(revoked.text().contains("revoked"), "{}", revoked.text());
    Ok(())
}

#[tokio::test]
async fn the_key_changes_or_stays_as_the_profile_says() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    let first = enroll(&site, "KEY-1").await?;
    let key = Key::new()?;
    edit(registrar.folder(), "renew_key = \"any\"", "renew_key = \"same\"")?;
    registrar.command::<&str>("reload", &[]).await?;
    let refused = renew(&site, &first.credential, &key, "key-1").await?;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("the same key"), "{}", refused.text());
    edit(registrar.folder(), "renew_key = \"same\"", "renew_key = \"new\"")?;
    registrar.command::<&str>("reload", &[]).await?;
    let second = certificate(&renew(&site, &first.credential, &key, "key-1").await?)?;
    let refused = renew(&site, &key.with(&second), &key, "key-1").await?;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("a new key"), "{}", refused.text());
    Ok(())
}

/// Moves the validity of a certificate, as if time had passed.
fn age(site: &TestSite, certificate: &Certificate, sql: &str) -> anyhow::Result<()> {
    let database = rusqlite::Connection::open(site.site().folder().join("registrar.db"))?;
    let statement = format!("UPDATE certificates SET {sql} WHERE fingerprint = ?1");
    assert_eq!(database.execute(&statement, [certificate.fingerprint().to_vec()])?, 1);
    Ok(())
}

#[tokio::test]
async fn an_expired_certificate_renews_within_its_days_of_grace() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    let first = enroll(&site, "LATE-1").await?;
    let yesterday = "not_after = (strftime('%s', 'now') - 86400) * 1000";
    age(&site, &first.certificate, yesterday)?;
    let late = renew(&site, &first.credential, &Key::new()?, "late-1").await?;
    assert_eq!(late.status, 403, "{}", late.text());
    assert!(late.text().contains("expired since 1 days"), "{}", late.text());
    edit(registrar.folder(), "renew_expired_days = 0", "renew_expired_days = 7")?;
    registrar.command::<&str>("reload", &[]).await?;
    certificate(&renew(&site, &first.credential, &Key::new()?, "late-1").await?)?;
    // No grace for what has not begun.
    let second = enroll(&site, "EARLY-1").await?;
    age(&site, &second.certificate, "not_before = (strftime('%s', 'now') + 3600) * 1000")?;
    let early = renew(&site, &second.credential, &Key::new()?, "early-1").await?;
    assert_eq!(early.status, 403, "{}", early.text());
    assert!(early.text().contains("not valid yet"), "{}", early.text());
    Ok(())
}

#[tokio::test]
async fn a_key_belongs_to_one_device() -> anyhow::Result<()> {
    let site = site::local().await?;
    let first = enroll(&site, "OWN-1").await?;
    let second = enroll(&site, "OWN-2").await?;
    let key = Key::new()?;
    certificate(&renew(&site, &first.credential, &key, "own-1").await?)?;
    let refused = renew(&site, &second.credential, &key, "own-2").await?;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("belongs to another device"), "{}", refused.text());
    // The registrar's own key, which nobody has outside of this test.
    let file = std::fs::read_to_string(site.site().folder().join("registrar.key"))?;
    let key = rcgen::KeyPair::from_pem(&file)?;
    let mut parameters = rcgen::CertificateParams::new(vec!["own-2.iot.lab.example".into()])?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let csr = parameters.serialize_request(&key)?;
    let mut connection = connect(&site, Some(&second.credential)).await?;
    let refused = post(&mut connection, REENROLL, csr.der(), None).await?;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("belongs to this registrar"), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn everybody_may_ask_when_to_renew() -> anyhow::Result<()> {
    let site = site::local().await?;
    let enrolled = enroll(&site, "WHEN-1").await?;
    let id = brski_est::renewal_info::CertificateId::of(enrolled.certificate.der())?;
    let mut connection = connect(&site, None).await?;
    let answer = connection.get(&format!("/.well-known/est/renewal-info/{id}")).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.content_type, "application/json");
    assert_eq!(answer.retry_after, "21600");
    let info = brski_est::renewal_info::RenewalInfo::from_json(&answer.body)?;
    let (begin, end) = (enrolled.certificate.not_before(), enrolled.certificate.not_after());
    let start = i64::try_from(info.window().start().as_secs())?;
    let two_thirds = begin + (end - begin) * 2 / 3;
    assert!((start - two_thirds).abs() <= 1, "{start} {two_thirds}");
    // A revoked one is to be renewed at once.
    let hexadecimal: String =
        enrolled.certificate.fingerprint().iter().map(|octet| format!("{octet:02x}")).collect();
    site.site().command("certificate revoke", &[&hexadecimal]).await?;
    let answer = connection.get(&format!("/.well-known/est/renewal-info/{id}")).await?;
    let info = brski_est::renewal_info::RenewalInfo::from_json(&answer.body)?;
    assert!(i64::try_from(info.window().start().as_secs())? < two_thirds - 86400);
    for wrong in ["AAAA.AAAA", "nothing", ""] {
        let answer = connection.get(&format!("/.well-known/est/renewal-info/{wrong}")).await?;
        assert_eq!(answer.status, 404, "{wrong}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn linking_is_required_where_the_profile_says_so() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    let first = enroll(&site, "LINK-1").await?;
    edit(registrar.folder(), "require_linking = false", "require_linking = true")?;
    registrar.command::<&str>("reload", &[]).await?;
    let refused = renew(&site, &first.credential, &Key::new()?, "link-1").await?;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("challengePassword"), "{}", refused.text());
    // challengePassword, 1.2.840.113549.1.9.7, is in what the server asks for.
    let mut connection = connect(&site, Some(&first.credential)).await?;
    let answer = connection.get("/.well-known/est/csrattrs").await?;
    let der = brski_est::transfer::decode(&answer.body)?;
    let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07];
    assert!(der.windows(oid.len()).any(|window| window == oid));
    Ok(())
}
