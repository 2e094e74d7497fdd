//! Keys that the registrar makes (RFC 7030 §4.4): given with their certificate, the same for the same wish, and to
//! nobody else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::csr_builder::{CsrRequest, PrivateKey, Signer as _};
use brski_est::server_keygen::{
    DecryptionKey, EncryptionRequest, GeneratedKey, KeyAnswer, KeyPart, decrypt_key,
};
use brski_lab::http::{Answer, Connection};
use brski_lab::pki::Credential;
use brski_lab::pledge::{Pledge, journey};
use brski_lab::process;
use brski_tests::est::{Key, basic, connect, make_credential, post};
use brski_tests::site::{self, TestSite, edit, event_kinds};
use brski_voucher::certificate::Certificate;

const OPERATION: &str = "serverkeygen";

/// A site whose profile makes keys.
async fn generous() -> anyhow::Result<TestSite> {
    let site = site::local().await?;
    offer(&site).await?;
    Ok(site)
}

async fn offer(site: &TestSite) -> anyhow::Result<()> {
    edit(site.site().folder(), "server_keygen = false", "server_keygen = true")?;
    site.site().command::<&str>("reload", &[]).await?;
    Ok(())
}

/// A device with its voucher, and its IDevID.
async fn arrive(site: &TestSite, serial: &str) -> anyhow::Result<(Connection, Credential)> {
    let manufacturer = &site.lab.manufacturer.authority;
    let idevid = manufacturer.idevid(serial, &site.lab.masa.url())?;
    let again = Credential { certificate: idevid.certificate.clone(), key: idevid.key.clone_key() };
    let pledge = Pledge::new(again, manufacturer.certificate())?;
    let (connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    Ok((connection, idevid))
}

fn wish(label: &str) -> CsrRequest {
    CsrRequest::new(&[&format!("{label}.{}", brski_tests::est::ZONE)])
}

/// Asks for a key; the CSR is signed with one that is thrown away.
async fn ask(connection: &mut Connection, wish: &CsrRequest) -> anyhow::Result<Answer> {
    post(connection, OPERATION, &Key::new()?.sign(wish)?, None).await
}

/// The parts of an answer; the certificate is the key's.
fn parts(answer: &Answer) -> anyhow::Result<(KeyPart, Certificate)> {
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let read = KeyAnswer::parse(&answer.content_type, &answer.body)?;
    let [only] = read.certificates() else {
        anyhow::bail!("{} certificates", read.certificates().len());
    };
    Ok((read.key().clone(), Certificate::from_der(only)?))
}

fn plain(answer: &Answer) -> anyhow::Result<(GeneratedKey, Certificate)> {
    match parts(answer)? {
        (KeyPart::Plain(key), certificate) => {
            assert_belongs(&key, &certificate)?;
            Ok((key, certificate))
        }
        (other, _) => anyhow::bail!("{other:?}"),
    }
}

fn assert_belongs(key: &GeneratedKey, certificate: &Certificate) -> anyhow::Result<()> {
    assert_eq!(PrivateKey::from_pkcs8_der(key.pkcs8_der())?.spki_der(), certificate.spki_der());
    Ok(())
}

fn database(site: &TestSite) -> anyhow::Result<rusqlite::Connection> {
    Ok(rusqlite::Connection::open(site.site().folder().join("registrar.db"))?)
}

fn kept_keys(site: &TestSite) -> anyhow::Result<i64> {
    let sql = "SELECT count(*) FROM generated_keys";
    Ok(database(site)?.query_row(sql, [], |row| row.get(0))?)
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|each| *each == kind).count()
}

