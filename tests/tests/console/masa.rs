//! The test of a MASA: what is there, what is not, and what must not be called.

use brski_lab::pki::Authority;
use brski_lab::process;
use brski_tests::console::{ConsoleSite, Visitor, text};
use brski_tests::scripted::ScriptedServer;
use brski_tests::site::{edit, json};

async fn open() -> anyhow::Result<ConsoleSite> {
    ConsoleSite::start(|folder| {
        edit(folder, "masa_timeout_secs = 10", "masa_timeout_secs = 1")?;
        Ok(())
    })
    .await
}

/// What the page says of the MASA of a manufacturer at this address.
async fn tested(operator: &Visitor, name: &str, url: &str) -> anyhow::Result<String> {
    let page = format!("manufacturers/{name}/test");
    let answer = operator.submit(&page, &[("url", url)]).await?;
    assert_eq!(answer.status(), 200, "{}", text(&answer));
    Ok(text(&answer))
}

/// Adds a manufacturer with the lab's CA for its IDevIDs.
async fn add(open: &ConsoleSite, name: &str, more: &[&str]) -> anyhow::Result<()> {
    let ca = open.site.folder.path().join(format!("{name}.pem"));
    std::fs::write(&ca, Authority::new(name)?.pem())?;
    let ca = ca.display().to_string();
    let mut arguments = vec!["--name", name, "--ca", &ca];
    arguments.extend_from_slice(more);
    open.site.site().command("manufacturer add", &arguments).await?;
    Ok(())
}

#[tokio::test]
async fn a_masa_that_works_is_said_to_and_is_asked_for_nothing() -> anyhow::Result<()> {
    let open = open().await?;
    let operator = open.visitor("operator").await?;
    let asked = open.site.lab.masa.requests();
    let shown = tested(&operator, "lab-devices", &open.site.lab.masa.url()).await?;
    for words in [
        "Nothing here keeps devices from their vouchers",
        "it is among those allowed",
        "localhost is at 127.0.0.1",
        "TLS 1.3; its certificate: ",
        "until ",
        "the registrar&#39;s own certificate",
        "HTTP 405: it takes POST alone at /.well-known/brski/requestvoucher",
    ] {
        assert!(shown.replace("'", "&#39;").contains(words), "{words}: {shown}");
    }
    assert_eq!(open.site.lab.masa.requests(), asked);
    let url = open.site.lab.masa.url();
    let view = json(open.site.site(), "manufacturer test", &["lab-devices", "--url", &url]).await?;
    assert_eq!(view["works"], true);
    assert_eq!(view["stages"].as_array().map(Vec::len), Some(5), "{view}");
    Ok(())
}

#[tokio::test]
async fn what_must_not_be_called_is_not() -> anyhow::Result<()> {
    let open = open().await?;
    let operator = open.visitor("operator").await?;
    let other =
        ScriptedServer::start(([127, 0, 0, 1], 0).into(), &Authority::new("elsewhere")?, |_, _| {
            http::Response::new(Vec::new())
        })
        .await?;
    let url = other.address.to_string();
    let shown = tested(&operator, "lab-devices", &url).await?;
    assert!(shown.contains("is not among the hosts allowed"), "{shown}");
    add(&open, "anywhere", &[]).await?;
    let shown = tested(&operator, "anywhere", &url).await?;
    assert!(shown.contains("which is not public"), "{shown}");
    assert!(!shown.contains("Does somebody listen there?"), "{shown}");
    let arguments = ["anywhere", "--url", &url];
    let command = open.site.site().command("manufacturer test", &arguments).await;
    let error = command.unwrap_err().to_string();
    assert!(error.contains("devices get no voucher from"), "{error}");
    assert_eq!(other.seen().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_masa_that_is_away_or_somebody_else_is_told_from_one_that_works() -> anyhow::Result<()> {
    let open = open().await?;
    let operator = open.visitor("operator").await?;
    let port = process::free_port()?;
    let right = Authority::new("right")?;
    let wrong = Authority::new("wrong")?;
    let ca = open.site.folder.path().join("masa-ca-right.pem");
    std::fs::write(&ca, right.pem())?;
    let (ca, url) = (ca.display().to_string(), format!("https://localhost:{port}"));
    let more = ["--masa-host", "localhost", "--masa-ca", &ca, "--masa-url", &url];
    add(&open, "pumps", &more).await?;
    let shown = tested(&operator, "pumps", "").await?;
    assert!(shown.contains(&format!("nobody can be reached at port {port}")), "{shown}");
    let address = ([127, 0, 0, 1], 0).into();
    let server =
        ScriptedServer::start(address, &wrong, |_, _| http::Response::new(Vec::new())).await?;
    let url = format!("localhost:{}", server.address.port());
    let shown = tested(&operator, "pumps", &url).await?;
    assert!(shown.contains("its certificate comes from another CA"), "{shown}");
    assert!(shown.contains("EST, LAB ONLY"), "the certificate is told: {shown}");
    assert_eq!(server.seen().len(), 0);
    let server = ScriptedServer::start(address, &right, |_, _| {
        let mut answer = http::Response::new(b"<script>".to_vec());
        *answer.status_mut() = http::StatusCode::UNAUTHORIZED;
        answer
    })
    .await?;
    let url = format!("localhost:{}", server.address.port());
    let shown = tested(&operator, "pumps", &url).await?;
    assert!(shown.contains("HTTP 401: it wants a name and a password"), "{shown}");
    assert_eq!(server.seen().len(), 1);
    server.stall();
    let shown = tested(&operator, "pumps", &url).await?;
    assert!(shown.contains("nothing came within 1 s"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn only_an_operators_own_form_tests_a_masa() -> anyhow::Result<()> {
    let open = open().await?;
    let url = open.site.lab.masa.url();
    let page = "manufacturers/lab-devices/test";
    let approver = open.visitor("approver").await?;
    let answer = approver.submit(page, &[("url", &url)]).await?;
    assert_eq!(answer.status(), 403);
    assert!(text(&answer).contains("this needs operator"));
    assert!(!text(&approver.get("manufacturers").await?).contains("Test the MASA"));
    let operator = open.visitor("operator").await?;
    assert!(text(&operator.get("manufacturers").await?).contains("Test the MASA"));
    assert_eq!(operator.post(page, &[("url", &url)], &[]).await?.status(), 403);
    for (name, url, status, words) in [
        ("nosuch", url.as_str(), 404, "there is no manufacturer"),
        ("lab-devices", "", 400, "host:port or https://host/path"),
        ("lab-devices", "localhost:0", 400, "host:port or https://host/path"),
        ("lab-devices", "<script>", 400, "host:port or https://host/path"),
    ] {
        let answer =
            operator.submit(&format!("manufacturers/{name}/test"), &[("url", url)]).await?;
        let shown = text(&answer);
        assert_eq!(answer.status(), status, "{shown}");
        assert!(shown.contains(words) && !shown.contains("<script>"), "{shown}");
    }
    Ok(())
}
