//! The commands that see and change what a registrar knows.

use std::path::{Path, PathBuf};

use acme_bridge::Clock as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::table::{clean, render};
use super::{ConfigOption, Failed};
use crate::admin::api::{DeviceStory, NewManufacturer};
use crate::admin::client::Client;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::check::Daemon;
use crate::store::model::Millis;

#[derive(Debug, Args)]
struct ReadOptions {
    #[command(flatten)]
    config: ConfigOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ManufacturerCommand {
    /// Let the devices of a manufacturer join; effective at once in a running registrar
    Add(AddOptions),
    /// List the manufacturers
    List(ReadList),
}

#[derive(Debug, Args)]
pub(super) struct ReadList {
    #[command(flatten)]
    read: ReadOptions,
}

#[derive(Debug, Args)]
pub(super) struct AddOptions {
    #[command(flatten)]
    config: ConfigOption,
    /// A name of your choice
    #[arg(long)]
    name: String,
    /// The CA of its IDevIDs, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Where its MASA lives, if the IDevIDs do not say so
    #[arg(long, value_name = "URL")]
    masa_url: Option<String>,
    /// The CA of its MASA's TLS certificate, PEM; the operating system's if left out
    #[arg(long, value_name = "FILE")]
    masa_ca: Option<PathBuf>,
    /// A host at which its MASA may be called; any public one if left out
    #[arg(long = "masa-host", value_name = "HOST")]
    masa_hosts: Vec<String>,
    /// The CA of its voucher signers, PEM; the one of --ca if left out
    #[arg(long, value_name = "FILE")]
    voucher_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// List the devices
    List(ReadList),
    /// Tell the story of one device
    Show(ShowOptions),
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// Its identifier, name or serial number
    device: String,
    #[command(flatten)]
    read: ReadOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// List the newest events
    List(EventOptions),
}

#[derive(Debug, Args)]
pub(super) struct EventOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// Of this device only: its identifier, name or serial number
    #[arg(long)]
    device: Option<String>,
    /// How many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct StatusOptions {
    #[command(flatten)]
    read: ReadOptions,
}

pub(super) async fn check(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file)?;
    let daemon = match tokio::net::UnixStream::connect(config.admin_socket()).await {
        Ok(_) => Daemon::Running,
        Err(_) => Daemon::Stopped,
    };
    let mut problems = crate::config::check::check(&config, daemon, Millis(SystemClock.now()));
    problems.extend(crate::daemon::probe::zones(&config).await);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    println!("ok");
    Ok(())
}

async fn open(option: &ConfigOption) -> Result<(Client, Config), Failed> {
    let config = Config::load(&option.config)?;
    Ok((Client::open(&config).await?, config))
}

fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failed::new(error.to_string()))?;
    println!("{text}");
    Ok(())
}

pub(super) async fn manufacturer(command: ManufacturerCommand) -> Result<(), Failed> {
    match command {
        ManufacturerCommand::Add(options) => {
            let new = NewManufacturer {
                name: options.name,
                ca: read(&options.ca)?,
                masa_url: options.masa_url,
                masa_ca: options.masa_ca.as_deref().map(read).transpose()?,
                masa_hosts: options.masa_hosts,
                voucher_ca: options.voucher_ca.as_deref().map(read).transpose()?,
            };
            let (client, _) = open(&options.config).await?;
            let added = client.add_manufacturer(new).await?;
            println!("added manufacturer {} ({})", added.name, added.id);
            Ok(())
        }
        ManufacturerCommand::List(ReadList { read }) => {
            let (client, _) = open(&read.config).await?;
            let list = client.manufacturers().await?;
            if read.json {
                return print_json(&list);
            }
            let rows: Vec<Vec<String>> = list
                .into_iter()
                .map(|row| {
                    let hosts = match row.masa_hosts.is_empty() {
                        true => "any public".to_owned(),
                        false => row.masa_hosts.join(" "),
                    };
                    let url = row.masa_url.unwrap_or_else(|| "from the IDevID".to_owned());
                    vec![row.name, row.anchors.to_string(), url, hosts, row.created_at]
                })
                .collect();
            print!("{}", render(&["NAME", "ANCHORS", "MASA", "MASA HOSTS", "ADDED"], &rows));
            Ok(())
        }
    }
}

fn read(path: impl AsRef<Path>) -> Result<String, Failed> {
    let path = path.as_ref();
    std::fs::read_to_string(path)
        .map_err(|error| Failed::new(format!("{}: cannot be read: {error}", path.display())))
}

pub(super) async fn device(command: DeviceCommand) -> Result<(), Failed> {
    match command {
        DeviceCommand::List(ReadList { read }) => {
            let (client, _) = open(&read.config).await?;
            let list = client.devices().await?;
            if read.json {
                return print_json(&list);
            }
            let rows: Vec<Vec<String>> = list
                .into_iter()
                .map(|row| vec![row.name, row.state, row.manufacturer, row.serial, row.updated_at])
                .collect();
            let header = ["NAME", "STATE", "MANUFACTURER", "SERIAL", "CHANGED"];
            print!("{}", render(&header, &rows));
            Ok(())
        }
        DeviceCommand::Show(options) => {
            let (client, _) = open(&options.read.config).await?;
            let story = client.device(&options.device).await?;
            if options.read.json {
                return print_json(&story);
            }
            print_story(&story);
            Ok(())
        }
    }
}

fn print_story(story: &DeviceStory) {
    let device = &story.device;
    println!("name          {}", clean(&device.name));
    println!("state         {}", device.state);
    println!("manufacturer  {}", device.manufacturer);
    println!("serial        {}", clean(&device.serial));
    println!("profile       {}", device.profile);
    println!("id            {}", device.id);
    println!("first seen    {}", device.created_at);
    println!("voucher       {}", story.voucher.as_deref().unwrap_or("none"));
    for certificate in &story.certificates {
        let revoked =
            certificate.revoked_at.as_deref().map_or(String::new(), |at| format!(", revoked {at}"));
        println!(
            "certificate   {} by {}, {} to {}{revoked}",
            certificate.serial, certificate.issuer, certificate.not_before, certificate.not_after
        );
    }
    for enrollment in &story.enrollments {
        let reason = enrollment
            .reason
            .as_deref()
            .map_or(String::new(), |reason| format!(": {}", clean(reason)));
        println!("enrollment    {} at {}{reason}", enrollment.state, enrollment.issuer);
        for step in &enrollment.steps {
            println!("              {}", clean(step));
        }
    }
    println!("events");
    for event in &story.events {
        println!("  {}  {:<28} {}", event.time, event.kind, clean(&event.detail));
    }
}

pub(super) async fn event(command: EventCommand) -> Result<(), Failed> {
    let EventCommand::List(options) = command;
    let (client, _) = open(&options.read.config).await?;
    let events = client.events(options.device.as_deref(), options.limit).await?;
    if options.read.json {
        return print_json(&events);
    }
    let rows: Vec<Vec<String>> = events
        .into_iter()
        .map(|event| vec![event.time, event.verdict, event.kind, event.peer, event.detail])
        .collect();
    print!("{}", render(&["TIME", "VERDICT", "EVENT", "PEER", "DETAIL"], &rows));
    Ok(())
}

pub(super) async fn status(options: &StatusOptions) -> Result<(), Failed> {
    let (client, config) = open(&options.read.config).await?;
    let counters = client.counters(&config).await?;
    if options.read.json {
        return print_json(&counters);
    }
    println!("requests     {}", counters.requests);
    println!("dns queries  {}", counters.dns_queries);
    println!("dns answers  {}", counters.dns_answers);
    Ok(())
}
