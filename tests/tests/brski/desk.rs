//! What these tests share: a site to a plan, a pledge's request, and what is asserted of every refusal.

use std::ffi::OsString;

use brski_lab::http::{Answer, Connection};
use brski_lab::masa::MasaOptions;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::tls::RetainedChain;
use brski_tests::site::{self, Plan, TestSite, edit, event_kinds, json};
use brski_voucher::artefact::Nonce;
use brski_voucher::path;

/// A plan for a MASA that is like this, and these arguments of `registrar manufacturer add`.
pub(crate) fn plan(masa: MasaOptions, arguments: &[&str]) -> Plan {
    Plan { masa, arguments: arguments.iter().map(OsString::from).collect() }
}

/// Starts a site to a plan, whose configuration is edited first; requests are held for a second only.
pub(crate) async fn start(plan: Plan, edits: &[(&str, &str)]) -> anyhow::Result<TestSite> {
    site::brski(plan, |folder| {
        edit(folder, "hold_secs = 10", "hold_secs = 1")?;
        for (from, to) in edits {
            edit(folder, from, to)?;
        }
        Ok(Vec::new())
    })
    .await
}

/// A pledge at the registrar, with its request.
pub(crate) struct Visit {
    pub(crate) connection: Connection,
    pub(crate) chain: RetainedChain,
    pub(crate) body: Vec<u8>,
    pub(crate) nonce: Nonce,
}

impl Visit {
    pub(crate) async fn begin(site: &TestSite, pledge: &Pledge) -> anyhow::Result<Self> {
        let (connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
        let own = chain.own().expect("a server has a certificate");
        let request = pledge.voucher_request(own)?;
        Ok(Self { connection, chain, body: request.der, nonce: request.nonce })
    }

    /// Sends the request, over the same connection as before.
    pub(crate) async fn ask(&mut self, pledge: &Pledge) -> anyhow::Result<Answer> {
        let (path, media_type) = (path::REQUEST_VOUCHER, pledge.media_type());
        Ok(self.connection.post(path, media_type, self.body.clone()).await?)
    }
}

/// Sends a new request of this pledge.
pub(crate) async fn ask(site: &TestSite, pledge: &Pledge) -> anyhow::Result<(Answer, Visit)> {
    let mut visit = Visit::begin(site, pledge).await?;
    let answer = visit.ask(pledge).await?;
    Ok((answer, visit))
}

/// Asserts the answer's status and reason, and the newest event.
pub(crate) async fn assert_refused(
    site: &TestSite,
    answer: &Answer,
    status: u16,
    words: &str,
    event: &str,
) -> anyhow::Result<()> {
    assert_eq!(answer.content_type, "text/plain; charset=utf-8", "{}", answer.status);
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(words), "{}", answer.text());
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some(event), "{kinds:?}");
    Ok(())
}

/// The state of a device.
pub(crate) async fn state(site: &TestSite, serial: &str) -> anyhow::Result<String> {
    let story = json(site.site(), "device show", &[serial]).await?;
    Ok(story["device"]["state"].as_str().unwrap_or_default().to_owned())
}
