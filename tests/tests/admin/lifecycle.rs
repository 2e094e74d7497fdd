//! A device's life as an operator changes it from the command line.

use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Enrolled, Label};
use brski_tests::site::{self, TestSite, edit, event_kinds, json};
use serde_json::Value;

async fn join(site: &TestSite, pledge: &Pledge) -> anyhow::Result<Enrolled> {
    Ok(journey::run(pledge, site.lab.registrar.address(), &Label::default()).await?)
}

/// Makes a device and takes it through.
async fn enroll(site: &TestSite, serial: &str) -> anyhow::Result<(Pledge, Enrolled)> {
    let pledge = site.lab.pledge(serial)?;
    let enrolled = join(site, &pledge).await?;
    Ok((pledge, enrolled))
}

async fn device(site: &TestSite, what: &str, arguments: &[&str]) -> Result<String, String> {
    let output = site.site().command(&format!("device {what}"), arguments).await;
    output.map_err(|error| error.to_string())
}

async fn show(site: &TestSite, device: &str) -> anyhow::Result<Value> {
    json(site.site(), "device show", &[device]).await
}

/// Whether a device gets any further, and what it is told.
async fn assert_barred(site: &TestSite, pledge: &Pledge, words: &str) -> anyhow::Result<()> {
    let refused = join(site, pledge).await.unwrap_err().to_string();
    assert!(refused.contains("403") && refused.contains(words), "{refused}");
    Ok(())
}

#[tokio::test]
async fn retiring_revokes_closes_est_and_keeps_the_name() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (pledge, enrolled) = enroll(&site, "LIFE-1").await?;
    assert_eq!(
        device(&site, "retire", &["LIFE-1"]).await.unwrap(),
        "life-1.iot.lab.example is retired\n"
    );
    let story = show(&site, "life-1.iot.lab.example").await?;
    assert_eq!(story["device"]["state"], "retired");
    assert!(story["certificates"][0]["revoked_at"].is_string(), "{story}");
    assert_barred(&site, &pledge, "retired").await?;
    // Its certificate opens nothing any more.
    let address = site.lab.registrar.address();
    let root = site.site().folder().join("domain-ca.pem");
    let root = brski_registrar::identity::read_certificates(&root)?[0].der().clone();
    let mut connection = brski_lab::pledge::tls::pinned(
        address,
        &root,
        &enrolled.credential,
        brski_lab::pledge::tls::TlsVersions::Any,
    )
    .await?;
    let answer = connection.get("/.well-known/est/csrattrs").await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    // The name is nobody's until an operator says so.
    let take = ["LIFE-2", "--manufacturer", "lab-devices", "--name", "life-1"];
    let told = device(&site, "allow", &take).await.unwrap_err();
    assert!(told.contains("is the name of another device"), "{told}");
    let told = device(&site, "retire", &["LIFE-1"]).await.unwrap_err();
    assert!(told.contains("is retired"), "{told}");
    device(&site, "retire", &["LIFE-1", "--free-name"]).await.unwrap();
    device(&site, "allow", &take).await.unwrap();
    let (_, enrolled) = enroll(&site, "LIFE-2").await?;
    assert_eq!(enrolled.certificate.dns_names(), ["life-1.iot.lab.example"]);
    Ok(())
}

#[tokio::test]
async fn retiring_revokes_at_the_acme_ca_too() -> anyhow::Result<()> {
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    enroll(&site, "CA-1").await?;
    device(&site, "retire", &["CA-1"]).await.unwrap();
    let revoked = brski_lab::process::until(std::time::Duration::from_secs(30), async || {
        let kinds = event_kinds(site.site()).await.ok()?;
        kinds.contains(&"certificate-revoked-at-ca".to_owned()).then_some(())
    });
    revoked.await.expect("the CA was asked, and said yes");
    Ok(())
}

