//! Does a certificate chain to an anchor? For any extended key usage and any clock.
//!
//! RFC 5280 §6 by rustls-webpki; RFC 8995 §2.6.2 for IDevIDs that outlive their dates.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    anchor_from_trusted_cert,
};

use crate::certificate::{Certificate, CertificateError};
use crate::signature;

/// At which time a chain must be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidityTime {
    /// At this time.
    At(UnixTime),
    /// When its end-entity certificate began, so that nothing that ended since matters; for manufacturers
    /// whose devices outlive their dates (RFC 8995 §2.6.2), and for pledges without a clock (§2.6.1).
    ///
    /// Intermediates must have begun by then.
    IgnoringExpiry,
}

impl ValidityTime {
    fn for_leaf(self, leaf: &Certificate) -> UnixTime {
        match self {
            Self::At(time) => time,
            Self::IgnoringExpiry => {
                let seconds = u64::try_from(leaf.not_before()).unwrap_or(0);
                UnixTime::since_unix_epoch(Duration::from_secs(seconds))
            }
        }
    }
}

/// Why a certificate does not chain to an anchor.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainError {
    /// There is no anchor at all.
    #[error("there is no anchor")]
    NoAnchor,
    /// The path check failed; of the reasons, the most telling one.
    #[error("the certificate does not chain to an anchor: {0}")]
    Path(webpki::Error),
    /// The certificate's own dates exclude the time.
    #[error(
        "the certificate is valid from {not_before} to {not_after}, not at {at} (Unix seconds)"
    )]
    Validity {
        /// Start of its validity.
        not_before: i64,
        /// End of its validity.
        not_after: i64,
        /// The time that was asked for.
        at: u64,
    },
}

/// An anchor that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// It is no certificate.
    #[error("the anchor cannot be read: {0}")]
    Certificate(CertificateError),
    /// It cannot be the end of a path.
    #[error("the anchor cannot be used: {0}")]
    Path(webpki::Error),
}

/// The certificates that a path may end at.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    certificates: Vec<Certificate>,
}

impl Anchors {
    /// Reads anchors, each a DER certificate.
    ///
    /// Each matches itself. Paths end at those that may issue: CA:TRUE, or without basic constraints
    /// where it is X.509v1 or self-issued. So an end-entity certificate as an anchor vouches for nothing but itself.
    /// Dates, key usages and path lengths of an anchor do not matter (RFC 5280 §6.2).
    ///
    /// # Errors
    /// [`AnchorError`] for the first that cannot be read.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Result<Self, AnchorError> {
        let mut anchors = Self::default();
        for der in certificates {
            let certificate = Certificate::from_der(der).map_err(AnchorError::Certificate)?;
            if certificate.may_issue() {
                let anchor = anchor_from_trusted_cert(der).map_err(AnchorError::Path)?;
                anchors.anchors.push(anchor.to_owned());
            }
            anchors.certificates.push(certificate);
        }
        Ok(anchors)
    }

    /// The anchors as certificates.
    pub(crate) fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

/// No demand on extended key usage: IDevIDs have none, or any (RFC 8995 §2.3).
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Checks that `leaf` chains to an anchor, over `intermediates` in any order, for any extended key usage.
///
/// A leaf that the path check cannot parse (X.509v1, unknown critical extensions, long serial numbers)
/// is accepted if an anchor of its issuer's name signed it directly, and its dates fit:
/// such IDevIDs exist, and what their extensions say does not matter for who the device is.
///
/// # Errors
/// [`ChainError`].
pub fn verify_chain(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &Anchors,
    time: ValidityTime,
) -> Result<(), ChainError> {
    if anchors.is_empty() {
        return Err(ChainError::NoAnchor);
    }
    let at = time.for_leaf(leaf);
    if anchors.certificates.iter().any(|anchor| anchor.der() == leaf.der()) {
        return check_dates(leaf, at);
    }
    match path(leaf, intermediates, anchors, at) {
        Ok(()) => Ok(()),
        Err(_) if is_signed_by_anchor(leaf, anchors) && !webpki_reads(leaf) => {
            check_dates(leaf, at)
        }
        Err(error) => Err(ChainError::Path(error)),
    }
}

fn path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &Anchors,
    at: UnixTime,
) -> Result<(), webpki::Error> {
    let end_entity = EndEntityCert::try_from(leaf.der())?;
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|certificate| certificate.der().clone()).collect();
    end_entity
        .verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &anchors.anchors,
            &intermediates,
            at,
            AnyUsage,
            None,
            None,
        )
        .map(|_| ())
}

fn webpki_reads(leaf: &Certificate) -> bool {
    EndEntityCert::try_from(leaf.der()).is_ok()
}

fn is_signed_by_anchor(leaf: &Certificate, anchors: &Anchors) -> bool {
    anchors.certificates.iter().any(|anchor| is_issued_by(leaf, anchor))
}

/// Whether `issuer` may issue, bears the name that `certificate` says, and signed it.
fn is_issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let signed = certificate.signed_part();
    issuer.may_issue()
        && issuer.subject_der() == certificate.issuer_der()
        && signed.algorithm == signed.inner_algorithm
        && signature::verify(
            issuer.spki_der(),
            signed.algorithm,
            None,
            signed.message,
            signed.signature,
        )
        .is_ok()
}

/// The certificate and its issuers among those `carried`, each the issuer of the one before, as far up as they go.
pub(crate) fn issuer_path(certificate: &Certificate, carried: &[Certificate]) -> Vec<Certificate> {
    let mut path = Vec::new();
    let mut top = certificate;
    loop {
        path.push(top.clone());
        let next = carried
            .iter()
            .find(|candidate| !path.contains(candidate) && is_issued_by(top, candidate));
        match next {
            Some(issuer) => top = issuer,
            None => return path,
        }
    }
}

fn check_dates(leaf: &Certificate, at: UnixTime) -> Result<(), ChainError> {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    if (leaf.not_before()..=leaf.not_after()).contains(&seconds) {
        return Ok(());
    }
    Err(ChainError::Validity {
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        at: at.as_secs(),
    })
}
