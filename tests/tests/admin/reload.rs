//! A changed configuration: what a running registrar takes up, what waits for a restart, and what is wrong.

use std::process::Command;
use std::time::Duration;

use brski_lab::pledge::journey;
use brski_lab::process;
use brski_tests::site::{self, edit, json};

#[tokio::test]
async fn what_can_be_applied_is_applied_and_the_rest_is_named() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    edit(registrar.folder(), "unexpected = \"admit\"", "unexpected = \"ask\"")?;
    edit(registrar.folder(), "validity_days = 365", "validity_days = 30")?;
    edit(registrar.folder(), "hold_secs = 10", "hold_secs = 1")?;
    let told = registrar.command::<&str>("reload", &[]).await?;
    assert!(told.contains("policy.unexpected: applies now"), "{told}");
    assert!(told.contains("profile.default.hold_secs: applies now"), "{told}");
    assert!(told.contains("issuer.local.validity_days: applies after a restart"), "{told}");
    // The running process asks a person from now on.
    let pledge = site.lab.pledge("RELOAD-1")?;
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let body = pledge.voucher_request(chain.own().unwrap())?.der;
    let voucher = (brski_voucher::path::REQUEST_VOUCHER, brski_voucher::media_type::VOUCHER_CMS);
    let answer = connection.post(voucher.0, voucher.1, body).await?;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let waiting = json(registrar, "approval list", &[]).await?;
    assert_eq!(waiting[0]["serial"], "RELOAD-1");
    // What waits for a restart is told again.
    let told = registrar.command::<&str>("reload", &[]).await?;
    assert_eq!(told, "issuer.local.validity_days: applies after a restart\n");
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    edit(registrar.folder(), "unexpected = \"admit\"", "unexpected = \"perhaps\"")?;
    edit(registrar.folder(), "hold_secs = 10", "hold_secs = 1000")?;
    let file = registrar.config();
    let told = registrar.command::<&str>("reload", &[]).await.unwrap_err().to_string();
    // The command reads the file, too, and stops at what is wrong with it.
    assert!(told.contains(&format!("{}: policy.unexpected", file.display())), "{told}");
    assert!(told.contains("profile.default.hold_secs"), "{told}");
    let label = journey::Label::default();
    let pledge = site.lab.pledge("RELOAD-2")?;
    journey::run(&pledge, site.lab.registrar.address(), &label).await?;
    Ok(())
}

#[tokio::test]
async fn a_profile_whose_issuer_does_not_run_yet_waits() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    let text = std::fs::read_to_string(registrar.config())?;
    let more = "\n[issuer.second]\nkind = \"local\"\ncertificate = \"device-ca.pem\"\n\
                key = \"device-ca.key\"\n[profile.second]\nissuer = \"second\"\nzone = \"iot.lab.example\"\n\
                [profile.third]\nissuer = \"local\"\nzone = \"iot.lab.example\"\n\
                [[policy.rule]]\ndecision = \"ask\"\nprofile = \"second\"\n";
    std::fs::write(registrar.config(), text + more)?;
    let told = registrar.command::<&str>("reload", &[]).await?;
    assert!(told.contains("profile.second.issuer: applies after a restart"), "{told}");
    assert!(told.contains("issuer.second.kind: applies after a restart"), "{told}");
    assert!(told.contains("profile.third.issuer: applies now"), "{told}");
    // A rule cannot give a profile that is not there yet.
    assert!(told.contains("policy.rule: applies after a restart"), "{told}");
    let allow = |profile: &'static str, serial: &'static str| {
        let arguments = [serial, "--manufacturer", "lab-devices", "--profile", profile];
        async move { registrar.command("device allow", &arguments).await }
    };
    allow("third", "THIRD-1").await?;
    let told = allow("second", "SECOND-1").await.unwrap_err().to_string();
    assert!(told.contains("no profile \"second\""), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again() -> anyhow::Result<()> {
    let site = site::local().await?;
    let registrar = site.site();
    edit(registrar.folder(), "unexpected = \"admit\"", "unexpected = \"refuse\"")?;
    let id = site.lab.registrar.process_id().unwrap().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status()?.success());
    let log = registrar.folder().join("registrar.log");
    let read = process::until(Duration::from_secs(10), async || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("the configuration was read again").then_some(text)
    });
    let text = read.await.expect("the log says so");
    assert!(text.contains("policy.unexpected"), "{text}");
    // Signals of a broken file change nothing either, and the daemon lives on.
    std::fs::write(registrar.config(), "listen = 7")?;
    assert!(Command::new("kill").args(["-HUP", &id]).status()?.success());
    let refused = process::until(Duration::from_secs(10), async || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("the configuration stays as it was").then_some(())
    });
    refused.await.expect("the log says so");
    let pledge = site.lab.pledge("HUP-1")?;
    let label = journey::Label::default();
    let address = site.lab.registrar.address();
    let refused = journey::run(&pledge, address, &label).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    Ok(())
}
