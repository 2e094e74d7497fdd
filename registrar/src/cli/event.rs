//! `registrar event`: what was decided and why, and whether the trail is whole.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ReadOptions, list, print_json, query, read};
use super::table::{clean, render};
use crate::admin::api::Page;
use crate::admin::api::event::{ChainView, EventView, Verify};
use crate::admin::client::Client;

const PATH: &str = "/v1/events";
/// How many events are listed where nobody says how many, or since when.
const NEWEST: usize = 100;
/// Between two looks at what is new.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// List events: the newest, or all since a time
    List(ListOptions),
    /// Verify that no event was removed, changed or reordered
    Verify(VerifyOptions),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// Not older than this: an age such as 15m, 24h or 7d, or a time such as 2026-01-31T09:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Of this device: its identifier, name or serial number
    #[arg(long)]
    device: Option<String>,
    /// Of this kind, such as voucher-issued
    #[arg(long)]
    kind: Option<String>,
    /// With this verdict: done, refused, waiting or failed
    #[arg(long)]
    verdict: Option<String>,
    /// How many, at most; 100 where there is no --since
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Go on with what happens from now on, until Ctrl-C
    #[arg(long)]
    follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// A certificate of a key that signed before the present one, PEM
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
}

pub(super) async fn event(command: EventCommand) -> Result<(), Failed> {
    match command {
        EventCommand::List(options) => print_list(&options).await,
        EventCommand::Verify(options) => verify(&options).await,
    }
}

async fn print_list(options: &ListOptions) -> Result<(), Failed> {
    let client = options.read.config.open().await?;
    let query = query(&[
        ("since", options.since.as_deref()),
        ("device", options.device.as_deref()),
        ("kind", options.kind.as_deref()),
        ("verdict", options.verdict.as_deref()),
    ]);
    // Where the list ends is asked for before it is read: an event may come twice, but none is missed.
    let end = match options.follow {
        true => Some(tail(&client, None).await?),
        false => None,
    };
    let newest = options.since.is_none().then_some(NEWEST);
    let events: Vec<EventView> = list(&client, PATH, &query, options.limit.or(newest)).await?;
    match (options.read.json, end) {
        (true, None) => print_json(&events),
        (false, None) => {
            let rows: Vec<Vec<String>> = events.iter().map(row).collect();
            print!("{}", render(&["TIME", "VERDICT", "EVENT", "PEER", "DETAIL"], &rows));
            Ok(())
        }
        (_, Some(end)) => follow(&client, options, events, end).await,
    }
}

fn row(event: &EventView) -> Vec<String> {
    [&event.time, &event.verdict, &event.kind, &event.peer, &event.detail]
        .map(ToString::to_string)
        .to_vec()
}

async fn tail(client: &Client, after: Option<&str>) -> Result<Page<EventView>, Failed> {
    Ok(client.get("/v1/tail", &query(&[("after", after)])).await?)
}

/// Prints one event a line, as they come.
async fn follow(
    client: &Client,
    options: &ListOptions,
    events: Vec<EventView>,
    end: Page<EventView>,
) -> Result<(), Failed> {
    let device = match &options.device {
        None => None,
        Some(text) => {
            let path = format!("/v1/devices/{}", crate::admin::client::segment(text));
            let story: crate::admin::api::device::DeviceStory = client.get(&path, &()).await?;
            Some(story.device.id)
        }
    };
    let mut printed: Option<(String, i64)> = None;
    for event in &events {
        print_line(event, options.read.json)?;
        printed = Some((event.node.clone(), event.seq));
    }
    let is_wanted = |event: &EventView| {
        let is_printed =
            printed.as_ref().is_some_and(|(node, seq)| event.node == *node && event.seq <= *seq);
        !is_printed
            && device.as_ref().is_none_or(|device| event.device.as_ref() == Some(device))
            && options.kind.as_ref().is_none_or(|kind| event.kind == *kind)
            && options.verdict.as_ref().is_none_or(|verdict| event.verdict == *verdict)
    };
    let mut after = end.next;
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        let page = tail(client, after.as_deref()).await?;
        for event in page.items.iter().filter(|event| is_wanted(event)) {
            print_line(event, options.read.json)?;
        }
        after = page.next;
    }
}

fn print_line(event: &EventView, json: bool) -> Result<(), Failed> {
    if json {
        let line = serde_json::to_string(event).map_err(|error| Failed::new(error.to_string()))?;
        println!("{line}");
    } else {
        let (peer, detail) = (clean(&event.peer), clean(&event.detail));
        println!("{}  {:<8} {:<28} {peer}  {detail}", event.time, event.verdict, event.kind);
    }
    Ok(())
}

async fn verify(options: &VerifyOptions) -> Result<(), Failed> {
    let certificates = options.certificates.iter().map(read).collect::<Result<_, _>>()?;
    let client = options.read.config.open().await?;
    let chains: Vec<ChainView> = client.post("/v1/verification", &Verify { certificates }).await?;
    if options.read.json {
        print_json(&chains)?;
    } else {
        for chain in &chains {
            print_chain(chain);
        }
    }
    match chains.iter().map(|chain| chain.findings.len()).sum::<usize>() {
        0 => Ok(()),
        number => Err(Failed::new(format!(
            "the trail was tampered with, or a certificate is missing: {number} findings; \
             compare with a backup, or with the signed heads in the log"
        ))),
    }
}

fn print_chain(chain: &ChainView) {
    let node = clean(&chain.node);
    if chain.findings.is_empty() {
        println!("{node}: events {} to {} are whole", chain.first, chain.last);
    }
    for finding in &chain.findings {
        println!("{node}: {}", clean(finding));
    }
    if chain.proven < chain.last {
        let after = chain.proven.max(chain.first.saturating_sub(1));
        println!(
            "{node}: events {} to {} came after the last signature: unproven",
            after + 1,
            chain.last
        );
    }
}
