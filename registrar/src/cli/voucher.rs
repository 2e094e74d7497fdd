//! `registrar voucher`: vouchers fetched ahead, and what became of a device's last one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, list, print_json, read};
use super::table::render;
use crate::admin::api::voucher::{NoncelessView, Prefetch, VoucherStory};
use crate::admin::client::segment;

const PATH: &str = "/v1/vouchers";

#[derive(Debug, Subcommand)]
pub(super) enum VoucherCommand {
    /// Fetch vouchers without a nonce ahead, for when the MASA cannot be reached; they are renewed before they end
    Prefetch(PrefetchOptions),
    /// List the vouchers that were fetched ahead
    List(ReadOptions),
    /// Show the last voucher of a device, its audit log, and those fetched ahead
    Show(ShowOptions),
}

#[derive(Debug, Args)]
pub(super) struct PrefetchOptions {
    /// Its identifier, name or serial number
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<String>,
    /// How the devices will ask
    #[arg(long, default_value = "cms", value_parser = ["cms", "jws", "cose"])]
    encoding: String,
    /// The CA that issued their IDevIDs, PEM; the first one of the manufacturer if left out
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// Its identifier, name or serial number
    device: String,
    #[command(flatten)]
    read: ReadOptions,
}

pub(super) async fn voucher(command: VoucherCommand) -> Result<(), Failed> {
    match command {
        VoucherCommand::Prefetch(options) => prefetch(options).await,
        VoucherCommand::List(read) => {
            let client = read.config.open().await?;
            let views: Vec<NoncelessView> = list(&client, PATH, &Vec::new(), None).await?;
            if read.json {
                return print_json(&views);
            }
            print_table(views);
            Ok(())
        }
        VoucherCommand::Show(ShowOptions { device, read }) => {
            let client = read.config.open().await?;
            let path = format!("{PATH}/{}", segment(&device));
            let story: VoucherStory = client.get(&path, &()).await?;
            if read.json {
                return print_json(&story);
            }
            print_story(story);
            Ok(())
        }
    }
}

/// Fetches one after the other; those that did not come fail the command, after all were tried.
async fn prefetch(options: PrefetchOptions) -> Result<(), Failed> {
    let client = options.config.open().await?;
    let issuer = options.issuer.as_deref().map(read).transpose()?;
    let wanted = Prefetch { encoding: Some(options.encoding), issuer };
    let mut missing = Vec::new();
    for device in &options.devices {
        let path = format!("{PATH}/{}/prefetch", segment(device));
        let view: NoncelessView = client.post(&path, &wanted).await?;
        match view.problem {
            None => println!("{}: fetched, {}", view.serial, end(view.expires_at.as_deref())),
            Some(problem) => missing.push(format!("{}: {problem}", view.serial)),
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failed::later(format!(
            "{}\nthe registrar asks again by itself; 'registrar voucher list' shows when",
            missing.join("\n")
        ))),
    }
}

fn end(expires_at: Option<&str>) -> String {
    expires_at.map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"))
}

fn print_table(views: Vec<NoncelessView>) {
    let rows: Vec<Vec<String>> = views
        .into_iter()
        .map(|view| {
            let state = match (view.is_here, view.problem) {
                (_, Some(problem)) => problem,
                (true, None) => "here".to_owned(),
                (false, None) => "asked for".to_owned(),
            };
            let dates = [view.expires_at, view.renewed_at].map(|date| date.unwrap_or("-".into()));
            [view.serial, view.encoding].into_iter().chain(dates).chain([state]).collect()
        })
        .collect();
    print!("{}", render(&["SERIAL", "ENCODING", "ENDS", "RENEWED", "STATE"], &rows));
}

fn print_story(story: VoucherStory) {
    println!("device   {}", story.device);
    match story.last_exchange {
        None => println!("voucher  none was asked for"),
        Some(exchange) => {
            let reason = exchange.reason.map_or_else(String::new, |reason| format!(": {reason}"));
            println!(
                "voucher  {}{reason} ({}, {})",
                exchange.state, exchange.encoding, exchange.updated_at
            );
            if let Some(audit) = exchange.audit {
                let reason = exchange.audit_reason.map_or_else(String::new, |it| format!(": {it}"));
                println!("audit    {audit}{reason}");
            }
        }
    }
    if !story.fetched_ahead.is_empty() {
        print_table(story.fetched_ahead);
    }
}
