//! Voucher exchanges and vouchers that were fetched ahead: their changes and queries.

use brski_voucher::encoding::Encoding;

use super::apply::{insert, run, update};
use super::rows;
use super::session::{Result, Row, Session, Value, all, one};
use crate::store::model::{
    AuditRecord, Id, Millis, NoncelessVoucher, Sha256, VoucherExchange, VoucherState,
};
use crate::store::{Change, Conflict, StoreError};

pub(super) async fn apply(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::BeginVoucherExchange(exchange) => begin(session, exchange).await,
        Change::SetVoucherState { exchange, state, at } => {
            set_state(session, exchange, state, *at).await
        }
        Change::SetAudit { exchange, audit } => set_audit(session, exchange, audit).await,
        Change::WantNoncelessVoucher(row) => want(session, row).await,
        Change::LeaseNoncelessVoucher { device, encoding, node, until, now } => {
            let sql = "UPDATE nonceless_vouchers SET lease_node = $3, lease_until = $4 \
                       WHERE device = $1 AND encoding = $2 \
                       AND (lease_until IS NULL OR lease_until <= $5 OR lease_node = $3)";
            let values = [
                device.into(),
                encoding.as_str().into(),
                node.into(),
                (*until).into(),
                (*now).into(),
            ];
            match session.execute(sql, &values).await? {
                0 => Err(StoreError::Conflict(Conflict::VoucherLeased)),
                _ => Ok(()),
            }
        }
        Change::KeepNoncelessVoucher(row) => keep(session, row).await,
        Change::RemoveNoncelessVouchers { device } => {
            run(session, "DELETE FROM nonceless_vouchers WHERE device = $1", &[device.into()]).await
        }
        _ => Ok(()),
    }
}

async fn begin(session: &mut dyn Session, exchange: &VoucherExchange) -> Result<()> {
    let (word, voucher, reason) = rows::voucher_columns(&exchange.state);
    let sql = "INSERT INTO voucher_exchanges (id, request_sha256, device, pledge_request, \
               registrar_request, state, voucher, reason, created_at, updated_at, encoding, \
               audit_log, audit_verdict, audit_reason, audited_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    let audit = exchange.audit.as_ref();
    let values = [
        Value::from(&exchange.id),
        Value::from(&exchange.request_sha256),
        Value::from(&exchange.device),
        Value::from(&exchange.pledge_request),
        Value::from(&exchange.registrar_request),
        word.into(),
        voucher.into(),
        reason.into(),
        exchange.created_at.into(),
        exchange.updated_at.into(),
        exchange.encoding.as_str().into(),
        audit.and_then(|audit| audit.log.as_deref()).into(),
        audit.map(|audit| audit.verdict.as_str()).into(),
        audit.and_then(|audit| audit.verdict.reason()).into(),
        audit.map(|audit| audit.at).into(),
    ];
    insert(session, sql, &values, Conflict::VoucherExchange).await
}

async fn set_state(
    session: &mut dyn Session,
    exchange: &Id,
    state: &VoucherState,
    at: Millis,
) -> Result<()> {
    let (word, voucher, reason) = rows::voucher_columns(state);
    // What a pledge rejected stays rejected, whatever a slow MASA says of it.
    let sql = "UPDATE voucher_exchanges SET state = $2, voucher = $3, reason = $4, \
               updated_at = $5 WHERE id = $1 AND (state <> 'rejected' OR $2 = 'rejected')";
    let values = [exchange.into(), word.into(), voucher.into(), reason.into(), at.into()];
    update(session, sql, &values).await
}

async fn set_audit(session: &mut dyn Session, exchange: &Id, audit: &AuditRecord) -> Result<()> {
    let sql = "UPDATE voucher_exchanges SET audit_log = $2, audit_verdict = $3, \
               audit_reason = $4, audited_at = $5 WHERE id = $1";
    let values = [
        exchange.into(),
        audit.log.as_deref().into(),
        audit.verdict.as_str().into(),
        audit.verdict.reason().into(),
        audit.at.into(),
    ];
    update(session, sql, &values).await
}

