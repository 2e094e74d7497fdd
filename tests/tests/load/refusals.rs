//! What makes no sense is refused before anything is started, and a server that is not there ends the run at once.

use brski_lab::pki::Manufacturer;
use brski_lab::process;
use brski_tests::scripted::ScriptedServer;
use http::Response;

use super::{good, refused, scripted, text};

#[tokio::test(flavor = "multi_thread")]
async fn impossible_numbers_are_refused_before_anything_starts() -> anyhow::Result<()> {
    let (server, url) = scripted(|_, _| good()).await?;
    for (arguments, words) in [
        (&["--connections", "0"][..], "--connections is from 1 to"),
        (&["--connections", "60001"], "--connections is from 1 to"),
        (&["--requests", "0"], "--requests is from 1 to"),
        (&["--duration", "0"], "--duration is from 1 to"),
        (&["--duration", "90000"], "--duration is from 1 to"),
        (&["--threads", "0"], "--threads is from 1 to"),
        (&["--messages", "0"], "--messages is from 1 to"),
        (&["--rate", "0"], "a rate is a number of requests a second"),
        (&["--rate", "fast"], "a rate is a number of requests a second"),
        (&["--tls", "1.1"], "1.2, 1.3"),
        (&["--keep", "folder"], "--keep keeps the certificates of --scenario onboard"),
        (&["--user", "somebody"], "--secret-file"),
    ] {
        let fixed = ["--scenario", "cacerts", "--url", &url, "--danger-any-server"];
        let told = refused(&[&fixed[..], arguments].concat(), 2).await?;
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    assert_eq!(server.seen().len(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_say_what_they_need() -> anyhow::Result<()> {
    let url = "https://127.0.0.1:1";
    for (scenario, arguments, words) in [
        ("onboard", &[][..], "--pki"),
        ("requestvoucher", &[], "brski-lab pki --pledges N"),
        ("simplereenroll", &[], "--clients"),
        ("onboard", &["--pki", ".", "--keep-alive"], "leave --keep-alive out"),
        ("stroll", &[], "possible values"),
    ] {
        let fixed = ["--scenario", scenario, "--url", url];
        let told = refused(&[&fixed[..], arguments].concat(), 2).await?;
        assert!(told.contains(words), "{scenario}: {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_this_machine_has_is_refused_by_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let manufacturer = Manufacturer::new("maker")?;
    std::fs::write(folder.path().join("ca.pem"), manufacturer.authority.pem())?;
    let idevid = manufacturer.authority.idevid("A", "localhost:1")?;
    brski_lab::pki::write(folder.path(), "idevid-A", &idevid)?;
    let path = text(folder.path());
    let fixed = ["--scenario", "onboard", "--url", "https://127.0.0.1:1", "--pki", &path];
    // More than the local ports of any system, and mostly more than its descriptors.
    let told = refused(&[&fixed[..], &["--connections", "60000"]].concat(), 2).await?;
    assert!(told.contains("60000 connections"), "{told}");
    assert!(told.contains("ulimit -Hn") || told.contains("ip_local_port_range"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_with_what_was_tried() -> anyhow::Result<()> {
    let address = format!("127.0.0.1:{}", process::free_port()?);
    let url = format!("https://{address}");
    let fixed = ["--scenario", "cacerts", "--url", &url, "--danger-any-server"];
    let told = refused(&fixed, 1).await?;
    let words = format!("{url} cannot be reached; tried: cannot connect to {address}");
    assert!(told.contains(&words), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_before_the_run() -> anyhow::Result<()> {
    let (server, url): (ScriptedServer, String) = scripted(|_, seen| {
        // CSR attributes with challengePassword: each CSR is to be linked to its session (RFC 7030 §4.5.2).
        let asks = seen.path.ends_with("csrattrs");
        let body = if asks { b"MAsGCSqGSIb3DQEJBw==".to_vec() } else { Vec::new() };
        Response::builder().header("content-type", "application/csrattrs").body(body).unwrap()
    })
    .await?;
    let fixed = ["--url", url.as_str(), "--scenario"];
    let any = "--danger-any-server";
    for (arguments, words) in [
        (&["cacerts"][..], "UnknownIssuer"),
        (&["cacerts", any, "--server-pid", "4194305"], "there is no process 4194305"),
        (&["cacerts", any, "--plot", "/nowhere/a.svg"], "there is no folder /nowhere"),
        (&["csrattrs", "--pki", "/nowhere"], "/nowhere"),
        (&["simpleenroll", any, "--name", "a.example.org"], "linked to its TLS session"),
    ] {
        let told = refused(&[&fixed[..], arguments].concat(), 1).await?;
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    assert_eq!(server.seen().len(), 1, "the one question for CSR attributes");
    Ok(())
}
