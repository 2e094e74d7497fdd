//! Queries. Each reads what was committed before it began.

use acme_bridge::{AccountRecord, ContactsTold};
use rustls_pki_types::CertificateDer;

use super::rows;
use super::session::{Result, Row, Session, all, corrupt, one};
use crate::store::model::{
    Approval, ApprovalState, ChainCertificate, Credential, Enrollment, Entry, Id,
    IssuedCertificate, KnownDevice, Manufacturer, Millis, Sha256,
};

/// A device with its identity, as the columns of [`rows::known_device`].
pub(super) const KNOWN_DEVICE: &str = "SELECT d.id, d.profile, d.site, d.state, d.created_at, \
     d.updated_at, n.name, i.manufacturer, i.serial, i.spki, i.certificate, i.credential \
     FROM devices d JOIN identities i ON i.device = d.id LEFT JOIN names n ON n.device = d.id";

pub(super) async fn generation(session: &mut dyn Session) -> Result<i64> {
    let sql = "SELECT value FROM settings WHERE name = 'generation'";
    Ok(one(session, sql, &[], |row| row.integer("value")).await?.unwrap_or_default())
}

pub(super) async fn manufacturers(session: &mut dyn Session) -> Result<Vec<Manufacturer>> {
    let sql = "SELECT id, name, masa_url, entry, masa, idevid, created_at FROM manufacturers \
               ORDER BY name";
    let read = |row: &mut Row| {
        let entry = row.text("entry")?;
        let masa = row.text("masa")?;
        let idevid = row.text("idevid")?;
        Ok(Manufacturer {
            id: row.id("id")?,
            name: row.text("name")?,
            anchors: Vec::new(),
            masa_url: row.optional_text("masa_url")?,
            masa_anchors: Vec::new(),
            masa_hosts: Vec::new(),
            voucher_anchors: Vec::new(),
            entry: Entry::parse(&entry).ok_or_else(|| corrupt("entry", &entry))?,
            masa: serde_json::from_str(&masa).map_err(|_| corrupt("masa", &masa))?,
            idevid: serde_json::from_str(&idevid).map_err(|_| corrupt("idevid", &idevid))?,
            created_at: row.millis("created_at")?,
        })
    };
    let mut manufacturers = all(session, sql, &[], read).await?;
    for row in &mut manufacturers {
        row.anchors = anchors(session, &row.id, "idevid").await?;
        row.masa_anchors = anchors(session, &row.id, "masa").await?;
        row.voucher_anchors = anchors(session, &row.id, "voucher").await?;
        let sql = "SELECT host FROM manufacturer_hosts WHERE manufacturer = $1 ORDER BY position";
        row.masa_hosts = all(session, sql, &[(&row.id).into()], |row| row.text("host")).await?;
    }
    Ok(manufacturers)
}

async fn anchors(
    session: &mut dyn Session,
    manufacturer: &Id,
    purpose: &str,
) -> Result<Vec<CertificateDer<'static>>> {
    let sql = "SELECT certificate FROM manufacturer_anchors \
               WHERE manufacturer = $1 AND purpose = $2 ORDER BY position";
    let values = [manufacturer.into(), purpose.into()];
    all(session, sql, &values, |row| row.blob("certificate").map(CertificateDer::from)).await
}

pub(super) async fn device_by_serial(
    session: &mut dyn Session,
    manufacturer: &Id,
    serial: &str,
) -> Result<Option<KnownDevice>> {
    let sql = format!("{KNOWN_DEVICE} WHERE i.manufacturer = $1 AND i.serial = $2");
    one(session, &sql, &[manufacturer.into(), serial.into()], rows::known_device).await
}

pub(super) async fn device_by_credential(
    session: &mut dyn Session,
    name: &str,
) -> Result<Option<KnownDevice>> {
    let sql = format!("{KNOWN_DEVICE} WHERE i.credential = $1");
    one(session, &sql, &[name.into()], rows::known_device).await
}

pub(super) async fn device(session: &mut dyn Session, id: &Id) -> Result<Option<KnownDevice>> {
    let sql = format!("{KNOWN_DEVICE} WHERE d.id = $1");
    one(session, &sql, &[id.into()], rows::known_device).await
}

