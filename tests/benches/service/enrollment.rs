//! One simpleenroll over 16 connections, new ones and kept ones, by an issued certificate and by an IDevID.

use std::path::Path;

use brski_lab::est::trust::Identity;
use brski_lab::load::{Connections, Outcome, Proof, Question, plot};
use brski_lab::pki::Credential;
use brski_lab::up::Lab;

use super::crypto::Costs;
use super::document::Row;
use super::floor::Floor;
use super::turns::{CONNECTIONS, Measured, Size, Turns, server_micros};

pub(crate) async fn measure(
    lab: &Lab,
    floor: &Floor,
    costs: &Costs,
    size: Size,
    pictures: Option<&Path>,
) -> anyhow::Result<Vec<Row>> {
    let registrar = Measured::at(lab.registrar.address(), lab.registrar.process_id()).await?;
    let pledges = (0..CONNECTIONS).map(|number| lab.pledge(&format!("ENROLL-{number}")));
    let pledges = pledges.collect::<anyhow::Result<Vec<_>>>()?;
    let idevids: Vec<Credential> = pledges.iter().map(|each| each.credential().clone()).collect();
    let joined = registrar.onboard(pledges, CONNECTIONS).await?;
    let issued: Vec<Credential> = joined.credentials.into_iter().map(|(_, own)| own).collect();
    let mut rows = Vec::new();
    for (by, credentials, chain) in
        [("an issued certificate", &issued, 0.0), ("an IDevID", &idevids, costs.chain())]
    {
        for (reuse, how, handshake, goals) in [
            (Connections::OneRequest, "new connection", costs.handshake(), (1.3, 1.5)),
            (Connections::Kept, "kept connection", 0.0, (1.5, 2.0)),
        ] {
            let requests = size.of(1500, 200);
            let (mut turns, mut last) = (Turns::default(), None);
            for _ in 0..size.turns() {
                let ours = enroll(&registrar, credentials, reuse, requests).await?;
                let bare = enroll(&floor.measured, credentials, reuse, requests).await?;
                turns.note(server_micros(&ours)?, server_micros(&bare)?);
                last = Some(ours);
            }
            let name = format!("simpleenroll by {by}, {how}");
            let (ours, ratio) = (turns.ours(), turns.ratio());
            let bare = format!("{name}: beside a bare server");
            rows.push(Row::ratio(&bare, ours, turns.floor(), ratio, Some(goals.0)));
            let crypto = handshake + chain + costs.issue();
            let name = format!("{name}: beside the cryptography");
            rows.push(Row::ratio(&name, ours, crypto, ours / crypto, Some(goals.1)));
            let is_drawn = chain == 0.0 && reuse == Connections::Kept;
            if let (Some(folder), Some(last), true) = (pictures, last, is_drawn) {
                let title = "simpleenroll by an issued certificate, 16 kept connections";
                plot::keep(&folder.join("simpleenroll.svg"), title, &last)?;
            }
        }
    }
    Ok(rows)
}

async fn enroll(
    server: &Measured,
    credentials: &[Credential],
    reuse: Connections,
    requests: u64,
) -> anyhow::Result<Outcome> {
    let proofs = credentials.iter().map(|own| Proof::Certificate(Identity::from(own))).collect();
    let outcome = server.ask(Question::Enroll, proofs, reuse, requests).await?;
    anyhow::ensure!(outcome.sent_again == 0, "CSRs were sent twice");
    Ok(outcome)
}
