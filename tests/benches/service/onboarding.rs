//! A whole onboarding: voucher, its report, CA certificates, CSR attributes, certificate, and the report of that.

use std::path::Path;

use brski_lab::load::plot;
use brski_lab::pledge::Pledge;
use brski_lab::up::Lab;

use super::crypto::Costs;
use super::document::Row;
use super::floor::Floor;
use super::turns::{CONNECTIONS, Measured, Size, Turns, server_micros};

/// Makes pledges that were never seen.
pub(crate) fn pledges(lab: &Lab, batch: &str, number: u64) -> anyhow::Result<Vec<Pledge>> {
    (0..number).map(|each| lab.pledge(&format!("{batch}-{each}"))).collect()
}

/// Gives the rows, and the server's microseconds for one.
pub(crate) async fn measure(
    lab: &Lab,
    floor: &Floor,
    costs: &Costs,
    size: Size,
    pictures: Option<&Path>,
) -> anyhow::Result<(Vec<Row>, f64)> {
    let registrar = Measured::at(lab.registrar.address(), lab.registrar.process_id()).await?;
    let number = size.of(300, 40);
    let (mut turns, mut rate, mut last) = (Turns::default(), 0.0_f64, None);
    for turn in 0..size.turns() {
        let batch = |side: &str| pledges(lab, &format!("ONBOARD-{side}{turn}"), number);
        let ours = registrar.onboard(batch("A")?, CONNECTIONS).await?;
        let bare = floor.measured.onboard(batch("B")?, CONNECTIONS).await?;
        turns.note(server_micros(&ours)?, server_micros(&bare)?);
        rate = rate.max(number as f64 / ours.took.as_secs_f64());
        last = Some(ours);
    }
    if let (Some(folder), Some(last)) = (pictures, last) {
        let title = "whole onboardings, 16 at once";
        plot::keep(&folder.join("onboarding.svg"), title, &last)?;
    }
    let (ours, crypto) = (turns.ours(), costs.onboarding());
    let rows = vec![
        Row::ratio(
            "whole onboarding: beside a bare server",
            ours,
            turns.floor(),
            turns.ratio(),
            Some(2.0),
        ),
        Row::ratio("whole onboarding: beside the cryptography", ours, crypto, ours / crypto, None),
        Row::figure(
            "onboardings a second and processor, by the server's time",
            format!("{:.0}", 1e6 / ours),
        ),
        Row::figure(
            "onboardings a second here, with pledges and MASA on the same machine",
            format!("{rate:.0}"),
        ),
    ];
    Ok((rows, ours))
}
