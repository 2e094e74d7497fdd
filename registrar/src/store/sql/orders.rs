//! The bridge's rows as SQL: orders and their steps, quotas, revocations.

use acme_bridge::{OrderId, OrderRecord, OrderState, Which};

use super::pages::Conditions;
use super::session::{Dialect, Result, Row, Session, Value, all, one};
use super::writer::Claim;
use super::{answers, rows};
use crate::store::model::{
    ListedOrder, Millis, OrderFilter, OrderPlace, OrderTally, RevocationRow, Sha256,
};
use crate::store::{Conflict, StoreError};

/// The states that an order can be cancelled in: the CA was not asked to issue yet.
const CANCELLABLE: &str = "('intended', 'placed', 'authorizing', 'ready')";
/// How far apart the turns of one device's orders are at least, in milliseconds.
///
/// Orders of others that come between two turns go first, however many the device has.
const TURN_MILLIS: i64 = 1000;

pub(super) async fn insert(session: &mut dyn Session, order: &OrderRecord) -> Result<()> {
    let sql = format!(
        "INSERT INTO orders (id, issuer, csr, names, spki, state, detail, is_final, attempts, due, \
         device, replaces, fallback, require_eku, since, created_at, turn) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, \
         (SELECT CASE WHEN max(turn) + {TURN_MILLIS} > $15 THEN max(turn) + {TURN_MILLIS} \
          ELSE $15 END FROM orders WHERE issuer = $2 AND device = $11 AND is_final = 0)) \
         ON CONFLICT DO NOTHING"
    );
    let (names, detail) = (order.csr.names.join(" "), rows::order_detail(&order.state)?);
    let usages = order.terms.require_eku.join(" ");
    let values = [
        order.id.as_str().into(),
        order.issuer.as_str().into(),
        Value::from(&order.csr.der),
        Value::from(&names),
        Value::from(&order.csr.spki),
        order.state.name().into(),
        Value::from(&detail),
        order.state.is_final().into(),
        order.attempts.into(),
        order.due.into(),
        Value::from(&order.terms.device),
        order.terms.replaces.as_deref().into(),
        order.terms.fallback.as_ref().map(|issuer| issuer.as_str()).into(),
        Value::from(&usages),
        order.since.into(),
    ];
    session.execute(&sql, &values).await?;
    Ok(())
}

pub(super) async fn advance(
    session: &mut dyn Session,
    order: &OrderRecord,
    node: &str,
    step: &str,
    at: Millis,
) -> Result<()> {
    let lease = order.lease.as_ref();
    let (detail, problem) =
        (rows::order_detail(&order.state)?, rows::order_problem(order.problem.as_ref())?);
    // An order that is left takes its turn after those that wait already; one that is driven keeps it.
    let sql = "UPDATE orders SET state = $2, detail = $3, is_final = $4, attempts = $5, due = $6, \
               lease_node = $7, lease_until = $8, issuer = $11, replaces = $12, fallback = $13, \
               since = $14, problem = $15, \
               turn = CASE WHEN CAST($7 AS TEXT) IS NULL AND turn < $6 THEN $6 ELSE turn END \
               WHERE id = $1 AND is_final = 0 \
               AND (lease_node IS NULL OR lease_node = $9 OR lease_until <= $10)";
    let values = [
        order.id.as_str().into(),
        order.state.name().into(),
        Value::from(&detail),
        order.state.is_final().into(),
        order.attempts.into(),
        order.due.into(),
        lease.map(|lease| lease.node.as_str()).into(),
        lease.map(|lease| lease.until).into(),
        node.into(),
        at.into(),
        order.issuer.as_str().into(),
        order.terms.replaces.as_deref().into(),
        order.terms.fallback.as_ref().map(|issuer| issuer.as_str()).into(),
        order.since.into(),
        problem.as_deref().into(),
    ];
    match session.execute(sql, &values).await? {
        0 => Err(StoreError::Conflict(Conflict::OrderLeased)),
        _ => add_step(session, &order.id, step, at).await,
    }
}

