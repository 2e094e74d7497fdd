//! What was answered is durable: a registrar is killed in the middle of a burst of changes, on each database.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brski_tests::admin::{over_socket, request};
use brski_tests::postgres::Cluster;
use brski_tests::site::{self, TestSite, edit, json as ask};
use serde_json::json;
use tokio::task::JoinSet;

/// How many tasks change something at once.
const WRITERS: usize = 16;
/// After how many answers the registrar is killed.
const ANSWERS: usize = 200;

/// Changes things until nobody answers, and gives the serial numbers that were answered for.
async fn write(folder: &Path, writer: usize, answers: &AtomicUsize) -> Vec<String> {
    let mut answered = Vec::new();
    for number in 0.. {
        let serial = format!("BURST-{writer}-{number}");
        let body = json!({"serial": serial, "manufacturer": "lab-devices"});
        let request = request("POST", "/v1/devices", Some(&body), None).unwrap();
        match over_socket(folder, request).await {
            Ok(reply) => {
                assert_eq!(reply.status, 200, "{}", reply.body);
                answered.push(serial);
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => break,
        }
    }
    answered
}

async fn assert_nothing_is_lost(site: TestSite) -> anyhow::Result<()> {
    let TestSite { lab, folder: _kept } = site;
    let folder = Arc::new(lab.registrar.site().folder().to_owned());
    let answers = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (folder, answers) = (Arc::clone(&folder), Arc::clone(&answers));
        writers.spawn(async move { write(&folder, writer, &answers).await });
    }
    while answers.load(Ordering::Relaxed) < ANSWERS {
        tokio::task::yield_now().await;
    }
    let registrar = lab.registrar.kill().await;
    let mut answered: Vec<String> = writers.join_all().await.concat();
    let running = registrar.serve().await?;
    let devices = ask(&registrar, "device list", &[]).await?;
    let mut there: Vec<&str> =
        devices.as_array().unwrap().iter().map(|row| row["serial"].as_str().unwrap()).collect();
    there.sort_unstable();
    answered.sort_unstable();
    for serial in &answered {
        assert!(there.binary_search(&serial.as_str()).is_ok(), "{serial} was answered and is lost");
    }
    // At most one change of each writer was under way; each that is there has its event.
    assert!(there.len() <= answered.len() + WRITERS);
    let events =
        ask(&registrar, "event list", &["--kind", "device-expected", "--since", "1h"]).await?;
    assert_eq!(events.as_array().unwrap().len(), there.len());
    registrar.command::<&str>("event verify", &[]).await?;
    println!("{} changes were answered, {} are there", answered.len(), there.len());
    running.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_a_burst_loses_nothing_that_was_answered_on_sqlite() -> anyhow::Result<()> {
    assert_nothing_is_lost(site::local().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_a_burst_loses_nothing_that_was_answered_on_postgres() -> anyhow::Result<()> {
    let Some(cluster) = Cluster::start()? else {
        return Ok(());
    };
    let url = cluster.database()?;
    let site = site::prepared(|folder| {
        let file = folder.join("postgres.url");
        std::fs::write(&file, url)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let store = "url_file = \"postgres.url\"\nnode = \"one\"";
        edit(folder, "path = \"registrar.db\"", store)?;
        Ok(Vec::new())
    })
    .await?;
    assert_nothing_is_lost(site).await
}
