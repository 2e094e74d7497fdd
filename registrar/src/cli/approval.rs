//! `registrar approval`: devices that wait for a person.

use clap::{Args, Subcommand};

use super::Failed;
use super::device::print_state;
use super::options::{ConfigOption, ReadOptions, list, named, print_json};
use super::table::render;
use crate::admin::api::approval::{Grant, WaitingView};
use crate::admin::api::device::DeviceView;
use crate::admin::client::segment;

const PATH: &str = "/v1/approvals";

#[derive(Debug, Subcommand)]
pub(super) enum ApprovalCommand {
    /// List the devices that wait, the longest first
    List(ReadOptions),
    /// Say yes: the device's next request goes on
    Grant(GrantOptions),
    /// Say no: a device that nobody expected is blocked, a changed key stays out
    Refuse(RefuseOptions),
}

#[derive(Debug, Args)]
pub(super) struct GrantOptions {
    /// Its identifier, from the list
    #[arg(value_parser = named)]
    id: String,
    /// The name that the device gets; by its profile's template if left out
    #[arg(long)]
    name: Option<String>,
    /// The profile that the device gets
    #[arg(long)]
    profile: Option<String>,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct RefuseOptions {
    /// Its identifier, from the list
    #[arg(value_parser = named)]
    id: String,
    #[command(flatten)]
    config: ConfigOption,
}

pub(super) async fn approval(command: ApprovalCommand) -> Result<(), Failed> {
    match command {
        ApprovalCommand::List(read) => {
            let client = read.config.open().await?;
            let waiting: Vec<WaitingView> = list(&client, PATH, &Vec::new(), None).await?;
            if read.json {
                return print_json(&waiting);
            }
            let rows: Vec<Vec<String>> = waiting
                .into_iter()
                .map(|WaitingView { approval, manufacturer, serial }| {
                    let asks = [approval.reason, approval.peer, approval.asked_at];
                    [approval.id, manufacturer, serial].into_iter().chain(asks).collect()
                })
                .collect();
            let header = ["ID", "MANUFACTURER", "SERIAL", "WHY", "PEER", "ASKED LAST"];
            print!("{}", render(&header, &rows));
            Ok(())
        }
        ApprovalCommand::Grant(options) => {
            let client = options.config.open().await?;
            let grant = Grant { name: options.name, profile: options.profile };
            let path = format!("{PATH}/{}/grant", segment(&options.id));
            let view: DeviceView = client.post(&path, &grant).await?;
            print_state(&view);
            Ok(())
        }
        ApprovalCommand::Refuse(options) => {
            let client = options.config.open().await?;
            let path = format!("{PATH}/{}/refuse", segment(&options.id));
            let view: DeviceView = client.post(&path, &()).await?;
            print_state(&view);
            Ok(())
        }
    }
}