/// Ends an order that the CA was not asked to issue for yet; one that is further goes on.
pub(super) async fn cancel(
    session: &mut dyn Session,
    order: &OrderId,
    state: &OrderState,
    step: &str,
    at: Millis,
) -> Result<()> {
    let detail = rows::order_detail(state)?;
    let sql = format!(
        "UPDATE orders SET state = $2, detail = $3, is_final = 1, due = $4, since = $4, \
         lease_node = NULL, lease_until = NULL \
         WHERE id = $1 AND is_final = 0 AND state IN {CANCELLABLE}"
    );
    let values = [order.as_str().into(), state.name().into(), Value::from(&detail), at.into()];
    match session.execute(&sql, &values).await? {
        0 => Ok(()),
        _ => {
            answers::retire(session, order).await?;
            add_step(session, order, step, at).await
        }
    }
}

/// Has an order that waits looked at now, and begins one anew that ended without a certificate.
pub(super) async fn retry(
    session: &mut dyn Session,
    order: &OrderId,
    step: &str,
    at: Millis,
) -> Result<()> {
    let detail = rows::order_detail(&OrderState::Intended)?;
    let anew = "UPDATE orders SET state = 'intended', detail = $2, is_final = 0, attempts = 0, \
                due = $3, since = $3, turn = $3, lease_node = NULL, lease_until = NULL \
                WHERE id = $1 AND is_final = 1 AND state = 'invalid'";
    let values = [order.as_str().into(), Value::from(&detail), at.into()];
    let mut changed = session.execute(anew, &values).await?;
    if changed == 0 {
        let now = "UPDATE orders SET due = $2, turn = CASE WHEN turn > $2 THEN $2 ELSE turn END \
                   WHERE id = $1 AND is_final = 0";
        changed = session.execute(now, &[order.as_str().into(), at.into()]).await?;
    }
    match changed {
        0 => Err(StoreError::Conflict(Conflict::Missing)),
        _ => add_step(session, order, step, at).await,
    }
}

pub(super) async fn release(session: &mut dyn Session, issuer: &str, node: &str) -> Result<()> {
    let sql = "UPDATE orders SET lease_node = NULL, lease_until = NULL \
               WHERE issuer = $1 AND lease_node = $2 AND is_final = 0";
    session.execute(sql, &[issuer.into(), node.into()]).await?;
    Ok(())
}

pub(super) async fn prune(session: &mut dyn Session, order: &OrderId) -> Result<()> {
    let id = [order.as_str().into()];
    let ended = "DELETE FROM order_steps WHERE \"order\" = $1 AND EXISTS \
                 (SELECT 1 FROM orders WHERE id = $1 AND is_final = 1)";
    session.execute(ended, &id).await?;
    session.execute("DELETE FROM orders WHERE id = $1 AND is_final = 1", &id).await?;
    Ok(())
}

async fn add_step(
    session: &mut dyn Session,
    order: &OrderId,
    step: &str,
    at: Millis,
) -> Result<()> {
    let sql = "INSERT INTO order_steps (\"order\", seq, at, step) VALUES ($1, \
               (SELECT coalesce(max(seq), 0) + 1 FROM order_steps WHERE \"order\" = $1), $2, $3)";
    session.execute(sql, &[order.as_str().into(), at.into(), step.into()]).await?;
    Ok(())
}

