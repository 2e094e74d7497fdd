//! Changes as SQL, inside a savepoint of the writing thread: all of a commit, or nothing.

use acme_bridge::OrderRecord;
use rusqlite::{Connection, ErrorCode, Params};
use rustls_pki_types::CertificateDer;

use super::Claim;
use super::rows::{self, Result, database};
use crate::store::model::{
    Enrollment, Event, Id, IssuedCertificate, KnownDevice, Manufacturer, Millis, VoucherExchange,
};
use crate::store::{Change, Conflict, StoreError};

pub(super) fn commit(
    connection: &Connection,
    node: &str,
    changes: &[Change],
    events: &[Event],
) -> Result<()> {
    changes.iter().try_for_each(|change| apply(connection, change))?;
    events.iter().try_for_each(|event| append(connection, node, event))
}

/// How many rows a statement changed.
fn run<P: Params>(connection: &Connection, sql: &str, parameters: P) -> Result<usize> {
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    statement.execute(parameters).map_err(database)
}

/// Runs an INSERT; a row that is there already is this conflict.
fn insert<P: Params>(
    connection: &Connection,
    sql: &str,
    parameters: P,
    conflict: Conflict,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    match statement.execute(parameters) {
        Ok(_) => Ok(()),
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.code == ErrorCode::ConstraintViolation
                && matches!(error.extended_code, 1555 | 2067) =>
        {
            Err(StoreError::Conflict(conflict))
        }
        Err(error) => Err(database(error)),
    }
}

/// Runs an UPDATE of one row, which must be there.
fn update<P: Params>(connection: &Connection, sql: &str, parameters: P) -> Result<()> {
    match run(connection, sql, parameters)? {
        0 => Err(StoreError::Conflict(Conflict::Missing)),
        _ => Ok(()),
    }
}

fn apply(connection: &Connection, change: &Change) -> Result<()> {
    match change {
        Change::AddManufacturer(row) => add_manufacturer(connection, row),
        Change::AdmitDevice(known) => admit_device(connection, known),
        Change::SetDeviceState { device, state, at } => update(
            connection,
            "UPDATE devices SET state = ?2, updated_at = ?3 WHERE id = ?1",
            (device.as_str(), state.as_str(), at.0),
        ),
        Change::BeginVoucherExchange(exchange) => begin_exchange(connection, exchange),
        Change::SetVoucherState { exchange, state, at } => {
            let (word, voucher, reason) = rows::voucher_columns(state);
            update(
                connection,
                "UPDATE voucher_exchanges SET state = ?2, voucher = ?3, reason = ?4, \
                 updated_at = ?5 WHERE id = ?1",
                (exchange.as_str(), word, voucher, reason, at.0),
            )
        }
        Change::ApproveEnrollment(enrollment) => approve(connection, enrollment),
        Change::SetEnrollmentState { enrollment, state, at } => {
            let (word, certificate, reason) = rows::enrollment_columns(state);
            update(
                connection,
                "UPDATE enrollments SET state = ?2, certificate = ?3, reason = ?4, \
                 updated_at = ?5 WHERE id = ?1",
                (enrollment.as_str(), word, certificate, reason, at.0),
            )
        }
        Change::AddCertificate(row) => add_certificate(connection, row),
        Change::AddChainCertificate(row) => run(
            connection,
            "INSERT INTO chain_certificates (fingerprint, issuer, certificate) \
             VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (row.fingerprint.0, &row.issuer, row.certificate.as_ref()),
        )
        .map(|_| ()),
        Change::InsertOrder(order) => insert_order(connection, order),
        Change::AdvanceOrder { order, node, step, at } => {
            advance_order(connection, order, node, step, *at)
        }
        Change::SaveAccount { issuer, account } => run(
            connection,
            "INSERT INTO accounts (issuer, url, directory) VALUES (?1, ?2, ?3) \
             ON CONFLICT (issuer) DO UPDATE SET url = ?2, directory = ?3",
            (issuer, &account.url, &account.directory),
        )
        .map(|_| ()),
        Change::PutAnswer(answer) => run(
            connection,
            "INSERT INTO challenge_answers (owner, value, \"order\") VALUES (?1, ?2, ?3) \
             ON CONFLICT DO NOTHING",
            (&answer.owner, &answer.value, answer.order.as_str()),
        )
        .map(|_| ()),
        Change::RemoveAnswers { order } => {
            run(connection, "DELETE FROM challenge_answers WHERE \"order\" = ?1", [order.as_str()])
                .map(|_| ())
        }
    }
}

