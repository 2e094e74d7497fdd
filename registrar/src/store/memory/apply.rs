//! Changes as the tables take them. Invariant: a change that fails makes its whole commit undone by the caller.

use super::Result;
use super::rows::{conflict, found, reference};
use super::tables::{Rows, Tables, is_open};
use crate::store::model::{
    Approval, ApprovalState, DeviceState, Enrollment, EnrollmentState, Id, Identity,
    IssuedCertificate, KnownDevice, Manufacturer, Millis, SealedKey, Sha256,
};
use crate::store::{Change, Conflict};

impl Tables {
    /// Applies one change.
    pub(super) fn apply(&mut self, change: Change) -> Result<()> {
        let rows = &mut self.rows;
        match change {
            Change::AddManufacturer(row) => rows.add_manufacturer(row),
            Change::ChangeManufacturer { before, after } => {
                rows.change_manufacturer(&before, *after)
            }
            Change::AddDevice(_)
            | Change::SetDeviceState { .. }
            | Change::MoveDevice { .. }
            | Change::ExpectLetIn { .. }
            | Change::ExpectHoldings { .. }
            | Change::AssignName { .. }
            | Change::FreeName { .. }
            | Change::SetIdevid { .. }
            | Change::SetProfile { .. } => rows.apply_to_device(change),
            Change::ExpectRoomToWait { .. }
            | Change::AddApproval(_)
            | Change::AskApprovalAgain { .. }
            | Change::ForgetApproval { .. }
            | Change::DecideApproval { .. } => rows.apply_to_approval(change),
            Change::AddCredential(_)
            | Change::RevokeCredential { .. }
            | Change::SpendCredential { .. } => rows.apply_to_credential(change),
            Change::BeginVoucherExchange(_)
            | Change::SetVoucherState { .. }
            | Change::SetAudit { .. }
            | Change::WantNoncelessVoucher(_)
            | Change::LeaseNoncelessVoucher { .. }
            | Change::KeepNoncelessVoucher(_)
            | Change::RemoveNoncelessVouchers { .. } => rows.apply_to_voucher(change),
            Change::ExpectEnrollment { .. }
            | Change::ExpectCancelled { .. }
            | Change::ApproveEnrollment(_)
            | Change::SetEnrollmentState { .. }
            | Change::ReopenEnrollment { .. }
            | Change::SetEnrollmentIssuer { .. } => rows.apply_to_enrollment(change),
            Change::AddCertificate(_)
            | Change::RevokeCertificate { .. }
            | Change::AddChainCertificate(_) => rows.apply_to_certificate(change),
            Change::KeepSealedKey(_)
            | Change::NoteKeySent { .. }
            | Change::RemoveSealedKey { .. }
            | Change::RemoveSealedKeys { .. }
            | Change::PruneSealedKeys { .. } => rows.apply_to_key(change),
            Change::InsertOrder(_)
            | Change::AdvanceOrder { .. }
            | Change::CancelOrder { .. }
            | Change::RetryOrder { .. }
            | Change::ReleaseOrders { .. }
            | Change::PruneOrder { .. } => rows.apply_to_order(change),
            Change::SpendQuota(_)
            | Change::PruneQuotas { .. }
            | Change::RequestRevocation(_)
            | Change::NoteRevocation { .. }
            | Change::SaveAccount { .. } => rows.apply_to_ca(change),
            Change::PutAnswer(_) | Change::RetireAnswers { .. } | Change::RemoveAnswer(_) => {
                rows.apply_to_answer(change);
                Ok(())
            }
            Change::TellSettings(row) => {
                rows.node_settings.insert(row.node.clone(), row);
                Ok(())
            }
            Change::AddOwnCertificate(_)
            | Change::ChangeRoot(_)
            | Change::RetireRoot { .. }
            | Change::NoteWarning { .. } => rows.apply_to_own(change),
            Change::AddCheckpoint(_) | Change::PruneEvents(_) | Change::SetCursor { .. } => {
                self.apply_to_trail(change)
            }
        }
    }
}

impl Rows {
    fn add_manufacturer(&mut self, row: Manufacturer) -> Result<()> {
        if self.manufacturers.values().any(|each| each.name == row.name || each.id == row.id) {
            return Err(conflict(Conflict::ManufacturerName(row.name)));
        }
        self.manufacturers.insert(row.id.clone(), row);
        self.generation += 1;
        Ok(())
    }

