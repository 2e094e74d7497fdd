//! The registrar's own certificates and the roots of its domain, as the store keeps them for all nodes.

use rustls_pki_types::CertificateDer;

use super::{Millis, Sha256};

/// A certificate of the registrar itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// One more than the newest before: whoever was slower conflicts.
    pub seq: i64,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki: Sha256,
    /// The certificate and any intermediates, PEM, its own first.
    pub chain: String,
    /// When it was stored.
    pub created_at: Millis,
}

/// A root that took over from an earlier one (RFC 4210 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootChange {
    /// One more than the newest before: whoever was slower conflicts.
    pub seq: i64,
    /// The new root, self-signed.
    pub root: CertificateDer<'static>,
    /// The earlier root, self-signed.
    pub previous: CertificateDer<'static>,
    /// The key of the earlier root, certified by the new one.
    pub old_with_new: CertificateDer<'static>,
    /// The key of the new root, certified by the earlier one.
    pub new_with_old: CertificateDer<'static>,
    /// When it took over.
    pub created_at: Millis,
    /// When the earlier root left.
    pub left_at: Option<Millis>,
}

/// All of it, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRecords {
    /// The certificates.
    pub certificates: Vec<OwnCertificate>,
    /// The changes of the root.
    pub roots: Vec<RootChange>,
}