fn add_manufacturer(connection: &Connection, row: &Manufacturer) -> Result<()> {
    insert(
        connection,
        "INSERT INTO manufacturers (id, name, masa_url, created_at) VALUES (?1, ?2, ?3, ?4)",
        (row.id.as_str(), &row.name, &row.masa_url, row.created_at.0),
        Conflict::ManufacturerName(row.name.clone()),
    )?;
    for (position, host) in (0_i64..).zip(&row.masa_hosts) {
        run(
            connection,
            "INSERT INTO manufacturer_hosts (manufacturer, position, host) VALUES (?1, ?2, ?3)",
            (row.id.as_str(), position, host),
        )?;
    }
    add_anchors(connection, &row.id, "idevid", &row.anchors)?;
    add_anchors(connection, &row.id, "masa", &row.masa_anchors)?;
    add_anchors(connection, &row.id, "voucher", &row.voucher_anchors)?;
    run(connection, "UPDATE settings SET value = value + 1 WHERE name = 'generation'", [])?;
    Ok(())
}

fn add_anchors(
    connection: &Connection,
    manufacturer: &Id,
    purpose: &str,
    anchors: &[CertificateDer<'static>],
) -> Result<()> {
    for (position, anchor) in (0_i64..).zip(anchors) {
        run(
            connection,
            "INSERT INTO manufacturer_anchors (manufacturer, purpose, position, certificate) \
             VALUES (?1, ?2, ?3, ?4)",
            (manufacturer.as_str(), purpose, position, anchor.as_ref()),
        )?;
    }
    Ok(())
}

fn admit_device(connection: &Connection, known: &KnownDevice) -> Result<()> {
    let (device, identity) = (&known.device, &known.identity);
    run(
        connection,
        "INSERT INTO devices (id, profile, state, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            device.id.as_str(),
            &device.profile,
            device.state.as_str(),
            device.created_at.0,
            device.updated_at.0,
        ),
    )?;
    insert(
        connection,
        "INSERT INTO identities (device, manufacturer, serial, spki, certificate) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            device.id.as_str(),
            identity.manufacturer.as_str(),
            &identity.serial,
            identity.spki.0,
            identity.certificate.as_ref(),
        ),
        Conflict::SerialNumber(identity.serial.clone()),
    )?;
    insert(
        connection,
        "INSERT INTO names (name, device) VALUES (?1, ?2)",
        (device.name.to_lowercase(), device.id.as_str()),
        Conflict::DeviceName(device.name.clone()),
    )
}

fn begin_exchange(connection: &Connection, exchange: &VoucherExchange) -> Result<()> {
    let (word, voucher, reason) = rows::voucher_columns(&exchange.state);
    insert(
        connection,
        "INSERT INTO voucher_exchanges (id, request_sha256, device, pledge_request, \
         registrar_request, state, voucher, reason, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            exchange.id.as_str(),
            exchange.request_sha256.0,
            exchange.device.as_str(),
            &exchange.pledge_request,
            &exchange.registrar_request,
            word,
            voucher,
            reason,
            exchange.created_at.0,
            exchange.updated_at.0,
        ),
        Conflict::VoucherExchange,
    )
}

fn approve(connection: &Connection, enrollment: &Enrollment) -> Result<()> {
    let (word, certificate, reason) = rows::enrollment_columns(&enrollment.state);
    insert(
        connection,
        "INSERT INTO enrollments (id, device, profile, issuer, name, key, csr, state, \
         certificate, reason, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        (
            enrollment.id.as_str(),
            enrollment.device.as_str(),
            &enrollment.profile,
            &enrollment.issuer,
            &enrollment.name,
            enrollment.key.0,
            &enrollment.csr,
            word,
            certificate,
            reason,
            enrollment.created_at.0,
            enrollment.updated_at.0,
        ),
        Conflict::Enrollment,
    )
}

