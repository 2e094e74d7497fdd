//! A private key that the registrar made for a device, as the store keeps it: sealed, and for a short time.

use std::fmt;

use super::{Id, Millis, Sha256};

/// A private key that the registrar made for a device (RFC 7030 §4.4).
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// SHA-256 of what the device asked for, by which a retry finds it.
    pub wish: Sha256,
    /// The device.
    pub device: Id,
    /// The key of the enrollment that it is for, [`Enrollment::key`](super::Enrollment::key).
    pub enrollment: Sha256,
    /// PKCS#8, sealed by [`Vault`](crate::vault::Vault).
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was sent to the device for the first time.
    pub sent_at: Option<Millis>,
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SealedKey")
            .field("device", &self.device)
            .field("created_at", &self.created_at)
            .field("sent_at", &self.sent_at)
            .finish_non_exhaustive()
    }
}
