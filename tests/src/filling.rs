//! Fills the database of a registrar that does not run with devices as if it had seen them for years.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use brski_lab::up::ZONE;
use rusqlite::{Connection, params};

/// What is written of a device that was never here.
#[derive(Clone, Copy, Debug)]
pub struct OldDevice {
    /// Its state, a word of the database.
    pub state: &'static str,
    /// When it was made and changed last: Unix milliseconds.
    pub at: i64,
}

/// Puts devices with names and identities beside what a registrar wrote itself: `old-NUMBER`, `OLD-` and six digits.
///
/// `file`: its database. `device`: what is special about each, by its number. `then`: SQL that belongs to the same
/// transaction, such as what else such devices have.
///
/// # Errors
/// What the database says; nothing is written then.
pub fn fill(
    file: &Path,
    devices: u64,
    device: impl Fn(u64) -> OldDevice,
    then: &str,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(file)?;
    let manufacturer: String =
        connection.query_row("SELECT id FROM manufacturers", [], |row| row.get(0))?;
    let transaction = connection.transaction()?;
    {
        let mut row = transaction.prepare(
            "INSERT INTO devices (id, profile, state, created_at, updated_at) \
             VALUES (?1, 'default', ?2, ?3, ?3)",
        )?;
        let mut name = transaction.prepare("INSERT INTO names (name, device) VALUES (?1, ?2)")?;
        let mut identity = transaction.prepare(
            "INSERT INTO identities (device, manufacturer, serial, spki) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for number in 0..devices {
            // Identifiers and digests lie anywhere in their indexes, as digests do.
            let digest = digest(&SHA256, &number.to_be_bytes());
            let octets = digest.as_ref().iter().take(16);
            let id: String = octets.map(|octet| format!("{octet:02x}")).collect();
            let OldDevice { state, at } = device(number);
            row.execute(params![id, state, at])?;
            name.execute(params![format!("old-{number}.{ZONE}"), id])?;
            let serial = format!("OLD-{number:06}");
            identity.execute(params![id, manufacturer, serial, digest.as_ref()])?;
        }
    }
    transaction.execute_batch(then)?;
    Ok(transaction.commit()?)
}

/// The time of the newest event, which those of today come after: Unix milliseconds.
///
/// # Errors
/// What the database says.
pub fn newest_event(file: &Path) -> anyhow::Result<i64> {
    let connection = Connection::open(file)?;
    Ok(connection.query_row("SELECT max(time) FROM events", [], |row| row.get(0))?)
}
