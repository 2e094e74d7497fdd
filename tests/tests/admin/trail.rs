//! The trail from the command line: listed, followed, verified; tampering is found.

use std::process::Stdio;

use brski_lab::pledge::journey::{self, Label};
use brski_tests::site::{self, TestSite, json};
use rusqlite::Connection;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

async fn enroll(site: &TestSite, serial: &str) -> anyhow::Result<()> {
    let pledge = site.lab.pledge(serial)?;
    journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    Ok(())
}

#[tokio::test]
async fn events_are_listed_by_device_kind_verdict_and_time() -> anyhow::Result<()> {
    let site = site::local().await?;
    enroll(&site, "TRAIL-1").await?;
    enroll(&site, "TRAIL-2").await?;
    let events = async |arguments: &[&str]| -> anyhow::Result<Vec<serde_json::Value>> {
        let events = json(site.site(), "event list", arguments).await?;
        Ok(events.as_array().unwrap().clone())
    };
    let all = events(&["--since", "1h"]).await?;
    let one = events(&["--device", "TRAIL-1", "--since", "1h"]).await?;
    assert!(!one.is_empty() && one.len() < all.len());
    let story = json(site.site(), "device show", &["TRAIL-1"]).await?;
    assert!(one.iter().all(|event| event["device"] == story["device"]["id"]));
    for member in ["time", "node", "peer", "verdict", "clause", "correlation", "kind", "detail"] {
        assert!(one.iter().all(|event| event[member].is_string()), "{member}: {one:?}");
    }
    assert_eq!(events(&["--kind", "voucher-issued"]).await?.len(), 2);
    assert_eq!(events(&["--verdict", "refused"]).await?.len(), 0);
    assert_eq!(events(&["--limit", "3"]).await?, all[all.len() - 3..], "the newest");
    assert_eq!(events(&["--since", "2999-01-01T00:00:00Z"]).await?.len(), 0);
    let told = site.site().command("event list", &["--since", "yesterday"]).await.unwrap_err();
    assert!(told.to_string().contains("give an age such as"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_each_event_once() -> anyhow::Result<()> {
    let site = site::local().await?;
    enroll(&site, "FOLLOW-1").await?;
    let mut follower = Command::new(brski_tests::programs::ours("registrar")?)
        .args(["event", "list", "--follow", "--json", "--kind", "voucher-issued", "--config"])
        .arg(site.site().config())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let old = lines.next_line().await?.unwrap();
    enroll(&site, "FOLLOW-2").await?;
    let new = lines.next_line().await?.unwrap();
    assert_ne!(old, new);
    let new: serde_json::Value = serde_json::from_str(&new)?;
    let story = json(site.site(), "device show", &["FOLLOW-2"]).await?;
    assert_eq!(new["device"], story["device"]["id"]);
    Ok(())
}

#[tokio::test]
async fn verification_finds_what_was_changed_and_says_where() -> anyhow::Result<()> {
    let site = site::local().await?;
    enroll(&site, "VERIFY-1").await?;
    let whole = site.site().command::<&str>("event verify", &[]).await?;
    assert!(whole.contains("are whole"), "{whole}");
    assert!(whole.contains("came after the last signature: unproven"), "{whole}");
    let TestSite { lab, folder } = site;
    let registrar = lab.registrar.stop().await;
    // The end of the daemon signed everything.
    let chains = json(&registrar, "event verify", &[]).await?;
    assert_eq!(chains[0]["proven"], chains[0]["last"], "{chains}");
    let database = registrar.folder().join("registrar.db");
    for (sql, words) in [
        ("UPDATE events SET detail = 'nothing happened' WHERE seq = 4", "4"),
        ("DELETE FROM events WHERE seq = 3", "3"),
    ] {
        Connection::open(&database)?.execute(sql, [])?;
        let told = registrar.command::<&str>("event verify", &[]).await.unwrap_err().to_string();
        assert!(told.contains("tampered with"), "{told}");
        let chains = std::process::Command::new(brski_tests::programs::ours("registrar")?)
            .args(["event", "verify", "--json", "--config"])
            .arg(registrar.config())
            .output()?;
        assert_eq!(chains.status.code(), Some(1));
        let chains: serde_json::Value = serde_json::from_slice(&chains.stdout)?;
        assert!(chains[0]["findings"].to_string().contains(words), "{chains}");
    }
    drop(folder);
    Ok(())
}

#[tokio::test]
async fn a_backup_of_a_running_registrar_can_be_used() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let site = site::local().await?;
    enroll(&site, "BACKUP-1").await?;
    let target = site.folder.path().join("backup.db");
    let name = target.display().to_string();
    site.site().command("backup", &[&name]).await?;
    assert_eq!(target.metadata()?.permissions().mode() & 0o777, 0o600);
    let told = site.site().command("backup", &[&name]).await.unwrap_err().to_string();
    assert!(told.contains("backup.db"), "what is there is not overwritten: {told}");
    enroll(&site, "BACKUP-2").await?;
    let registrar = site.lab.registrar.stop().await;
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(registrar.folder().join(format!("registrar.db{suffix}")));
    }
    std::fs::copy(&target, registrar.folder().join("registrar.db"))?;
    let devices = json(&registrar, "device list", &[]).await?;
    assert_eq!(devices.as_array().unwrap().len(), 1);
    assert_eq!(devices[0]["serial"], "BACKUP-1");
    registrar.command::<&str>("event verify", &[]).await?;
    Ok(())
}
