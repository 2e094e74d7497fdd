//! Quotas: so many vouchers and enrollments for a device, and for all of a manufacturer.

use std::time::Duration;

use brski_lab::pledge::journey::{self, Label};
use brski_lab::process;
use brski_tests::site::{TestSite, edit, json};

use super::{ask, ask_all, count, restarted, status};

const DEVICE_VOUCHERS: &str = "device_vouchers = { most = 60, secs = 3600 }";

/// A site with these quotas.
async fn with_quotas(lines: &str) -> anyhow::Result<TestSite> {
    brski_tests::site::prepared(|folder| {
        edit(folder, DEVICE_VOUCHERS, lines)?;
        Ok(Vec::new())
    })
    .await
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_told_when_to_come_back() -> anyhow::Result<()> {
    let site = with_quotas("device_vouchers = { most = 2, secs = 3600 }").await?;
    let pledge = site.lab.pledge("QUOTA-1")?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let (path, media) =
        (brski_voucher::path::REQUEST_VOUCHER, brski_voucher::media_type::VOUCHER_CMS);
    let body = pledge.voucher_request(chain.own().unwrap())?.der;
    for _ in 0..3 {
        // The same request is one wish, however often it comes.
        assert_eq!(connection.post(path, media, body.clone()).await?.status, 200);
    }
    assert_eq!(ask(&site, &pledge).await?.status, 200);
    for _ in 0..2 {
        let answer = ask(&site, &pledge).await?;
        assert_eq!(answer.status, 429, "{}", answer.text());
        let seconds: u32 = answer.retry_after.parse()?;
        assert!((1000..=1801).contains(&seconds), "{seconds}");
        assert!(answer.text().contains("as many vouchers as may be"), "{}", answer.text());
    }
    assert_eq!(count(&site, "quota-spent").await?, 1, "the trail is told once");
    assert_eq!(status(&site, "QUOTA-2").await?, 200, "it is nobody else's quota");
    // A restart forgets nothing.
    let site = restarted(site, async |_| Ok(())).await?;
    assert_eq!(ask(&site, &pledge).await?.status, 429);
    Ok(())
}

#[tokio::test]
async fn the_devices_of_a_manufacturer_share_a_quota_of_enrollments() -> anyhow::Result<()> {
    let site = with_quotas("manufacturer_enrollments = { most = 1, secs = 3600 }").await?;
    let address = site.lab.registrar.address();
    let first = site.lab.pledge("SHARE-1")?;
    journey::run(&first, address, &Label::default()).await?;
    let second = site.lab.pledge("SHARE-2")?;
    // A pledge that is told to come back does so, which would take an hour here.
    let label = Label::default();
    let refused = process::until(Duration::from_secs(30), async || {
        (count(&site, "quota-spent").await.ok()? > 0).then_some(())
    });
    tokio::select! {
        outcome = journey::run(&second, address, &label) => panic!("{:?}", outcome.map(|_| ())),
        told = refused => assert!(told.is_some(), "the trail is told"),
    }
    let events = json(site.site(), "event list", &[]).await?.to_string();
    assert!(events.contains("as many enrollments as may be"), "{events}");
    assert_eq!(count(&site, "enrollment-approved").await?, 1);
    Ok(())
}

#[tokio::test]
async fn many_at_once_get_no_more_than_the_quota() -> anyhow::Result<()> {
    let site = with_quotas("manufacturer_vouchers = { most = 5, secs = 3600 }").await?;
    let pledges = (0..12)
        .map(|number| site.lab.pledge(&format!("MANY-{number}")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    assert_eq!(ask_all(&site, pledges, [200, 503]).await?, [5, 7]);
    Ok(())
}
