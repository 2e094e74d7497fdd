//! Each page, light, dark and on a phone: nothing that keeps people out, and pictures for the documents.

use std::path::PathBuf;

use brski_lab::pledge::journey::{self, Label};
use brski_tests::browser::{Browser, Look};
use brski_tests::console::ConsoleSite;
use brski_tests::programs;
use brski_tests::site::edit;
use serde_json::Value;

/// The pages with the names of their pictures.
const PAGES: [(&str, &str); 9] = [
    ("now", "now"),
    ("devices", "devices"),
    ("devices/PUMP-1", "device"),
    ("devices/import", "import"),
    ("approvals", "approvals"),
    ("orders", "orders"),
    ("manufacturers", "manufacturers"),
    ("events", "events"),
    ("health", "health"),
];

/// What runs axe-core with every rule that it has, and gives what it found.
const AXE: &str = "const done = arguments[arguments.length - 1]; \
                   axe.run(document).then((found) => done(found.violations.map((each) => \
                   `${each.impact} ${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`)))";

/// A site with something on every page.
async fn lively() -> anyhow::Result<ConsoleSite> {
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let address = open.site.lab.registrar.address();
    for number in 1..=5 {
        let pledge = open.site.lab.pledge(&format!("PUMP-{number}"))?;
        journey::run(&pledge, address, &Label::default()).await?;
    }
    edit(open.site.site().folder(), "unexpected = \"admit\"", "unexpected = \"ask\"")?;
    let none: [&str; 0] = [];
    open.site.site().command("reload", &none).await?;
    for number in 1..=2 {
        let pledge = open.site.lab.pledge(&format!("VALVE-{number}"))?;
        let waits = journey::bootstrap(&pledge, address);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), waits).await;
    }
    open.site.site().command("device block", &["PUMP-5"]).await?;
    Ok(open)
}

/// Where pictures go, where somebody wants them: `CONSOLE_PICTURES=$PWD/docs/console cargo test … --test console pages`.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("CONSOLE_PICTURES").map(PathBuf::from)
}

async fn keeps_nobody_out(look: Look, suffix: &str) -> anyhow::Result<()> {
    let Some(axe) = programs::node("axe.min.js") else {
        return Ok(());
    };
    let axe = std::fs::read_to_string(axe)?;
    let Some(browser) = Browser::start(look).await? else {
        return Ok(());
    };
    let open = lively().await?;
    browser.client.goto(&open.url("login")).await?;
    browser.see("Token").await?;
    assert_accessible(&browser, &axe, "login").await?;
    browser.client.goto(&open.link().await?).await?;
    browser.click("main button").await?;
    browser.see("Where devices are").await?;
    for (page, name) in PAGES {
        browser.client.goto(&open.url(page)).await?;
        assert_accessible(&browser, &axe, page).await?;
        // Nothing sticks out of the window: only tables scroll, in a frame of their own.
        let wide = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.client.execute(wide, vec![]).await?, Value::Bool(true), "{page}");
        if let Some(folder) = pictures() {
            std::fs::create_dir_all(&folder)?;
            let picture = browser.client.screenshot().await?;
            std::fs::write(folder.join(format!("{name}{suffix}.png")), picture)?;
        }
    }
    browser.end().await
}

async fn assert_accessible(browser: &Browser, axe: &str, page: &str) -> anyhow::Result<()> {
    browser.client.execute(axe, vec![]).await?;
    let found = browser.client.execute_async(AXE, vec![]).await?;
    assert_eq!(found, Value::Array(vec![]), "{page}");
    Ok(())
}

#[tokio::test]
async fn light_pages_keep_nobody_out() -> anyhow::Result<()> {
    keeps_nobody_out(Look::Light, "-light").await
}

#[tokio::test]
async fn dark_pages_keep_nobody_out() -> anyhow::Result<()> {
    keeps_nobody_out(Look::Dark, "-dark").await
}

#[tokio::test]
async fn pages_on_a_phone_keep_nobody_out() -> anyhow::Result<()> {
    keeps_nobody_out(Look::Phone, "-phone").await
}
