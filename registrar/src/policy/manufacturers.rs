//! The manufacturers whose devices may come, ready for use: which of them vouches for a certificate?

use std::sync::Arc;

use brski_voucher::certificate::Certificate;
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::store::model::{Id, Manufacturer};

/// A manufacturer with its anchors read.
#[derive(Debug)]
pub struct KnownManufacturer {
    /// The row of the store.
    pub row: Manufacturer,
    /// Anchors of its IDevIDs.
    pub anchors: Anchors,
    /// Anchors of its voucher signers; `None` where none is known.
    pub voucher_anchors: Option<Anchors>,
}

/// A stored anchor that cannot be read.
#[derive(Debug, Error)]
#[error("manufacturer {manufacturer:?} has an anchor that cannot be read: {reason}")]
pub struct AnchorError {
    /// The manufacturer.
    pub manufacturer: String,
    /// What is wrong with the anchor.
    pub reason: String,
}

/// All manufacturers, as they were when the store was read.
#[derive(Debug, Default)]
pub struct ManufacturerDirectory {
    known: Vec<Arc<KnownManufacturer>>,
}

impl ManufacturerDirectory {
    /// Reads the anchors of all rows.
    ///
    /// # Errors
    /// [`AnchorError`] for the first anchor that cannot be read.
    pub fn new(rows: Vec<Manufacturer>) -> Result<Self, AnchorError> {
        let known = rows
            .into_iter()
            .map(|row| {
                let read = |certificates: &[CertificateDer<'static>]| {
                    Anchors::new(certificates).map_err(|error| AnchorError {
                        manufacturer: row.name.clone(),
                        reason: error.to_string(),
                    })
                };
                let anchors = read(&row.anchors)?;
                let voucher_anchors = match row.voucher_anchors.is_empty() {
                    true => None,
                    false => Some(read(&row.voucher_anchors)?),
                };
                Ok(Arc::new(KnownManufacturer { row, anchors, voucher_anchors }))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { known })
    }

    /// The manufacturer with this identifier.
    #[must_use]
    pub fn by_id(&self, id: &Id) -> Option<Arc<KnownManufacturer>> {
        self.known.iter().find(|known| known.row.id == *id).cloned()
    }

    /// The manufacturer of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<KnownManufacturer>> {
        self.known.iter().find(|each| each.row.name == name).cloned()
    }

    /// Finds the manufacturer whose anchors the certificate chains to.
    ///
    /// # Errors
    /// Why not, in the words of the path check: of the last manufacturer tried.
    pub fn identify(
        &self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        time: ValidityTime,
    ) -> Result<Arc<KnownManufacturer>, String> {
        let mut reason = "no manufacturer is configured".to_owned();
        for manufacturer in &self.known {
            match verify_chain(leaf, intermediates, &manufacturer.anchors, time) {
                Ok(()) => return Ok(Arc::clone(manufacturer)),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }
}
