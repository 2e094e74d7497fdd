//! What a person does with the page, in a real browser.

use std::time::Duration;

use brski_lab::pledge::journey::{self, Label};
use brski_tests::browser::{Browser, Look};
use brski_tests::console::ConsoleSite;
use brski_tests::site::{edit, event_kinds};
use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::Value;

/// Text that would run if a page took it for its own.
const HOSTILE: &str = "\"><script>window.hacked=1</script><img src=x onerror=window.hacked=1>";

pub(crate) async fn log_in(browser: &Browser, open: &ConsoleSite) -> anyhow::Result<()> {
    browser.client.goto(&open.link().await?).await?;
    browser.click("main button").await?;
    browser.see("Where devices are").await
}

async fn asking() -> anyhow::Result<ConsoleSite> {
    ConsoleSite::start(|folder| edit(folder, "unexpected = \"admit\"", "unexpected = \"ask\""))
        .await
}

#[tokio::test]
async fn a_waiting_pledge_is_let_in_with_one_click_and_is_seen_to_enroll() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = asking().await?;
    log_in(&browser, &open).await?;
    browser.click("a[href='/console/approvals']").await?;
    browser.see("Nobody waits").await?;
    // The page is open while the device arrives, and shows it by itself.
    let pledge = open.site.lab.pledge("WAITS-1")?;
    let address = open.site.lab.registrar.address();
    let arriving = tokio::spawn(async move {
        let label = Label::default();
        loop {
            match journey::run(&pledge, address, &label).await {
                Ok(enrolled) => return enrolled,
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    });
    browser.see("WAITS-1 of lab-devices").await?;
    browser.see("nobody expects it").await?;
    browser.write("input[name=name]", "pump-7").await?;
    browser.click("button[value=grant]").await?;
    browser.see("Nobody waits").await?;
    let enrolled = tokio::time::timeout(Duration::from_secs(90), arriving).await??;
    assert_eq!(enrolled.certificate.dns_names(), ["pump-7.iot.lab.example"]);
    browser.client.goto(&open.url("devices?text=pump-7")).await?;
    browser.click("tbody a").await?;
    browser.see("certificate-issued").await?;
    browser.see("approval-granted").await?;
    let kinds = event_kinds(open.site.site()).await?;
    assert!(kinds.contains(&"approval-granted".to_owned()), "{kinds:?}");
    browser.end().await
}

#[tokio::test]
async fn one_of_ten_thousand_devices_is_found_while_it_is_typed() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let mut list = "serial,manufacturer,name,profile,site\n".to_owned();
    for number in 0..10_000 {
        list.push_str(&format!("SN-{number:05},lab-devices,,,\"hall {}\"\n", number % 7));
    }
    let file = open.site.folder.path().join("list.csv");
    std::fs::write(&file, list)?;
    let file = file.display().to_string();
    open.site.site().command("device import", &[file.as_str()]).await?;
    log_in(&browser, &open).await?;
    browser.see("10000").await?;
    browser.client.goto(&open.url("devices")).await?;
    browser.see("Next page").await?;
    assert_eq!(browser.client.find_all(Locator::Css("tbody tr")).await?.len(), 50);
    browser.write("#text", "SN-07654").await?;
    let found = brski_lab::process::until(Duration::from_secs(20), async || {
        let rows = browser.client.find_all(Locator::Css("tbody tr")).await.ok()?;
        (rows.len() == 1).then_some(())
    });
    assert!(found.await.is_some(), "{}", browser.text().await?);
    browser.see("SN-07654").await?;
    // What is typed is in the address, so that a reader may send it on.
    assert!(browser.client.current_url().await?.as_str().contains("text=SN-07654"));
    browser.click("tbody a").await?;
    browser.see("device-expected").await?;
    browser.end().await
}

#[tokio::test]
async fn hostile_text_is_shown_and_never_run() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = asking().await?;
    // A serial number, a site, a name in a certificate, a peer: each is the device's or somebody else's own text.
    let list = format!(
        "serial,manufacturer,site\nSITE-1,lab-devices,\"{}\"\n",
        HOSTILE.replace('"', "\"\"")
    );
    let file = open.site.folder.path().join("list.csv");
    std::fs::write(&file, list)?;
    let file = file.display().to_string();
    open.site.site().command("device import", &[file.as_str()]).await?;
    let pledge = open.site.lab.pledge(HOSTILE)?;
    let refused = journey::bootstrap(&pledge, open.site.lab.registrar.address());
    let _ = tokio::time::timeout(Duration::from_secs(2), refused).await;
    log_in(&browser, &open).await?;
    for (page, words) in [
        ("approvals", HOSTILE),
        ("devices", HOSTILE),
        ("devices?text=%22%3E%3Cscript%3Ewindow.hacked%3D1", HOSTILE),
        ("events", "window.hacked=1"),
        ("events?kind=%22%3E%3Cscript%3Ewindow.hacked%3D1", "no event is ever of the kind"),
        ("now", "Where devices are"),
    ] {
        browser.client.goto(&open.url(page)).await?;
        browser.see(words).await?;
        let hacked = browser.client.execute("return window.hacked === undefined", vec![]).await?;
        assert_eq!(hacked, Value::Bool(true), "{page}");
    }
    browser.client.goto(&open.url("devices/SITE-1")).await?;
    browser.see(HOSTILE).await?;
    browser.end().await
}