#[tokio::test]
async fn a_retired_device_comes_back_with_a_new_voucher_and_certificate() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (pledge, first) = enroll(&site, "BACK-1").await?;
    device(&site, "retire", &["BACK-1"]).await.unwrap();
    assert_eq!(
        device(&site, "restore", &["BACK-1"]).await.unwrap(),
        "back-1.iot.lab.example is expected\n"
    );
    let second = join(&site, &pledge).await?;
    assert_ne!(first.certificate.der(), second.certificate.der());
    assert_eq!(first.certificate.dns_names(), second.certificate.dns_names());
    let told = device(&site, "restore", &["BACK-1"]).await.unwrap_err();
    assert!(told.contains("only a retired or blocked device"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_blocked_device_is_barred_until_it_is_restored() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (pledge, _) = enroll(&site, "BLOCK-1").await?;
    device(&site, "block", &["BLOCK-1"]).await.unwrap();
    assert_barred(&site, &pledge, "blocked").await?;
    let story = show(&site, "BLOCK-1").await?;
    assert!(story["certificates"][0]["revoked_at"].is_null(), "its certificate stays: {story}");
    assert_eq!(
        device(&site, "restore", &["BLOCK-1"]).await.unwrap(),
        "block-1.iot.lab.example is enrolled\n"
    );
    join(&site, &pledge).await?;
    Ok(())
}

#[tokio::test]
async fn a_renamed_device_enrolls_under_its_new_name_only() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (pledge, first) = enroll(&site, "NAME-1").await?;
    enroll(&site, "NAME-2").await?;
    let told = device(&site, "rename", &["NAME-1", "name-2"]).await.unwrap_err();
    assert!(told.contains("another device has the name"), "{told}");
    for (name, words) in [
        ("x-", "a label is 1 to 63"),
        ("a.b.c", "not one label below the zone"),
        ("x.eviliot.lab.example", "not one label below the zone"),
        ("*", "a label is 1 to 63"),
    ] {
        let told = device(&site, "rename", &["NAME-1", name]).await;
        let told = told.unwrap_err();
        assert!(told.contains(words), "{name}: {told}");
    }
    // Its own name is no other one.
    device(&site, "rename", &["NAME-1", "name-1"]).await.unwrap();
    let story = show(&site, "NAME-1").await?;
    assert!(story["certificates"][0]["revoked_at"].is_null(), "{story}");
    device(&site, "rename", &["NAME-1", "Valve-9"]).await.unwrap();
    // What proved the old name proves it no more, and another device may have it.
    let story = show(&site, "NAME-1").await?;
    assert!(story["certificates"][0]["revoked_at"].is_string(), "{story}");
    let told = site.site().command("event list", &["--device", "NAME-1"]).await?;
    assert!(told.contains("the device has another name"), "{told}");
    let mut connection = brski_tests::est::connect(&site, Some(&first.credential)).await?;
    let answer = connection.get("/.well-known/est/csrattrs").await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let take = ["NAME-3", "--manufacturer", "lab-devices", "--name", "name-1"];
    device(&site, "allow", &take).await.unwrap();
    let (_, heir) = enroll(&site, "NAME-3").await?;
    assert_eq!(heir.certificate.dns_names(), ["name-1.iot.lab.example"]);
    let enrolled = join(&site, &pledge).await?;
    assert_eq!(enrolled.certificate.dns_names(), ["valve-9.iot.lab.example"]);
    Ok(())
}

#[tokio::test]
async fn a_replacement_takes_name_and_profile() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (old, _) = enroll(&site, "OLD-1").await?;
    device(&site, "allow", &["NEW-1", "--manufacturer", "lab-devices"]).await.unwrap();
    let told = device(&site, "replace", &["OLD-1", "OLD-1"]).await.unwrap_err();
    assert!(told.contains("cannot replace itself"), "{told}");
    device(&site, "replace", &["OLD-1", "NEW-1"]).await.unwrap();
    let (_, enrolled) = enroll(&site, "NEW-1").await?;
    assert_eq!(enrolled.certificate.dns_names(), ["old-1.iot.lab.example"]);
    assert_barred(&site, &old, "retired").await?;
    assert!(show(&site, "OLD-1").await?["certificates"][0]["revoked_at"].is_string());
    Ok(())
}

#[tokio::test]
async fn a_person_lets_one_device_in_and_keeps_another_out() -> anyhow::Result<()> {
    let site = site::prepared(|folder| {
        edit(folder, "unexpected = \"admit\"", "unexpected = \"ask\"")?;
        Ok(Vec::new())
    })
    .await?;
    let pledges = [site.lab.pledge("ASK-1")?, site.lab.pledge("ASK-2")?];
    for pledge in &pledges {
        let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
        let body = pledge.voucher_request(chain.own().unwrap())?.der;
        let voucher =
            (brski_voucher::path::REQUEST_VOUCHER, brski_voucher::media_type::VOUCHER_CMS);
        let answer = connection.post(voucher.0, voucher.1, body).await?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(answer.retry_after.parse::<u32>().is_ok(), "{}", answer.retry_after);
    }
    assert_eq!(site.lab.masa.requests(), 0, "the MASA hears of it after the person");
    let waiting = json(site.site(), "approval list", &[]).await?;
    let id = |serial: &str| {
        let rows = waiting.as_array().unwrap();
        let row = rows.iter().find(|row| row["serial"] == serial).unwrap();
        row["id"].as_str().unwrap().to_owned()
    };
    let approval = async |what: &str, arguments: &[&str]| {
        let output = site.site().command(&format!("approval {what}"), arguments).await;
        output.map_err(|error| error.to_string())
    };
    let told = approval("grant", &[&id("ASK-1"), "--name", "gate-1"]).await.unwrap();
    assert_eq!(told, "gate-1.iot.lab.example is expected\n");
    assert!(approval("refuse", &[&id("ASK-2")]).await.unwrap().contains("is blocked"));
    let told = approval("grant", &[&id("ASK-2")]).await.unwrap_err();
    assert!(told.contains("was refused before"), "{told}");
    let told = approval("grant", &["00000000"]).await.unwrap_err();
    assert!(told.contains("'registrar approval list'"), "{told}");
    assert_eq!(join(&site, &pledges[0]).await?.certificate.dns_names(), ["gate-1.iot.lab.example"]);
    assert_barred(&site, &pledges[1], "blocked").await?;
    assert_eq!(json(site.site(), "approval list", &[]).await?, Value::Array(Vec::new()));
    Ok(())
}