#[tokio::test]
async fn the_same_wish_gets_the_same_key_and_certificate() -> anyhow::Result<()> {
    let mut site = generous().await?;
    let (mut connection, idevid) = arrive(&site, "MADE-1").await?;
    let answer = ask(&mut connection, &wish("made-1")).await?;
    assert!(answer.content_type.starts_with("multipart/mixed; boundary="), "{answer:?}");
    let (key, certificate) = plain(&answer)?;
    assert_eq!(certificate.dns_names(), ["made-1.iot.lab.example"]);
    // The answer was lost, and the client made another key to throw away.
    let (again, same) = plain(&ask(&mut connection, &wish("made-1")).await?)?;
    assert_eq!((again.pkcs8_der(), same.der()), (key.pkcs8_der(), certificate.der()));
    // The registrar was started anew.
    let stopped = site.lab.registrar.stop().await;
    site.lab.registrar = stopped.serve().await?;
    let mut connection = connect(&site, Some(&idevid)).await?;
    let (again, same) = plain(&ask(&mut connection, &wish("made-1")).await?)?;
    assert_eq!((again.pkcs8_der(), same.der()), (key.pkcs8_der(), certificate.der()));
    let kinds = event_kinds(site.site()).await?;
    assert_eq!((count(&kinds, "key-generated"), count(&kinds, "key-sent")), (1, 3), "{kinds:?}");
    assert_eq!(count(&kinds, "certificate-issued"), 1, "{kinds:?}");
    // It opens a session, as a key of the device's own would.
    let credential = Credential {
        certificate: certificate.der().clone(),
        key: rustls_pki_types::PrivatePkcs8KeyDer::from(key.pkcs8_der().to_vec()),
    };
    let mut connection = connect(&site, Some(&credential)).await?;
    let renewed =
        post(&mut connection, "simplereenroll", &Key::new()?.csr("made-1")?, None).await?;
    brski_tests::est::certificate(&renewed)?;
    Ok(())
}

#[tokio::test]
async fn the_key_is_nowhere_but_in_the_answer() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, _) = arrive(&site, "MADE-2").await?;
    let (key, _) = plain(&ask(&mut connection, &wish("made-2")).await?)?;
    site.site().command::<&str>("event list", &[]).await?;
    // Of a P-256 key in PKCS#8 the private number stands behind the octets 04 20.
    let der = key.pkcs8_der();
    let place = der.windows(2).rposition(|window| window == [0x04, 0x20]).expect("a P-256 key");
    let secret = &der[place + 2..place + 34];
    let hexadecimal: String = secret.iter().map(|octet| format!("{octet:02x}")).collect();
    let base64 = STANDARD.encode(der);
    let forms = [secret, hexadecimal.as_bytes(), &base64.as_bytes()[40..72]];
    let mut read = 0;
    for entry in std::fs::read_dir(site.site().folder())? {
        let path = entry?.path();
        let Ok(octets) = std::fs::read(&path) else {
            continue;
        };
        read += 1;
        for form in forms {
            let is_there = octets.windows(form.len()).any(|window| window == form);
            assert!(!is_there, "the key is in {}", path.display());
        }
    }
    assert!(read > 5, "the database and the log were read");
    assert_eq!(kept_keys(&site)?, 1, "sealed, it is in the database");
    Ok(())
}

#[tokio::test]
async fn an_encrypted_key_opens_with_the_key_of_the_session_alone() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, idevid) = arrive(&site, "MADE-3").await?;
    let encryption = EncryptionRequest::for_certificate(&idevid.certificate)?;
    let answer = ask(&mut connection, &wish("made-3").with_encryption(&encryption)).await?;
    let (part, certificate) = parts(&answer)?;
    let KeyPart::Encrypted(message) = part else {
        anyhow::bail!("{part:?}");
    };
    let own = DecryptionKey::from_pkcs8_der(idevid.key.secret_pkcs8_der())?;
    let opened = decrypt_key(&message, &own)?;
    assert_belongs(opened.key(), &certificate)?;
    let file = site.site().folder().join("registrar.pem");
    let registrar = brski_registrar::identity::read_certificates(&file)?;
    assert_eq!(opened.signer()[0], *registrar[0].der(), "the registrar signed it");
    let stranger = Key::new()?;
    decrypt_key(&message, &DecryptionKey::from_pkcs8_der(stranger.pkcs8())?).unwrap_err();
    Ok(())
}