#[tokio::test]
async fn a_form_that_is_wrong_says_which_line_and_why() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = ConsoleSite::start(|_| Ok(())).await?;
    log_in(&browser, &open).await?;
    browser.client.goto(&open.url("devices/import")).await?;
    browser.write("#csv", "serial,manufacturer\nA-1,lab-devices\nA-2,nosuch\n").await?;
    browser.click("main button").await?;
    browser.see("line 3").await?;
    browser.see("nosuch").await?;
    // What was typed is still there to be mended.
    let typed = browser.client.find(Locator::Css("#csv")).await?.prop("value").await?;
    assert!(typed.unwrap_or_default().contains("A-2,nosuch"));
    browser.client.goto(&open.url("manufacturers")).await?;
    browser.write("#name", "pumps").await?;
    browser.write("#ca", "this is no certificate").await?;
    browser.click("section button").await?;
    browser.see("ca").await?;
    browser.see("PEM").await?;
    browser.end().await
}

/// Where somebody is who goes by the keyboard, and whether that can be seen.
const FOCUS: &str = "const at = document.activeElement; const style = getComputedStyle(at); \
                     return [at.id || at.className || at.textContent.trim(), style.outlineStyle !== 'none']";

/// Goes on by the key Tab until somebody is at this element; every stop on the way can be seen.
async fn tab_to(browser: &Browser, wanted: &str) -> anyhow::Result<()> {
    for _ in 0..60 {
        browser.press(Key::Tab).await?;
        let at = browser.client.execute(FOCUS, vec![]).await?;
        assert_eq!(at[1], Value::Bool(true), "where {} is cannot be seen", at[0]);
        if at[0].as_str().is_some_and(|at| at.starts_with(wanted)) {
            return Ok(());
        }
    }
    anyhow::bail!("the keyboard does not lead to {wanted}")
}

#[tokio::test]
async fn devices_are_let_in_and_refused_by_the_keyboard_alone() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = asking().await?;
    let address = open.site.lab.registrar.address();
    let ask = async |serial: &str| -> anyhow::Result<()> {
        let pledge = open.site.lab.pledge(serial)?;
        let waits = journey::bootstrap(&pledge, address);
        let _ = tokio::time::timeout(Duration::from_secs(1), waits).await;
        Ok(())
    };
    ask("KEYS-1").await?;
    browser.client.goto(&open.url("login?next=/console/approvals")).await?;
    browser.see("Token").await?;
    let (_, token) = brski_tests::console::TOKENS[1];
    tab_to(&browser, "token").await?;
    browser.type_keys(token).await?;
    browser.press(Key::Enter).await?;
    browser.see("KEYS-1 of lab-devices").await?;
    // Past the links of all pages at once.
    tab_to(&browser, "skip").await?;
    browser.press(Key::Enter).await?;
    tab_to(&browser, "name-").await?;
    browser.type_keys("pump-").await?;
    // Another device arrives: neither the place nor what is written is lost.
    ask("KEYS-2").await?;
    browser.see("KEYS-2 of lab-devices").await?;
    browser.type_keys("9").await?;
    tab_to(&browser, "profile-").await?;
    tab_to(&browser, "grant-").await?;
    browser.press(Key::Enter).await?;
    browser.see("KEYS-1 is expected now, as pump-9.iot.lab.example").await?;
    let at = browser.client.execute(FOCUS, vec![]).await?;
    assert_eq!(at[0], "done", "whoever decided goes on from what came of it");
    tab_to(&browser, "refuse-").await?;
    browser.press(Key::Space).await?;
    browser.see("KEYS-2 is blocked now").await?;
    browser.see("Nobody waits").await?;
    browser.end().await
}

#[tokio::test]
async fn what_a_device_and_its_masa_sent_is_unfolded_and_stays_so() -> anyhow::Result<()> {
    let Some(browser) = Browser::start(Look::Light).await? else {
        return Ok(());
    };
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let pledge = open.site.lab.pledge("STORY-1<b>")?;
    let address = open.site.lab.registrar.address();
    journey::run(&pledge, address, &Label::default()).await?;
    log_in(&browser, &open).await?;
    browser.client.goto(&open.url("devices?text=STORY-1")).await?;
    browser.click("tbody a").await?;
    browser.see("Artefacts").await?;
    assert!(!browser.text().await?.contains("pinned-domain-cert"), "it is folded away");
    for (name, words) in [
        ("asked", "pledge-request in cms"),
        ("forwarded", "prior-signed-voucher-request"),
        ("voucher", "pinned-domain-cert"),
        ("audit-log", "audit-log in json"),
    ] {
        browser.click(&format!("#{name} summary")).await?;
        browser.see(words).await?;
    }
    browser.click("details[id^=csr-] summary").await?;
    browser.see("CSR").await?;
    browser.see("signature        holds").await?;
    browser.click("details[id^=certificate-] summary").await?;
    browser.see("DNS name").await?;
    browser.see("STORY-1<b>").await?;
    // Something happens to it: the page shows it, and what was open is open.
    open.site.site().command("device block", &["STORY-1<b>"]).await?;
    browser.see("device-blocked").await?;
    browser.see("pinned-domain-cert").await?;
    browser.end().await
}
