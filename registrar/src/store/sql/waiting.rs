//! Devices that wait for a person, as SQL: how many there are, and forgetting one that stopped asking.

use super::apply::{hold, run};
use super::rows;
use super::session::{Result, Session, one};
use crate::store::model::{Id, Millis, WaitingDevices};
use crate::store::{Conflict, StoreError};

/// The open questions about the devices of manufacturer $1.
const WAITING: &str = "FROM approvals JOIN identities ON identities.device = approvals.device \
                       WHERE approvals.state = 'waiting' AND identities.manufacturer = $1";

/// The open questions about the devices of a manufacturer.
pub(super) async fn of_manufacturer(
    session: &mut dyn Session,
    manufacturer: &Id,
) -> Result<WaitingDevices> {
    let number = number(session, manufacturer).await?;
    let sql = format!("SELECT approvals.* {WAITING} ORDER BY asked_at, id LIMIT 1");
    let silent_longest = one(session, &sql, &[manufacturer.into()], rows::approval).await?;
    Ok(WaitingDevices { number, silent_longest })
}

async fn number(session: &mut dyn Session, manufacturer: &Id) -> Result<u64> {
    let sql = format!("SELECT count(*) AS waiting {WAITING}");
    let number = one(session, &sql, &[manufacturer.into()], |row| row.integer("waiting")).await?;
    Ok(u64::try_from(number.unwrap_or_default()).unwrap_or_default())
}

/// Fails if more devices of a manufacturer wait than may.
pub(super) async fn expect_room(
    session: &mut dyn Session,
    manufacturer: &Id,
    most: u64,
) -> Result<()> {
    // Held, so that whoever asks at another node waits for this transaction, or this for that, and sees its rows.
    let row = "FROM manufacturers WHERE id = $1";
    hold(session, row, &[manufacturer.into()], Conflict::Missing).await?;
    match number(session, manufacturer).await? <= most {
        true => Ok(()),
        false => Err(StoreError::Conflict(Conflict::Waiting)),
    }
}

/// Removes an open question, and the device too if nothing else is known of it.
pub(super) async fn forget(
    session: &mut dyn Session,
    approval: &Id,
    device: &Id,
    asked_at: Millis,
) -> Result<()> {
    let sql = "DELETE FROM approvals \
               WHERE id = $1 AND device = $2 AND asked_at = $3 AND state = 'waiting'";
    if session.execute(sql, &[approval.into(), device.into(), asked_at.into()]).await? == 0 {
        return Err(StoreError::Conflict(Conflict::Missing));
    }
    // A device that waits was never let in: it has neither exchanges nor enrollments.
    let never_let_in = "EXISTS (SELECT 1 FROM devices WHERE id = $1 AND state = 'pending') \
                        AND NOT EXISTS (SELECT 1 FROM approvals WHERE device = $1) \
                        AND NOT EXISTS (SELECT 1 FROM names WHERE device = $1)";
    let sql = format!("DELETE FROM identities WHERE device = $1 AND {never_let_in}");
    if session.execute(&sql, &[device.into()]).await? > 0 {
        run(session, "DELETE FROM devices WHERE id = $1", &[device.into()]).await?;
    }
    Ok(())
}
