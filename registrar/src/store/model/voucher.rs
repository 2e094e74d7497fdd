//! Voucher exchanges: a pledge's request, what the MASA made of it, and what its audit log came to.

use brski_voucher::encoding::Encoding;

use super::{Id, Millis, Sha256};

/// Where a voucher exchange stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherState {
    /// The registrar's request is written and may have been sent.
    Asked,
    /// The MASA answered with this voucher, which passed the registrar's checks.
    Issued {
        /// The voucher as received.
        voucher: Vec<u8>,
    },
    /// The pledge said that it accepts the voucher.
    Accepted {
        /// The voucher as received.
        voucher: Vec<u8>,
    },
    /// The pledge said that it rejects the voucher.
    Rejected {
        /// The pledge's reason, as it sent it.
        reason: String,
    },
    /// No voucher can come of this exchange.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One pledge voucher request and what became of it; known by the SHA-256 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherExchange {
    /// Identifier of ours.
    pub id: Id,
    /// SHA-256 of the pledge's request.
    pub request_sha256: Sha256,
    /// The device that asked.
    pub device: Id,
    /// How its request is encoded, and hence the voucher.
    pub encoding: Encoding,
    /// The pledge's request as received.
    pub pledge_request: Vec<u8>,
    /// The registrar's request as sent to the MASA.
    pub registrar_request: Vec<u8>,
    /// Where it stands.
    pub state: VoucherState,
    /// What the MASA's audit log came to, if it was asked for.
    pub audit: Option<AuditRecord>,
    /// When it began.
    pub created_at: Millis,
    /// When it changed last.
    pub updated_at: Millis,
}

/// What a MASA's audit log of a device came to (RFC 8995 §5.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The log as received; none if the MASA gave none.
    pub log: Option<Vec<u8>>,
    /// What policy says of it.
    pub verdict: AuditVerdict,
    /// When it was asked for.
    pub at: Millis,
}

/// What policy says of an audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Nothing in it is against policy.
    Accepted,
    /// Something in it is, or there is none where policy wants one.
    Refused {
        /// What.
        reason: String,
    },
    /// There is none that can be read, and policy does without.
    Missing {
        /// Why not.
        reason: String,
    },
}

impl AuditVerdict {
    /// The word that the store and the command line use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused { .. } => "refused",
            Self::Missing { .. } => "missing",
        }
    }

    /// Why it is not accepted.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Accepted => None,
            Self::Refused { reason } | Self::Missing { reason } => Some(reason),
        }
    }
}