#[tokio::test]
async fn a_protection_that_cannot_be_given_is_refused_and_no_key_made() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, idevid) = arrive(&site, "MADE-4").await?;
    // The key of another device's certificate.
    let other = site.lab.manufacturer.authority.idevid("MADE-5", &site.lab.masa.url())?;
    let foreign = EncryptionRequest::for_certificate(&other.certificate)?;
    // id-aa-decryptKeyID and id-aa-asymmDecryptKeyID, with a string of two octets.
    let (symmetric, asymmetric) = ("1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54");
    let name: &[u8] = &[4, 2, 7, 7];
    let own = EncryptionRequest::for_certificate(&idevid.certificate)?;
    for (wish, words) in [
        (wish("made-4").with_encryption(&foreign), "no certificate is known"),
        (wish("made-4").with_attribute(symmetric, &[name])?, "symmetric key"),
        (wish("made-4").with_attribute(asymmetric, &[name])?, "no SMIMECapabilities"),
        (wish("made-4").with_encryption(&own).with_attribute(symmetric, &[name])?, "asymmetric"),
    ] {
        let answer = ask(&mut connection, &wish).await?;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
        let kinds = event_kinds(site.site()).await?;
        assert_eq!(kinds.last().map(String::as_str), Some("key-protection"), "{kinds:?}");
    }
    assert_eq!(kept_keys(&site)?, 0);
    Ok(())
}

#[tokio::test]
async fn what_a_csr_may_not_ask_for_no_generated_key_gets() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, _) = arrive(&site, "MADE-6").await?;
    for (wish, status, event) in [
        (wish("made-7"), 403, "csr-name"),
        (CsrRequest::new(&[]), 403, "csr-name"),
        (wish("made-6").with_ca_true(), 400, "csr-extension"),
        (wish("made-6").with_challenge_password("guess"), 403, "csr-challenge-password"),
    ] {
        let answer = ask(&mut connection, &wish).await?;
        assert_eq!(answer.status, status, "{}", answer.text());
        let kinds = event_kinds(site.site()).await?;
        assert_eq!(kinds.last().map(String::as_str), Some(event), "{kinds:?}");
    }
    let answer = post(&mut connection, OPERATION, b"no CSR", None).await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let mut nobody = connect(&site, None).await?;
    assert_eq!(ask(&mut nobody, &wish("made-6")).await?.status, 401);
    assert_eq!(kept_keys(&site)?, 0);
    assert_eq!(count(&event_kinds(site.site()).await?, "key-generated"), 0);
    Ok(())
}

#[tokio::test]
async fn the_signature_of_the_csr_does_not_matter() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, _) = arrive(&site, "MADE-8").await?;
    let mut csr = Key::new()?.sign(&wish("made-8"))?;
    *csr.last_mut().expect("it is not empty") ^= 1;
    plain(&post(&mut connection, OPERATION, &csr, None).await?)?;
    Ok(())
}

#[tokio::test]
async fn a_profile_that_makes_no_keys_answers_501() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (mut connection, _) = arrive(&site, "MADE-9").await?;
    let mut nobody = connect(&site, None).await?;
    for connection in [&mut connection, &mut nobody] {
        let answer = ask(connection, &wish("made-9")).await?;
        assert_eq!(answer.status, 501, "{}", answer.text());
        assert!(answer.text().contains("use simpleenroll"), "{}", answer.text());
    }
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some("not-offered"), "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn an_hour_after_it_was_sent_the_key_is_given_no_more() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, _) = arrive(&site, "MADE-10").await?;
    let (first, _) = plain(&ask(&mut connection, &wish("made-10")).await?)?;
    let earlier = |minutes: i64| -> anyhow::Result<usize> {
        let sql = "UPDATE generated_keys SET sent_at = sent_at - ?1 * 60000";
        Ok(database(&site)?.execute(sql, [minutes])?)
    };
    assert_eq!(earlier(59)?, 1);
    let (again, _) = plain(&ask(&mut connection, &wish("made-10")).await?)?;
    assert_eq!(again.pkcs8_der(), first.pkcs8_der());
    assert_eq!(earlier(1)?, 1);
    let (another, _) = plain(&ask(&mut connection, &wish("made-10")).await?)?;
    assert_ne!(another.pkcs8_der(), first.pkcs8_der());
    assert_eq!(kept_keys(&site)?, 1, "the first one is gone");
    Ok(())
}

