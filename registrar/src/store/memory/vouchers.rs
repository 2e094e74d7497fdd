//! Voucher exchanges and vouchers that were fetched ahead, as the tables take and give them.

use brski_voucher::encoding::Encoding;

use super::Result;
use super::rows::{conflict, found, reference};
use super::tables::{Rows, at_most, sorted};
use crate::store::model::{Id, Millis, NoncelessVoucher, VoucherExchange, VoucherState};
use crate::store::{Change, Conflict};

/// A voucher that was fetched ahead, and which node asks for it until when.
#[derive(Clone)]
pub(super) struct NoncelessRow {
    pub(super) voucher: NoncelessVoucher,
    lease: Option<(String, Millis)>,
}

impl Rows {
    pub(super) fn apply_to_voucher(&mut self, change: Change) -> Result<()> {
        match change {
            Change::BeginVoucherExchange(row) => {
                reference(self.devices.contains_key(&row.device))?;
                let is_same = |each: &VoucherExchange| {
                    each.request_sha256 == row.request_sha256 || each.id == row.id
                };
                if self.exchanges.values().any(is_same) {
                    return Err(conflict(Conflict::VoucherExchange));
                }
                self.exchanges.insert(row.id.clone(), row);
                Ok(())
            }
            Change::SetVoucherState { exchange, state, at } => {
                let is_no = |state: &VoucherState| matches!(state, VoucherState::Rejected { .. });
                let row = self.exchanges.get_mut(&exchange);
                // What a pledge rejected stays rejected, whatever a slow MASA says of it.
                let row = found(row.filter(|row| !is_no(&row.state) || is_no(&state)))?;
                (row.state, row.updated_at) = (state, at);
                Ok(())
            }
            Change::SetAudit { exchange, audit } => {
                found(self.exchanges.get_mut(&exchange))?.audit = Some(audit);
                Ok(())
            }
            Change::WantNoncelessVoucher(row) => self.want_voucher(row),
            Change::LeaseNoncelessVoucher { device, encoding, node, until, now } => {
                let row = self.nonceless.get_mut(&(device, encoding.as_str()));
                let is_free = |row: &NoncelessRow| match &row.lease {
                    Some((holder, until)) => *until <= now || *holder == node,
                    None => true,
                };
                match row.filter(|row| is_free(row)) {
                    None => Err(conflict(Conflict::VoucherLeased)),
                    Some(row) => {
                        row.lease = Some((node, until));
                        Ok(())
                    }
                }
            }
            Change::KeepNoncelessVoucher(voucher) => {
                let key = (voucher.device.clone(), voucher.encoding.as_str());
                *found(self.nonceless.get_mut(&key))? = NoncelessRow { voucher, lease: None };
                Ok(())
            }
            Change::RemoveNoncelessVouchers { device } => {
                self.nonceless.retain(|(owner, _), _| *owner != device);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks for a voucher, or for a new one in the place of what is there, which stays until that comes.
    fn want_voucher(&mut self, wanted: NoncelessVoucher) -> Result<()> {
        reference(self.devices.contains_key(&wanted.device))?;
        let key = (wanted.device.clone(), wanted.encoding.as_str());
        match self.nonceless.get_mut(&key) {
            None => {
                self.nonceless.insert(key, NoncelessRow { voucher: wanted, lease: None });
            }
            Some(NoncelessRow { voucher, .. }) => {
                *voucher = NoncelessVoucher {
                    voucher: voucher.voucher.take(),
                    expires_at: voucher.expires_at,
                    created_at: voucher.created_at,
                    ..wanted
                };
            }
        }
        Ok(())
    }

    /// The voucher without a nonce of a device in an encoding.
    pub(super) fn nonceless(&self, device: &Id, encoding: Encoding) -> Option<NoncelessVoucher> {
        let row = self.nonceless.get(&(device.clone(), encoding.as_str()))?;
        Some(row.voucher.clone())
    }

    /// A page of them, by device and encoding's word.
    pub(super) fn nonceless_page(&self, after: (&Id, &str), limit: u32) -> Vec<NoncelessVoucher> {
        let after = |(device, encoding): &(Id, &'static str)| (device, *encoding) > after;
        let rows = self.nonceless.iter().filter(|(key, _)| after(key));
        rows.map(|(_, row)| row.voucher.clone()).take(at_most(limit)).collect()
    }

    /// Those that a MASA is to be asked for and that no node asks for, the longest due first.
    pub(super) fn nonceless_due(&self, now: Millis, limit: u32) -> Vec<NoncelessVoucher> {
        let is_due = |row: &&NoncelessRow| {
            row.voucher.due <= now && row.lease.as_ref().is_none_or(|(_, until)| *until <= now)
        };
        let due = self.nonceless.values().filter(is_due).map(|row| row.voucher.clone());
        let mut due = sorted(due, |row| (row.due, row.device.clone()));
        due.truncate(at_most(limit));
        due
    }
}
