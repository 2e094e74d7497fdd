//! Rules of the configuration: the first that fits decides, and a reload changes them.

use brski_lab::pledge::journey::{self, Label};
use brski_tests::site::{edit, json};

use super::{ADMIT, append, ask, count, status, with_policy};

const RULES: &str = "unexpected = \"refuse\"
[[policy.rule]]
decision = \"refuse\"
note = \"stolen\"
devices = \"all\"
serial = [\"SN-1666\"]
[[policy.rule]]
decision = \"admit\"
manufacturer = \"lab-devices\"
serial_pattern = \"SN-1[0-9]{3}\"
name = \"{manufacturer}-{serial}\"
site = \"hall 3\"
[[policy.rule]]
decision = \"ask\"
serial = [\"SN-2000\"]
[[policy.rule]]
decision = \"admit\"
serial = [\"SN-3000\"]
not_after = 2020-01-01
[[policy.rule]]
decision = \"admit\"
serial = [\"SN-3001\"]
made_from = 2021-01-01
[[policy.rule]]
decision = \"admit\"
manufacturer = \"others\"
";

#[tokio::test]
async fn the_first_rule_that_fits_a_device_decides() -> anyhow::Result<()> {
    let site = with_policy(RULES).await?;
    for (serial, expected) in [
        ("SN-1000", 200),
        ("SN-1666", 404),
        ("XSN-1000", 403),
        ("SN-10000", 403),
        ("SN-2000", 202),
        // The rule's time is over; the lab's IDevIDs are of 2020; the manufacturer is another.
        ("SN-3000", 403),
        ("SN-3001", 403),
        ("SN-4000", 403),
    ] {
        assert_eq!(status(&site, serial).await?, expected, "{serial}");
    }
    let shown = json(site.site(), "device show", &["SN-1000"]).await?;
    assert_eq!(shown["device"]["name"], "lab-devices-sn-1000.iot.lab.example", "{shown}");
    assert_eq!(shown["device"]["site"], "hall 3", "{shown}");
    assert_eq!(count(&site, "device-refused-by-rule").await?, 1);
    let events = json(site.site(), "event list", &[]).await?;
    assert!(events.to_string().contains("rule 1 (stolen)"), "{events}");
    // What an operator expects is let in, unless a rule speaks of it too.
    for (serial, expected) in [("SN-4000", 200), ("SN-1666", 404)] {
        let arguments = [serial, "--manufacturer", "lab-devices"];
        site.site().command("device allow", &arguments).await?;
        assert_eq!(status(&site, serial).await?, expected, "{serial}");
    }
    Ok(())
}

#[tokio::test]
async fn a_reload_changes_the_rules_for_devices_old_and_new() -> anyhow::Result<()> {
    let site = with_policy("unexpected = \"ask\"").await?;
    let waits = site.lab.pledge("SN-1")?;
    assert_eq!(ask(&site, &waits).await?.status, 202);
    let folder = site.site().folder();
    append(folder, "[[policy.rule]]\ndecision = \"admit\"\nserial = [\"SN-1\"]")?;
    let told = site.site().command::<&str>("reload", &[]).await?;
    assert_eq!(told, "policy.rule: applies now\n");
    // Nobody has to answer a question that a rule answers.
    journey::run(&waits, site.lab.registrar.address(), &Label::default()).await?;
    let waiting = json(site.site(), "approval list", &[]).await?;
    assert_eq!(waiting, serde_json::json!([]));
    let (admit, refuse) =
        ("]]\ndecision = \"admit\"", "]]\ndevices = \"all\"\ndecision = \"refuse\"");
    edit(folder, admit, refuse)?;
    site.site().command::<&str>("reload", &[]).await?;
    let answer = ask(&site, &waits).await?;
    assert_eq!(answer.status, 404, "{}", answer.text());
    // A rule whose profile is not there changes nothing.
    edit(folder, "\nserial = [\"SN-1\"]", "\nserial = [\"SN-1\"]\nprofile = \"none\"")?;
    let told = site.site().command::<&str>("reload", &[]).await.unwrap_err().to_string();
    assert!(told.contains("policy.rule[1].profile: there is no [profile.none]"), "{told}");
    assert_eq!(ask(&site, &waits).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn the_same_request_is_judged_anew() -> anyhow::Result<()> {
    let site = with_policy(ADMIT).await?;
    let pledge = site.lab.pledge("SN-1")?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let body = pledge.voucher_request(chain.own().unwrap())?.der;
    let (path, media) =
        (brski_voucher::path::REQUEST_VOUCHER, brski_voucher::media_type::VOUCHER_CMS);
    assert_eq!(connection.post(path, media, body.clone()).await?.status, 200);
    assert_eq!(connection.post(path, media, body.clone()).await?.status, 200);
    let rule = "[[policy.rule]]\ndecision = \"refuse\"\ndevices = \"all\"\nserial = [\"SN-1\"]";
    append(site.site().folder(), rule)?;
    site.site().command::<&str>("reload", &[]).await?;
    assert_eq!(connection.post(path, media, body).await?.status, 404);
    Ok(())
}
