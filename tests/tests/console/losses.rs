//! A log-in, a registrar and a database that are lost while a page is open: it says so, and comes back by itself.

use std::os::unix::fs::PermissionsExt as _;

use brski_tests::browser::{Browser, Look};
use brski_tests::console::ConsoleSite;
use brski_tests::postgres::Cluster;
use brski_tests::site::edit;

use crate::people::log_in;

const AWAY: &str = "The registrar or its database is away";

#[tokio::test]
async fn an_open_page_sees_a_restart_and_leads_back_through_the_log_in() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let mut open = ConsoleSite::start(|_| Ok(())).await?;
    log_in(&browser, &open).await?;
    browser.client.goto(&open.url("approvals")).await?;
    browser.see("Nobody waits").await?;
    let site = open.site.lab.registrar.stop().await;
    browser.see(AWAY).await?;
    browser.see("Nobody waits").await?;
    open.site.lab.registrar = site.serve().await?;
    // Sessions end with the process that had them.
    browser.see("Token").await?;
    let (_, token) = brski_tests::console::TOKENS[0];
    browser.write("#token", token).await?;
    browser.click("main form button").await?;
    browser.see("Nobody waits").await?;
    browser.end().await
}

#[tokio::test]
async fn a_log_in_that_is_over_is_said_where_it_is_noticed() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let (_, token) = brski_tests::console::TOKENS[2];
    let list = "serial,manufacturer\nLOST-1,lab-devices\n";
    let file = open.site.folder.path().join("list.csv");
    std::fs::write(&file, list)?;
    let file = file.display().to_string();
    open.site.site().command("device import", &[file.as_str()]).await?;
    browser.client.goto(&open.url("devices/LOST-1")).await?;
    browser.write("#token", token).await?;
    browser.click("main form button").await?;
    browser.see("What can be done").await?;
    // Whoever is taken out of the configuration is out, also with a page open.
    let section = "[admin.token.operator]\nrole = \"operator\"\nfile = \"operator.token\"\n";
    edit(open.site.site().folder(), section, "")?;
    let none: [&str; 0] = [];
    open.site.site().command("reload", &none).await?;
    browser.click("button[value=block]").await?;
    browser.see("you are not logged in any more, and nothing was changed").await?;
    browser.click("main a").await?;
    browser.see("Token").await?;
    browser.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_and_the_page_comes_back_with_it() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let Some(mut cluster) = Cluster::start()? else {
        return Ok(());
    };
    let url = cluster.database()?;
    let open = ConsoleSite::start(|folder| {
        let file = folder.join("postgres.url");
        std::fs::write(&file, &url)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let store = "url_file = \"postgres.url\"\nnode = \"one\"";
        edit(folder, "path = \"registrar.db\"", store)
    })
    .await?;
    log_in(&browser, &open).await?;
    browser.client.goto(&open.url("approvals")).await?;
    browser.see("Nobody waits").await?;
    cluster.stop()?;
    // The open page notices by itself; another one says it instead of its content.
    browser.see(AWAY).await?;
    browser.client.goto(&open.url("devices")).await?;
    browser.see("Try later").await?;
    browser.see("This page tries again by itself").await?;
    cluster.resume()?;
    browser.see("No device fits").await?;
    browser.end().await
}
