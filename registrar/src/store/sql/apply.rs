//! Changes as SQL, inside a savepoint of the writer: all of a commit, or nothing.

use super::session::{Dialect, Result, Session, SessionError, Value, all};
use super::{answers, manufacturers, orders, own, read, rows, sealed, trail, vouchers, waiting};
use crate::store::model::{
    Approval, Credential, DeviceState, Enrollment, Id, Identity, IssuedCertificate, KnownDevice,
    Millis, SeenIdevid, Sha256,
};
use crate::store::{Change, Conflict, StoreError};

/// Runs an INSERT; a row that is there already is this conflict.
pub(super) async fn insert(
    session: &mut dyn Session,
    sql: &str,
    values: &[Value<'_>],
    conflict: Conflict,
) -> Result<()> {
    match session.execute(sql, values).await {
        Ok(_) => Ok(()),
        Err(SessionError::Unique) => Err(StoreError::Conflict(conflict)),
        Err(error) => Err(error.into()),
    }
}

/// Runs a statement whose count of rows does not matter.
pub(super) async fn run(session: &mut dyn Session, sql: &str, values: &[Value<'_>]) -> Result<()> {
    session.execute(sql, values).await?;
    Ok(())
}

/// Runs an UPDATE of one row, which must be there.
pub(super) async fn update(
    session: &mut dyn Session,
    sql: &str,
    values: &[Value<'_>],
) -> Result<()> {
    match session.execute(sql, values).await? {
        0 => Err(StoreError::Conflict(Conflict::Missing)),
        _ => Ok(()),
    }
}

/// Sees that a row is there, and keeps every other transaction from changing it until this one ends.
///
/// `row`: the statement from its FROM on. SQLite has one writer, and needs no more than a look.
pub(super) async fn hold(
    session: &mut dyn Session,
    row: &str,
    values: &[Value<'_>],
    conflict: Conflict,
) -> Result<()> {
    let lock = match session.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR NO KEY UPDATE",
    };
    match session.query(&format!("SELECT 1 {row}{lock}"), values).await?.is_empty() {
        true => Err(StoreError::Conflict(conflict)),
        false => Ok(()),
    }
}

pub(super) async fn apply(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::AddManufacturer(row) => manufacturers::add(session, row).await,
        Change::ChangeManufacturer { before, after } => {
            manufacturers::change(session, before, after).await
        }
        Change::AddDevice(_)
        | Change::SetDeviceState { .. }
        | Change::MoveDevice { .. }
        | Change::ExpectLetIn { .. }
        | Change::ExpectHoldings { .. }
        | Change::AssignName { .. }
        | Change::FreeName { .. }
        | Change::SetIdevid { .. }
        | Change::SetProfile { .. } => apply_to_device(session, change).await,
        Change::ExpectRoomToWait { .. }
        | Change::AddApproval(_)
        | Change::AskApprovalAgain { .. }
        | Change::ForgetApproval { .. }
        | Change::DecideApproval { .. } => apply_to_approval(session, change).await,
        Change::AddCredential(_)
        | Change::RevokeCredential { .. }
        | Change::SpendCredential { .. } => apply_to_credential(session, change).await,
        Change::BeginVoucherExchange(_)
        | Change::SetVoucherState { .. }
        | Change::SetAudit { .. }
        | Change::WantNoncelessVoucher(_)
        | Change::LeaseNoncelessVoucher { .. }
        | Change::KeepNoncelessVoucher(_)
        | Change::RemoveNoncelessVouchers { .. } => vouchers::apply(session, change).await,
        Change::ExpectEnrollment { .. }
        | Change::ExpectCancelled { .. }
        | Change::ApproveEnrollment(_)
        | Change::SetEnrollmentState { .. }
        | Change::ReopenEnrollment { .. }
        | Change::SetEnrollmentIssuer { .. } => apply_to_enrollment(session, change).await,
        Change::AddCertificate(row) => add_certificate(session, row).await,
        Change::RevokeCertificate { fingerprint, at } => {
            let sql = "UPDATE certificates SET revoked_at = $2 \
                       WHERE fingerprint = $1 AND revoked_at IS NULL";
            update(session, sql, &[fingerprint.into(), (*at).into()]).await
        }
        Change::AddChainCertificate(row) => {
            let sql = "INSERT INTO chain_certificates (fingerprint, issuer, certificate) \
                       VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let values = [
                Value::from(&row.fingerprint),
                Value::from(&row.issuer),
                row.certificate.as_ref().into(),
            ];
            run(session, sql, &values).await
        }
        Change::KeepSealedKey(_)
        | Change::NoteKeySent { .. }
        | Change::RemoveSealedKey { .. }
        | Change::RemoveSealedKeys { .. }
        | Change::PruneSealedKeys { .. } => sealed::apply(session, change).await,
        Change::AddCheckpoint(checkpoint) => trail::add_checkpoint(session, checkpoint).await,
        Change::PruneEvents(checkpoint) => trail::prune(session, checkpoint).await,
        Change::TellSettings(row) => trail::tell_settings(session, row).await,
        Change::SetCursor { reader, node, seq } => {
            let sql = "INSERT INTO cursors (reader, node, seq) VALUES ($1, $2, $3) \
                       ON CONFLICT (reader, node) DO UPDATE SET seq = $3";
            run(session, sql, &[reader.into(), node.into(), (*seq).into()]).await
        }
        _ => apply_to_order(session, change).await,
    }
}

async fn apply_to_enrollment(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::ExpectEnrollment { key, newest } => {
            let found = read::enrollment_by_key(session, key).await?.map(|row| row.id);
            match found == *newest {
                true => Ok(()),
                false => Err(StoreError::Conflict(Conflict::Enrollment)),
            }
        }
        Change::ExpectCancelled { enrollment } => {
            // Held, so that an operator who begins it again waits for this transaction, or this for that.
            let row = "FROM enrollments WHERE id = $1 AND state = 'cancelled'";
            hold(session, row, &[enrollment.into()], Conflict::Missing).await
        }
        Change::ApproveEnrollment(enrollment) => approve(session, enrollment).await,
        Change::SetEnrollmentState { enrollment, state, at } => {
            let (word, certificate, reason) = rows::enrollment_columns(state);
            // What an operator cancelled stays cancelled, what has its certificate gets no second one,
            // and what has ended is ordered again by an operator alone.
            let sql = "UPDATE enrollments SET state = $2, certificate = $3, reason = $4, \
                       updated_at = $5 WHERE id = $1 AND state NOT IN ('cancelled', 'issued') \
                       AND ($2 <> 'ordered' OR state IN ('approved', 'ordered'))";
            let values =
                [enrollment.into(), word.into(), certificate.into(), reason.into(), (*at).into()];
            update(session, sql, &values).await
        }
        Change::ReopenEnrollment { enrollment, at } => {
            let sql = "UPDATE enrollments SET state = 'ordered', reason = NULL, updated_at = $2 \
                       WHERE id = $1 AND state IN ('refused', 'failed', 'cancelled')";
            match session.execute(sql, &[enrollment.into(), (*at).into()]).await {
                Ok(0) => Err(StoreError::Conflict(Conflict::Missing)),
                Ok(_) => Ok(()),
                Err(SessionError::Unique) => Err(StoreError::Conflict(Conflict::Enrollment)),
                Err(error) => Err(error.into()),
            }
        }
        Change::SetEnrollmentIssuer { enrollment, issuer } => {
            let sql = "UPDATE enrollments SET issuer = $2 WHERE id = $1";
            update(session, sql, &[enrollment.into(), issuer.into()]).await
        }
        _ => Ok(()),
    }
}

