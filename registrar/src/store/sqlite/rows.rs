//! Rows as values: what a column holds, and what to say of one that holds something else.

use acme_bridge::{Csr, IssuerName, Lease, OrderId, OrderRecord, OrderState};
use rusqlite::Row;
use rustls_pki_types::CertificateDer;

use crate::store::StoreError;
use crate::store::model::{
    ChainCertificate, Device, DeviceState, Enrollment, EnrollmentState, Id, Identity,
    IssuedCertificate, KnownDevice, Millis, Sha256, StoredEvent, VoucherExchange, VoucherState,
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

pub(super) fn database(error: rusqlite::Error) -> StoreError {
    StoreError::Database(Box::new(error))
}

pub(super) fn database_text(text: &str) -> StoreError {
    StoreError::Database(text.to_owned().into())
}

fn corrupt(table: &'static str, column: &'static str, value: &str) -> StoreError {
    StoreError::Corrupt { table, column, value: value.chars().take(60).collect() }
}

/// Reads a column.
fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, name: &str) -> Result<T> {
    row.get(name).map_err(database)
}

fn id(row: &Row<'_>, name: &str) -> Result<Id> {
    Ok(Id::from_stored(column(row, name)?))
}

fn millis(row: &Row<'_>, name: &str) -> Result<Millis> {
    Ok(Millis(column(row, name)?))
}

fn certificate(row: &Row<'_>, name: &str) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from(column::<Vec<u8>>(row, name)?))
}

fn sha256(table: &'static str, row: &Row<'_>, name: &'static str) -> Result<Sha256> {
    let octets: Vec<u8> = column(row, name)?;
    let octets = octets.try_into().map_err(|_| corrupt(table, name, "not 32 octets"))?;
    Ok(Sha256(octets))
}

pub(super) fn known_device(row: &Row<'_>) -> Result<KnownDevice> {
    Ok(KnownDevice {
        device: device(row)?,
        identity: Identity {
            manufacturer: id(row, "manufacturer")?,
            serial: column(row, "serial")?,
            spki: sha256("identities", row, "spki")?,
            certificate: certificate(row, "certificate")?,
        },
    })
}

