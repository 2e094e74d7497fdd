//! Counts for the metrics and the console: cheap queries on indexes.

use super::session::{Result, Row, Session, Value, all, corrupt, one};
use crate::store::model::{
    CertificateEnds, DeviceState, DeviceTally, EventTally, Millis, OrderQueue, Queues,
};

fn count(row: &mut Row, column: &'static str) -> Result<u64> {
    Ok(u64::try_from(row.optional_integer(column)?.unwrap_or(0)).unwrap_or(0))
}

/// What waits, as of `now`.
pub(super) async fn queues(session: &mut dyn Session, now: Millis) -> Result<Queues> {
    // A node keeps the lease of an order that waits for its time.
    let sql = "SELECT issuer, count(*) AS orders, \
               sum(CASE WHEN lease_until > $1 AND due <= $1 THEN 1 ELSE 0 END) AS driven \
               FROM orders WHERE is_final = 0 GROUP BY issuer ORDER BY issuer";
    let orders = all(session, sql, &[now.into()], |row| {
        let in_flight = count(row, "driven")?;
        let waiting = count(row, "orders")?.saturating_sub(in_flight);
        Ok(OrderQueue { issuer: row.text("issuer")?, waiting, in_flight })
    })
    .await?;
    let sql = "SELECT count(*) AS rows FROM enrollments WHERE state = 'approved'";
    let enrollments_approved = one(session, sql, &[], |row| count(row, "rows")).await?.unwrap_or(0);
    let sql = "SELECT count(*) AS rows FROM approvals WHERE state = 'waiting'";
    let approvals_waiting = one(session, sql, &[], |row| count(row, "rows")).await?.unwrap_or(0);
    let sql = "SELECT count(*) AS rows FROM revocations WHERE done_at IS NULL";
    let revocations_waiting = one(session, sql, &[], |row| count(row, "rows")).await?.unwrap_or(0);
    Ok(Queues { orders, enrollments_approved, approvals_waiting, revocations_waiting })
}

/// How many certificates end before each of `times`, which ascend.
pub(super) async fn certificate_ends(
    session: &mut dyn Session,
    times: &[Millis],
) -> Result<CertificateEnds> {
    // One pass, which reads both sides from the index certificates_by_device alone.
    let cases: String = (0..times.len())
        .map(|place| format!(" WHEN c.not_after < ${} THEN {place}", place.saturating_add(1)))
        .collect();
    let last = times.len();
    let sql = format!(
        "SELECT CAST(CASE WHEN 1 = 0 THEN 0{cases} ELSE {last} END AS BIGINT) AS place, \
         count(*) AS rows FROM certificates c WHERE c.revoked_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM certificates n WHERE n.revoked_at IS NULL \
         AND n.device = c.device AND n.created_at > c.created_at) GROUP BY place"
    );
    let values: Vec<Value<'_>> = times.iter().map(|time| Value::from(*time)).collect();
    let read = |row: &mut Row| Ok((count(row, "place")?, count(row, "rows")?));
    let counted = all(session, &sql, &values, read).await?;
    let up_to = |end: usize| {
        let is_before = |place: u64| usize::try_from(place).is_ok_and(|place| place <= end);
        counted.iter().filter(|(place, _)| is_before(*place)).map(|(_, rows)| rows).sum()
    };
    Ok(CertificateEnds { before: (0..last).map(up_to).collect(), all: up_to(last) })
}

/// How many devices are in each state that there is.
pub(super) async fn devices(session: &mut dyn Session) -> Result<Vec<DeviceTally>> {
    let sql = "SELECT state, count(*) AS devices FROM devices GROUP BY state ORDER BY state";
    let read = |row: &mut Row| {
        let word = row.text("state")?;
        let state = DeviceState::parse(&word).ok_or_else(|| corrupt("state", &word))?;
        Ok(DeviceTally { state, devices: count(row, "devices")? })
    };
    all(session, sql, &[], read).await
}

/// How many events of these kinds there were in each stretch of time since `since`.
pub(super) async fn events(
    session: &mut dyn Session,
    kinds: &[String],
    since: Millis,
    stretch: Millis,
) -> Result<Vec<EventTally>> {
    let places: Vec<String> =
        (0..kinds.len()).map(|place| format!("${}", place.saturating_add(3))).collect();
    // Both databases divide integers down to an integer.
    let sql = format!(
        "SELECT CAST((time - $1) / $2 AS BIGINT) AS stretch, kind, count(*) AS events FROM events \
         WHERE time >= $1 AND kind IN ({}) GROUP BY stretch, kind ORDER BY stretch, kind",
        places.join(", ")
    );
    let mut values: Vec<Value<'_>> = vec![since.into(), Millis(stretch.0.max(1)).into()];
    values.extend(kinds.iter().map(|kind| Value::from(kind.as_str())));
    let read = |row: &mut Row| {
        Ok(EventTally {
            stretch: u32::try_from(count(row, "stretch")?).unwrap_or(u32::MAX),
            kind: row.text("kind")?,
            events: count(row, "events")?,
        })
    };
    all(session, &sql, &values, read).await
}
