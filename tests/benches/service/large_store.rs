//! An onboarding into a store of a million devices, beside one into a store of a thousand.

use brski_lab::load::Outcome;
use brski_lab::up::{Issuer, Lab};
use brski_tests::filling::{OldDevice, fill};
use tempfile::TempDir;

use super::document::Row;
use super::onboarding::pledges;
use super::site;
use super::turns::{CONNECTIONS, Measured, Size, Turns, server_micros};

pub(crate) async fn measure(size: Size) -> anyhow::Result<Vec<Row>> {
    let devices = size.of(1_000_000, 50_000);
    let (small, large) = (filled(1_000).await?, filled(devices).await?);
    let mut turns = Turns::default();
    for turn in 0..size.turns() {
        let batch = format!("STORE-{turn}");
        let large = onboard(&large.0, &batch, size).await?;
        let small = onboard(&small.0, &batch, size).await?;
        turns.note(server_micros(&large)?, server_micros(&small)?);
    }
    small.0.stop().await;
    large.0.stop().await;
    let name = format!("whole onboarding with {devices} devices stored: beside 1000");
    Ok(vec![Row::ratio(&name, turns.ours(), turns.floor(), turns.ratio(), Some(1.1))])
}

async fn onboard(lab: &Lab, batch: &str, size: Size) -> anyhow::Result<Outcome> {
    let registrar = Measured::at(lab.registrar.address(), lab.registrar.process_id()).await?;
    registrar.onboard(pledges(lab, batch, size.of(200, 40))?, CONNECTIONS).await
}

/// A site whose store holds so many enrolled devices.
async fn filled(devices: u64) -> anyhow::Result<(Lab, TempDir)> {
    let (lab, folder) = site(Issuer::Local).await?;
    let Lab { manufacturer, masa, pebble, registrar } = lab;
    let stopped = registrar.stop().await;
    let device =
        |number: u64| OldDevice { state: "enrolled", at: 1_700_000_000_000 + number as i64 };
    fill(&stopped.folder().join("registrar.db"), devices, device, "")?;
    let registrar = stopped.serve().await?;
    Ok((Lab { manufacturer, masa, pebble, registrar }, folder))
}
