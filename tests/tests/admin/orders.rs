//! Orders as an operator sees and changes them: the CA's words, another attempt, the end.

use std::time::Duration;

use brski_lab::http::{Answer, Connection};
use brski_lab::pledge::journey;
use brski_lab::process;
use brski_tests::est::{Key, certificate, post};
use brski_tests::proxy::Fault;
use brski_tests::site::{self, TestSite, json};
use serde_json::Value;

const ENROLL: &str = "simpleenroll";

/// A device that has its voucher, and its key.
struct Device {
    connection: Connection,
    key: Key,
    label: String,
}

impl Device {
    async fn new(site: &TestSite, serial: &str) -> anyhow::Result<Self> {
        let pledge = site.lab.pledge(serial)?;
        let (connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
        Ok(Self { connection, key: Key::new()?, label: serial.to_lowercase() })
    }

    async fn enroll(&mut self) -> anyhow::Result<Answer> {
        let csr = self.key.csr(&self.label)?;
        post(&mut self.connection, ENROLL, &csr, None).await
    }

    /// Asks until it is not told to wait.
    async fn enroll_at_last(&mut self) -> anyhow::Result<Answer> {
        for _ in 0..10 {
            let answer = self.enroll().await?;
            if answer.status != 202 {
                return Ok(answer);
            }
        }
        anyhow::bail!("it is told to wait for ever")
    }
}

/// The one order that there is.
async fn only_order(site: &TestSite) -> anyhow::Result<Value> {
    let orders = json(site.site(), "order list", &[]).await?;
    let orders = orders.as_array().expect("a list");
    assert_eq!(orders.len(), 1, "{orders:?}");
    Ok(orders[0].clone())
}

async fn events(site: &TestSite, kind: &str) -> anyhow::Result<Vec<Value>> {
    let events = json(site.site(), "event list", &["--kind", kind]).await?;
    Ok(events.as_array().expect("a list").clone())
}

async fn refused(site: &TestSite, command: &str, arguments: &[&str]) -> String {
    site.site().command(command, arguments).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_failed_order_is_shown_in_the_cas_words_and_succeeds_when_tried_again()
-> anyhow::Result<()> {
    let Some((site, proxy)) = site::behind_proxy().await? else {
        return Ok(());
    };
    let body = r#"{"type": "urn:ietf:params:acme:error:compound", "detail": "no \u001b[31mluck",
        "subproblems": [{"type": "urn:ietf:params:acme:error:rejectedIdentifier",
        "identifier": {"type": "dns", "value": "said-1.iot.lab.example"}, "detail": "policy forbids it"}]}"#;
    let fault = Fault::Answer { status: 403, body: body.to_owned(), retry_after: None };
    proxy.fault(Some("new-order"), 0, 1, fault);
    let mut device = Device::new(&site, "SAID-1").await?;
    let answer = device.enroll_at_last().await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let order = only_order(&site).await?;
    let id = order["id"].as_str().expect("it has an identifier");
    assert_eq!(order["state"], "invalid");
    let shown = json(site.site(), "order show", &[id]).await?;
    let problem = &shown["problem"];
    assert_eq!(problem["kind"], "refused");
    assert_eq!(problem["type"], "urn:ietf:params:acme:error:compound");
    assert_eq!(problem["detail"], "no  [31mluck", "without what would move a cursor");
    let said = &problem["subproblems"][0];
    assert_eq!(said["identifier"], "said-1.iot.lab.example");
    assert_eq!(said["type"], "urn:ietf:params:acme:error:rejectedIdentifier");
    assert_eq!(said["detail"], "policy forbids it");
    let read = site.site().command("order show", &[id]).await?;
    for words in ["invalid since", "error:compound", "policy forbids it", "said-1.iot", "given up"]
    {
        assert!(read.contains(words), "{words:?} is not in {read}");
    }
    let listed = site.site().command("order list", &["--device", "SAID-1"]).await?;
    assert!(listed.contains("compound") && listed.contains(id), "{listed}");
    let none = json(site.site(), "order list", &["--state", "issued"]).await?;
    assert_eq!(none.as_array().map(Vec::len), Some(0));
    // The CA has changed its mind.
    let said = site.site().command("order retry", &[id]).await?;
    assert!(said.starts_with(&format!("order {id} is ")), "{said}");
    certificate(&device.enroll_at_last().await?)?;
    let shown = json(site.site(), "order show", &[id]).await?;
    assert_eq!(shown["state"], "issued");
    let steps = shown["steps"].to_string();
    for words in ["given up: compound", "tried again by uid ", "passed every check"] {
        assert!(steps.contains(words), "{words:?} is not in {steps}");
    }
    let retried = events(&site, "order-retried").await?;
    assert_eq!(retried.len(), 1);
    assert!(retried[0]["peer"].as_str().is_some_and(|peer| peer.starts_with("uid ")));
    for command in ["order retry", "order cancel"] {
        assert!(refused(&site, command, &[id]).await.contains("has its certificate"));
        assert!(refused(&site, command, &["\u{1b}[2J"]).await.contains("order list"));
    }
    assert_eq!(site.pebble_counts()?, (1, 1));
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_cancelled_order_is_over_and_the_device_is_told() -> anyhow::Result<()> {
    let Some((site, proxy)) = site::behind_proxy().await? else {
        return Ok(());
    };
    proxy.fault(Some("new-order"), 0, 1, Fault::HoldRequest);
    let mut device = Device::new(&site, "ENDED-1").await?;
    let waiting = tokio::spawn(async move {
        let answer = device.enroll_at_last().await;
        (device, answer)
    });
    proxy.reached().await;
    let id = only_order(&site).await?["id"].as_str().expect("it has one").to_owned();
    let said = site.site().command("order cancel", &[&id]).await?;
    assert_eq!(said, format!("order {id} is invalid\n"));
    let (mut device, answer) = waiting.await?;
    let answer = answer?;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.text().trim(), "an operator cancelled this enrollment");
    assert_eq!(device.enroll().await?.status, 403, "and when it comes again");
    let shown = json(site.site(), "order show", &[&id]).await?;
    assert_eq!(shown["problem"]["kind"], "cancelled");
    assert!(shown["steps"].to_string().contains("cancelled by uid "), "{shown}");
    let story = json(site.site(), "device show", &["ENDED-1"]).await?;
    assert_eq!(story["enrollments"][0]["state"], "cancelled");
    let cancelled = events(&site, "order-cancelled").await?;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["device"], story["device"]["id"]);
    assert_eq!(site.pebble_counts()?, (0, 0), "the CA was asked for nothing more");
    // Once more is as good as once.
    site.site().command("order cancel", &[&id]).await?;
    assert_eq!(events(&site, "order-cancelled").await?.len(), 1);
    site.site().command("order retry", &[&id]).await?;
    certificate(&device.enroll_at_last().await?)?;
    assert_eq!(site.pebble_counts()?, (1, 1));
    site.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn where_no_daemon_runs_orders_are_changed_in_the_store() -> anyhow::Result<()> {
    let Some((site, proxy)) = site::behind_proxy().await? else {
        return Ok(());
    };
    let refusal = Fault::problem(403, "rejectedIdentifier", None);
    proxy.fault(Some("new-order"), 0, 1, refusal);
    let mut device = Device::new(&site, "ALONE-1").await?;
    assert_eq!(device.enroll_at_last().await?.status, 403);
    let TestSite { mut lab, folder } = site;
    let stopped = lab.registrar.stop().await;
    let orders = json(&stopped, "order list", &["--state", "invalid", "--issuer", "acme"]).await?;
    let id = orders[0]["id"].as_str().expect("it has one").to_owned();
    assert_eq!(stopped.command("order retry", &[&id]).await?, format!("order {id} is intended\n"));
    lab.registrar = stopped.serve().await?;
    let site = TestSite { lab, folder };
    let issued = process::until(Duration::from_secs(30), async || {
        let shown = json(site.site(), "order show", &[&id]).await.ok()?;
        (shown["state"] == "issued").then_some(())
    });
    issued.await.expect("the daemon finds the order");
    site.lab.stop().await;
    Ok(())
}
