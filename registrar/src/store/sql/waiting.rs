//! Devices that wait for a person, as SQL: how many there are, and forgetting one that stopped asking.

use super::apply::run;
use super::rows;
use super::session::{Result, Session, one};
use crate::store::model::{Id, Millis, WaitingDevices};
use crate::store::{Conflict, StoreError};

/// The open questions about the devices of a manufacturer.
pub(super) async fn of_manufacturer(
    session: &mut dyn Session,
    manufacturer: &Id,
) -> Result<WaitingDevices> {
    let waiting = "FROM approvals JOIN identities ON identities.device = approvals.device \
                   WHERE approvals.state = 'waiting' AND identities.manufacturer = $1";
    let sql = format!("SELECT count(*) AS waiting {waiting}");
    let number = one(session, &sql, &[manufacturer.into()], |row| row.integer("waiting")).await?;
    let sql = format!("SELECT approvals.* {waiting} ORDER BY asked_at, id LIMIT 1");
    let silent_longest = one(session, &sql, &[manufacturer.into()], rows::approval).await?;
    let number = u64::try_from(number.unwrap_or_default()).unwrap_or_default();
    Ok(WaitingDevices { number, silent_longest })
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
