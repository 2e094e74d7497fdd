//! Clients with a name and a secret (RFC 7030 §3.2.3).

use brski_tests::est::{Key, basic, certificate, connect, make_credential, post};
use brski_tests::site::{self, event_kinds, json};

const ENROLL: &str = "simpleenroll";

#[tokio::test]
async fn a_credential_gets_its_own_name_and_retries_are_free() -> anyhow::Result<()> {
    let site = site::local().await?;
    let secret = make_credential(&site, "printer-1", &[]).await?;
    let authorization = basic("printer-1", &secret);
    let key = Key::new()?;
    let mut connection = connect(&site, None).await?;
    let first = post(&mut connection, ENROLL, &key.csr("printer-1")?, Some(&authorization)).await?;
    let first = certificate(&first)?;
    assert_eq!(first.dns_names(), ["printer-1.iot.lab.example"]);
    // The same wish, signed anew, on another connection, the name in another case: the same certificate.
    let mut connection = connect(&site, None).await?;
    let again = basic("Printer-1", &secret);
    let again = post(&mut connection, ENROLL, &key.csr("printer-1")?, Some(&again)).await?;
    assert_eq!(certificate(&again)?.der(), first.der());
    let credentials = json(site.site(), "credential list", &[]).await?;
    assert_eq!((&credentials[0]["used"], &credentials[0]["uses"]), (&1.into(), &1.into()));
    let other = Key::new()?.csr("printer-1")?;
    let spent = post(&mut connection, ENROLL, &other, Some(&authorization)).await?;
    assert_eq!(spent.status, 403, "{}", spent.text());
    assert!(spent.text().contains("good for 1 enrollments"), "{}", spent.text());
    let device = json(site.site(), "device show", &["printer-1.iot.lab.example"]).await?;
    assert_eq!(device["device"]["credential"], "printer-1");
    assert_eq!(device["device"]["state"], "enrolled");
    assert_eq!(device["certificates"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_client_learns_what_to_bring_and_comes_again() -> anyhow::Result<()> {
    let site = site::local().await?;
    let secret = make_credential(&site, "libest", &["--uses", "2"]).await?;
    let csr = Key::new()?.csr("libest")?;
    let mut connection = connect(&site, None).await?;
    let anonymous = post(&mut connection, ENROLL, &csr, None).await?;
    assert_eq!(anonymous.status, 401, "{}", anonymous.text());
    assert_eq!(anonymous.authenticate, "Basic realm=\"EST\", charset=\"UTF-8\"");
    let answer = post(&mut connection, ENROLL, &csr, Some(&basic("libest", &secret))).await?;
    certificate(&answer)?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_secret_tells_nothing_and_bars_for_a_minute() -> anyhow::Result<()> {
    let site = site::local().await?;
    let secret = make_credential(&site, "meter", &[]).await?;
    let other = make_credential(&site, "other", &[]).await?;
    let csr = Key::new()?.csr("meter")?;
    let mut connection = connect(&site, None).await?;
    let mut told = Vec::new();
    for authorization in [
        basic("meter", "wrong"),
        basic("nobody", &secret),
        basic("", &secret),
        basic("meter", ""),
        "Basic ???".to_owned(),
        format!("Bearer {secret}"),
    ] {
        let answer = post(&mut connection, ENROLL, &csr, Some(&authorization)).await?;
        assert_eq!(answer.status, 401, "{authorization}: {}", answer.text());
        assert!(answer.authenticate.starts_with("Basic"));
        told.push(answer.text());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "the client hears the same, whatever is wrong: {told:?}");
    for _ in 0..8 {
        post(&mut connection, ENROLL, &csr, Some(&basic("meter", "wrong"))).await?;
    }
    let barred = post(&mut connection, ENROLL, &csr, Some(&basic("meter", &secret))).await?;
    assert_eq!((barred.status, barred.retry_after.as_str()), (429, "60"), "{}", barred.text());
    // Another name at the same address is not barred with it.
    let csr = Key::new()?.csr("other")?;
    certificate(&post(&mut connection, ENROLL, &csr, Some(&basic("other", &other))).await?)?;
    let kinds = event_kinds(site.site()).await?;
    assert!(kinds.iter().filter(|kind| *kind == "credential-refused").count() >= 14, "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_revoked_credential_and_a_retired_device_stay_out() -> anyhow::Result<()> {
    let site = site::local().await?;
    let secret = make_credential(&site, "lock", &["--uses", "9"]).await?;
    let authorization = basic("lock", &secret);
    let mut connection = connect(&site, None).await?;
    let key = Key::new()?;
    certificate(&post(&mut connection, ENROLL, &key.csr("lock")?, Some(&authorization)).await?)?;
    site.site().command("device retire", &["lock.iot.lab.example"]).await?;
    let retired = post(&mut connection, ENROLL, &key.csr("lock")?, Some(&authorization)).await?;
    assert_eq!(retired.status, 403, "{}", retired.text());
    assert!(retired.text().contains("retired"), "{}", retired.text());
    // An operator lets it back in: a new certificate, since the old one was revoked.
    site.site().command("device restore", &["lock.iot.lab.example"]).await?;
    certificate(&post(&mut connection, ENROLL, &key.csr("lock")?, Some(&authorization)).await?)?;
    site.site().command("credential revoke", &["lock"]).await?;
    let revoked = post(&mut connection, ENROLL, &key.csr("lock")?, Some(&authorization)).await?;
    assert_eq!(revoked.status, 401, "{}", revoked.text());
    Ok(())
}

#[tokio::test]
async fn a_credential_gets_no_other_name() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("TAKEN")?;
    let label = brski_lab::pledge::journey::Label::default();
    let address = site.lab.registrar.address();
    brski_lab::pledge::journey::run(&pledge, address, &label).await?;
    let secret = make_credential(&site, "taken", &["--uses", "2"]).await?;
    let authorization = basic("taken", &secret);
    let mut connection = connect(&site, None).await?;
    let key = Key::new()?;
    let answer = post(&mut connection, ENROLL, &key.csr("taken")?, Some(&authorization)).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("belongs to another device"), "{}", answer.text());
    let answer = post(&mut connection, ENROLL, &key.csr("another")?, Some(&authorization)).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let credentials = json(site.site(), "credential list", &[]).await?;
    assert_eq!(credentials[0]["used"], 0, "what is refused is not used up");
    Ok(())
}

#[tokio::test]
async fn a_credential_is_told_its_name_by_csrattrs() -> anyhow::Result<()> {
    let site = site::local().await?;
    let secret = make_credential(&site, "cam-9", &[]).await?;
    let mut connection = connect(&site, None).await?;
    let ask = |authorization: Option<String>| {
        let mut request = hyper::Request::builder().uri("/.well-known/est/csrattrs");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.body(bytes::Bytes::new())
    };
    let named = connection.request(ask(Some(basic("cam-9", &secret)))?).await?;
    let der = brski_est::transfer::decode(&named.body)?;
    let name = b"cam-9.iot.lab.example";
    assert!(der.windows(name.len()).any(|window| window == name));
    let generic = connection.request(ask(None)?).await?;
    assert_eq!(generic.status, 200);
    assert!(generic.body.len() < named.body.len(), "key and hash, no name");
    Ok(())
}