/// Asks for a voucher, or for a new one in the place of what is there, which stays until that comes.
async fn want(session: &mut dyn Session, row: &NoncelessVoucher) -> Result<()> {
    let sql = "INSERT INTO nonceless_vouchers (device, encoding, registrar_request, voucher, \
               expires_at, attempts, due, problem, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
               ON CONFLICT (device, encoding) DO UPDATE SET registrar_request = $3, \
               attempts = $6, due = $7, problem = $8, updated_at = $10";
    run(session, sql, &values(row)).await
}

/// Writes what came of an attempt, and ends the lease.
async fn keep(session: &mut dyn Session, row: &NoncelessVoucher) -> Result<()> {
    let sql = "UPDATE nonceless_vouchers SET registrar_request = $3, voucher = $4, \
               expires_at = $5, attempts = $6, due = $7, problem = $8, updated_at = $10, \
               created_at = $9, lease_node = NULL, lease_until = NULL \
               WHERE device = $1 AND encoding = $2";
    update(session, sql, &values(row)).await
}

fn values(row: &NoncelessVoucher) -> [Value<'_>; 10] {
    [
        Value::from(&row.device),
        row.encoding.as_str().into(),
        Value::from(&row.registrar_request),
        row.voucher.as_deref().into(),
        row.expires_at.into(),
        row.attempts.into(),
        row.due.into(),
        row.problem.as_deref().into(),
        row.created_at.into(),
        row.updated_at.into(),
    ]
}

pub(super) async fn exchange(
    session: &mut dyn Session,
    request_sha256: &Sha256,
) -> Result<Option<VoucherExchange>> {
    let sql = "SELECT * FROM voucher_exchanges WHERE request_sha256 = $1";
    one(session, sql, &[request_sha256.into()], rows::voucher_exchange).await
}

pub(super) async fn latest_exchange(
    session: &mut dyn Session,
    device: &Id,
) -> Result<Option<VoucherExchange>> {
    let sql = "SELECT * FROM voucher_exchanges WHERE device = $1 \
               ORDER BY updated_at DESC, created_at DESC LIMIT 1";
    one(session, sql, &[device.into()], rows::voucher_exchange).await
}

pub(super) async fn nonceless(
    session: &mut dyn Session,
    device: &Id,
    encoding: Encoding,
) -> Result<Option<NoncelessVoucher>> {
    let sql = "SELECT * FROM nonceless_vouchers WHERE device = $1 AND encoding = $2";
    one(session, sql, &[device.into(), encoding.as_str().into()], nonceless_row).await
}

pub(super) async fn nonceless_page(
    session: &mut dyn Session,
    after: (&Id, &str),
    limit: u32,
) -> Result<Vec<NoncelessVoucher>> {
    let sql = "SELECT * FROM nonceless_vouchers WHERE (device, encoding) > ($1, $2) \
               ORDER BY device, encoding LIMIT $3";
    all(session, sql, &[after.0.into(), after.1.into(), limit.into()], nonceless_row).await
}

pub(super) async fn nonceless_due(
    session: &mut dyn Session,
    now: Millis,
    limit: u32,
) -> Result<Vec<NoncelessVoucher>> {
    let sql = "SELECT * FROM nonceless_vouchers WHERE due <= $1 \
               AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due, device LIMIT $2";
    all(session, sql, &[now.into(), limit.into()], nonceless_row).await
}

fn nonceless_row(row: &mut Row) -> Result<NoncelessVoucher> {
    Ok(NoncelessVoucher {
        device: row.id("device")?,
        encoding: rows::encoding(row)?,
        registrar_request: row.blob("registrar_request")?,
        voucher: row.optional_blob("voucher")?,
        expires_at: row.optional_integer("expires_at")?.map(Millis),
        attempts: row.number("attempts")?,
        due: row.millis("due")?,
        problem: row.optional_text("problem")?,
        created_at: row.millis("created_at")?,
        updated_at: row.millis("updated_at")?,
    })
}
