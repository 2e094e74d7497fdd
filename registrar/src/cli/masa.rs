//! `registrar manufacturer test`: what is found where a manufacturer's MASA should be.

use clap::Args;

use super::Failed;
use super::options::{ReadOptions, named, print_json};
use super::table::render;
use crate::admin::api::masa::{MasaTest, MasaTestView};
use crate::admin::client::segment;

#[derive(Debug, Args)]
pub(super) struct TestOptions {
    /// The name of the manufacturer
    #[arg(value_parser = named)]
    name: String,
    /// The address to look at, if the IDevIDs say where the MASA is
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    read: ReadOptions,
}

pub(super) async fn test(options: TestOptions) -> Result<(), Failed> {
    let client = options.read.config.open().await?;
    let path = format!("/v1/manufacturers/{}/test", segment(&options.name));
    let view: MasaTestView = client.post(&path, &MasaTest { url: options.url }).await?;
    if options.read.json {
        print_json(&view)?;
    } else {
        let stages = view.stages.iter();
        let rows: Vec<Vec<String>> = stages
            .map(|each| vec![each.stage.clone(), each.outcome.clone(), each.detail.clone()])
            .collect();
        print!("{}", render(&["STAGE", "OUTCOME", "DETAIL"], &rows));
    }
    match view.works {
        true => Ok(()),
        false => Err(Failed::new(format!("devices get no voucher from {}", view.url))),
    }
}
