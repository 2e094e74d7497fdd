//! Waiting that a generator could hide: a server stalls for a second, and only some generators tell.

use std::sync::Arc;
use std::time::Duration;

use brski_est::client::EstServer;
use brski_lab::est::Trust;
use brski_lab::load::{
    self, Arrival, ClientOptions, Connections, End, Ended, Outcome, Plan, Proof, Question, Rate,
    Target, Work,
};
use brski_lab::pledge::tls::TlsVersions;
use brski_tests::scripted::ScriptedServer;

use super::{good, scripted};

const REQUESTS: u64 = 200;

/// Asks a server; `look` gets it after about a second, and every second from then on.
async fn ask(
    (server, url): (ScriptedServer, String),
    reuse: Connections,
    arrival: Arrival,
    end: End,
    look: impl Fn(&mut Option<ScriptedServer>),
) -> anyhow::Result<Outcome> {
    let (trust, versions) = (Trust::DangerAnybody, TlsVersions::Tls13);
    let tls = load::tls(&trust, None, versions)?;
    let target = Target::find(EstServer::from_url(&url)?, &tls).await?;
    let options = ClientOptions { trust, versions, name: None, key_type: None, messages: 1 };
    let question = Question::CaCertificates;
    let clients = load::est_clients(question, &target, vec![Proof::None], &options).await?;
    let plan = Plan { connections: 1, reuse, arrival, end, threads: 1, server_pid: None };
    let mut server = Some(server);
    let work = Work::Questions(question, clients);
    let stop = std::future::pending();
    Ok(load::run(&target, work, &plan, stop, |_| look(&mut server)).await?)
}

/// How many took longer than a fifth of a second.
fn slow(outcome: &Outcome) -> u64 {
    outcome.tally.latencies.count_between(200_000, u64::MAX)
}

fn go_on(server: &mut Option<ScriptedServer>) {
    server.as_ref().unwrap().go_on();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_rate_those_count_too_that_a_stalled_server_kept_waiting() -> anyhow::Result<()> {
    let server = scripted(|_, _| good()).await?;
    server.0.stall();
    let rate = Arrival::At(Rate::per_second(100.0)?);
    let end = End::Requests(REQUESTS);
    let outcome = ask(server, Connections::Kept, rate, end, go_on).await?;
    assert_eq!(outcome.tally.latencies.len(), REQUESTS);
    assert_eq!(outcome.ended, Ended::Done);
    // The server stood for a second, in which a hundred were due; eighty of them waited longer than a fifth of it.
    let slow = slow(&outcome);
    assert!((60..=REQUESTS).contains(&slow), "{slow} were slow");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rate_the_same_stall_is_one_slow_request() -> anyhow::Result<()> {
    let server = scripted(|_, _| good()).await?;
    server.0.stall();
    let end = End::Requests(REQUESTS);
    let outcome = ask(server, Connections::Kept, Arrival::AsAnswered, end, go_on).await?;
    assert_eq!(outcome.tally.latencies.len(), REQUESTS);
    let slow = slow(&outcome);
    assert!((1..20).contains(&slow), "{slow} were slow");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_and_never_begun_is_told() -> anyhow::Result<()> {
    let server = scripted(|_, _| good()).await?;
    server.0.stall();
    let rate = Arrival::At(Rate::per_second(100.0)?);
    let end = End::After(Duration::from_millis(1500));
    let seconds = Arc::new(std::sync::atomic::AtomicU32::new(0));
    // It goes on after two seconds, when the time is over.
    let outcome = ask(server, Connections::Kept, rate, end, |server| {
        if seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
            go_on(server);
        }
    })
    .await?;
    assert_eq!((outcome.tally.latencies.len(), outcome.missed), (1, 149));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_the_server_is_gone() -> anyhow::Result<()> {
    let server = scripted(|_, _| good()).await?;
    let address = server.0.address.to_string();
    let end = End::After(Duration::from_secs(600));
    let gone = |server: &mut Option<ScriptedServer>| drop(server.take());
    let outcome = ask(server, Connections::OneRequest, Arrival::AsAnswered, end, gone).await?;
    let Ended::Gone { tried } = &outcome.ended else { panic!("{:?}", outcome.ended) };
    assert!(tried.contains(&address), "{tried}");
    assert!(!outcome.tally.latencies.is_empty() && outcome.tally.failed_times() >= 50);
    assert!(outcome.took < Duration::from_secs(60), "{:?}", outcome.took);
    Ok(())
}
