//! The roots of the domain over the years: the configured one, and those that took over from it. Pure.
//!
//! The store says which root took over from which, and that alone is not believed: each step is signed by the key of
//! the root before it (NewWithOld, RFC 4210 §4.4), so that nobody who writes to the database makes a root.
//! Invariant: the chain of roots begins at the file that the configuration names.

use brski_voucher::certificate::Certificate;
use brski_voucher::signature::verify_signed;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::store::model::{Millis, RootChange};

/// A root that is still served, and what leads from the one that took over to it.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The number of the change in the store.
    pub seq: i64,
    /// The earlier root, self-signed.
    pub root: Certificate,
    /// The key of the earlier root, certified by its successor.
    pub old_with_new: Certificate,
    /// The key of its successor, certified by the earlier root.
    pub new_with_old: Certificate,
    /// When its successor took over.
    pub since: Millis,
}

/// The roots that are served now.
#[derive(Clone, Debug)]
pub struct DomainRoots {
    current: Certificate,
    earlier: Vec<Earlier>,
}

impl DomainRoots {
    /// Follows the changes from the configured root to the current one, and back to those that have not left.
    ///
    /// `changes`: the oldest first. What is not proven is left out.
    #[must_use]
    pub fn follow(configured: &Certificate, changes: &[RootChange]) -> Self {
        let mut current = configured.clone();
        for change in changes {
            if change.previous == *current.der()
                && let Some(root) = successor(&current, change)
            {
                current = root;
            }
        }
        let mut earlier: Vec<Earlier> = Vec::new();
        for change in changes.iter().rev() {
            let above = earlier.last().map_or(&current, |step| &step.root);
            if change.root == *above.der()
                && change.left_at.is_none()
                && let Some(step) = predecessor(above, change)
            {
                earlier.push(step);
            }
        }
        Self { current, earlier }
    }

    /// The root that certificates are made under.
    #[must_use]
    pub fn current(&self) -> &Certificate {
        &self.current
    }

    /// Earlier roots that something may still need, the newest first.
    #[must_use]
    pub fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    /// All roots that are served, the current one first.
    pub fn served(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.current).chain(self.earlier.iter().map(|step| &step.root))
    }

    /// What leads from the current root to each earlier one: TLS sends it, for pledges and clients that know these.
    #[must_use]
    pub fn bridges(&self) -> Vec<Certificate> {
        self.earlier.iter().map(|step| step.new_with_old.clone()).collect()
    }

    /// What `/cacerts` has of the domain: the current root first, the earlier ones, and what leads between them
    /// (RFC 7030 §4.1.3).
    #[must_use]
    pub fn certificates(&self) -> Vec<&CertificateDer<'static>> {
        let between = self.earlier.iter().flat_map(|step| [&step.new_with_old, &step.old_with_new]);
        self.served().chain(between).map(Certificate::der).collect()
    }
}

/// The new root of a change, if the root before it vouches for it.
fn successor(previous: &Certificate, change: &RootChange) -> Option<Certificate> {
    let root = Certificate::from_der(&change.root).ok()?;
    let bridge = Certificate::from_der(&change.new_with_old).ok()?;
    let is_proven = root.is_ca()
        && bridge.spki_der() == root.spki_der()
        && bridge.subject_der() == root.subject_der()
        && bridge.issuer_der() == previous.subject_der()
        && is_signed_by(&bridge, previous);
    is_proven.then_some(root)
}

/// The earlier root of a change, if the root that took over vouches for it.
fn predecessor(above: &Certificate, change: &RootChange) -> Option<Earlier> {
    let root = Certificate::from_der(&change.previous).ok()?;
    let old_with_new = Certificate::from_der(&change.old_with_new).ok()?;
    let new_with_old = Certificate::from_der(&change.new_with_old).ok()?;
    let is_proven = old_with_new.spki_der() == root.spki_der()
        && old_with_new.subject_der() == root.subject_der()
        && is_signed_by(&old_with_new, above)
        && new_with_old.spki_der() == above.spki_der()
        && is_signed_by(&new_with_old, &root);
    is_proven.then_some(Earlier {
        seq: change.seq,
        root,
        old_with_new,
        new_with_old,
        since: change.created_at,
    })
}

/// Whether the key of `issuer` signed this certificate.
#[must_use]
pub fn is_signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    X509Certificate::from_der(certificate.der()).is_ok_and(|(_, read)| {
        let signature = &read.signature_value.data;
        verify_signed(issuer.spki_der(), read.tbs_certificate.as_ref(), signature).is_ok()
    })
}
