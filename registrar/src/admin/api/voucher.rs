//! Vouchers: those fetched ahead, and what became of a device's last exchange.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::device::voucher_word;
use super::moment;
use crate::store::model::{KnownDevice, NoncelessVoucher, VoucherExchange, VoucherState};

/// A voucher that is wanted ahead.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prefetch {
    /// How the device will ask: "cms" (also if left out), "jws" or "cose".
    pub encoding: Option<String>,
    /// PEM: the CA that issued its IDevID, where the device was not seen and that is not the manufacturer's first anchor.
    pub issuer: Option<String>,
}

/// A voucher without a nonce, fetched ahead.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NoncelessView {
    /// The device's identifier.
    pub device: String,
    /// Its serial number.
    pub serial: String,
    /// How it is encoded.
    pub encoding: String,
    /// Whether it is here.
    pub is_here: bool,
    /// When it ends; none: it does not, or it is not here.
    pub expires_at: Option<String>,
    /// When the MASA is asked again; none: it need not be.
    pub renewed_at: Option<String>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
}

impl NoncelessView {
    /// The view of a row of this device.
    #[must_use]
    pub fn of(row: &NoncelessVoucher, known: &KnownDevice) -> Self {
        Self {
            device: row.device.to_string(),
            serial: known.identity.serial().unwrap_or_default().to_owned(),
            encoding: row.encoding.as_str().to_owned(),
            is_here: row.voucher.is_some(),
            expires_at: row.expires_at.map(moment),
            renewed_at: (row.due.0 != i64::MAX).then(|| moment(row.due)),
            problem: row.problem.clone(),
        }
    }
}

/// One voucher exchange.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExchangeView {
    /// Where it stands: `asked`, `issued`, `accepted`, `rejected` or `failed`.
    pub state: String,
    /// Why, if it was rejected or failed.
    pub reason: Option<String>,
    /// How it is encoded.
    pub encoding: String,
    /// SHA-256 of the pledge's request.
    pub request_sha256: String,
    /// The voucher as the MASA sent it, base64.
    pub voucher: Option<String>,
    /// What policy says of the audit log: `accepted`, `refused` or `missing`; none: it was not asked for.
    pub audit: Option<String>,
    /// Why it is not accepted.
    pub audit_reason: Option<String>,
    /// The audit log as the MASA sent it.
    pub audit_log: Option<String>,
    /// When it changed last.
    pub updated_at: String,
}

impl From<&VoucherExchange> for ExchangeView {
    fn from(exchange: &VoucherExchange) -> Self {
        let (voucher, reason) = match &exchange.state {
            VoucherState::Asked => (None, None),
            VoucherState::Issued { voucher } | VoucherState::Accepted { voucher } => {
                (Some(voucher), None)
            }
            VoucherState::Rejected { reason } | VoucherState::Failed { reason } => {
                (None, Some(reason.clone()))
            }
        };
        let audit = exchange.audit.as_ref();
        let log = audit.and_then(|audit| audit.log.as_deref());
        Self {
            state: voucher_word(exchange).to_owned(),
            reason,
            encoding: exchange.encoding.as_str().to_owned(),
            request_sha256: exchange.request_sha256.to_string(),
            voucher: voucher.map(|octets| STANDARD.encode(octets)),
            audit: audit.map(|audit| audit.verdict.as_str().to_owned()),
            audit_reason: audit.and_then(|audit| audit.verdict.reason()).map(str::to_owned),
            audit_log: log.map(|log| String::from_utf8_lossy(log).into_owned()),
            updated_at: moment(exchange.updated_at),
        }
    }
}

/// Everything about the vouchers of a device.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VoucherStory {
    /// The device's identifier.
    pub device: String,
    /// The exchange that changed last.
    pub last_exchange: Option<ExchangeView>,
    /// The vouchers that were fetched ahead.
    pub fetched_ahead: Vec<NoncelessView>,
}
