//! What each manufacturer's IDevIDs are like, as an operator says: where their serial number stands, and whether they may
//! have ended (RFC 8995 §2.3.1, §2.6.2). Changes count at once.

use brski_lab::http::Answer;
use brski_lab::masa::MasaOptions;
use brski_lab::pki::{Credential, IdevidOdds, Manufacturer};
use brski_lab::pledge::Pledge;
use brski_tests::est::{Key, certificate, connect, post};
use brski_tests::site::{self, Plan, TestSite, json};
use rcgen::KeyPair;

use super::{ask, count};

const ENROLL: &str = "simpleenroll";
const MASA: &str = "https://masa.example";

/// A site that knows the manufacturer "meters", whose devices need no voucher.
async fn with_meters(arguments: &[&str]) -> anyhow::Result<(TestSite, Manufacturer)> {
    let site = site::local().await?;
    let meters = Manufacturer::new("meters")?;
    let file = site.folder.path().join("meters.pem");
    std::fs::write(&file, meters.authority.pem())?;
    let file = file.display().to_string();
    let fixed = ["--name", "meters", "--ca", &file, "--est-without-brski"];
    let arguments: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
    site.site().command("manufacturer add", &arguments).await?;
    Ok((site, meters))
}

async fn set(site: &TestSite, arguments: &[&str]) -> anyhow::Result<()> {
    let arguments: Vec<&str> = ["meters"].iter().chain(arguments).copied().collect();
    let told = site.site().command("manufacturer set", &arguments).await?;
    anyhow::ensure!(told.starts_with("changed manufacturer meters"), "{told}");
    Ok(())
}

/// Has a device enroll by its IDevID, as one that is called `label`.
async fn enroll(site: &TestSite, idevid: &Credential, label: &str) -> anyhow::Result<Answer> {
    let mut connection = connect(site, Some(idevid)).await?;
    post(&mut connection, ENROLL, &Key::new()?.csr(label)?, None).await
}

fn pledge(site: &TestSite, idevid: Credential) -> anyhow::Result<Pledge> {
    Ok(Pledge::new(idevid, site.lab.manufacturer.authority.certificate())?)
}

async fn expect(site: &TestSite, serial: &str) -> anyhow::Result<()> {
    site.site().command("device allow", &[serial, "--manufacturer", "meters"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_idevid_that_has_ended_counts_while_the_operator_says_so() -> anyhow::Result<()> {
    let (site, meters) = with_meters(&[]).await?;
    let odds = |serial| IdevidOdds::new(serial, MASA);
    let ended = meters.authority.odd_idevid(odds("OLD-1").expired(), &KeyPair::generate()?)?;
    let early = meters.authority.odd_idevid(odds("EARLY-1").early(), &KeyPair::generate()?)?;
    for serial in ["OLD-1", "EARLY-1"] {
        expect(&site, serial).await?;
    }
    let refused = enroll(&site, &ended, "old-1").await?;
    assert_eq!(refused.status, 403, "{}", refused.text());
    set(&site, &["--accept-ended", "yes"]).await?;
    let issued = certificate(&enroll(&site, &ended, "old-1").await?)?;
    assert_eq!(issued.dns_names(), ["old-1.iot.lab.example"]);
    // One that has not begun is nobody's all the same.
    assert_eq!(enroll(&site, &early, "early-1").await?.status, 403);
    // Nor is one of another manufacturer, which did not say so.
    let (url, key) = (site.lab.masa.url(), KeyPair::generate()?);
    let other = site
        .lab
        .manufacturer
        .authority
        .odd_idevid(IdevidOdds::new("OLD-2", &url).expired(), &key)?;
    assert_eq!(ask(&site, &pledge(&site, other)?).await?.status, 403);
    // The trail says by what it came in.
    let events = json(site.site(), "event list", &[]).await?.to_string();
    assert!(events.contains("ended IDevID OLD-1 of meters"), "{events}");
    assert!(events.contains("IDevIDs that have ended are accepted"), "{events}");
    set(&site, &["--accept-ended", "no"]).await?;
    assert_eq!(enroll(&site, &ended, "old-1").await?.status, 403, "at once");
    assert_eq!(count(&site, "manufacturer-changed").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_voucher_is_asked_for_by_an_idevid_that_has_ended() -> anyhow::Result<()> {
    let plan = Plan { masa: MasaOptions::default(), arguments: vec!["--accept-ended".into()] };
    let site = site::brski(plan, |_| Ok(Vec::new())).await?;
    let (url, key) = (site.lab.masa.url(), KeyPair::generate()?);
    let odds = IdevidOdds::new("OLD-3", &url).expired();
    let idevid = site.lab.manufacturer.authority.odd_idevid(odds, &key)?;
    // Whether its manufacturer still vouches for it is the MASA's to say, which is asked.
    ask(&site, &pledge(&site, idevid)?).await?;
    assert_eq!((site.lab.masa.requests(), count(&site, "voucher-asked").await?), (1, 1));
    Ok(())
}

#[tokio::test]
async fn the_serial_number_is_read_where_the_operator_says() -> anyhow::Result<()> {
    let (site, meters) = with_meters(&["--serial-from", "hardware-module-name"]).await?;
    let nameless =
        || meters.authority.odd_idevid(IdevidOdds::new("", MASA).nameless(), &KeyPair::generate()?);
    let (first, second) = (nameless()?, nameless()?);
    let named = meters.authority.idevid("METER-9", MASA)?;
    for serial in ["METER-1", "METER-9", "device"] {
        expect(&site, serial).await?;
    }
    for idevid in [&first, &second, &named] {
        let refused = enroll(&site, idevid, "meter-1").await?;
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("serial number"), "{}", refused.text());
    }
    // A list of devices, and the subject for those that are not on it.
    let list = site.folder.path().join("meters.csv");
    let digest = brski_registrar::store::model::Sha256::of(&first.certificate);
    std::fs::write(&list, format!("{digest},METER-1\n\n"))?;
    let listed = format!("list={}", list.display());
    set(&site, &["--serial-from", &listed, "--serial-from", "subject-serial-number"]).await?;
    for (idevid, name) in [(&first, "meter-1"), (&named, "meter-9")] {
        let issued = certificate(&enroll(&site, idevid, name).await?)?;
        assert_eq!(issued.dns_names(), [format!("{name}.iot.lab.example")]);
    }
    assert_eq!(enroll(&site, &second, "meter-1").await?.status, 403, "it is on no list");
    // A pattern over the common name.
    set(&site, &["--serial-from", "common-name=^(?<serial>[a-z]+), LAB"]).await?;
    let issued = certificate(&enroll(&site, &second, "device").await?)?;
    assert_eq!(issued.dns_names(), ["device.iot.lab.example"]);
    let listed = json(site.site(), "manufacturer list", &[]).await?;
    let meters = listed.as_array().unwrap().iter().find(|row| row["name"] == "meters").unwrap();
    assert_eq!(meters["idevid"]["serial"][0]["in"], "common-name", "{meters}");
    Ok(())
}
