//! What operators do, by way of the real service behind the admin API.

use std::future::Future;
use std::sync::Arc;

use brski_registrar::admin::api::approval::Grant;
use brski_registrar::admin::api::device::{NewDevice, Rename, Replace, Retire};

use super::op::{Act, Op};
use super::site::{MAKERS, PLEDGES};
use super::tally::Premise;
use super::world::{Done, Work, World, actor, pick};

/// The act that an operation means, if there is something that it can be about.
pub(super) async fn act(world: &World<'_>, op: &Op) -> Option<(Work, u8)> {
    let (service, desk) = (Arc::clone(&world.node(0).service), Arc::clone(&world.node(0).desk));
    let work: Work = match *op {
        Op::Import { pledge, named, lab } => {
            let (maker, serial) = PLEDGES[pledge];
            let new = NewDevice {
                serial: serial.to_owned(),
                manufacturer: MAKERS[maker].to_owned(),
                name: named.then(|| "chosen".to_owned()),
                profile: lab.then(|| "lab".to_owned()),
                site: None,
            };
            quiet(async move { service.allow(&actor(), new).await.is_ok() })
        }
        Op::Approve { question, .. } => {
            let id = pick(&world.before.questions(), question)?.id.to_string();
            quiet(async move { service.grant(&actor(), &id, Grant::default()).await.is_ok() })
        }
        Op::Disapprove { question } => {
            let id = pick(&world.before.questions(), question)?.id.to_string();
            quiet(async move { service.refuse(&actor(), &id).await.is_ok() })
        }
        Op::Operate { pledge, other, act, .. } => operate(world, pledge, other, act)?,
        Op::RetryOrder { order } => {
            let id = pick(&world.before.orders, order)?.id.as_str().to_owned();
            quiet(async move { desk.retry(&id, "uid 1000").await.is_ok() })
        }
        Op::CancelOrder { order } => {
            let id = pick(&world.before.orders, order)?.id.as_str().to_owned();
            quiet(async move { desk.cancel(&id, "uid 1000").await.is_ok() })
        }
        Op::RevokeCredential => {
            quiet(async move { service.revoke_credential(&actor(), "printer").await.is_ok() })
        }
        _ => return None,
    };
    let pace = match *op {
        Op::Approve { pace, .. } | Op::Operate { pace, .. } => pace,
        _ => u8::MAX,
    };
    Some((work, pace))
}

/// What an operator sees is no answer to a client; a no is as good as a yes.
fn quiet(work: impl Future<Output = bool> + 'static) -> Work {
    Box::pin(async move {
        let _ = work.await;
        Done::Quiet
    })
}

fn operate(world: &World<'_>, pledge: usize, other: usize, act: Act) -> Option<Work> {
    let service = Arc::clone(&world.node(0).service);
    let known = world.before.of_pledge(pledge)?;
    let id = known.device.id.to_string();
    Some(match act {
        Act::Retire | Act::RetireAndFree => {
            let how = Retire { free_name: act == Act::RetireAndFree };
            quiet(async move { service.retire(&actor(), &id, how).await.is_ok() })
        }
        Act::Block => quiet(async move { service.block(&actor(), &id).await.is_ok() }),
        Act::Restore => quiet(async move { service.restore(&actor(), &id).await.is_ok() }),
        Act::Rename => {
            // Two names for all of them, so that they meet.
            let to = Rename { name: ["chosen", "renamed"][other % 2].to_owned() };
            quiet(async move { service.rename(&actor(), &id, &to).await.is_ok() })
        }
        Act::Replace => {
            let by = world.before.of_pledge(other)?.device.id.to_string();
            world.tally.premise(Premise::NameGivenOn);
            quiet(async move { service.replace(&actor(), &id, &Replace { by }).await.is_ok() })
        }
        Act::Revoke => {
            let mut own = world.before.certificates.iter().rev();
            let live = own.find(|row| row.device == known.device.id && row.revoked_at.is_none())?;
            let fingerprint = live.fingerprint.to_string();
            quiet(async move { service.revoke_certificate(&actor(), &fingerprint).await.is_ok() })
        }
    })
}
