//! Lies of the ACME CA, told to the registrar while a device waits for its certificate.

use std::time::Duration;

use tokio::time::Instant;

use super::Fault;
use super::workshop::{FaultError, Shot, Workshop, make};
use crate::acme::{AcmeCa, CaLie};
use crate::http::Answer;

/// How long a registrar may take until it is lied to.
const LIMIT: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often a device comes back for an answer that is final.
const PATIENCE: u32 = 60;

/// Tells a lie while this request is answered, and gives the answer.
///
/// A device that is told to come back because the CA lies is told so again after the lie: that the CA was slow is
/// nothing that it did wrong.
pub(super) async fn tell(
    workshop: &Workshop<'_>,
    fault: Fault,
    shot: &Shot,
) -> Result<Answer, FaultError> {
    let ca = workshop.ca.ok_or_else(|| make("there is no CA that lies"))?;
    let before = ca.told();
    ca.behave(lie(fault)?);
    let mut answer = workshop.send(shot).await?;
    until_told(ca, before).await?;
    for _ in 0..PATIENCE {
        if answer.status == 202 {
            answer = workshop.send(shot).await?;
        }
        if answer.status != 202 || fault.card().status == 202 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(answer)
}

async fn until_told(ca: &AcmeCa, before: u64) -> Result<(), FaultError> {
    let deadline = Instant::now() + LIMIT;
    while ca.told() == before {
        if Instant::now() >= deadline {
            return Err(make("the registrar never asked the CA that lies"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn lie(fault: Fault) -> Result<CaLie, FaultError> {
    Ok(match fault {
        Fault::CaOtherKey => CaLie::OtherKey,
        Fault::CaOtherName => CaLie::OtherName,
        Fault::CaSecondName => CaLie::SecondName,
        Fault::CaNoName => CaLie::NoName,
        Fault::CaAddress => CaLie::Address,
        Fault::CaExpired => CaLie::Expired,
        Fault::CaEarly => CaLie::Early,
        Fault::CaEternal => CaLie::Eternal,
        Fault::CaNoClientUsage => CaLie::NoClientUsage,
        Fault::CaAsCa => CaLie::AsCa,
        Fault::CaForged => CaLie::Forged,
        Fault::CaUnknownRoot => CaLie::UnknownRoot,
        Fault::CaLoop => CaLie::Loop,
        Fault::CaLeafOnly => CaLie::LeafOnly,
        Fault::CaPrivateKey => CaLie::PrivateKey,
        Fault::CaTooMany => CaLie::TooMany,
        Fault::CaLongChain => CaLie::LongChain,
        Fault::CaGarbageChain => CaLie::GarbageChain,
        Fault::CaHostileProblem => CaLie::HostileProblem,
        Fault::CaRejects => CaLie::Rejects,
        Fault::CaNoChallenge => CaLie::NoChallenge,
        Fault::CaBadToken => CaLie::BadToken,
        Fault::CaOtherAuthorization => CaLie::OtherAuthorization,
        Fault::CaHugeChain => CaLie::HugeChain,
        Fault::CaSlowChain => CaLie::SlowChain,
        Fault::CaHtml => CaLie::Html,
        Fault::CaRedirect => CaLie::Redirect,
        Fault::CaForeignOrder => CaLie::ForeignOrder,
        Fault::CaNoLocation => CaLie::NoLocation,
        Fault::CaBadLocation => CaLie::BadLocation,
        Fault::CaForeignAuthorization => CaLie::ForeignAuthorization,
        Fault::CaForeignFinalize => CaLie::ForeignFinalize,
        Fault::CaForeignCertificate => CaLie::ForeignCertificate,
        Fault::CaBadNonce => CaLie::BadNonce,
        Fault::CaNoNonce => CaLie::NoNonce,
        Fault::CaProcessing => CaLie::Processing,
        Fault::CaInvalid => CaLie::Invalid,
        Fault::CaLimits => CaLie::Limits,
        Fault::CaFails => CaLie::Fails,
        Fault::CaTerms => CaLie::Terms,
        other => return Err(make(format!("{other:?} is no lie of a CA"))),
    })
}