pub(super) async fn claim(session: &mut dyn Session, claim: &Claim) -> Result<Vec<OrderRecord>> {
    // Another node's claim at the same moment takes other rows, and nobody waits.
    let lock = match session.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => "FOR UPDATE SKIP LOCKED",
    };
    let which = match claim.which {
        Which::Any => "",
        Which::WithFallback => "AND state = 'intended' AND fallback IS NOT NULL",
    };
    let sql = format!(
        "UPDATE orders SET lease_node = $2, lease_until = $3 WHERE id IN (\
         SELECT id FROM orders WHERE issuer = $1 AND is_final = 0 AND due <= $4 \
         AND (lease_node IS NULL OR lease_until <= $4) {which} \
         ORDER BY turn LIMIT $5 {lock}) RETURNING *"
    );
    let values = [
        Value::from(&claim.issuer),
        Value::from(&claim.node),
        claim.lease_until.into(),
        claim.now.into(),
        claim.limit.into(),
    ];
    all(session, &sql, &values, rows::order).await
}

/// Takes from a bucket, unless somebody took from it meanwhile.
pub(super) async fn spend(
    session: &mut dyn Session,
    bucket: &str,
    before: Option<i64>,
    after: i64,
) -> Result<()> {
    let changed = match before {
        None => {
            let sql = "INSERT INTO quotas (bucket, full_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            session.execute(sql, &[bucket.into(), after.into()]).await?
        }
        Some(before) => {
            let sql = "UPDATE quotas SET full_at = $2 WHERE bucket = $1 AND full_at = $3";
            session.execute(sql, &[bucket.into(), after.into(), before.into()]).await?
        }
    };
    match changed {
        0 => Err(StoreError::Conflict(Conflict::Quota)),
        _ => Ok(()),
    }
}

/// Forgets so many buckets that are full.
pub(super) async fn prune_quotas(session: &mut dyn Session, now: Millis, limit: u32) -> Result<()> {
    let sql = "DELETE FROM quotas WHERE full_at < $1 AND bucket IN \
               (SELECT bucket FROM quotas WHERE full_at < $1 ORDER BY full_at LIMIT $2)";
    session.execute(sql, &[now.into(), limit.into()]).await?;
    Ok(())
}

