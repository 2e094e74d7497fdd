//! Requests of one new device that come at the same moment: each gets the answer that it would have got alone.

use std::sync::Arc;

use brski_tests::est::{Key, certificate, enroll_at_once, make_credential};
use brski_tests::site::{self, TestSite, json};
use brski_voucher::media_type::VOUCHER_CMS;
use brski_voucher::path::REQUEST_VOUCHER;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{ADMIT, AT_ONCE, with_policy};

/// How many devices there are, each with its requests at once: who is quicker differs.
const DEVICES: usize = 6;

/// Has a device ask for vouchers at once, with a nonce each: the statuses, in any order.
async fn vouchers(site: &TestSite, serial: &str) -> anyhow::Result<Vec<u16>> {
    let pledge = site.lab.pledge(serial)?;
    let together = Arc::new(Barrier::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
        let body = pledge.voucher_request(chain.own().unwrap())?.der;
        let together = Arc::clone(&together);
        asking.spawn(async move {
            together.wait().await;
            anyhow::Ok(connection.post(REQUEST_VOUCHER, VOUCHER_CMS, body).await?.status)
        });
    }
    asking.join_all().await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn first_voucher_requests_of_one_device_all_get_their_vouchers() -> anyhow::Result<()> {
    let site = with_policy(ADMIT).await?;
    for number in 0..DEVICES {
        let serial = format!("TWICE-{number}");
        // Some are new, some are expected and have their row.
        if number % 2 == 1 {
            let arguments = [&serial, "--manufacturer", "lab-devices"];
            site.site().command("device allow", &arguments).await?;
        }
        assert_eq!(vouchers(&site, &serial).await?, [200; AT_ONCE], "{serial}");
    }
    let devices = json(site.site(), "device list", &[]).await?;
    assert_eq!(devices.as_array().map(Vec::len), Some(DEVICES), "{devices}");
    for device in devices.as_array().unwrap() {
        let name = device["name"].as_str().unwrap();
        assert!(
            name.starts_with("twice-") && name.len() == "twice-0.iot.lab.example".len(),
            "{name}"
        );
    }
    let options = ["--kind", "device-admitted", "--limit", "1000"];
    let admitted = json(site.site(), "event list", &options).await?;
    assert_eq!(admitted.as_array().map(Vec::len), Some(DEVICES), "each is let in once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn first_voucher_requests_of_one_device_wait_for_one_answer() -> anyhow::Result<()> {
    let site = with_policy("unexpected = \"ask\"").await?;
    for number in 0..DEVICES {
        let serial = format!("ASKED-{number}");
        assert_eq!(vouchers(&site, &serial).await?, [202; AT_ONCE], "{serial}");
    }
    let waiting = json(site.site(), "approval list", &[]).await?;
    assert_eq!(waiting.as_array().map(Vec::len), Some(DEVICES), "{waiting}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn first_enrollments_with_one_credential_are_answered_as_if_one_by_one() -> anyhow::Result<()>
{
    let site = site::local().await?;
    let registrar = site.lab.registrar.address();
    for number in 0..DEVICES {
        // The same key and names are the same wish: one certificate, one use.
        let name = format!("same-{number}");
        let secret = make_credential(&site, &name, &["--uses", "1"]).await?;
        let key = Key::new()?;
        let again = || Key::from_pkcs8(key.pkcs8());
        let keys = (0..AT_ONCE).map(|_| again()).collect();
        let answers = enroll_at_once(registrar, &name, &secret, keys).await?;
        let first = certificate(&answers[0])?;
        for answer in &answers {
            assert_eq!(certificate(answer)?.der(), first.der());
        }
        // Different keys are different wishes of one device: each takes a use, while there is one.
        for uses in [AT_ONCE, 1] {
            let name = format!("other-{number}-{uses}");
            let secret = make_credential(&site, &name, &["--uses", &uses.to_string()]).await?;
            let keys = (0..AT_ONCE).map(|_| Key::new()).collect::<anyhow::Result<_>>()?;
            let answers = enroll_at_once(registrar, &name, &secret, keys).await?;
            let issued = answers.iter().filter(|answer| answer.status == 200).count();
            assert_eq!(issued, uses);
            for answer in answers.iter().filter(|answer| answer.status != 200) {
                assert_eq!(answer.status, 403, "{}", answer.text());
                assert!(answer.text().contains("was good for 1 enrollments"), "{}", answer.text());
            }
        }
    }
    let devices = json(site.site(), "device list", &[]).await?;
    assert_eq!(devices.as_array().map(Vec::len), Some(3 * DEVICES), "one for each credential");
    Ok(())
}