    fn change_manufacturer(&mut self, before: &Manufacturer, after: Manufacturer) -> Result<()> {
        let row = found(self.manufacturers.get_mut(&before.id))?;
        if row != before {
            return Err(conflict(Conflict::Outdated));
        }
        let Manufacturer { id, name, created_at, .. } = before.clone();
        *row = Manufacturer { id, name, created_at, ..after };
        self.generation += 1;
        Ok(())
    }

    fn apply_to_device(&mut self, change: Change) -> Result<()> {
        match change {
            Change::AddDevice(known) => self.add_device(known),
            Change::SetDeviceState { device, state, at } => {
                let row = found(self.devices.get_mut(&device))?;
                (row.state, row.updated_at) = (state, at);
                Ok(())
            }
            Change::MoveDevice { device, state, at } => {
                let is_legal = |from| match from {
                    DeviceState::Admitted | DeviceState::Vouchered | DeviceState::Enrolled => true,
                    DeviceState::Expected | DeviceState::Pending => state == DeviceState::Admitted,
                    DeviceState::Retired | DeviceState::Blocked => false,
                };
                match self.devices.get_mut(&device).filter(|row| is_legal(row.state)) {
                    None => Err(conflict(Conflict::DeviceBarred)),
                    Some(row) => {
                        (row.state, row.updated_at) = (state, at);
                        Ok(())
                    }
                }
            }
            Change::ExpectLetIn { device } => {
                match self.devices.get(&device).map(|row| row.state) {
                    Some(
                        DeviceState::Admitted | DeviceState::Vouchered | DeviceState::Enrolled,
                    ) => Ok(()),
                    _ => Err(conflict(Conflict::DeviceBarred)),
                }
            }
            Change::ExpectHoldings { device, mut open, mut live } => {
                let begun = self.enrollments.values();
                let mut begun: Vec<Id> = begun
                    .filter(|row| row.device == device && is_open(row))
                    .map(|row| row.id.clone())
                    .collect();
                let held = self.certificates.values();
                let mut held: Vec<Sha256> = held
                    .filter(|row| row.device == device && row.revoked_at.is_none())
                    .map(|row| row.fingerprint)
                    .collect();
                for ids in [&mut open, &mut begun] {
                    ids.sort();
                }
                for fingerprints in [&mut live, &mut held] {
                    fingerprints.sort();
                }
                match (open, live) == (begun, held) {
                    true => Ok(()),
                    false => Err(conflict(Conflict::Outdated)),
                }
            }
            Change::AssignName { device, name } => self.assign_name(&device, &name),
            Change::FreeName { device } => {
                self.names.retain(|_, owner| *owner != device);
                Ok(())
            }
            Change::SetIdevid { device, idevid } => {
                if let Identity::Idevid { seen, .. } = found(self.identities.get_mut(&device))? {
                    *seen = Some(idevid);
                }
                Ok(())
            }
            Change::SetProfile { device, profile } => {
                found(self.devices.get_mut(&device))?.profile = profile;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_device(&mut self, known: KnownDevice) -> Result<()> {
        let KnownDevice { mut device, identity } = known;
        let is_taken = self.identities.values().any(|each| match (&identity, each) {
            (
                Identity::Idevid { manufacturer, serial, .. },
                Identity::Idevid { manufacturer: other, serial: taken, .. },
            ) => manufacturer == other && serial == taken,
            (Identity::Credential { name }, Identity::Credential { name: taken }) => name == taken,
            _ => false,
        });
        if is_taken {
            return Err(conflict(match identity {
                Identity::Idevid { serial, .. } => Conflict::SerialNumber(serial),
                Identity::Credential { name } => Conflict::CredentialDevice(name),
            }));
        }
        if let Some(manufacturer) = identity.manufacturer() {
            reference(self.manufacturers.contains_key(manufacturer))?;
        }
        let (id, name) = (device.id.clone(), device.name.take());
        self.devices.insert(id.clone(), device);
        self.identities.insert(id.clone(), identity);
        name.map_or(Ok(()), |name| self.assign_name(&id, &name))
    }

    fn assign_name(&mut self, device: &Id, name: &str) -> Result<()> {
        reference(self.devices.contains_key(device))?;
        let lower = name.to_lowercase();
        if self.names.iter().any(|(taken, owner)| *taken == lower || owner == device) {
            return Err(conflict(Conflict::DeviceName(name.to_owned())));
        }
        self.names.insert(lower, device.clone());
        Ok(())
    }

    fn apply_to_approval(&mut self, change: Change) -> Result<()> {
        match change {
            Change::ExpectRoomToWait { manufacturer, most } => {
                found(self.manufacturers.get(&manufacturer))?;
                let number = self.waiting(&manufacturer).count();
                match u64::try_from(number).is_ok_and(|number| number <= most) {
                    true => Ok(()),
                    false => Err(conflict(Conflict::Waiting)),
                }
            }
            Change::AddApproval(row) => self.add_approval(row),
            Change::AskApprovalAgain { approval, peer, at } => {
                let row = self.waiting_approval(&approval)?;
                (row.peer, row.asked_at) = (peer, at);
                Ok(())
            }
            Change::ForgetApproval { approval, device, asked_at } => {
                self.forget_approval(&approval, &device, asked_at)
            }
            Change::DecideApproval { approval, state, by, at } => {
                let row = self.waiting_approval(&approval)?;
                (row.state, row.decided_by, row.decided_at) = (state, Some(by), Some(at));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// With a question goes a device of which nothing else is known.
    fn forget_approval(&mut self, approval: &Id, device: &Id, asked_at: Millis) -> Result<()> {
        let row = self.waiting_approval(approval)?;
        found((row.device == *device && row.asked_at == asked_at).then_some(()))?;
        self.approvals.remove(approval);
        let is_pending =
            self.devices.get(device).is_some_and(|row| row.state == DeviceState::Pending);
        let is_asked = self.approvals.values().any(|row| row.device == *device);
        let is_named = self.names.values().any(|owner| owner == device);
        if is_pending && !is_asked && !is_named {
            self.identities.remove(device);
            self.devices.remove(device);
        }
        Ok(())
    }

    /// The open questions about the devices of a manufacturer.
    pub(super) fn waiting<'a>(
        &'a self,
        manufacturer: &'a Id,
    ) -> impl Iterator<Item = &'a Approval> + Clone {
        self.approvals.values().filter(move |row| {
            row.state == ApprovalState::Waiting
                && self.identities.get(&row.device).and_then(Identity::manufacturer)
                    == Some(manufacturer)
        })
    }

    fn waiting_approval(&mut self, id: &Id) -> Result<&mut Approval> {
        let row = self.approvals.get_mut(id);
        found(row.filter(|row| row.state == ApprovalState::Waiting))
    }

    fn add_approval(&mut self, row: Approval) -> Result<()> {
        reference(self.devices.contains_key(&row.device))?;
        let is_asked = |each: &Approval| {
            each.id == row.id
                || row.state == ApprovalState::Waiting
                    && each.state == ApprovalState::Waiting
                    && each.device == row.device
                    && each.spki == row.spki
        };
        if self.approvals.values().any(is_asked) {
            return Err(conflict(Conflict::Approval));
        }
        self.approvals.insert(row.id.clone(), row);
        Ok(())
    }

    fn apply_to_credential(&mut self, change: Change) -> Result<()> {
        match change {
            Change::AddCredential(row) => {
                if self.credentials.contains_key(&row.name) {
                    return Err(conflict(Conflict::CredentialName(row.name)));
                }
                self.credentials.insert(row.name.clone(), row);
                Ok(())
            }
            Change::RevokeCredential { name, at } => {
                let row = self.credentials.get_mut(&name);
                found(row.filter(|row| row.revoked_at.is_none()))?.revoked_at = Some(at);
                Ok(())
            }
            Change::SpendCredential { name } => {
                let row = self.credentials.get_mut(&name);
                match row.filter(|row| row.revoked_at.is_none() && row.used < row.uses) {
                    None => Err(conflict(Conflict::CredentialSpent)),
                    Some(row) => {
                        row.used += 1;
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn apply_to_enrollment(&mut self, change: Change) -> Result<()> {
        match change {
            Change::ExpectEnrollment { key, newest } => {
                match self.enrollment_by_key(&key).map(|row| row.id) == newest {
                    true => Ok(()),
                    false => Err(conflict(Conflict::Enrollment)),
                }
            }
            Change::ExpectCancelled { enrollment } => {
                let row = found(self.enrollments.get(&enrollment))?;
                match row.state {
                    EnrollmentState::Cancelled { .. } => Ok(()),
                    _ => Err(conflict(Conflict::Missing)),
                }
            }
            Change::ApproveEnrollment(row) => {
                reference(self.devices.contains_key(&row.device))?;
                if self.enrollments.contains_key(&row.id) || self.is_crowded(&row) {
                    return Err(conflict(Conflict::Enrollment));
                }
                self.enrollments.insert(row.id.clone(), row);
                Ok(())
            }
            Change::SetEnrollmentState { enrollment, state, at } => {
                let row = found(self.enrollments.get(&enrollment))?;
                // What an operator cancelled stays cancelled, what has its certificate gets no second one,
                // and what has ended is ordered again by an operator alone.
                let is_over = match row.state {
                    EnrollmentState::Approved | EnrollmentState::Ordered => false,
                    EnrollmentState::Refused { .. } | EnrollmentState::Failed { .. } => {
                        state == EnrollmentState::Ordered
                    }
                    EnrollmentState::Issued { .. } | EnrollmentState::Cancelled { .. } => true,
                };
                if is_over {
                    return Err(conflict(Conflict::Missing));
                }
                let moved = Enrollment { state, updated_at: at, ..row.clone() };
                reference(!self.is_crowded(&moved))?;
                self.enrollments.insert(enrollment, moved);
                Ok(())
            }
            Change::ReopenEnrollment { enrollment, at } => {
                let row = found(self.enrollments.get(&enrollment))?;
                if is_open(row) || matches!(row.state, EnrollmentState::Issued { .. }) {
                    return Err(conflict(Conflict::Missing));
                }
                let state = EnrollmentState::Ordered;
                let reopened = Enrollment { state, updated_at: at, ..row.clone() };
                if self.is_crowded(&reopened) {
                    return Err(conflict(Conflict::Enrollment));
                }
                self.enrollments.insert(enrollment, reopened);
                Ok(())
            }
            Change::SetEnrollmentIssuer { enrollment, issuer } => {
                found(self.enrollments.get_mut(&enrollment))?.issuer = issuer;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether an open enrollment would stand beside another one with its key.
    fn is_crowded(&self, row: &Enrollment) -> bool {
        let is_other =
            |each: &Enrollment| each.id != row.id && each.key == row.key && is_open(each);
        is_open(row) && self.enrollments.values().any(is_other)
    }

    fn apply_to_certificate(&mut self, change: Change) -> Result<()> {
        match change {
            Change::AddCertificate(row) => self.add_certificate(row),
            Change::RevokeCertificate { fingerprint, at } => {
                let row = self.certificates.get_mut(&fingerprint);
                found(row.filter(|row| row.revoked_at.is_none()))?.revoked_at = Some(at);
                Ok(())
            }
            Change::AddChainCertificate(row) => {
                self.chain.entry((row.fingerprint, row.issuer.clone())).or_insert(row);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_certificate(&mut self, row: IssuedCertificate) -> Result<()> {
        reference(self.devices.contains_key(&row.device))?;
        reference(self.enrollments.contains_key(&row.enrollment))?;
        self.certificates.entry(row.fingerprint).or_insert(row);
        Ok(())
    }

    fn apply_to_key(&mut self, change: Change) -> Result<()> {
        match change {
            Change::KeepSealedKey(row) => self.keep_key(row),
            Change::NoteKeySent { wish, at } => {
                if let Some(row) = self.keys.get_mut(&wish) {
                    row.sent_at = row.sent_at.or(Some(at));
                }
                Ok(())
            }
            Change::RemoveSealedKey { wish, enrollment } => {
                self.keys.retain(|key, row| *key != wish || row.enrollment != enrollment);
                Ok(())
            }
            Change::RemoveSealedKeys { device } => {
                self.keys.retain(|_, row| row.device != device);
                Ok(())
            }
            Change::PruneSealedKeys { sent_until, made_until } => {
                let is_over = |row: &SealedKey| {
                    row.sent_at.is_some_and(|at| at <= sent_until) || row.created_at <= made_until
                };
                self.keys.retain(|_, row| !is_over(row));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keep_key(&mut self, row: SealedKey) -> Result<()> {
        reference(self.devices.contains_key(&row.device))?;
        if self.keys.contains_key(&row.wish) {
            return Err(conflict(Conflict::SealedKey));
        }
        self.keys.insert(row.wish, row);
        Ok(())
    }
}
