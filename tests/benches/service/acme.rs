//! The ACME part apart: the server's time for an onboarding with an order at Pebble, less that with the local issuer.

use brski_lab::up::Issuer;
use brski_tests::programs;

use super::document::Row;
use super::onboarding::pledges;
use super::site;
use super::turns::{Measured, Size, server_micros};

/// Pebble deadlocks with more in flight (letsencrypt/pebble#554).
const AT_ONCE: usize = 4;

pub(crate) async fn measure(local_micros: f64, size: Size) -> anyhow::Result<Vec<Row>> {
    if programs::outside("pebble", "pebble").is_none() {
        return Ok(Vec::new());
    }
    let (lab, _folder) = site(Issuer::Acme).await?;
    let registrar = Measured::at(lab.registrar.address(), lab.registrar.process_id()).await?;
    // The first ones open connections and make the account.
    registrar.onboard(pledges(&lab, "WARM", 4)?, AT_ONCE).await?;
    let outcome = registrar.onboard(pledges(&lab, "ACME", size.of(120, 16))?, AT_ONCE).await?;
    let micros = server_micros(&outcome)?;
    lab.stop().await;
    let figure = |micros: f64| format!("{micros:.0} µs");
    Ok(vec![
        Row::figure("whole onboarding with an order at Pebble", figure(micros)),
        Row::figure("an order by ACME, of that", figure(micros - local_micros)),
    ])
}
