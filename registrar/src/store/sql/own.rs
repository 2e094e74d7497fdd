//! The registrar's own certificates and the roots of its domain: a few rows, written with the next number each.

use rustls_pki_types::CertificateDer;

use super::apply::{insert, raise_generation, update};
use super::session::{Result, Row, Session, Value, all, one};
use crate::store::model::{Id, Millis, OwnCertificate, OwnRecords, RootChange};
use crate::store::{Change, Conflict};

pub(super) async fn records(session: &mut dyn Session) -> Result<OwnRecords> {
    let sql = "SELECT seq, spki, chain, created_at FROM own_certificates ORDER BY seq";
    let certificates = all(session, sql, &[], certificate).await?;
    let sql = "SELECT * FROM domain_roots ORDER BY seq";
    let roots = all(session, sql, &[], root).await?;
    Ok(OwnRecords { certificates, roots })
}

pub(super) async fn is_exchange_open(
    session: &mut dyn Session,
    before: Millis,
    active: Millis,
) -> Result<bool> {
    let sql = "SELECT id FROM voucher_exchanges WHERE created_at < $1 AND updated_at > $2 \
               AND state IN ('asked', 'issued') LIMIT 1";
    let found = one(session, sql, &[before.into(), active.into()], |row| row.id("id")).await?;
    Ok(found.is_some())
}

pub(super) async fn vouchers(
    session: &mut dyn Session,
    before: Millis,
    after: Option<&Id>,
    limit: u32,
) -> Result<Vec<(Id, Vec<u8>)>> {
    let sql = "SELECT id, voucher FROM voucher_exchanges WHERE voucher IS NOT NULL \
               AND created_at < $1 AND id > $2 ORDER BY id LIMIT $3";
    let after = after.map_or("", Id::as_str);
    let read = |row: &mut Row| Ok((row.id("id")?, row.blob("voucher")?));
    all(session, sql, &[before.into(), after.into(), limit.into()], read).await
}

fn certificate(row: &mut Row) -> Result<OwnCertificate> {
    Ok(OwnCertificate {
        seq: row.integer("seq")?,
        spki: row.sha256("spki")?,
        chain: row.text("chain")?,
        created_at: row.millis("created_at")?,
    })
}

fn root(row: &mut Row) -> Result<RootChange> {
    let mut der = |name| row.blob(name).map(CertificateDer::from);
    let (root, previous) = (der("root")?, der("previous")?);
    let (old_with_new, new_with_old) = (der("old_with_new")?, der("new_with_old")?);
    Ok(RootChange {
        seq: row.integer("seq")?,
        root,
        previous,
        old_with_new,
        new_with_old,
        created_at: row.millis("created_at")?,
        left_at: row.optional_integer("left_at")?.map(Millis),
    })
}

pub(super) async fn apply(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::AddOwnCertificate(row) => {
            let sql = "INSERT INTO own_certificates (seq, spki, chain, created_at) \
                       VALUES ($1, $2, $3, $4)";
            let values = [
                row.seq.into(),
                Value::from(&row.spki),
                Value::from(&row.chain),
                row.created_at.into(),
            ];
            insert(session, sql, &values, Conflict::OwnCertificate).await?;
        }
        Change::ChangeRoot(row) => add_root(session, row).await?,
        Change::RetireRoot { seq, at } => {
            let sql = "UPDATE domain_roots SET left_at = $2 WHERE seq = $1 AND left_at IS NULL";
            update(session, sql, &[(*seq).into(), (*at).into()]).await?;
        }
        Change::NoteWarning { about } => {
            let sql = "INSERT INTO own_warnings (about) VALUES ($1)";
            return insert(session, sql, &[about.into()], Conflict::Warned).await;
        }
        _ => return Ok(()),
    }
    raise_generation(session).await
}

async fn add_root(session: &mut dyn Session, row: &RootChange) -> Result<()> {
    let sql = "INSERT INTO domain_roots (seq, root, previous, old_with_new, new_with_old, \
               created_at, left_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        row.seq.into(),
        row.root.as_ref().into(),
        row.previous.as_ref().into(),
        row.old_with_new.as_ref().into(),
        row.new_with_old.as_ref().into(),
        row.created_at.into(),
        row.left_at.map(|at| at.0).into(),
    ];
    insert(session, sql, &values, Conflict::OwnCertificate).await
}