/// How many buckets are full, up to a limit.
pub(super) async fn full_quotas(session: &mut dyn Session, now: Millis, limit: u32) -> Result<u32> {
    let sql = "SELECT count(*) AS full FROM \
               (SELECT bucket FROM quotas WHERE full_at < $1 LIMIT $2) AS those";
    let values: [Value<'_>; 2] = [now.into(), limit.into()];
    let count = one(session, sql, &values, |row| row.integer("full")).await?;
    Ok(u32::try_from(count.unwrap_or(0)).unwrap_or(limit))
}

pub(super) async fn buckets(
    session: &mut dyn Session,
    names: &[String],
) -> Result<Vec<Option<i64>>> {
    let mut times = Vec::with_capacity(names.len());
    for name in names {
        let sql = "SELECT full_at FROM quotas WHERE bucket = $1";
        times.push(one(session, sql, &[name.into()], |row| row.integer("full_at")).await?);
    }
    Ok(times)
}

pub(super) async fn request_revocation(
    session: &mut dyn Session,
    row: &RevocationRow,
) -> Result<()> {
    let sql = "INSERT INTO revocations (fingerprint, issuer, certificate, reason, attempts, due, \
               requested_at, done_at, problem) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
               ON CONFLICT DO NOTHING";
    let values = [
        Value::from(&row.fingerprint),
        Value::from(&row.issuer),
        row.certificate.as_ref().into(),
        row.reason.as_str().into(),
        row.attempts.into(),
        row.due.into(),
        row.requested_at.into(),
        row.done_at.into(),
        row.problem.as_deref().into(),
    ];
    session.execute(sql, &values).await?;
    Ok(())
}

/// Notes an attempt to revoke: done at a time, or due again at another.
pub(super) async fn note_revocation(
    session: &mut dyn Session,
    fingerprint: &Sha256,
    done_at: Option<Millis>,
    due: Millis,
    problem: Option<&str>,
) -> Result<()> {
    let sql = "UPDATE revocations SET attempts = attempts + 1, done_at = $2, due = $3, \
               problem = $4 WHERE fingerprint = $1 AND done_at IS NULL";
    session.execute(sql, &[fingerprint.into(), done_at.into(), due.into(), problem.into()]).await?;
    Ok(())
}

pub(super) async fn revocations_due(
    session: &mut dyn Session,
    issuer: &str,
    now: Millis,
    limit: u32,
) -> Result<Vec<RevocationRow>> {
    let sql = "SELECT * FROM revocations WHERE issuer = $1 AND due <= $2 AND done_at IS NULL \
               ORDER BY due LIMIT $3";
    all(session, sql, &[issuer.into(), now.into(), limit.into()], rows::revocation).await
}

pub(super) async fn revocation(
    session: &mut dyn Session,
    fingerprint: &Sha256,
) -> Result<Option<RevocationRow>> {
    let sql = "SELECT * FROM revocations WHERE fingerprint = $1";
    one(session, sql, &[fingerprint.into()], rows::revocation).await
}

pub(super) async fn order(session: &mut dyn Session, id: &OrderId) -> Result<Option<OrderRecord>> {
    one(session, "SELECT * FROM orders WHERE id = $1", &[id.as_str().into()], rows::order).await
}

pub(super) async fn listed(session: &mut dyn Session, id: &OrderId) -> Result<Option<ListedOrder>> {
    one(session, "SELECT * FROM orders WHERE id = $1", &[id.as_str().into()], listed_order).await
}

fn listed_order(row: &mut Row) -> Result<ListedOrder> {
    Ok(ListedOrder { created_at: row.millis("created_at")?, order: rows::order(row)? })
}

/// The orders that fit a filter, the newest first, after a place.
pub(super) async fn page(
    session: &mut dyn Session,
    filter: &OrderFilter,
    after: Option<&OrderPlace>,
    limit: u32,
) -> Result<Vec<ListedOrder>> {
    let mut conditions = Conditions::new();
    for (column, value) in [("issuer", &filter.issuer), ("state", &filter.state)] {
        if let Some(value) = value {
            let value = conditions.value(value);
            conditions.and(&format!("{column} = {value}"));
        }
    }
    if let Some(device) = &filter.device {
        let device = conditions.value(device);
        conditions.and(&format!("device = {device}"));
    }
    if let Some(place) = after {
        let (at, id) = (conditions.value(place.created_at), conditions.value(&place.id));
        conditions.and(&format!("(created_at, id) < ({at}, {id})"));
    }
    let limit = conditions.value(limit);
    let (text, values) = conditions.parts();
    let sql = format!("SELECT * FROM orders{text} ORDER BY created_at DESC, id DESC LIMIT {limit}");
    all(session, &sql, &values, listed_order).await
}

pub(super) async fn tally(session: &mut dyn Session) -> Result<Vec<OrderTally>> {
    let sql = "SELECT issuer, state, count(*) AS orders FROM orders WHERE is_final = 0 \
               GROUP BY issuer, state ORDER BY issuer, state";
    let read = |row: &mut Row| {
        let orders = u64::try_from(row.integer("orders")?).unwrap_or(0);
        Ok(OrderTally { issuer: row.text("issuer")?, state: row.text("state")?, orders })
    };
    all(session, sql, &[], read).await
}

pub(super) async fn steps(
    session: &mut dyn Session,
    id: &OrderId,
) -> Result<Vec<(Millis, String)>> {
    let sql = "SELECT at, step FROM order_steps WHERE \"order\" = $1 ORDER BY seq";
    let read = |row: &mut Row| Ok((row.millis("at")?, row.text("step")?));
    all(session, sql, &[id.as_str().into()], read).await
}

pub(super) async fn ended(
    session: &mut dyn Session,
    before: Millis,
    limit: u32,
) -> Result<Vec<OrderId>> {
    let sql = "SELECT id FROM orders WHERE is_final = 1 AND due < $1 ORDER BY due LIMIT $2";
    let values: [Value<'_>; 2] = [before.into(), limit.into()];
    all(session, sql, &values, |row| row.text("id").map(OrderId::new)).await
}