fn add_certificate(connection: &Connection, row: &IssuedCertificate) -> Result<()> {
    run(
        connection,
        "INSERT INTO certificates (fingerprint, device, enrollment, issuer, certificate, serial, \
         spki, not_before, not_after, revoked_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        (
            row.fingerprint.0,
            row.device.as_str(),
            row.enrollment.as_str(),
            &row.issuer,
            row.certificate.as_ref(),
            &row.serial,
            row.spki.0,
            row.not_before.0,
            row.not_after.0,
            row.revoked_at.map(|at| at.0),
            row.created_at.0,
        ),
    )
    .map(|_| ())
}

fn insert_order(connection: &Connection, order: &OrderRecord) -> Result<()> {
    run(
        connection,
        "INSERT INTO orders (id, issuer, csr, names, spki, state, detail, is_final, attempts, due) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        (
            order.id.as_str(),
            order.issuer.as_str(),
            &order.csr.der,
            order.csr.names.join(" "),
            &order.csr.spki,
            order.state.name(),
            rows::order_detail(&order.state)?,
            order.state.is_final(),
            order.attempts,
            order.due,
        ),
    )
    .map(|_| ())
}

fn advance_order(
    connection: &Connection,
    order: &OrderRecord,
    node: &str,
    step: &str,
    at: Millis,
) -> Result<()> {
    let lease = order.lease.as_ref();
    let changed = run(
        connection,
        "UPDATE orders SET state = ?2, detail = ?3, is_final = ?4, attempts = ?5, due = ?6, \
         lease_node = ?7, lease_until = ?8 \
         WHERE id = ?1 AND (lease_node IS NULL OR lease_node = ?9 OR lease_until <= ?10)",
        (
            order.id.as_str(),
            order.state.name(),
            rows::order_detail(&order.state)?,
            order.state.is_final(),
            order.attempts,
            order.due,
            lease.map(|lease| lease.node.as_str()),
            lease.map(|lease| lease.until),
            node,
            at.0,
        ),
    )?;
    if changed == 0 {
        return Err(StoreError::Conflict(Conflict::OrderLeased));
    }
    run(
        connection,
        "INSERT INTO order_steps (\"order\", seq, at, step) VALUES (?1, \
         (SELECT coalesce(max(seq), 0) + 1 FROM order_steps WHERE \"order\" = ?1), ?2, ?3)",
        (order.id.as_str(), at.0, step),
    )
    .map(|_| ())
}

pub(super) fn claim(connection: &Connection, claim: &Claim) -> Result<Vec<OrderRecord>> {
    let sql = "UPDATE orders SET lease_node = ?2, lease_until = ?3 WHERE id IN (\
               SELECT id FROM orders WHERE issuer = ?1 AND is_final = 0 AND due <= ?4 \
               AND (lease_node IS NULL OR lease_node = ?2 OR lease_until <= ?4) \
               ORDER BY due LIMIT ?5) RETURNING *";
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    let parameters = (&claim.issuer, &claim.node, claim.lease_until.0, claim.now.0, claim.limit);
    let mut rows = statement.query(parameters).map_err(database)?;
    let mut orders = Vec::new();
    while let Some(row) = rows.next().map_err(database)? {
        orders.push(rows::order(row)?);
    }
    Ok(orders)
}

fn append(connection: &Connection, node: &str, event: &Event) -> Result<()> {
    run(
        connection,
        "INSERT INTO events (node, seq, time, kind, verdict, device, peer, clause, detail, \
         correlation) VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE node = ?1), \
         ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            node,
            event.time.0,
            event.kind,
            event.verdict.as_str(),
            event.device.as_ref().map(Id::as_str),
            &event.peer,
            event.clause,
            &event.detail,
            &event.correlation,
        ),
    )
    .map(|_| ())
}
