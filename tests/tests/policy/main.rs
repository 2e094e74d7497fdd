//! Who may join and who must wait, against the real process: rules, approvals, quotas, floods, and what is dangerous
//! (RFC 8995 §5.3, §7.3, §11.1).

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod approvals;
mod at_once;
mod danger;
mod flood;
mod manufacturers;
mod quotas;
mod rules;

use std::path::Path;
use std::sync::{Arc, Mutex};

use brski_lab::http::Answer;
use brski_lab::pledge::Pledge;
use brski_lab::up::Lab;
use brski_tests::site::{self, TestSite, edit};
use brski_voucher::media_type::VOUCHER_CMS;
use brski_voucher::path::REQUEST_VOUCHER;
use tokio::task::JoinSet;

/// How many devices ask at once.
const AT_ONCE: usize = 8;
/// The rule of the sample for devices that no other speaks of.
const ADMIT: &str = "unexpected = \"admit\"";

/// A site with these lines in its section `[policy]`.
async fn with_policy(lines: &str) -> anyhow::Result<TestSite> {
    site::prepared(|folder| {
        edit(folder, ADMIT, lines)?;
        Ok(Vec::new())
    })
    .await
}

/// Adds lines at the end of the configuration.
fn append(folder: &Path, lines: &str) -> anyhow::Result<()> {
    let file = folder.join("registrar.toml");
    let text = std::fs::read_to_string(&file)?;
    Ok(std::fs::write(file, format!("{text}\n{lines}\n"))?)
}

/// Asks for a voucher with a new request.
async fn ask(site: &TestSite, pledge: &Pledge) -> anyhow::Result<Answer> {
    let (mut connection, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let body = pledge.voucher_request(chain.own().unwrap())?.der;
    Ok(connection.post(REQUEST_VOUCHER, VOUCHER_CMS, body).await?)
}

/// The status that a new device of this serial number gets.
async fn status(site: &TestSite, serial: &str) -> anyhow::Result<u16> {
    Ok(ask(site, &site.lab.pledge(serial)?).await?.status)
}

/// How often an event of this kind was written.
async fn count(site: &TestSite, kind: &str) -> anyhow::Result<usize> {
    let kinds = site::event_kinds(site.site()).await?;
    Ok(kinds.iter().filter(|each| *each == kind).count())
}

/// Lets every device ask once, several at a time: how many were answered with each of the statuses, and no other.
async fn ask_all<const N: usize>(
    site: &TestSite,
    pledges: Vec<Pledge>,
    statuses: [u16; N],
) -> anyhow::Result<[usize; N]> {
    let address = site.lab.registrar.address();
    let pledges = Arc::new(Mutex::new(pledges));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let pledges = Arc::clone(&pledges);
        tasks.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let Some(pledge) = pledges.lock().unwrap().pop() else {
                    return anyhow::Ok(answers);
                };
                let (mut connection, chain) = pledge.connect(address).await?;
                let body = pledge.voucher_request(chain.own().unwrap())?.der;
                answers.push(connection.post(REQUEST_VOUCHER, VOUCHER_CMS, body).await?);
            }
        });
    }
    let mut counts = [0; N];
    while let Some(answers) = tasks.join_next().await {
        for answer in answers?? {
            let place = statuses.iter().position(|status| *status == answer.status);
            counts[place.unwrap_or_else(|| panic!("{}: {}", answer.status, answer.text()))] += 1;
            assert!(answer.status == 200 || answer.retry_after.parse::<u32>().is_ok());
        }
    }
    Ok(counts)
}

/// Stops the registrar, does something with what it left, and starts it again.
async fn restarted(
    site: TestSite,
    meanwhile: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<TestSite> {
    let TestSite { lab: Lab { manufacturer, masa, pebble, registrar }, folder } = site;
    let process = registrar.site().clone();
    registrar.stop().await;
    meanwhile(&process.config()).await?;
    let registrar = process.serve().await?;
    Ok(TestSite { lab: Lab { manufacturer, masa, pebble, registrar }, folder })
}
