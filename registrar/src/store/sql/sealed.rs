//! Keys that were made for devices, sealed: a few rows that stay for a short time.

use super::apply::{insert, run};
use super::session::{Result, Row, Session, Value, one};
use crate::store::model::{Millis, SealedKey, Sha256};
use crate::store::{Change, Conflict};

pub(super) async fn by_wish(session: &mut dyn Session, wish: &Sha256) -> Result<Option<SealedKey>> {
    one(session, "SELECT * FROM generated_keys WHERE wish = $1", &[wish.into()], row).await
}

fn row(row: &mut Row) -> Result<SealedKey> {
    Ok(SealedKey {
        wish: row.sha256("wish")?,
        device: row.id("device")?,
        enrollment: row.sha256("enrollment")?,
        sealed: row.blob("sealed")?,
        created_at: row.millis("created_at")?,
        sent_at: row.optional_integer("sent_at")?.map(Millis),
    })
}

pub(super) async fn apply(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::KeepSealedKey(key) => keep(session, key).await,
        Change::NoteKeySent { wish, at } => {
            let sql = "UPDATE generated_keys SET sent_at = $2 WHERE wish = $1 AND sent_at IS NULL";
            run(session, sql, &[wish.into(), (*at).into()]).await
        }
        Change::RemoveSealedKey { wish, enrollment } => {
            let sql = "DELETE FROM generated_keys WHERE wish = $1 AND enrollment = $2";
            run(session, sql, &[wish.into(), enrollment.into()]).await
        }
        Change::RemoveSealedKeys { device } => {
            run(session, "DELETE FROM generated_keys WHERE device = $1", &[device.into()]).await
        }
        Change::PruneSealedKeys { sent_until, made_until } => {
            let sql = "DELETE FROM generated_keys WHERE sent_at <= $1 OR created_at <= $2";
            run(session, sql, &[(*sent_until).into(), (*made_until).into()]).await
        }
        _ => Ok(()),
    }
}

async fn keep(session: &mut dyn Session, key: &SealedKey) -> Result<()> {
    let sql = "INSERT INTO generated_keys (wish, device, enrollment, sealed, created_at, sent_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        Value::from(&key.wish),
        Value::from(&key.device),
        Value::from(&key.enrollment),
        Value::from(&key.sealed),
        key.created_at.into(),
        key.sent_at.map(|at| at.0).into(),
    ];
    insert(session, sql, &values, Conflict::SealedKey).await
}