async fn apply_to_credential(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::AddCredential(row) => add_credential(session, row).await,
        Change::RevokeCredential { name, at } => {
            let sql = "UPDATE credentials SET revoked_at = $2 \
                       WHERE name = $1 AND revoked_at IS NULL";
            update(session, sql, &[name.into(), (*at).into()]).await
        }
        Change::SpendCredential { name } => {
            let sql = "UPDATE credentials SET used = used + 1 \
                       WHERE name = $1 AND used < uses AND revoked_at IS NULL";
            match session.execute(sql, &[name.into()]).await? {
                0 => Err(StoreError::Conflict(Conflict::CredentialSpent)),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Says to all nodes that there is something to take up.
pub(super) async fn raise_generation(session: &mut dyn Session) -> Result<()> {
    run(session, "UPDATE settings SET value = value + 1 WHERE name = 'generation'", &[]).await
}

async fn apply_to_device(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::AddDevice(known) => add_device(session, known).await,
        Change::SetDeviceState { device, state, at } => {
            let sql = "UPDATE devices SET state = $2, updated_at = $3 WHERE id = $1";
            update(session, sql, &[device.into(), state.as_str().into(), (*at).into()]).await
        }
        Change::MoveDevice { device, state, at } => move_device(session, device, *state, *at).await,
        Change::ExpectLetIn { device } => {
            // Held, so that an operator's change of the device waits for this transaction, or this for that.
            let row =
                "FROM devices WHERE id = $1 AND state IN ('admitted', 'vouchered', 'enrolled')";
            hold(session, row, &[device.into()], Conflict::DeviceBarred).await
        }
        Change::ExpectHoldings { device, open, live } => {
            expect_holdings(session, device, open, live).await
        }
        Change::AssignName { device, name } => assign_name(session, device, name).await,
        Change::FreeName { device } => {
            run(session, "DELETE FROM names WHERE device = $1", &[device.into()]).await
        }
        Change::SetIdevid { device, idevid } => {
            let sql = "UPDATE identities SET spki = $2, certificate = $3 WHERE device = $1";
            let SeenIdevid { spki, certificate } = idevid;
            update(session, sql, &[device.into(), spki.into(), certificate.as_ref().into()]).await
        }
        Change::SetProfile { device, profile } => {
            let sql = "UPDATE devices SET profile = $2 WHERE id = $1";
            update(session, sql, &[device.into(), profile.into()]).await
        }
        _ => Ok(()),
    }
}

/// Fails if a device has other open enrollments or live certificates than these.
async fn expect_holdings(
    session: &mut dyn Session,
    device: &Id,
    open: &[Id],
    live: &[Sha256],
) -> Result<()> {
    // From here on, what is begun or issued for the device waits for this transaction.
    hold(session, "FROM devices WHERE id = $1", &[device.into()], Conflict::Missing).await?;
    let sql = "SELECT id FROM enrollments WHERE device = $1 AND state IN ('approved', 'ordered')";
    let enrollments = all(session, sql, &[device.into()], |row| row.id("id")).await?;
    let sql = "SELECT fingerprint FROM certificates WHERE device = $1 AND revoked_at IS NULL";
    let certificates = all(session, sql, &[device.into()], |row| row.sha256("fingerprint")).await?;
    let is_so = enrollments.len() == open.len()
        && enrollments.iter().all(|id| open.contains(id))
        && certificates.len() == live.len()
        && certificates.iter().all(|fingerprint| live.contains(fingerprint));
    match is_so {
        true => Ok(()),
        false => Err(StoreError::Conflict(Conflict::Outdated)),
    }
}

async fn add_device(session: &mut dyn Session, known: &KnownDevice) -> Result<()> {
    let (device, identity) = (&known.device, &known.identity);
    let sql = "INSERT INTO devices (id, profile, site, state, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        Value::from(&device.id),
        Value::from(&device.profile),
        device.site.as_deref().into(),
        device.state.as_str().into(),
        device.created_at.into(),
        device.updated_at.into(),
    ];
    run(session, sql, &values).await?;
    let sql = "INSERT INTO identities \
               (device, manufacturer, serial, spki, certificate, credential) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let seen = identity.seen();
    let values = [
        Value::from(&device.id),
        identity.manufacturer().map(Id::as_str).into(),
        identity.serial().into(),
        seen.map(|seen| &seen.spki).into(),
        seen.map(|seen| seen.certificate.as_ref()).into(),
        identity.credential().into(),
    ];
    let conflict = match identity {
        Identity::Idevid { serial, .. } => Conflict::SerialNumber(serial.clone()),
        Identity::Credential { name } => Conflict::CredentialDevice(name.clone()),
    };
    insert(session, sql, &values, conflict).await?;
    match &device.name {
        Some(name) => assign_name(session, &device.id, name).await,
        None => Ok(()),
    }
}

async fn assign_name(session: &mut dyn Session, device: &Id, name: &str) -> Result<()> {
    let lower = name.to_lowercase();
    let sql = "INSERT INTO names (name, device) VALUES ($1, $2)";
    let values = [Value::from(&lower), device.into()];
    insert(session, sql, &values, Conflict::DeviceName(name.to_owned())).await
}

/// Moves a device unless an operator barred it, or took it back to where it must be let in first.
async fn move_device(
    session: &mut dyn Session,
    device: &Id,
    state: DeviceState,
    at: Millis,
) -> Result<()> {
    let values = [device.into(), state.as_str().into(), at.into()];
    // One that stays where it is costs no index anything.
    let sql = "UPDATE devices SET updated_at = $3 WHERE id = $1 AND state = $2 \
               AND state IN ('admitted', 'vouchered', 'enrolled')";
    if session.execute(sql, &values).await? > 0 {
        return Ok(());
    }
    let sql = "UPDATE devices SET state = $2, updated_at = $3 WHERE id = $1 \
               AND (state IN ('admitted', 'vouchered', 'enrolled') \
               OR $2 = 'admitted' AND state IN ('expected', 'pending'))";
    match session.execute(sql, &values).await? {
        0 => Err(StoreError::Conflict(Conflict::DeviceBarred)),
        _ => Ok(()),
    }
}

async fn apply_to_approval(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::ExpectRoomToWait { manufacturer, most } => {
            waiting::expect_room(session, manufacturer, *most).await
        }
        Change::AddApproval(row) => add_approval(session, row).await,
        Change::AskApprovalAgain { approval, peer, at } => {
            let sql = "UPDATE approvals SET asked_at = $2, peer = $3 \
                       WHERE id = $1 AND state = 'waiting'";
            update(session, sql, &[approval.into(), (*at).into(), peer.into()]).await
        }
        Change::ForgetApproval { approval, device, asked_at } => {
            waiting::forget(session, approval, device, *asked_at).await
        }
        Change::DecideApproval { approval, state, by, at } => {
            let sql = "UPDATE approvals SET state = $2, decided_by = $3, decided_at = $4 \
                       WHERE id = $1 AND state = 'waiting'";
            let values = [approval.into(), state.as_str().into(), by.into(), (*at).into()];
            update(session, sql, &values).await
        }
        _ => Ok(()),
    }
}

