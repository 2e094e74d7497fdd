//! Devices with an IDevID and no MASA: let in by an operator alone.

use brski_lab::pki::Manufacturer;
use brski_tests::est::{Key, certificate, connect, post};
use brski_tests::site::{self, TestSite, json};

const ENROLL: &str = "simpleenroll";

/// A site that knows the manufacturer "meters", whose devices need no voucher.
async fn with_meters() -> anyhow::Result<(TestSite, Manufacturer)> {
    let site = site::local().await?;
    let meters = Manufacturer::new("meters")?;
    let file = site.folder.path().join("meters.pem");
    std::fs::write(&file, meters.authority.pem())?;
    let file = file.display().to_string();
    let arguments = ["--name", "meters", "--ca", &file, "--est-without-brski"];
    site.site().command("manufacturer add", &arguments).await?;
    Ok((site, meters))
}

#[tokio::test]
async fn an_expected_device_enrolls_with_its_idevid_alone() -> anyhow::Result<()> {
    let (site, meters) = with_meters().await?;
    let arguments = ["M-1", "--manufacturer", "meters", "--name", "meter-1"];
    site.site().command("device allow", &arguments).await?;
    let idevid = meters.authority.idevid("M-1", "https://masa.example")?;
    let mut connection = connect(&site, Some(&idevid)).await?;
    let issued = post(&mut connection, ENROLL, &Key::new()?.csr("meter-1")?, None).await?;
    assert_eq!(certificate(&issued)?.dns_names(), ["meter-1.iot.lab.example"]);
    assert_eq!(site.lab.masa.requests(), 0);
    let devices = json(site.site(), "device list", &[]).await?;
    assert_eq!(devices[0]["state"], "enrolled");
    Ok(())
}

#[tokio::test]
async fn an_unexpected_device_waits_for_a_person() -> anyhow::Result<()> {
    let (site, meters) = with_meters().await?;
    let idevid = meters.authority.idevid("M-2", "https://masa.example")?;
    let mut connection = connect(&site, Some(&idevid)).await?;
    let key = Key::new()?;
    // What a device with a voucher may do by the policy "admit", this one may not.
    for _ in 0..2 {
        let answer = post(&mut connection, ENROLL, &key.csr("m-2")?, None).await?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(answer.retry_after.parse::<u32>().is_ok());
    }
    let generic = connection.get("/.well-known/est/csrattrs").await?;
    assert_eq!(generic.status, 200, "{}", generic.text());
    let waiting = json(site.site(), "approval list", &[]).await?;
    assert_eq!(waiting.as_array().map(Vec::len), Some(1), "{waiting}");
    let id = waiting[0]["id"].as_str().unwrap();
    site.site().command("approval grant", &[id]).await?;
    let answer = post(&mut connection, ENROLL, &key.csr("m-2")?, None).await?;
    assert_eq!(certificate(&answer)?.dns_names(), ["m-2.iot.lab.example"]);
    Ok(())
}

#[tokio::test]
async fn a_device_of_another_manufacturer_needs_its_voucher_all_the_same() -> anyhow::Result<()> {
    let (site, _) = with_meters().await?;
    let arguments = ["P-1", "--manufacturer", "lab-devices"];
    site.site().command("device allow", &arguments).await?;
    let idevid = site.lab.manufacturer.authority.idevid("P-1", &site.lab.masa.url())?;
    let mut connection = connect(&site, Some(&idevid)).await?;
    let answer = post(&mut connection, ENROLL, &Key::new()?.csr("p-1")?, None).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("requestvoucher"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn another_key_of_a_known_serial_number_waits_for_a_person() -> anyhow::Result<()> {
    let (site, meters) = with_meters().await?;
    site.site().command("device allow", &["M-3", "--manufacturer", "meters"]).await?;
    let first = meters.authority.idevid("M-3", "https://masa.example")?;
    let mut connection = connect(&site, Some(&first)).await?;
    certificate(&post(&mut connection, ENROLL, &Key::new()?.csr("m-3")?, None).await?)?;
    let second = meters.authority.idevid("M-3", "https://masa.example")?;
    let mut connection = connect(&site, Some(&second)).await?;
    let answer = post(&mut connection, ENROLL, &Key::new()?.csr("m-3")?, None).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("another key"), "{}", answer.text());
    Ok(())
}
