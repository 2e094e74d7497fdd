//! `registrar device`: devices, expected and real, from import to retirement.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, list, named, print_json, query, read};
use super::story::print_story;
use super::table::{clean, render};
use crate::admin::api::device::{
    DeviceStory, DeviceView, Import, Imported, NewDevice, Rename, Replace, Retire, WrongLines,
};
use crate::admin::client::{Client, ClientError, segment};

const PATH: &str = "/v1/devices";

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// List the devices
    List(ListOptions),
    /// Tell the story of one device
    Show(ShowOptions),
    /// Expect the devices of a CSV file: serial,manufacturer,name,profile,site with a header line
    Import(ImportOptions),
    /// Let one device join: it is expected, or gets its approval if it waits
    Allow(AllowOptions),
    /// Take a device out of service: its certificates are revoked, its orders cancelled, EST is closed
    Retire(RetireOptions),
    /// Let a retired or blocked device back in
    Restore(DeviceOption),
    /// Give a device another name
    Rename(RenameOptions),
    /// Bar a device until it is restored; its certificates stay as they are
    Block(DeviceOption),
    /// Retire OLD and give its name and profile to NEW
    Replace(ReplaceOptions),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// In this state: expected, pending, admitted, vouchered, enrolled, retired or blocked
    #[arg(long)]
    state: Option<String>,
    /// Of this manufacturer
    #[arg(long, value_name = "NAME")]
    manufacturer: Option<String>,
    /// Whose name or serial number begins with this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// How many, at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// Its identifier, name or serial number
    #[arg(value_parser = named)]
    device: String,
    #[command(flatten)]
    read: ReadOptions,
}

#[derive(Debug, Args)]
pub(super) struct ImportOptions {
    /// The CSV file
    file: PathBuf,
    /// Import the right lines where others are wrong
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct AllowOptions {
    /// Its serial number, exactly as its IDevID carries it
    serial: String,
    /// Its manufacturer
    #[arg(long, value_name = "NAME")]
    manufacturer: String,
    /// The name that it gets; by its profile's template if left out
    #[arg(long)]
    name: Option<String>,
    /// The profile that it gets
    #[arg(long)]
    profile: Option<String>,
    /// Where it is, in your words
    #[arg(long)]
    site: Option<String>,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct RetireOptions {
    /// Its identifier, name or serial number
    #[arg(value_parser = named)]
    device: String,
    /// Let another device have its name
    #[arg(long)]
    free_name: bool,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct DeviceOption {
    /// Its identifier, name or serial number
    #[arg(value_parser = named)]
    device: String,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct RenameOptions {
    /// Its identifier, name or serial number
    #[arg(value_parser = named)]
    device: String,
    /// One label, alone or followed by the zone of its profile
    #[arg(value_parser = named)]
    name: String,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct ReplaceOptions {
    /// The device that leaves: its identifier, name or serial number
    #[arg(value_parser = named)]
    old: String,
    /// The device that takes its place
    #[arg(value_parser = named)]
    new: String,
    #[command(flatten)]
    config: ConfigOption,
}

pub(super) async fn device(command: DeviceCommand) -> Result<(), Failed> {
    let view = match command {
        DeviceCommand::List(options) => return print_list(&options).await,
        DeviceCommand::Show(options) => return show(&options).await,
        DeviceCommand::Import(options) => return import(&options).await,
        DeviceCommand::Allow(options) => {
            let new = NewDevice {
                serial: options.serial,
                manufacturer: options.manufacturer,
                name: options.name,
                profile: options.profile,
                site: options.site,
            };
            options.config.open().await?.post(PATH, &new).await?
        }
        DeviceCommand::Retire(options) => {
            let client = options.config.open().await?;
            let how = Retire { free_name: options.free_name };
            change(&client, &options.device, "retire", &how).await?
        }
        DeviceCommand::Restore(options) => {
            let client = options.config.open().await?;
            change(&client, &options.device, "restore", &()).await?
        }
        DeviceCommand::Block(options) => {
            let client = options.config.open().await?;
            change(&client, &options.device, "block", &()).await?
        }
        DeviceCommand::Rename(options) => {
            let client = options.config.open().await?;
            change(&client, &options.device, "rename", &Rename { name: options.name }).await?
        }
        DeviceCommand::Replace(options) => {
            let client = options.config.open().await?;
            change(&client, &options.old, "replace", &Replace { by: options.new }).await?
        }
    };
    print_state(&view);
    Ok(())
}

/// One line about where a device stands now.
pub(super) fn print_state(view: &DeviceView) {
    let name = view.name.as_deref().or(view.serial.as_deref()).unwrap_or(&view.id);
    println!("{} is {}", clean(name), view.state);
}

async fn change(
    client: &Client,
    device: &str,
    verb: &str,
    body: &impl serde::Serialize,
) -> Result<DeviceView, ClientError> {
    client.post(&format!("{PATH}/{}/{verb}", segment(device)), body).await
}

async fn print_list(options: &ListOptions) -> Result<(), Failed> {
    let client = options.read.config.open().await?;
    let query = query(&[
        ("state", options.state.as_deref()),
        ("manufacturer", options.manufacturer.as_deref()),
        ("text", options.search.as_deref()),
    ]);
    let devices: Vec<DeviceView> = list(&client, PATH, &query, options.limit).await?;
    if options.read.json {
        return print_json(&devices);
    }
    let rows: Vec<Vec<String>> = devices
        .into_iter()
        .map(|row| {
            let name = row.name.unwrap_or_else(|| "-".to_owned());
            let credential = row.credential.map(|name| format!("credential {name}"));
            let serial = row.serial.or(credential).unwrap_or_default();
            let manufacturer = row.manufacturer.unwrap_or_else(|| "-".to_owned());
            vec![name, row.state, manufacturer, serial, row.updated_at]
        })
        .collect();
    print!("{}", render(&["NAME", "STATE", "MANUFACTURER", "SERIAL", "CHANGED"], &rows));
    Ok(())
}

async fn show(options: &ShowOptions) -> Result<(), Failed> {
    let client = options.read.config.open().await?;
    let path = format!("{PATH}/{}", segment(&options.device));
    let story: DeviceStory = client.get(&path, &()).await?;
    if options.read.json {
        return print_json(&story);
    }
    print_story(&story);
    Ok(())
}

async fn import(options: &ImportOptions) -> Result<(), Failed> {
    let wrong_lines = if options.partial { WrongLines::Skip } else { WrongLines::Refuse };
    let import = Import { csv: read(&options.file)?, wrong_lines };
    let client = options.config.open().await?;
    let file = options.file.display();
    let imported: Imported = match client.post("/v1/import", &import).await {
        Ok(imported) => imported,
        Err(ClientError::Refused(mut problem)) => {
            problem.detail = format!("{file}: {}", problem.detail);
            for each in &mut problem.errors {
                each.field = format!("{file}: {}", each.field);
            }
            return Err(ClientError::Refused(problem).into());
        }
        Err(error) => return Err(error.into()),
    };
    for each in &imported.skipped {
        eprintln!("registrar: {file}: {}: {}; left out", each.field, clean(&each.reason));
    }
    match imported.imported {
        1 => println!("imported 1 device"),
        number => println!("imported {number} devices"),
    }
    Ok(())
}