#[tokio::test]
async fn certificates_are_listed_shown_and_revoked() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (_, enrolled) = enroll(&site, "CERT-1").await?;
    let list = |within: &'static str| {
        let registrar = site.site();
        async move { json(registrar, "certificate list", &["--expires-within", within]).await }
    };
    assert_eq!(list("30d").await?, Value::Array(Vec::new()), "it lasts a year");
    let certificates = list("400d").await?;
    let fingerprint = certificates[0]["fingerprint"].as_str().unwrap().to_owned();
    let hexadecimal: String =
        enrolled.certificate.fingerprint().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(fingerprint, hexadecimal);
    let shown = site.site().command("certificate show", &[&fingerprint[..8]]).await?;
    assert!(shown.contains("-----BEGIN CERTIFICATE-----"), "{shown}");
    for wrong in ["zz", "1234567", "00000000"] {
        site.site().command("certificate revoke", &[wrong]).await.unwrap_err();
    }
    site.site().command("certificate revoke", &[&fingerprint]).await?;
    let told = site.site().command("certificate revoke", &[&fingerprint]).await.unwrap_err();
    assert!(told.to_string().contains("was revoked before"), "{told}");
    assert!(event_kinds(site.site()).await?.contains(&"certificate-revoked".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_credentials_secret_is_printed_once_and_kept_nowhere() -> anyhow::Result<()> {
    let site = site::local().await?;
    let arguments = ["printer-1", "--uses", "3", "--expires-in", "24h"];
    let printed = site.site().command("credential add", &arguments).await?;
    let secret = printed.trim();
    assert_eq!(printed, format!("{secret}\n"), "the secret alone");
    assert_eq!(secret.len(), 32, "128 bits: {secret}");
    let list = json(site.site(), "credential list", &[]).await?;
    assert_eq!(list[0]["name"], "printer-1");
    assert_eq!((&list[0]["uses"], &list[0]["used"]), (&3.into(), &0.into()));
    assert!(list[0]["expires_at"].is_string());
    assert!(!list.to_string().contains(secret));
    let told = site.site().command("credential add", &["printer-1"]).await.unwrap_err();
    assert!(told.to_string().contains("there is a credential"), "{told}");
    for wrong in [&["a.b"][..], &["x", "--uses", "0"], &["x", "--expires-in", "soon"], &["ü"]] {
        site.site().command("credential add", wrong).await.unwrap_err();
    }
    site.site().command("credential revoke", &["PRINTER-1"]).await?;
    site.site().command("credential revoke", &["printer-1"]).await.unwrap_err();
    site.site().command("credential revoke", &["nobody"]).await.unwrap_err();
    // Neither log nor database nor trail has it.
    let folder = site.site().folder();
    for file in ["registrar.log", "registrar.db", "registrar.db-wal"] {
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file}");
    }
    Ok(())
}

#[tokio::test]
async fn hostile_serial_numbers_and_sites_are_stored_and_shown_escaped() -> anyhow::Result<()> {
    let site = site::local().await?;
    let serial = "A\u{202e}\";DROP TABLE devices;--<script>";
    let place = "hall \u{1b}[2J\r\n\tx";
    let arguments = [serial, "--manufacturer", "lab-devices", "--name", "odd", "--site", place];
    device(&site, "allow", &arguments).await.unwrap();
    let story = show(&site, "odd.iot.lab.example").await?;
    assert_eq!(story["device"]["serial"], serial);
    assert_eq!(story["device"]["site"], place);
    for command in ["device list", "event list"] {
        let table = site.site().command::<&str>(command, &[]).await?;
        assert!(!table.contains('\u{202e}'), "{table:?}");
        assert!(table.contains("A\\u{202e}\";DROP"), "{table}");
    }
    let shown = site.site().command("device show", &[serial]).await?;
    assert!(!shown.contains('\u{1b}') && !shown.contains('\r'), "{shown:?}");
    assert!(shown.contains("hall \\u{1b}[2J\\r\\n\\tx"), "{shown}");
    let log = std::fs::read_to_string(site.site().folder().join("registrar.log"))?;
    assert!(!log.contains('\u{202e}'), "{log:?}");
    // A control character is no part of a serial number.
    let arguments = ["B\u{7}", "--manufacturer", "lab-devices"];
    assert!(device(&site, "allow", &arguments).await.unwrap_err().contains("control characters"));
    Ok(())
}
