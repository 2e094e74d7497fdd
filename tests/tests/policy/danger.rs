//! What a registrar does only where `[danger]` says so (RFC 8995 §7.3).

use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_tests::site::{self, TestSite, edit};

use super::{ask, restarted};

const ALLOWED: &str = "allow_lab_anchors = true";

#[tokio::test]
async fn anchors_of_a_lab_are_refused_unless_the_configuration_says_so() -> anyhow::Result<()> {
    let site = site::local().await?;
    let process = site.site().clone();
    let log = std::fs::read_to_string(process.folder().join("registrar.log"))?;
    assert!(log.contains("danger.allow_lab_anchors is true"), "said at each start: {log}");
    let TestSite { lab, folder: _kept } = site;
    lab.registrar.stop().await;
    edit(process.folder(), ALLOWED, "allow_lab_anchors = false")?;
    let told = process.serve().await.err().expect("it does not start").to_string();
    assert!(
        told.contains("manufacturer \"lab-devices\" has an anchor that is good for a lab"),
        "{told}"
    );
    // Nobody adds one by accident.
    let anchor = process.folder().join("other.pem");
    std::fs::write(&anchor, Manufacturer::new("others")?.authority.pem())?;
    let arguments = ["--name", "others", "--ca", anchor.to_str().unwrap()];
    let told = process.command("manufacturer add", &arguments).await.unwrap_err().to_string();
    assert!(told.contains("a certificate says LAB ONLY"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_device_of_nobody_gets_in_only_where_the_configuration_says_so() -> anyhow::Result<()> {
    let site = site::local().await?;
    let strange = Manufacturer::new("strangers")?;
    let idevid = strange.authority.idevid("STRANGE-1", &site.lab.masa.url())?;
    let pledge = Pledge::new(idevid, strange.authority.certificate())?;
    let answer = ask(&site, &pledge).await?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    let folder = site.site().folder().to_owned();
    let site = restarted(site, async |_| {
        let key = "accept_any_device_as = \"pumps\"";
        edit(&folder, &format!("# {key}"), "accept_any_device_as = \"lab-devices\"")
    })
    .await?;
    let log = std::fs::read_to_string(folder.join("registrar.log"))?;
    assert!(log.contains("danger.accept_any_device_as is set"), "said at each start: {log}");
    // The registrar takes it at its word; its MASA knows better.
    let answer = ask(&site, &pledge).await?;
    assert_ne!(answer.status, 202);
    let device = brski_tests::site::json(site.site(), "device show", &["STRANGE-1"]).await?;
    assert_eq!(device["device"]["manufacturer"], "lab-devices", "{device}");
    Ok(())
}