#[tokio::test]
async fn a_revoked_certificate_or_a_retired_device_leaves_no_key_behind() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, _) = arrive(&site, "MADE-11").await?;
    let (first, certificate) = plain(&ask(&mut connection, &wish("made-11")).await?)?;
    let hexadecimal: String =
        certificate.fingerprint().iter().map(|octet| format!("{octet:02x}")).collect();
    site.site().command("certificate revoke", &[&hexadecimal]).await?;
    assert_eq!(kept_keys(&site)?, 0);
    let (another, _) = plain(&ask(&mut connection, &wish("made-11")).await?)?;
    assert_ne!(another.pkcs8_der(), first.pkcs8_der());
    site.site().command("device retire", &["MADE-11"]).await?;
    assert_eq!(kept_keys(&site)?, 0);
    let answer = ask(&mut connection, &wish("made-11")).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_registrar_with_another_key_makes_another_key_for_the_device() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut connection, _) = arrive(&site, "MADE-12").await?;
    let (first, _) = plain(&ask(&mut connection, &wish("made-12")).await?)?;
    // As if it had been sealed under another key.
    let sql = "UPDATE generated_keys SET sealed = zeroblob(length(sealed))";
    assert_eq!(database(&site)?.execute(sql, [])?, 1);
    let (another, certificate) = plain(&ask(&mut connection, &wish("made-12")).await?)?;
    assert_ne!(another.pkcs8_der(), first.pkcs8_der());
    assert_eq!(certificate.dns_names(), ["made-12.iot.lab.example"]);
    Ok(())
}

#[tokio::test]
async fn requests_at_the_same_moment_get_one_key() -> anyhow::Result<()> {
    let site = generous().await?;
    let (mut first, idevid) = arrive(&site, "MADE-14").await?;
    let mut second = connect(&site, Some(&idevid)).await?;
    let mut third = connect(&site, Some(&idevid)).await?;
    let wish = wish("made-14");
    let answers =
        tokio::join!(ask(&mut first, &wish), ask(&mut second, &wish), ask(&mut third, &wish));
    let (key, certificate) = plain(&answers.0?)?;
    for answer in [answers.1?, answers.2?] {
        let (other, same) = plain(&answer)?;
        assert_eq!((other.pkcs8_der(), same.der()), (key.pkcs8_der(), certificate.der()));
    }
    let kinds = event_kinds(site.site()).await?;
    assert_eq!((count(&kinds, "key-generated"), count(&kinds, "key-sent")), (1, 3), "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_credential_is_good_for_one_key_and_its_retries() -> anyhow::Result<()> {
    let site = generous().await?;
    let secret = make_credential(&site, "made-15", &[]).await?;
    let authorization = basic("made-15", &secret);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut connection = connect(&site, None).await?;
        let csr = Key::new()?.sign(&wish("made-15"))?;
        let answer = post(&mut connection, OPERATION, &csr, Some(&authorization)).await?;
        keys.push(plain(&answer)?.0);
    }
    assert_eq!(keys[0].pkcs8_der(), keys[1].pkcs8_der());
    // The key is over: another one would be another enrollment.
    database(&site)?.execute("UPDATE generated_keys SET sent_at = 0", [])?;
    let mut connection = connect(&site, None).await?;
    let csr = Key::new()?.sign(&wish("made-15"))?;
    let answer = post(&mut connection, OPERATION, &csr, Some(&authorization)).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("was good for 1 enrollments"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn while_the_order_waits_a_retry_makes_no_other_key() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    // Nothing is held: every order takes longer than that.
    edit(site.site().folder(), "hold_secs = 10", "hold_secs = 0")?;
    offer(&site).await?;
    let (mut connection, _) = arrive(&site, "MADE-13").await?;
    let first = ask(&mut connection, &wish("made-13")).await?;
    assert_eq!(first.status, 202, "{}", first.text());
    assert_eq!(first.retry_after, "5");
    let issued = process::until(Duration::from_secs(30), async || {
        let answer = ask(&mut connection, &wish("made-13")).await.ok()?;
        (answer.status != 202).then_some(answer)
    });
    plain(&issued.await.expect("the order ends"))?;
    assert_eq!(site.pebble_counts()?, (1, 1));
    assert_eq!(count(&event_kinds(site.site()).await?, "key-generated"), 1);
    Ok(())
}