pub(super) async fn find_devices(
    session: &mut dyn Session,
    text: &str,
) -> Result<Vec<KnownDevice>> {
    // Three look-ups by index; an OR over three tables would read them whole.
    let lower = text.to_lowercase();
    let mut found: Vec<KnownDevice> = Vec::new();
    for (condition, value) in
        [("d.id = $1", text), ("n.name = $1", lower.as_str()), ("i.serial = $1", text)]
    {
        let sql = format!("{KNOWN_DEVICE} WHERE {condition} ORDER BY d.created_at, d.id");
        for known in all(session, &sql, &[value.into()], rows::known_device).await? {
            if !found.iter().any(|each| each.device.id == known.device.id) {
                found.push(known);
            }
        }
    }
    Ok(found)
}

pub(super) async fn latest_approval(
    session: &mut dyn Session,
    device: &Id,
    spki: &Sha256,
) -> Result<Option<Approval>> {
    let sql = "SELECT * FROM approvals WHERE device = $1 AND spki = $2 \
               ORDER BY created_at DESC, id DESC LIMIT 1";
    one(session, sql, &[device.into(), spki.into()], rows::approval).await
}

pub(super) async fn approval(session: &mut dyn Session, id: &Id) -> Result<Option<Approval>> {
    one(session, "SELECT * FROM approvals WHERE id = $1", &[id.into()], rows::approval).await
}

pub(super) async fn approvals_of(session: &mut dyn Session, device: &Id) -> Result<Vec<Approval>> {
    let sql = "SELECT * FROM approvals WHERE device = $1 ORDER BY created_at, id";
    all(session, sql, &[device.into()], rows::approval).await
}

pub(super) async fn approvals_page(
    session: &mut dyn Session,
    state: ApprovalState,
    after: (Millis, &Id),
    limit: u32,
) -> Result<Vec<Approval>> {
    let sql = "SELECT * FROM approvals WHERE state = $1 AND (created_at, id) > ($2, $3) \
               ORDER BY created_at, id LIMIT $4";
    let values = [state.as_str().into(), after.0.into(), after.1.into(), limit.into()];
    all(session, sql, &values, rows::approval).await
}

pub(super) async fn credentials(session: &mut dyn Session) -> Result<Vec<Credential>> {
    all(session, "SELECT * FROM credentials ORDER BY name", &[], rows::credential).await
}

pub(super) async fn credential(
    session: &mut dyn Session,
    name: &str,
) -> Result<Option<Credential>> {
    one(session, "SELECT * FROM credentials WHERE name = $1", &[name.into()], rows::credential)
        .await
}

pub(super) async fn enrollment(session: &mut dyn Session, id: &Id) -> Result<Option<Enrollment>> {
    one(session, "SELECT * FROM enrollments WHERE id = $1", &[id.into()], rows::enrollment).await
}

pub(super) async fn enrollment_by_key(
    session: &mut dyn Session,
    key: &Sha256,
) -> Result<Option<Enrollment>> {
    // An open one is the newest, even if the clock went back.
    let sql = "SELECT * FROM enrollments WHERE key = $1 \
               ORDER BY CASE WHEN state IN ('approved', 'ordered') THEN 0 ELSE 1 END, \
               created_at DESC, id DESC LIMIT 1";
    one(session, sql, &[key.into()], rows::enrollment).await
}

pub(super) async fn enrollments_of(
    session: &mut dyn Session,
    device: &Id,
) -> Result<Vec<Enrollment>> {
    let sql = "SELECT * FROM enrollments WHERE device = $1 ORDER BY created_at, id";
    all(session, sql, &[device.into()], rows::enrollment).await
}

pub(super) async fn approved_enrollments(session: &mut dyn Session) -> Result<Vec<Enrollment>> {
    let sql = "SELECT * FROM enrollments WHERE state = 'approved' ORDER BY created_at, id";
    all(session, sql, &[], rows::enrollment).await
}

pub(super) async fn certificate(
    session: &mut dyn Session,
    fingerprint: &Sha256,
) -> Result<Option<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE fingerprint = $1";
    one(session, sql, &[fingerprint.into()], rows::issued_certificate).await
}

pub(super) async fn certificates_between(
    session: &mut dyn Session,
    least: &Sha256,
    most: &Sha256,
    limit: u32,
) -> Result<Vec<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE fingerprint >= $1 AND fingerprint <= $2 \
               ORDER BY fingerprint LIMIT $3";
    all(session, sql, &[least.into(), most.into(), limit.into()], rows::issued_certificate).await
}

