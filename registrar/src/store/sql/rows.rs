//! Rows as values: what a column holds, and what to say of one that holds something else.

use acme_bridge::{
    Csr, IssuerName, Lease, OrderId, OrderRecord, OrderState, OrderTerms, Problem, RevocationReason,
};
use brski_voucher::encoding::Encoding;
use rustls_pki_types::CertificateDer;

use super::session::{Result, Row, corrupt};
use crate::store::StoreError;
use crate::store::model::{
    Approval, ApprovalReason, ApprovalState, AuditRecord, AuditVerdict, ChainCertificate,
    Credential, Device, DeviceState, Enrollment, EnrollmentState, Identity, IssuedCertificate,
    KnownDevice, Millis, RevocationRow, SeenIdevid, VoucherExchange, VoucherState,
};

fn certificate(row: &mut Row, name: &'static str) -> Result<CertificateDer<'static>> {
    row.blob(name).map(CertificateDer::from)
}

pub(super) fn known_device(row: &mut Row) -> Result<KnownDevice> {
    let device = device(row)?;
    if let Some(name) = row.optional_text("credential")? {
        return Ok(KnownDevice { device, identity: Identity::Credential { name } });
    }
    let spki = row.optional_sha256("spki")?;
    let certificate = row.optional_blob("certificate")?.map(CertificateDer::from);
    let identity = Identity::Idevid {
        manufacturer: row.id("manufacturer")?,
        serial: row.text("serial")?,
        seen: spki.zip(certificate).map(|(spki, certificate)| SeenIdevid { spki, certificate }),
    };
    Ok(KnownDevice { device, identity })
}

pub(super) fn device(row: &mut Row) -> Result<Device> {
    let state = row.text("state")?;
    Ok(Device {
        id: row.id("id")?,
        name: row.optional_text("name")?,
        profile: row.text("profile")?,
        site: row.optional_text("site")?,
        state: DeviceState::parse(&state).ok_or_else(|| corrupt("state", &state))?,
        created_at: row.millis("created_at")?,
        updated_at: row.millis("updated_at")?,
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

pub(super) fn voucher_exchange(row: &mut Row) -> Result<VoucherExchange> {
    let word = row.text("state")?;
    let voucher = row.optional_blob("voucher")?;
    let reason = row.optional_text("reason")?;
    let state = match (word.as_str(), voucher, reason) {
        ("asked", ..) => VoucherState::Asked,
        ("issued", Some(voucher), _) => VoucherState::Issued { voucher },
        ("accepted", Some(voucher), _) => VoucherState::Accepted { voucher },
        ("rejected", _, Some(reason)) => VoucherState::Rejected { reason },
        ("failed", _, Some(reason)) => VoucherState::Failed { reason },
        _ => return Err(corrupt("state", &word)),
    };
    Ok(VoucherExchange {
        id: row.id("id")?,
        request_sha256: row.sha256("request_sha256")?,
        device: row.id("device")?,
        encoding: encoding(row)?,
        pledge_request: row.blob("pledge_request")?,
        registrar_request: row.blob("registrar_request")?,
        state,
        audit: audit(row)?,
        created_at: row.millis("created_at")?,
        updated_at: row.millis("updated_at")?,
    })
}

/// How an artefact is encoded.
pub(super) fn encoding(row: &mut Row) -> Result<Encoding> {
    let word = row.text("encoding")?;
    [Encoding::Cms, Encoding::Jws, Encoding::Cose]
        .into_iter()
        .find(|encoding| encoding.as_str() == word)
        .ok_or_else(|| corrupt("encoding", &word))
}

fn audit(row: &mut Row) -> Result<Option<AuditRecord>> {
    let Some(word) = row.optional_text("audit_verdict")? else {
        return Ok(None);
    };
    let verdict = match (word.as_str(), row.optional_text("audit_reason")?) {
        ("accepted", _) => AuditVerdict::Accepted,
        ("refused", Some(reason)) => AuditVerdict::Refused { reason },
        ("missing", Some(reason)) => AuditVerdict::Missing { reason },
        _ => return Err(corrupt("audit_verdict", &word)),
    };
    let at = row.millis("audited_at")?;
    Ok(Some(AuditRecord { log: row.optional_blob("audit_log")?, verdict, at }))
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

pub(super) fn enrollment(row: &mut Row) -> Result<Enrollment> {
    let word = row.text("state")?;
    let reason = row.optional_text("reason")?;
    let state = match (word.as_str(), reason) {
        ("approved", _) => EnrollmentState::Approved,
        ("ordered", _) => EnrollmentState::Ordered,
        ("issued", _) => EnrollmentState::Issued { certificate: row.sha256("certificate")? },
        ("refused", Some(reason)) => EnrollmentState::Refused { reason },
        ("failed", Some(reason)) => EnrollmentState::Failed { reason },
        ("cancelled", Some(reason)) => EnrollmentState::Cancelled { reason },
        _ => return Err(corrupt("state", &word)),
    };
    Ok(Enrollment {
        id: row.id("id")?,
        device: row.id("device")?,
        profile: row.text("profile")?,
        issuer: row.text("issuer")?,
        name: row.text("name")?,
        key: row.sha256("key")?,
        csr: row.blob("csr")?,
        replaces: row.optional_sha256("replaces")?,
        state,
        created_at: row.millis("created_at")?,
        updated_at: row.millis("updated_at")?,
    })
}

pub(super) fn issued_certificate(row: &mut Row) -> Result<IssuedCertificate> {
    Ok(IssuedCertificate {
        fingerprint: row.sha256("fingerprint")?,
        device: row.id("device")?,
        enrollment: row.id("enrollment")?,
        issuer: row.text("issuer")?,
        authority: row.optional_sha256("authority")?,
        certificate: certificate(row, "certificate")?,
        serial: row.text("serial")?,
        spki: row.sha256("spki")?,
        not_before: row.millis("not_before")?,
        not_after: row.millis("not_after")?,
        revoked_at: row.optional_integer("revoked_at")?.map(Millis),
        created_at: row.millis("created_at")?,
    })
}

pub(super) fn chain_certificate(row: &mut Row) -> Result<ChainCertificate> {
    Ok(ChainCertificate {
        issuer: row.text("issuer")?,
        certificate: certificate(row, "certificate")?,
        fingerprint: row.sha256("fingerprint")?,
    })
}

pub(super) fn approval(row: &mut Row) -> Result<Approval> {
    let (reason, state) = (row.text("reason")?, row.text("state")?);
    Ok(Approval {
        id: row.id("id")?,
        device: row.id("device")?,
        reason: ApprovalReason::parse(&reason).ok_or_else(|| corrupt("reason", &reason))?,
        spki: row.sha256("spki")?,
        certificate: certificate(row, "certificate")?,
        peer: row.text("peer")?,
        state: ApprovalState::parse(&state).ok_or_else(|| corrupt("state", &state))?,
        decided_by: row.optional_text("decided_by")?,
        created_at: row.millis("created_at")?,
        asked_at: row.millis("asked_at")?,
        decided_at: row.optional_integer("decided_at")?.map(Millis),
    })
}

pub(super) fn credential(row: &mut Row) -> Result<Credential> {
    Ok(Credential {
        name: row.text("name")?,
        secret: row.sha256("secret_sha256")?,
        profile: row.text("profile")?,
        uses: row.number("uses")?,
        used: row.number("used")?,
        created_at: row.millis("created_at")?,
        expires_at: row.optional_integer("expires_at")?.map(Millis),
        revoked_at: row.optional_integer("revoked_at")?.map(Millis),
    })
}

pub(super) fn order(row: &mut Row) -> Result<OrderRecord> {
    let detail = row.text("detail")?;
    let state: OrderState =
        serde_json::from_str(&detail).map_err(|_| corrupt("detail", &detail))?;
    let names = row.text("names")?;
    let node = row.optional_text("lease_node")?;
    let until = row.optional_integer("lease_until")?;
    Ok(OrderRecord {
        id: OrderId::new(row.text("id")?),
        issuer: IssuerName::new(row.text("issuer")?),
        csr: Csr {
            der: row.blob("csr")?,
            names: names.split(' ').map(str::to_owned).collect(),
            spki: row.blob("spki")?,
        },
        terms: OrderTerms {
            device: row.text("device")?,
            replaces: row.optional_text("replaces")?,
            fallback: row.optional_text("fallback")?.map(IssuerName::new),
            require_eku: row.text("require_eku")?.split_whitespace().map(str::to_owned).collect(),
        },
        state,
        since: row.integer("since")?,
        attempts: row.number("attempts")?,
        problem: match row.optional_text("problem")? {
            None => None,
            Some(text) => Some(serde_json::from_str(&text).map_err(|_| corrupt("problem", &text))?),
        },
        due: row.integer("due")?,
        lease: node.zip(until).map(|(node, until)| Lease { node, until }),
    })
}

/// The JSON of an order's state.
pub(super) fn order_detail(state: &OrderState) -> Result<String> {
    serde_json::to_string(state).map_err(|error| StoreError::Database(Box::new(error)))
}

/// The JSON of an order's last problem.
pub(super) fn order_problem(problem: Option<&Problem>) -> Result<Option<String>> {
    problem
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| StoreError::Database(Box::new(error)))
}

pub(super) fn revocation(row: &mut Row) -> Result<RevocationRow> {
    let reason = row.text("reason")?;
    Ok(RevocationRow {
        fingerprint: row.sha256("fingerprint")?,
        issuer: row.text("issuer")?,
        certificate: certificate(row, "certificate")?,
        reason: RevocationReason::parse(&reason).ok_or_else(|| corrupt("reason", &reason))?,
        attempts: row.number("attempts")?,
        due: row.millis("due")?,
        requested_at: row.millis("requested_at")?,
        done_at: row.optional_integer("done_at")?.map(Millis),
        problem: row.optional_text("problem")?,
    })
}
