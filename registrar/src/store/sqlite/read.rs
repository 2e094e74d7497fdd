//! Queries. Each reads a snapshot; what was committed before it began is in it.

use acme_bridge::{AccountRecord, OrderId, OrderRecord};
use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use rustls_pki_types::CertificateDer;

use super::rows::{self, Result, database};
use crate::store::model::{
    ChainCertificate, Device, Enrollment, Id, IssuedCertificate, KnownDevice, Manufacturer, Millis,
    Sha256, StoredEvent, VoucherExchange,
};

const KNOWN_DEVICE: &str = "SELECT d.id, d.profile, d.state, d.created_at, d.updated_at, n.name, \
     i.manufacturer, i.serial, i.spki, i.certificate \
     FROM devices d JOIN names n ON n.device = d.id JOIN identities i ON i.device = d.id";

fn all<T, P: Params>(
    connection: &Connection,
    sql: &str,
    parameters: P,
    read: fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    let mut rows = statement.query(parameters).map_err(database)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next().map_err(database)? {
        values.push(read(row)?);
    }
    Ok(values)
}

fn one<T, P: Params>(
    connection: &Connection,
    sql: &str,
    parameters: P,
    read: fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    Ok(all(connection, sql, parameters, read)?.into_iter().next())
}

pub(super) fn generation(connection: &Connection) -> Result<i64> {
    let sql = "SELECT value FROM settings WHERE name = 'generation'";
    connection.query_row(sql, [], |row| row.get(0)).map_err(database)
}

pub(super) fn manufacturers(connection: &Connection) -> Result<Vec<Manufacturer>> {
    let sql = "SELECT id, name, masa_url, created_at FROM manufacturers ORDER BY name";
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    let rows = statement
        .query_map([], |row| {
            let (id, name): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((Id::from_stored(id), name, row.get(2)?, row.get(3)?))
        })
        .map_err(database)?;
    rows.map(|row| {
        let (id, name, masa_url, created_at) = row.map_err(database)?;
        Ok(Manufacturer {
            anchors: anchors(connection, &id, "idevid")?,
            masa_anchors: anchors(connection, &id, "masa")?,
            voucher_anchors: anchors(connection, &id, "voucher")?,
            masa_hosts: hosts(connection, &id)?,
            id,
            name,
            masa_url,
            created_at: Millis(created_at),
        })
    })
    .collect()
}

fn anchors(
    connection: &Connection,
    manufacturer: &Id,
    purpose: &str,
) -> Result<Vec<CertificateDer<'static>>> {
    let sql = "SELECT certificate FROM manufacturer_anchors \
               WHERE manufacturer = ?1 AND purpose = ?2 ORDER BY position";
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    let rows = statement
        .query_map((manufacturer.as_str(), purpose), |row| row.get::<_, Vec<u8>>(0))
        .map_err(database)?;
    rows.map(|row| row.map(CertificateDer::from).map_err(database)).collect()
}

fn hosts(connection: &Connection, manufacturer: &Id) -> Result<Vec<String>> {
    let sql = "SELECT host FROM manufacturer_hosts WHERE manufacturer = ?1 ORDER BY position";
    strings(connection, sql, [manufacturer.as_str()])
}

fn strings<P: Params>(connection: &Connection, sql: &str, parameters: P) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    let rows = statement.query_map(parameters, |row| row.get(0)).map_err(database)?;
    rows.map(|row| row.map_err(database)).collect()
}

pub(super) fn device_by_serial(
    connection: &Connection,
    manufacturer: &Id,
    serial: &str,
) -> Result<Option<KnownDevice>> {
    let sql = format!("{KNOWN_DEVICE} WHERE i.manufacturer = ?1 AND i.serial = ?2");
    one(connection, &sql, (manufacturer.as_str(), serial), rows::known_device)
}

pub(super) fn device(connection: &Connection, id: &Id) -> Result<Option<KnownDevice>> {
    let sql = format!("{KNOWN_DEVICE} WHERE d.id = ?1");
    one(connection, &sql, [id.as_str()], rows::known_device)
}

pub(super) fn devices(connection: &Connection) -> Result<Vec<KnownDevice>> {
    let sql = format!("{KNOWN_DEVICE} ORDER BY d.created_at, d.id");
    all(connection, &sql, [], rows::known_device)
}

pub(super) fn find_devices(connection: &Connection, text: &str) -> Result<Vec<KnownDevice>> {
    let sql = format!(
        "{KNOWN_DEVICE} WHERE d.id = ?1 OR n.name = ?2 OR i.serial = ?1 ORDER BY d.created_at, d.id"
    );
    all(connection, &sql, (text, text.to_lowercase()), rows::known_device)
}

