//! Devices that wait for a person, and a flood of made-up ones beside them.

use std::path::Path;
use std::sync::Arc;

use brski_lab::pledge::journey::{self, Label};
use brski_registrar::config::Config;
use brski_registrar::store::model::{ApprovalState, Id, Millis};
use brski_registrar::store::{Change, Store, open};
use brski_tests::site::{self, TestSite, edit, json};

use super::{ADMIT, ask, ask_all, count, restarted};

/// How many made-up serial numbers there are.
const FLOOD: usize = 1000;

/// A site that asks a person about everybody, where so many wait at most.
async fn asking(waiting: u32) -> anyhow::Result<TestSite> {
    site::prepared(|folder| {
        edit(folder, ADMIT, "unexpected = \"ask\"")?;
        let sample = "waiting_per_manufacturer = 100";
        edit(folder, sample, &format!("waiting_per_manufacturer = {waiting}"))?;
        Ok(Vec::new())
    })
    .await
}

async fn serials(site: &TestSite) -> anyhow::Result<Vec<String>> {
    let waiting = json(site.site(), "approval list", &[]).await?;
    let rows = waiting.as_array().unwrap().iter();
    Ok(rows.map(|row| row["serial"].as_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_flood_of_made_up_devices_pushes_no_honest_one_out() -> anyhow::Result<()> {
    let site = asking(20).await?;
    let honest = site.lab.pledge("HONEST-1")?;
    assert_eq!(ask(&site, &honest).await?.status, 202);
    let made_up = |number| site.lab.pledge(&format!("FLOOD-{number:04}"));
    let pledges = (0..FLOOD).map(made_up).collect::<anyhow::Result<Vec<_>>>()?;
    let counts = ask_all(&site, pledges, [202, 503]).await?;
    assert_eq!(counts, [19, FLOOD - 19], "the quota is 20, and exact");
    // It keeps asking, waits on, and is let in.
    assert_eq!(ask(&site, &honest).await?.status, 202);
    let listed = serials(&site).await?;
    assert_eq!(listed.len(), 20);
    assert!(listed.contains(&"HONEST-1".to_owned()), "{listed:?}");
    // Nothing is kept of those that were sent away, and the trail is told once.
    let devices = json(site.site(), "device list", &[]).await?;
    assert_eq!(devices.as_array().unwrap().len(), 20, "{devices}");
    assert_eq!(count(&site, "approvals-full").await?, 1);
    let waiting = json(site.site(), "approval list", &[]).await?;
    let row = waiting.as_array().unwrap().iter().find(|row| row["serial"] == "HONEST-1").unwrap();
    site.site().command("approval grant", &[row["id"].as_str().unwrap()]).await?;
    journey::run(&honest, site.lab.registrar.address(), &Label::default()).await?;
    Ok(())
}

/// Makes every question that waits older by an hour, except those about `serial`; the daemon is stopped.
async fn silence_all_but(config: &Path, serial: &str) -> anyhow::Result<()> {
    let config = Config::load(config).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let store: Arc<dyn Store> = open(&config.store, &config.store.node).await?;
    let first = (Millis(0), Id::from_stored(String::new()));
    for approval in store.approvals(ApprovalState::Waiting, first, 1000).await? {
        let device = store.device(&approval.device).await?.unwrap();
        if device.identity.serial() != Some(serial) {
            let at = approval.asked_at.plus(-3_600_000);
            let (approval, peer) = (approval.id, approval.peer);
            let change = Change::AskApprovalAgain { approval, peer, at };
            store.commit(vec![change], Vec::new()).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn devices_that_stopped_asking_make_room_the_most_silent_first() -> anyhow::Result<()> {
    let site = asking(3).await?;
    let honest = site.lab.pledge("HONEST-1")?;
    assert_eq!(ask(&site, &honest).await?.status, 202);
    for serial in ["FLOOD-1", "FLOOD-2"] {
        assert_eq!(ask(&site, &site.lab.pledge(serial)?).await?.status, 202);
    }
    let late = site.lab.pledge("HONEST-2")?;
    let answer = ask(&site, &late).await?;
    assert_eq!((answer.status, answer.retry_after.as_str()), (503, "60"), "{}", answer.text());
    let site = restarted(site, async |config| silence_all_but(config, "HONEST-1").await).await?;
    assert_eq!(ask(&site, &late).await?.status, 202, "a silent one made room");
    let mut listed = serials(&site).await?;
    listed.sort();
    assert_eq!(listed, ["FLOOD-2", "HONEST-1", "HONEST-2"]);
    assert_eq!(count(&site, "approval-forgotten").await?, 1);
    let gone = site.site().command("device show", &["FLOOD-1"]).await.unwrap_err().to_string();
    assert!(gone.contains("FLOOD-1"), "{gone}");
    // Whoever was forgotten may ask again, and takes the place of the next one that is silent.
    assert_eq!(ask(&site, &site.lab.pledge("FLOOD-3")?).await?.status, 202);
    let answer = ask(&site, &site.lab.pledge("FLOOD-1")?).await?;
    assert_eq!(answer.status, 503, "all that wait have just asked: {}", answer.text());
    assert!(serials(&site).await?.contains(&"HONEST-1".to_owned()));
    Ok(())
}