async fn add_approval(session: &mut dyn Session, row: &Approval) -> Result<()> {
    let sql = "INSERT INTO approvals (id, device, reason, spki, certificate, peer, state, \
               decided_by, created_at, asked_at, decided_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values = [
        Value::from(&row.id),
        Value::from(&row.device),
        row.reason.as_str().into(),
        Value::from(&row.spki),
        row.certificate.as_ref().into(),
        Value::from(&row.peer),
        row.state.as_str().into(),
        row.decided_by.as_deref().into(),
        row.created_at.into(),
        row.asked_at.into(),
        row.decided_at.into(),
    ];
    insert(session, sql, &values, Conflict::Approval).await
}

async fn add_credential(session: &mut dyn Session, row: &Credential) -> Result<()> {
    let sql = "INSERT INTO credentials (name, secret_sha256, profile, uses, used, created_at, \
               expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = [
        Value::from(&row.name),
        Value::from(&row.secret),
        Value::from(&row.profile),
        row.uses.into(),
        row.used.into(),
        row.created_at.into(),
        row.expires_at.into(),
        row.revoked_at.into(),
    ];
    insert(session, sql, &values, Conflict::CredentialName(row.name.clone())).await
}

async fn approve(session: &mut dyn Session, enrollment: &Enrollment) -> Result<()> {
    let (word, certificate, reason) = rows::enrollment_columns(&enrollment.state);
    let sql = "INSERT INTO enrollments (id, device, profile, issuer, name, key, csr, state, \
               certificate, reason, created_at, updated_at, replaces) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let values = [
        Value::from(&enrollment.id),
        Value::from(&enrollment.device),
        Value::from(&enrollment.profile),
        Value::from(&enrollment.issuer),
        Value::from(&enrollment.name),
        Value::from(&enrollment.key),
        Value::from(&enrollment.csr),
        word.into(),
        certificate.into(),
        reason.into(),
        enrollment.created_at.into(),
        enrollment.updated_at.into(),
        enrollment.replaces.as_ref().into(),
    ];
    insert(session, sql, &values, Conflict::Enrollment).await
}

