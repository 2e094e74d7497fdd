//! What `registrar check` says beforehand of a DNS server that will not take updates.

use std::net::SocketAddr;
use std::path::Path;

use brski_lab::process;
use brski_lab::registrar::Site;
use brski_tests::dns::{DnsServer, Key, ZoneFile};
use brski_tests::{programs, site};

const ZONE: &str = "iot.example.org";

/// A folder of `registrar init` whose zone is updated at a server.
async fn made(folder: &Path, server: SocketAddr, more: &str) -> anyhow::Result<Site> {
    let site = Site::new(&programs::ours("registrar")?, &folder.join("registrar"))?;
    let listen = format!("127.0.0.1:{}", process::free_port()?);
    site.init(&["--domain", ZONE, "--listen", &listen]).await?;
    let keys = format!(
        "solver = \"rfc2136\"\nserver = \"{server}\"\nname_servers = [\"{server}\"]\n\
         tsig_key = \"tsig.key\"\n{more}"
    );
    site::edit(site.folder(), "solver = \"built-in\"", &keys)?;
    Ok(site)
}

async fn problem(site: &Site) -> String {
    match site.command::<&str>("check", &[]).await {
        Ok(text) => text,
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn check_tries_an_update_and_names_what_is_wrong() -> anyhow::Result<()> {
    let (key, bystander) = (Key::new("acme", "hmac-sha256")?, Key::new("else", "hmac-sha256")?);
    let zones = [
        ZoneFile::new(ZONE, std::slice::from_ref(&key)),
        ZoneFile::new("else.example.org", std::slice::from_ref(&bystander)),
    ];
    let Some(server) = DnsServer::bind(&zones).await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let site = made(folder.path(), server.address, "").await?;
    let file = site.folder().join("tsig.key");
    let place = r#"zone."iot.example.org""#;
    key.write(&file)?;
    assert_eq!(problem(&site).await.trim(), "ok");
    for (wrong, word) in [
        (Key::new("unknown", "hmac-sha256")?, "BADKEY"),
        (Key::new("acme", "hmac-sha256")?, "BADSIG"),
        (Key::new("acme", "hmac-sha512")?, "BAD"),
        (bystander, "REFUSED"),
    ] {
        wrong.write(&file)?;
        let said = problem(&site).await;
        assert!(said.contains(&format!("{place}.tsig_key: ")) && said.contains(word), "{said}");
        assert!(said.contains("registrar.toml"), "{said}");
    }
    key.write(&file)?;
    site::edit(site.folder(), "tsig_key =", "update_zone = \"example.org\"\ntsig_key =")?;
    let said = problem(&site).await;
    assert!(said.contains(&format!("{place}.update_zone: ")), "{said}");
    assert!(said.contains("NOTAUTH"), "{said}");
    let axfr = brski_tests::dns::dig(server.address, &[ZONE, "AXFR"]).await?;
    assert!(!axfr.contains("registrar-check"), "nothing is left of it: {axfr}");
    server.stop().await;
    let said = problem(&site).await;
    assert!(said.contains(&format!("{place}.server: ")), "{said}");
    Ok(())
}

#[tokio::test]
async fn check_tries_knot_and_an_alias_elsewhere() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha384")?;
    let zones = [ZoneFile::new("acme.example.net", std::slice::from_ref(&key))];
    let Some(server) = DnsServer::knot(&zones).await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let alias = "challenge_alias = \"all.acme.example.net\"\nupdate_zone = \"acme.example.net\"";
    let site = made(folder.path(), server.address, alias).await?;
    key.write(&site.folder().join("tsig.key"))?;
    assert_eq!(problem(&site).await.trim(), "ok");
    site::edit(site.folder(), "update_zone = \"acme.example.net\"\n", "")?;
    let said = problem(&site).await;
    assert!(said.contains("update_zone: ") && said.contains("NOTAUTH"), "{said}");
    assert!(server.texts("all.acme.example.net").await?.is_empty());
    server.stop().await;
    Ok(())
}
