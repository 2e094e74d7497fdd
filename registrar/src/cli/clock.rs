//! `registrar clock`: an operator's word about this machine's clock.

use clap::Subcommand;

use super::Failed;
use super::options::ConfigOption;
use crate::admin::api::clock::ClockConfirmed;

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Say that the clock is right, though events are later: it was ahead when they were written
    Confirm(ConfigOption),
}

pub(super) async fn clock(command: ClockCommand) -> Result<(), Failed> {
    let ClockCommand::Confirm(option) = command;
    let confirmed: ClockConfirmed = option.open().await?.post("/v1/clock/confirm", &()).await?;
    println!("the clock says  {}", confirmed.now);
    if let Some(newest) = confirmed.newest_event {
        println!("newest event    {newest}, which counts no more");
    }
    Ok(())
}