async fn add_certificate(session: &mut dyn Session, row: &IssuedCertificate) -> Result<()> {
    let sql = "INSERT INTO certificates (fingerprint, device, enrollment, issuer, certificate, \
               serial, spki, not_before, not_after, revoked_at, created_at, authority) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
    let values = [
        Value::from(&row.fingerprint),
        Value::from(&row.device),
        Value::from(&row.enrollment),
        Value::from(&row.issuer),
        row.certificate.as_ref().into(),
        Value::from(&row.serial),
        Value::from(&row.spki),
        row.not_before.into(),
        row.not_after.into(),
        row.revoked_at.into(),
        row.created_at.into(),
        row.authority.as_ref().into(),
    ];
    run(session, sql, &values).await
}

async fn apply_to_order(session: &mut dyn Session, change: &Change) -> Result<()> {
    match change {
        Change::InsertOrder(order) => orders::insert(session, order).await,
        Change::AdvanceOrder { order, node, step, at } => {
            orders::advance(session, order, node, step, *at).await
        }
        Change::CancelOrder { order, state, step, at } => {
            orders::cancel(session, order, state, step, *at).await
        }
        Change::RetryOrder { order, step, at } => orders::retry(session, order, step, *at).await,
        Change::ReleaseOrders { issuer, node } => orders::release(session, issuer, node).await,
        Change::PruneOrder { order } => orders::prune(session, order).await,
        Change::SpendQuota(spending) => {
            orders::spend(session, &spending.bucket, spending.before, spending.after).await
        }
        Change::PruneQuotas { now, limit } => orders::prune_quotas(session, *now, *limit).await,
        Change::RequestRevocation(row) => orders::request_revocation(session, row).await,
        Change::NoteRevocation { fingerprint, done_at, due, problem } => {
            let problem = problem.as_deref();
            orders::note_revocation(session, fingerprint, *done_at, *due, problem).await
        }
        Change::SaveAccount { issuer, account } => {
            let sql = "INSERT INTO accounts \
                       (issuer, url, directory, thumbprint, ended, contacts, contacts_refused) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (issuer) \
                       DO UPDATE SET url = $2, directory = $3, thumbprint = $4, ended = $5, \
                       contacts = $6, contacts_refused = $7";
            let contacts = serde_json::json!(account.contacts.urls).to_string();
            let values = [
                issuer.into(),
                Value::from(&account.url),
                (&account.directory).into(),
                (&account.thumbprint).into(),
                account.is_ended.into(),
                contacts.as_str().into(),
                account.contacts.refusal.as_deref().into(),
            ];
            run(session, sql, &values).await
        }
        Change::PutAnswer(answer) => answers::put(session, answer).await,
        Change::RetireAnswers { order } => answers::retire(session, order).await,
        Change::RemoveAnswer(answer) => answers::remove(session, answer).await,
        _ => own::apply(session, change).await,
    }
}
