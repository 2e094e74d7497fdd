//! Tells lies to a registrar, and their honest twins.

use std::time::{Duration, Instant};

use super::report::Finding;
use super::workshop::{Device, Shot};
use super::{Fault, Liar, Stage, ca, enroll, link, request, telemetry};
use crate::masa::Misbehaviour;
use crate::pledge::journey;

pub use super::workshop::{FaultError, Workshop};

/// How long an honest request may be told to come back.
const PATIENCE: u32 = 60;

/// Tells one lie, and its honest twin.
pub async fn run(workshop: &Workshop<'_>, number: usize, fault: Fault) -> Finding {
    let begin = Instant::now();
    let serial = format!("{}-{number}", workshop.prefix);
    let lie = lie(workshop, &format!("{serial}-LIE"), fault).await;
    workshop.hush();
    let twin = twin(workshop, &format!("{serial}-TWIN"), fault.card().stage).await;
    Finding::new(fault, serial, &lie, &twin, begin.elapsed())
}

/// What came of a lie or of its twin: the status, or why there is none.
pub(super) type Outcome = Result<(u16, String), FaultError>;

async fn lie(workshop: &Workshop<'_>, serial: &str, fault: Fault) -> Outcome {
    let card = fault.card();
    let mut device = workshop.device(serial).await?;
    workshop.bring(&mut device, card.stage).await?;
    let mut shot = workshop.honest(&device, card.stage)?;
    if card.liar == Liar::Ca {
        let answer = ca::tell(workshop, fault, &shot).await?;
        return Ok((answer.status, answer.text()));
    }
    if link::is_told_on_the_link(fault) {
        return link::tell(workshop, fault, &shot).await;
    }
    distort(workshop, fault, &device, &mut shot).await?;
    let answer = workshop.send(&shot).await?;
    Ok((answer.status, answer.text()))
}

async fn distort(
    workshop: &Workshop<'_>,
    fault: Fault,
    device: &Device,
    shot: &mut Shot,
) -> Result<(), FaultError> {
    match (fault.card().liar, fault.card().stage) {
        (Liar::Masa, stage) => {
            workshop.masa.behave(misbehaviour(fault));
            if stage == Stage::Enroll {
                // What its log holds comes to light with the next voucher.
                journey::bootstrap(&device.pledge, workshop.registrar).await?;
            }
            Ok(())
        }
        (_, Stage::Voucher) => request::distort(workshop, fault, device, shot).await,
        (_, Stage::VoucherStatus | Stage::EnrollStatus) => {
            telemetry::distort(workshop, fault, device, shot).await
        }
        (_, Stage::Enroll | Stage::Reenroll) => {
            enroll::distort(workshop, fault, device, shot).await
        }
    }
}

/// What a MASA does to tell a lie; nothing where it is not the liar.
#[must_use]
pub fn misbehaviour(fault: Fault) -> Misbehaviour {
    match fault {
        Fault::MasaAway => Misbehaviour::Unavailable,
        Fault::MasaRefuses => Misbehaviour::Refuses,
        Fault::MasaNonce => Misbehaviour::WrongNonce,
        Fault::MasaSerial => Misbehaviour::WrongSerial,
        Fault::MasaPin => Misbehaviour::WrongPin,
        Fault::MasaGarbage => Misbehaviour::Garbage,
        Fault::MasaUnauthorized => Misbehaviour::Unauthorized,
        Fault::MasaWaits => Misbehaviour::Waits,
        Fault::MasaRedirects => Misbehaviour::Redirects,
        Fault::MasaSlow => Misbehaviour::Slow,
        Fault::MasaHuge => Misbehaviour::Huge,
        Fault::MasaType => Misbehaviour::WrongType,
        Fault::MasaSigner => Misbehaviour::WrongSigner,
        Fault::MasaForeignLog => Misbehaviour::ForeignLog,
        // The other liars leave the MASA as it is.
        _ => Misbehaviour::None,
    }
}

async fn twin(workshop: &Workshop<'_>, serial: &str, stage: Stage) -> Outcome {
    let mut device = workshop.device(serial).await?;
    workshop.bring(&mut device, stage).await?;
    let shot = workshop.honest(&device, stage)?;
    let mut times = 0;
    loop {
        let answer = workshop.send(&shot).await?;
        times += 1;
        if answer.status != 202 || times > PATIENCE {
            return Ok((answer.status, answer.text()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
