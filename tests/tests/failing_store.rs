//! What the registrar does while its database fails: it promises nothing, says when to come back, and recovers by
//! itself.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use brski_lab::pledge::journey;
use brski_tests::postgres::Cluster;
use brski_tests::programs::{skipped, workspace};
use brski_tests::site::{self, TestSite, edit, json};
use brski_voucher::{media_type, path};

/// Asks for a voucher and expects that it is put off.
async fn assert_put_off(site: &TestSite, serial: &str) -> anyhow::Result<()> {
    let pledge = site.lab.pledge(serial)?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let own = chain.own().expect("a server has a certificate");
    let body = pledge.voucher_request(own)?.der;
    let answer = connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.retry_after, "10");
    assert!(answer.text().contains("try again"), "{}", answer.text());
    Ok(())
}

/// Takes a device through, and expects exactly these devices afterwards.
async fn assert_works(site: &TestSite, serial: &str, devices: usize) -> anyhow::Result<()> {
    let pledge = site.lab.pledge(serial)?;
    let address = site.lab.registrar.address();
    journey::run(&pledge, address, &journey::Label::default()).await?;
    let list = json(site.site(), "device list", &[]).await?;
    let states: Vec<&str> =
        list.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, vec!["enrolled"; devices], "nothing is half-done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_away_and_comes_back() -> anyhow::Result<()> {
    let Some(mut cluster) = Cluster::start()? else {
        return Ok(());
    };
    let url = cluster.database()?;
    let site = site::prepared(|folder| on_postgres(folder, &url, "one")).await?;
    assert_works(&site, "PG-1", 1).await?;
    cluster.stop()?;
    assert_put_off(&site, "PG-2").await?;
    assert_put_off(&site, "PG-2").await?;
    cluster.resume()?;
    assert_works(&site, "PG-2", 2).await?;
    let site = site.lab.registrar.stop().await;
    drop(site);
    Ok(())
}

/// Puts the store of a fresh folder into PostgreSQL.
fn on_postgres(folder: &Path, url: &str, node: &str) -> anyhow::Result<Vec<OsString>> {
    use std::os::unix::fs::PermissionsExt as _;

    let file = folder.join("postgres.url");
    std::fs::write(&file, url)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let store = format!("url_file = \"postgres.url\"\nnode = \"{node}\"");
    edit(folder, "path = \"registrar.db\"", &store)?;
    Ok(Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_put_up_with() -> anyhow::Result<()> {
    let mounts = Command::new("unshare").args(["--mount", "true"]).status();
    if !mounts.is_ok_and(|status| status.success()) {
        skipped("a small disk needs a mount namespace, which this user may not make");
        return Ok(());
    }
    let site = site::prepared(|folder| {
        std::fs::create_dir(folder.join("disk"))?;
        edit(folder, "path = \"registrar.db\"", "path = \"disk/registrar.db\"")?;
        let script = "mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", script].map(OsString::from);
        Ok(words.into_iter().chain([folder.join("disk").into()]).collect())
    })
    .await?;
    assert_works(&site, "DISK-1", 1).await?;
    let process = site.lab.registrar.process_id().context("it runs")?;
    let inside = format!("/proc/{process}/root{}", site.site().folder().join("disk").display());
    let filler = Path::new(&inside).join("filler");
    let filled = std::fs::write(&filler, vec![0; 8 << 20]);
    ensure!(filled.is_err(), "the disk should be full");
    for _ in 0..3 {
        assert_put_off(&site, "DISK-2").await?;
    }
    std::fs::remove_file(&filler)?;
    assert_works(&site, "DISK-2", 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_turns_read_only_is_put_up_with() -> anyhow::Result<()> {
    let library = tempfile::tempdir()?;
    let (object, switch) = (library.path().join("fail_writes.so"), library.path().join("error"));
    let source = workspace().join("tests/faults/fail_writes.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&object, &source])
        .status()?;
    ensure!(compiled.success(), "cc cannot compile {}", source.display());
    let variable = |name: &str, path: &Path| {
        let mut text = OsString::from(format!("{name}="));
        text.push(path);
        text
    };
    let site = site::prepared(|_| {
        let variables = [variable("LD_PRELOAD", &object), variable("FAIL_WRITES", &switch)];
        Ok(std::iter::once("env".into()).chain(variables).collect())
    })
    .await?;
    assert_works(&site, "RO-1", 1).await?;
    // EROFS.
    std::fs::write(&switch, "30")?;
    for _ in 0..3 {
        assert_put_off(&site, "RO-2").await?;
    }
    std::fs::remove_file(&switch)?;
    assert_works(&site, "RO-2", 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_database_does_not_start() -> anyhow::Result<()> {
    let first = site::local().await?;
    let database = first.site().folder().join("registrar.db");
    let second = site::prepared(|folder| {
        edit(folder, "registrar.db", &database.display().to_string())?;
        Ok(Vec::new())
    });
    let error = second.await.err().context("two daemons write to one file")?.to_string();
    assert!(error.contains("another registrar process uses"), "{error}");
    assert_works(&first, "ONE", 1).await
}
