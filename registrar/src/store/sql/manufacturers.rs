//! Manufacturers as SQL: a row, with hosts and anchors in tables of their own.

use rustls_pki_types::CertificateDer;
use serde::Serialize;

use super::apply::{insert, raise_generation, run, update};
use super::read;
use super::session::{Result, Session, Value};
use crate::store::model::{Id, Manufacturer};
use crate::store::{Conflict, StoreError};

/// Inserts a manufacturer.
pub(super) async fn add(session: &mut dyn Session, row: &Manufacturer) -> Result<()> {
    let sql = "INSERT INTO manufacturers (id, name, masa_url, entry, masa, idevid, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (masa, idevid) = (json(&row.masa)?, json(&row.idevid)?);
    let values = [
        Value::from(&row.id),
        Value::from(&row.name),
        row.masa_url.as_deref().into(),
        row.entry.as_str().into(),
        Value::from(&masa),
        Value::from(&idevid),
        row.created_at.into(),
    ];
    insert(session, sql, &values, Conflict::ManufacturerName(row.name.clone())).await?;
    add_lists(session, row).await?;
    raise_generation(session).await
}

/// Writes a manufacturer anew, if it is still what the change stands on.
pub(super) async fn change(
    session: &mut dyn Session,
    before: &Manufacturer,
    after: &Manufacturer,
) -> Result<()> {
    // First of all an UPDATE, so that another operator's change of it waits for this one, or this for that.
    let sql = "UPDATE manufacturers SET created_at = created_at WHERE id = $1";
    update(session, sql, &[Value::from(&before.id)]).await?;
    let rows = read::manufacturers(session).await?;
    if !rows.iter().any(|row| row == before) {
        return Err(StoreError::Conflict(Conflict::Outdated));
    }
    let sql = "UPDATE manufacturers SET masa_url = $2, entry = $3, masa = $4, idevid = $5 \
               WHERE id = $1";
    let (masa, idevid) = (json(&after.masa)?, json(&after.idevid)?);
    let values = [
        Value::from(&before.id),
        after.masa_url.as_deref().into(),
        after.entry.as_str().into(),
        Value::from(&masa),
        Value::from(&idevid),
    ];
    update(session, sql, &values).await?;
    for table in ["manufacturer_hosts", "manufacturer_anchors"] {
        let sql = format!("DELETE FROM {table} WHERE manufacturer = $1");
        run(session, &sql, &[Value::from(&before.id)]).await?;
    }
    add_lists(session, after).await?;
    raise_generation(session).await
}

async fn add_lists(session: &mut dyn Session, row: &Manufacturer) -> Result<()> {
    let sql = "INSERT INTO manufacturer_hosts (manufacturer, position, host) VALUES ($1, $2, $3)";
    for (position, host) in (0_i64..).zip(&row.masa_hosts) {
        run(session, sql, &[Value::from(&row.id), position.into(), host.into()]).await?;
    }
    add_anchors(session, &row.id, "idevid", &row.anchors).await?;
    add_anchors(session, &row.id, "masa", &row.masa_anchors).await?;
    add_anchors(session, &row.id, "voucher", &row.voucher_anchors).await
}

async fn add_anchors(
    session: &mut dyn Session,
    manufacturer: &Id,
    purpose: &str,
    anchors: &[CertificateDer<'static>],
) -> Result<()> {
    let sql = "INSERT INTO manufacturer_anchors (manufacturer, purpose, position, certificate) \
               VALUES ($1, $2, $3, $4)";
    for (position, anchor) in (0_i64..).zip(anchors) {
        let values = [manufacturer.into(), purpose.into(), position.into(), anchor.as_ref().into()];
        run(session, sql, &values).await?;
    }
    Ok(())
}

fn json(options: &impl Serialize) -> Result<String> {
    serde_json::to_string(options).map_err(|error| StoreError::Database(Box::new(error)))
}