pub(super) async fn certificates_of(
    session: &mut dyn Session,
    device: &Id,
) -> Result<Vec<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE device = $1 ORDER BY created_at, fingerprint";
    all(session, sql, &[device.into()], rows::issued_certificate).await
}

pub(super) async fn other_holder(
    session: &mut dyn Session,
    spki: &Sha256,
    device: &Id,
) -> Result<Option<Id>> {
    let sql = "SELECT device FROM certificates WHERE spki = $1 AND device <> $2 \
               UNION ALL SELECT device FROM identities WHERE spki = $1 AND device <> $2 LIMIT 1";
    one(session, sql, &[spki.into(), device.into()], |row| row.id("device")).await
}

pub(super) async fn certificates_by_serial(
    session: &mut dyn Session,
    serial: &str,
) -> Result<Vec<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE serial = $1 ORDER BY created_at, fingerprint";
    all(session, sql, &[serial.into()], rows::issued_certificate).await
}

pub(super) async fn certificates_page(
    session: &mut dyn Session,
    ends_before: Millis,
    after: (Millis, &Sha256),
    limit: u32,
) -> Result<Vec<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE not_after < $1 \
               AND (not_after, fingerprint) > ($2, $3) ORDER BY not_after, fingerprint LIMIT $4";
    let values = [ends_before.into(), after.0.into(), after.1.into(), limit.into()];
    all(session, sql, &values, rows::issued_certificate).await
}

pub(super) async fn revoked_certificates(
    session: &mut dyn Session,
    issuer: &str,
    now: Millis,
) -> Result<Vec<IssuedCertificate>> {
    let sql = "SELECT * FROM certificates WHERE issuer = $1 AND revoked_at IS NOT NULL \
               AND not_after > $2 ORDER BY not_after, fingerprint";
    all(session, sql, &[issuer.into(), now.into()], rows::issued_certificate).await
}

pub(super) async fn chain_certificates(session: &mut dyn Session) -> Result<Vec<ChainCertificate>> {
    let sql = "SELECT * FROM chain_certificates ORDER BY issuer, fingerprint";
    all(session, sql, &[], rows::chain_certificate).await
}

pub(super) async fn issuing_certificates(
    session: &mut dyn Session,
    now: Millis,
) -> Result<Vec<Sha256>> {
    // A certificate from before authorities were noted may need any CA certificate of its issuer.
    let sql = "SELECT DISTINCT c.fingerprint FROM chain_certificates c WHERE EXISTS (\
               SELECT 1 FROM certificates WHERE authority = c.fingerprint \
               AND revoked_at IS NULL AND not_after > $1) OR EXISTS (\
               SELECT 1 FROM certificates WHERE authority IS NULL AND issuer = c.issuer \
               AND revoked_at IS NULL AND not_after > $1) ORDER BY c.fingerprint";
    all(session, sql, &[now.into()], |row| row.sha256("fingerprint")).await
}

pub(super) async fn account(
    session: &mut dyn Session,
    issuer: &str,
) -> Result<Option<AccountRecord>> {
    let sql = "SELECT url, directory, thumbprint, ended, contacts, contacts_refused \
               FROM accounts WHERE issuer = $1";
    one(session, sql, &[issuer.into()], account_record).await
}

/// The accounts of all issuers, each with its issuer's name.
pub(in crate::store) async fn accounts(
    session: &mut dyn Session,
) -> Result<Vec<(String, AccountRecord)>> {
    let sql = "SELECT issuer, url, directory, thumbprint, ended, contacts, contacts_refused \
               FROM accounts ORDER BY issuer";
    all(session, sql, &[], |row| Ok((row.text("issuer")?, account_record(row)?))).await
}

fn account_record(row: &mut Row) -> Result<AccountRecord> {
    let urls = row.text("contacts")?;
    let urls = serde_json::from_str(&urls).map_err(|_| corrupt("contacts", &urls))?;
    Ok(AccountRecord {
        url: row.text("url")?,
        directory: row.text("directory")?,
        thumbprint: row.text("thumbprint")?,
        is_ended: row.integer("ended")? != 0,
        contacts: ContactsTold { urls, refusal: row.optional_text("contacts_refused")? },
    })
}
