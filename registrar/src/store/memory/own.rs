//! The registrar's own certificates and the roots of its domain.

use super::Result;
use super::rows::{conflict, found};
use super::tables::Rows;
use crate::store::model::{OwnCertificate, RootChange};
use crate::store::{Change, Conflict};

impl Rows {
    pub(super) fn apply_to_own(&mut self, change: Change) -> Result<()> {
        match change {
            Change::AddOwnCertificate(row) => self.add_own_certificate(row)?,
            Change::ChangeRoot(row) => self.change_root(row)?,
            Change::RetireRoot { seq, at } => {
                let roots = &mut self.own.roots;
                let row = roots.iter_mut().find(|row| row.seq == seq && row.left_at.is_none());
                found(row)?.left_at = Some(at);
            }
            Change::NoteWarning { about } => {
                return match self.warnings.insert(about) {
                    true => Ok(()),
                    false => Err(conflict(Conflict::Warned)),
                };
            }
            _ => return Ok(()),
        }
        self.generation += 1;
        Ok(())
    }

    fn add_own_certificate(&mut self, row: OwnCertificate) -> Result<()> {
        if self.own.certificates.iter().any(|each| each.seq == row.seq) {
            return Err(conflict(Conflict::OwnCertificate));
        }
        self.own.certificates.push(row);
        self.own.certificates.sort_by_key(|row| row.seq);
        Ok(())
    }

    fn change_root(&mut self, row: RootChange) -> Result<()> {
        if self.own.roots.iter().any(|each| each.seq == row.seq) {
            return Err(conflict(Conflict::OwnCertificate));
        }
        self.own.roots.push(row);
        self.own.roots.sort_by_key(|row| row.seq);
        Ok(())
    }
}
