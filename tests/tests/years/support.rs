//! What these tests have in common: certificates that are served, and clocks that are ahead.

use std::ffi::OsString;

use brski_lab::pledge::Pledge;
use brski_lab::pledge::tls::RetainedChain;
use brski_lab::registrar::Site;
use brski_tests::programs::faketime;
use brski_tests::site::TestSite;
use brski_voucher::certificate::Certificate;
use brski_voucher::{media_type, path};

/// What starts a daemon so many days ahead of the clock; none, and it says so, without Debian's `faketime`.
pub(crate) fn ahead(days: u32) -> Option<Vec<OsString>> {
    let library = faketime()?;
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(library);
    // Timers go on as they are: the date alone is another one.
    let words = [format!("FAKETIME=+{days}d"), "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()];
    Some([OsString::from("env"), preload].into_iter().chain(words.map(Into::into)).collect())
}

/// What the registrar shows in TLS now.
pub(crate) async fn served(site: &TestSite) -> anyhow::Result<(Certificate, RetainedChain)> {
    let pledge = site.lab.pledge("ANYBODY")?;
    let (_, chain) = pledge.connect(site.lab.registrar.address()).await?;
    Ok((own(&chain), chain))
}

/// The registrar's own certificate in what it showed.
pub(crate) fn own(chain: &RetainedChain) -> Certificate {
    Certificate::from_der(chain.own().expect("the registrar shows a certificate")).unwrap()
}

/// Asks for a voucher on this connection, naming this certificate of the registrar; gives what the voucher pins.
pub(crate) async fn voucher(
    pledge: &Pledge,
    connection: &mut brski_lab::http::Connection,
    seen: &Certificate,
    chain: &RetainedChain,
) -> anyhow::Result<Certificate> {
    let request = pledge.voucher_request(seen.der())?;
    let answer =
        connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, request.der).await?;
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(pledge.verify_voucher(&answer.body, &request.nonce, chain)?)
}

/// The details of the events of a kind, the oldest first.
pub(crate) async fn details(site: &Site, kind: &str) -> anyhow::Result<Vec<String>> {
    let events = brski_tests::site::json(site, "event list", &[]).await?;
    let events = events.as_array().expect("events are a list").iter();
    let of_kind = events.filter(|event| event["kind"] == kind);
    Ok(of_kind.map(|event| event["detail"].as_str().unwrap_or_default().to_owned()).collect())
}
