//! A voucher without a nonce, fetched ahead for a device that may come when its MASA cannot be reached (RFC 8995 §3.1).

use brski_voucher::encoding::Encoding;

use super::{Id, Millis};

/// A voucher without a nonce that was asked for, and what came of it; one for each device and encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoncelessVoucher {
    /// The device that it is for.
    pub device: Id,
    /// How it is encoded: only a pledge that asks in this encoding can get it.
    pub encoding: Encoding,
    /// The registrar's request as sent to the MASA.
    pub registrar_request: Vec<u8>,
    /// The newest voucher as received; none until the MASA gave one.
    pub voucher: Option<Vec<u8>>,
    /// When the voucher ends; none where it does not.
    pub expires_at: Option<Millis>,
    /// How often in a row the MASA was asked without success.
    pub attempts: u32,
    /// When the MASA is asked again.
    pub due: Millis,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    /// When an operator asked for it first.
    pub created_at: Millis,
    /// When it changed last.
    pub updated_at: Millis,
}

impl NoncelessVoucher {
    /// The voucher, while it holds.
    #[must_use]
    pub fn current(&self, now: Millis) -> Option<&[u8]> {
        let voucher = self.voucher.as_deref()?;
        self.expires_at.is_none_or(|end| now < end).then_some(voucher)
    }
}