pub(super) fn device(row: &Row<'_>) -> Result<Device> {
    let state: String = column(row, "state")?;
    Ok(Device {
        id: id(row, "id")?,
        name: column(row, "name")?,
        profile: column(row, "profile")?,
        state: DeviceState::parse(&state).ok_or_else(|| corrupt("devices", "state", &state))?,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}

/// The columns of a voucher exchange's state: its word, its voucher, its reason.
pub(super) fn voucher_columns(state: &VoucherState) -> (&'static str, Option<&[u8]>, Option<&str>) {
    match state {
        VoucherState::Asked => ("asked", None, None),
        VoucherState::Issued { voucher } => ("issued", Some(voucher), None),
        VoucherState::Accepted { voucher } => ("accepted", Some(voucher), None),
        VoucherState::Rejected { reason } => ("rejected", None, Some(reason)),
        VoucherState::Failed { reason } => ("failed", None, Some(reason)),
    }
}

pub(super) fn voucher_exchange(row: &Row<'_>) -> Result<VoucherExchange> {
    let word: String = column(row, "state")?;
    let voucher: Option<Vec<u8>> = column(row, "voucher")?;
    let reason: Option<String> = column(row, "reason")?;
    let state = match (word.as_str(), voucher, reason) {
        ("asked", ..) => VoucherState::Asked,
        ("issued", Some(voucher), _) => VoucherState::Issued { voucher },
        ("accepted", Some(voucher), _) => VoucherState::Accepted { voucher },
        ("rejected", _, Some(reason)) => VoucherState::Rejected { reason },
        ("failed", _, Some(reason)) => VoucherState::Failed { reason },
        _ => return Err(corrupt("voucher_exchanges", "state", &word)),
    };
    Ok(VoucherExchange {
        id: id(row, "id")?,
        request_sha256: sha256("voucher_exchanges", row, "request_sha256")?,
        device: id(row, "device")?,
        pledge_request: column(row, "pledge_request")?,
        registrar_request: column(row, "registrar_request")?,
        state,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}

/// The columns of an enrollment's state: its word, its certificate, its reason.
pub(super) fn enrollment_columns(
    state: &EnrollmentState,
) -> (&'static str, Option<&[u8]>, Option<&str>) {
    match state {
        EnrollmentState::Approved => ("approved", None, None),
        EnrollmentState::Ordered => ("ordered", None, None),
        EnrollmentState::Issued { certificate } => ("issued", Some(&certificate.0), None),
        EnrollmentState::Refused { reason } => ("refused", None, Some(reason)),
        EnrollmentState::Failed { reason } => ("failed", None, Some(reason)),
        EnrollmentState::Cancelled { reason } => ("cancelled", None, Some(reason)),
    }
}

pub(super) fn enrollment(row: &Row<'_>) -> Result<Enrollment> {
    let word: String = column(row, "state")?;
    let reason: Option<String> = column(row, "reason")?;
    let state = match (word.as_str(), reason) {
        ("approved", _) => EnrollmentState::Approved,
        ("ordered", _) => EnrollmentState::Ordered,
        ("issued", _) => {
            EnrollmentState::Issued { certificate: sha256("enrollments", row, "certificate")? }
        }
        ("refused", Some(reason)) => EnrollmentState::Refused { reason },
        ("failed", Some(reason)) => EnrollmentState::Failed { reason },
        ("cancelled", Some(reason)) => EnrollmentState::Cancelled { reason },
        _ => return Err(corrupt("enrollments", "state", &word)),
    };
    Ok(Enrollment {
        id: id(row, "id")?,
        device: id(row, "device")?,
        profile: column(row, "profile")?,
        issuer: column(row, "issuer")?,
        name: column(row, "name")?,
        key: sha256("enrollments", row, "key")?,
        csr: column(row, "csr")?,
        state,
        created_at: millis(row, "created_at")?,
        updated_at: millis(row, "updated_at")?,
    })
}

pub(super) fn issued_certificate(row: &Row<'_>) -> Result<IssuedCertificate> {
    Ok(IssuedCertificate {
        fingerprint: sha256("certificates", row, "fingerprint")?,
        device: id(row, "device")?,
        enrollment: id(row, "enrollment")?,
        issuer: column(row, "issuer")?,
        certificate: certificate(row, "certificate")?,
        serial: column(row, "serial")?,
        spki: sha256("certificates", row, "spki")?,
        not_before: millis(row, "not_before")?,
        not_after: millis(row, "not_after")?,
        revoked_at: column::<Option<i64>>(row, "revoked_at")?.map(Millis),
        created_at: millis(row, "created_at")?,
    })
}

pub(super) fn chain_certificate(row: &Row<'_>) -> Result<ChainCertificate> {
    Ok(ChainCertificate {
        issuer: column(row, "issuer")?,
        certificate: certificate(row, "certificate")?,
        fingerprint: sha256("chain_certificates", row, "fingerprint")?,
    })
}

pub(super) fn event(row: &Row<'_>) -> Result<StoredEvent> {
    Ok(StoredEvent {
        node: column(row, "node")?,
        seq: column(row, "seq")?,
        time: millis(row, "time")?,
        kind: column(row, "kind")?,
        verdict: column(row, "verdict")?,
        device: column::<Option<String>>(row, "device")?.map(Id::from_stored),
        peer: column(row, "peer")?,
        clause: column(row, "clause")?,
        detail: column(row, "detail")?,
        correlation: column(row, "correlation")?,
    })
}

pub(super) fn order(row: &Row<'_>) -> Result<OrderRecord> {
    let detail: String = column(row, "detail")?;
    let state: OrderState =
        serde_json::from_str(&detail).map_err(|_| corrupt("orders", "detail", &detail))?;
    let names: String = column(row, "names")?;
    let node: Option<String> = column(row, "lease_node")?;
    let until: Option<i64> = column(row, "lease_until")?;
    Ok(OrderRecord {
        id: OrderId::new(column::<String>(row, "id")?),
        issuer: IssuerName::new(column::<String>(row, "issuer")?),
        csr: Csr {
            der: column(row, "csr")?,
            names: names.split(' ').map(str::to_owned).collect(),
            spki: column(row, "spki")?,
        },
        state,
        attempts: column(row, "attempts")?,
        due: column(row, "due")?,
        lease: node.zip(until).map(|(node, until)| Lease { node, until }),
    })
}

/// The JSON of an order's state.
pub(super) fn order_detail(state: &OrderState) -> Result<String> {
    serde_json::to_string(state).map_err(|error| database_text(&error.to_string()))
}