pub(super) fn device_by_name(connection: &Connection, name: &str) -> Result<Option<Device>> {
    let sql = "SELECT d.id, d.profile, d.state, d.created_at, d.updated_at, n.name \
               FROM names n JOIN devices d ON d.id = n.device WHERE n.name = ?1";
    one(connection, sql, [name], rows::device)
}

pub(super) fn voucher_exchange(
    connection: &Connection,
    request_sha256: &Sha256,
) -> Result<Option<VoucherExchange>> {
    let sql = "SELECT * FROM voucher_exchanges WHERE request_sha256 = ?1";
    one(connection, sql, [request_sha256.0], rows::voucher_exchange)
}

pub(super) fn latest_voucher_exchange(
    connection: &Connection,
    device: &Id,
) -> Result<Option<VoucherExchange>> {
    let sql = "SELECT * FROM voucher_exchanges WHERE device = ?1 \
               ORDER BY updated_at DESC, created_at DESC LIMIT 1";
    one(connection, sql, [device.as_str()], rows::voucher_exchange)
}

pub(super) fn enrollment(connection: &Connection, id: &Id) -> Result<Option<Enrollment>> {
    let sql = "SELECT * FROM enrollments WHERE id = ?1";
    one(connection, sql, [id.as_str()], rows::enrollment)
}

pub(super) fn enrollment_by_key(
    connection: &Connection,
    key: &Sha256,
) -> Result<Option<Enrollment>> {
    let sql =
        "SELECT * FROM enrollments WHERE key = ?1 ORDER BY created_at DESC, rowid DESC LIMIT 1";
    one(connection, sql, [key.0], rows::enrollment)
}

pub(super) fn enrollments_of(connection: &Connection, device: &Id) -> Result<Vec<Enrollment>> {
    let sql = "SELECT * FROM enrollments WHERE device = ?1 ORDER BY created_at, rowid";
    all(connection, sql, [device.as_str()], rows::enrollment)
}

pub(super) fn approved_enrollments(connection: &Connection) -> Result<Vec<Enrollment>> {
    let sql = "SELECT * FROM enrollments WHERE state = 'approved' ORDER BY created_at, rowid";
    all(connection, sql, [], rows::enrollment)
}

pub(super) fn certificate(
    connection: &Connection,
    fingerprint: &Sha256,
) -> Result<Option<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE fingerprint = ?1";
    one(connection, sql, [fingerprint.0], rows::issued_certificate)
}

pub(super) fn certificates_of(
    connection: &Connection,
    device: &Id,
) -> Result<Vec<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE device = ?1 ORDER BY created_at, rowid";
    all(connection, sql, [device.as_str()], rows::issued_certificate)
}

pub(super) fn chain_certificates(connection: &Connection) -> Result<Vec<ChainCertificate>> {
    let sql = "SELECT * FROM chain_certificates ORDER BY issuer, rowid";
    all(connection, sql, [], rows::chain_certificate)
}

pub(super) fn events(
    connection: &Connection,
    device: Option<&Id>,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let newest = "ORDER BY time DESC, node DESC, seq DESC LIMIT";
    let mut events = match device {
        Some(device) => {
            let sql = format!("SELECT * FROM events WHERE device = ?1 {newest} ?2");
            all(connection, &sql, (device.as_str(), limit), rows::event)?
        }
        None => {
            let sql = format!("SELECT * FROM events {newest} ?1");
            all(connection, &sql, [limit], rows::event)?
        }
    };
    events.reverse();
    Ok(events)
}

pub(super) fn order(connection: &Connection, id: &OrderId) -> Result<Option<OrderRecord>> {
    one(connection, "SELECT * FROM orders WHERE id = ?1", [id.as_str()], rows::order)
}

pub(super) fn order_steps(connection: &Connection, id: &OrderId) -> Result<Vec<(Millis, String)>> {
    let sql = "SELECT at, step FROM order_steps WHERE \"order\" = ?1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql).map_err(database)?;
    let rows = statement
        .query_map([id.as_str()], |row| Ok((Millis(row.get(0)?), row.get(1)?)))
        .map_err(database)?;
    rows.map(|row| row.map_err(database)).collect()
}

pub(super) fn account(connection: &Connection, issuer: &str) -> Result<Option<AccountRecord>> {
    let sql = "SELECT url, directory FROM accounts WHERE issuer = ?1";
    connection
        .query_row(sql, [issuer], |row| {
            Ok(AccountRecord { url: row.get(0)?, directory: row.get(1)? })
        })
        .optional()
        .map_err(database)
}

pub(super) fn answers(connection: &Connection, owner: &str) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT value FROM challenge_answers WHERE owner = ?1 ORDER BY value";
    strings(connection, sql, [owner])
}
