//! Each form with what it cannot take: the page names the field and what is allowed, and nothing is changed.

use brski_lab::pki::Authority;
use brski_lab::pledge::journey::{self, Label};
use brski_tests::console::{ConsoleSite, text};
use brski_tests::site::edit;

const LABELS: &str = "Labels of 1 to 63 letters, digits and &#39;-&#39;";

/// Whatever the template makes of an apostrophe.
fn plain(shown: &str) -> String {
    shown.replace('\'', "&#39;")
}

#[tokio::test]
async fn each_form_of_a_manufacturer_names_the_field_and_what_is_allowed() -> anyhow::Result<()> {
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let operator = open.visitor("operator").await?;
    let ca = Authority::new("pumps")?.pem();
    let pem = "-----BEGIN CERTIFICATE-----";
    for (field, value, label, allowed) in [
        ("name", "a b", "Name", "1 to 64 letters"),
        ("name", "", "Name", "1 to 64 letters"),
        ("name", "lab-devices", "Name", "which no other manufacturer has"),
        ("ca", "nonsense", "The CA that signed its IDevIDs", pem),
        ("ca", "", "The CA that signed its IDevIDs", pem),
        ("masa_url", "localhost:0", "The MASA&#39;s address", "https://host/path"),
        ("masa_hosts", "https://x/", "Hosts", "without scheme and path"),
        ("masa_ca", "nonsense", "The CA of its MASA&#39;s TLS certificate", pem),
        ("voucher_ca", "nonsense", "The CA of its voucher signers", pem),
    ] {
        let mut fields = vec![("name", "pumps"), ("ca", ca.as_str())];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let answer = operator.submit("manufacturers/add", &fields).await?;
        let shown = plain(&text(&answer));
        assert!([400, 409].contains(&answer.status().as_u16()), "{field}: {shown}");
        assert!(shown.contains(&format!("<strong>{label}</strong>")), "{field}: {shown}");
        assert!(shown.contains(allowed) && shown.contains("is still there"), "{field}: {shown}");
        assert!(!shown.contains(">give --"), "{field}: {shown}");
    }
    assert!(!text(&operator.get("manufacturers").await?).contains(">pumps<"));
    Ok(())
}

#[tokio::test]
async fn each_form_of_a_device_names_the_field_and_what_is_allowed() -> anyhow::Result<()> {
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let operator = open.visitor("operator").await?;
    let device = open.site.lab.pledge("FORM-1")?;
    journey::run(&device, open.site.lab.registrar.address(), &Label::default()).await?;
    let by = "The device that takes its place (identifier, name or serial number)";
    for (fields, label, allowed) in [
        ([("action", "rename"), ("name", "a b")], "Another name", LABELS),
        ([("action", "rename"), ("name", "-a")], "Another name", LABELS),
        ([("action", "replace"), ("by", "nosuch")], by, "of which this fits one alone"),
        ([("action", "replace"), ("by", "FORM-1")], by, "Another device"),
    ] {
        let answer = operator.submit("devices/FORM-1", &fields).await?;
        let shown = plain(&text(&answer));
        assert!(answer.status().is_client_error(), "{fields:?}: {shown}");
        assert!(shown.contains(&format!("<strong>{label}</strong>")), "{fields:?}: {shown}");
        assert!(shown.contains(allowed), "{fields:?}: {shown}");
    }
    for (page, fields, words) in [
        ("devices/FORM-1", &[("action", "explode")][..], "rename, replace, block, restore, retire"),
        ("devices", &[("action", "block")], "no device was chosen"),
        ("devices", &[("action", "explode"), ("device", "FORM-1")], "block, restore or retire"),
        ("devices/import", &[("csv", "serial\n")], "manufacturer"),
        ("devices/import", &[("csv", "serial,manufacturer\nA-1,nosuch\n")], "line 2"),
        ("orders/nosuch", &[("action", "retry")], "no"),
    ] {
        let answer = operator.submit(page, fields).await?;
        let shown = text(&answer).replace('`', "");
        assert!(shown.contains(words), "{page} {fields:?}: {shown}");
    }
    assert!(text(&operator.get("devices/FORM-1").await?).contains("enrolled"));
    Ok(())
}

#[tokio::test]
async fn a_decision_names_the_field_and_what_is_allowed() -> anyhow::Result<()> {
    let open =
        ConsoleSite::start(|folder| edit(folder, "unexpected = \"admit\"", "unexpected = \"ask\""))
            .await?;
    let operator = open.visitor("operator").await?;
    let pledge = open.site.lab.pledge("ASKS-1")?;
    let waits = journey::bootstrap(&pledge, open.site.lab.registrar.address());
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), waits).await;
    let shown = text(&operator.get("approvals").await?);
    let (_, id) = shown.split_once("action=\"/console/approvals/").expect("it waits");
    let page = format!("approvals/{}", id.split('"').next().unwrap());
    for (field, value, label, allowed) in [
        ("name", "a b", "Name", LABELS),
        ("profile", "nosuch", "Profile", "One of the profiles of the configuration"),
    ] {
        let answer = operator.submit(&page, &[("action", "grant"), (field, value)]).await?;
        let shown = plain(&text(&answer));
        assert_eq!(answer.status(), 400, "{shown}");
        assert!(shown.contains(&format!("<strong>{label}</strong>")), "{shown}");
        assert!(shown.contains(allowed), "{shown}");
    }
    let answer = operator.submit(&page, &[("action", "maybe")]).await?;
    assert!(text(&answer).contains("grant") && text(&answer).contains("refuse"));
    assert!(text(&operator.get("approvals").await?).contains("ASKS-1"), "it still waits");
    Ok(())
}

#[tokio::test]
async fn each_search_names_the_field_and_keeps_what_was_written() -> anyhow::Result<()> {
    let open = ConsoleSite::start(|_| Ok(())).await?;
    let viewer = open.visitor("viewer").await?;
    let device = "Device (identifier, name or serial number)";
    for (page, label, allowed, kept) in [
        ("events?since=yesterday", "Not older than", "15m, 24h or 7d", "value=\"yesterday\""),
        ("events?kind=nosuch", "Kind", "One of the kinds", "value=\"nosuch\""),
        ("events?verdict=maybe", "Verdict", "done, refused, waiting or failed", ""),
        ("events?device=nosuch", device, "One device", "value=\"nosuch\""),
        ("orders?device=nosuch", device, "One device", "value=\"nosuch\""),
        ("orders?state=odd", "State", "One of the states", ""),
        ("devices?state=odd", "State", "One of the states", ""),
        ("devices?manufacturer=nosuch", "Manufacturer", "One of the manufacturers", ""),
    ] {
        let answer = viewer.get(page).await?;
        let shown = text(&answer);
        assert_eq!(answer.status(), 200, "{page}: {shown}");
        assert!(shown.contains("role=\"alert\""), "{page}: {shown}");
        assert!(shown.contains(&format!("<strong>{label}")), "{page}: {shown}");
        assert!(shown.contains(allowed) && shown.contains(kept), "{page}: {shown}");
    }
    Ok(())
}
