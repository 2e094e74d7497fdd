//! `brski-lab up --console`: the operators' page of a lab's registrar, and a link into it.

use std::net::SocketAddr;

use anyhow::Context as _;
use brski_tests::console::{Visitor, location, text};

use crate::lab::Running;

#[tokio::test]
async fn the_console_s_link_logs_in_and_the_site_stays_until_it_is_told_to_end()
-> anyhow::Result<()> {
    let mut lab = Running::start(&["--issuer", "local", "--pledges", "2", "--console", "--json"])?;
    let url = lab.line("brski-lab: console: https://").await?;
    let address: SocketAddr = url.strip_suffix("/console").context("its address")?.parse()?;
    let link = lab.line("brski-lab: log in, once, within ten minutes: ").await?;
    let (before, secret) = link.split_once("link=").context("it is a link")?;
    assert_eq!(before, format!("https://{address}/console/login?"));
    lab.line("brski-lab: the site stays until Ctrl-C").await?;

    let mut visitor = Visitor::unknown(address);
    let page = visitor.get(&format!("login?link={secret}")).await?;
    assert_eq!(page.status(), 200);
    let answer = visitor.post("login", &[("link", secret)], &[]).await?;
    assert_eq!(answer.status(), 303, "{}", text(&answer));
    assert!(location(&answer).starts_with("/console"), "{}", location(&answer));
    let cookie = answer.headers().get("set-cookie").context("there is a session")?.to_str()?;
    visitor.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let devices = visitor.get("devices").await?;
    assert_eq!(devices.status(), 200);
    assert!(text(&devices).contains("LAB-0002"), "{}", text(&devices));
    // It was for one log-in.
    let again = Visitor::unknown(address).post("login", &[("link", secret)], &[]).await?;
    assert_ne!(again.status(), 303);

    let came = lab.interrupt().await?;
    assert_eq!(came.code, Some(0), "{}", came.said);
    assert_eq!(came.report()?["enrolled"], 2);
    assert!(Visitor::unknown(address).get("login").await.is_err(), "nobody is there any more");
    Ok(())
}
