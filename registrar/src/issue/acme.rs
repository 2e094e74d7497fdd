//! The ACME issuer: hands an approved CSR to the bridge, which knows nothing of where it came from.

use std::sync::Arc;
use std::time::Duration;

use acme_bridge::account::Account;
use acme_bridge::bridge::Bridge;
use acme_bridge::{Csr, IssuerName, OrderId, OrderTerms, RevocationReason, check};
use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use tracing::warn;

use super::{ApprovedCsr, IssueError, Issuer, Submission};
use crate::store::Change;
use crate::store::model::{Id, IssuedCertificate, Millis, RevocationRow};

/// An issuer behind an ACME CA.
pub struct AcmeIssuer {
    name: String,
    bridge: Arc<Bridge>,
    roots: Vec<CertificateDer<'static>>,
    account: Arc<Account>,
}

impl AcmeIssuer {
    /// An issuer on this bridge.
    ///
    /// `roots`: what `/cacerts` serves before any chain was seen; empty for public CAs, whose roots are served once a
    /// chain ended at one. `account`: the one of the bridge, whose key no CSR may have.
    #[must_use]
    pub fn new(
        name: &str,
        bridge: Arc<Bridge>,
        roots: Vec<CertificateDer<'static>>,
        account: Arc<Account>,
    ) -> Self {
        Self { name: name.to_owned(), bridge, roots, account }
    }

    /// What else is wanted of the order.
    fn terms(&self, approved: &ApprovedCsr) -> OrderTerms {
        let grant = approved.grant();
        let replaces = approved
            .renews()
            .filter(|certificate| certificate.issuer == self.name)
            .and_then(|certificate| check::renewal_identifier(&certificate.certificate));
        OrderTerms {
            device: approved.admitted().device().id.to_string(),
            replaces,
            fallback: grant.fallback.as_deref().map(IssuerName::new),
            require_eku: grant.require_eku.clone(),
        }
    }
}

/// The bridge's plain CSR; nothing but an approved one becomes it.
fn plain(approved: &ApprovedCsr) -> Csr {
    Csr {
        der: approved.csr().der().to_vec(),
        names: vec![approved.name().to_ascii_lowercase()],
        spki: approved.csr().spki_der().to_vec(),
    }
}

#[async_trait]
impl Issuer for AcmeIssuer {
    async fn submit(
        &self,
        enrollment: &Id,
        csr: &ApprovedCsr,
        _now: Millis,
    ) -> Result<Submission, IssueError> {
        let cannot = |reason: String| IssueError::Issuer { issuer: self.name.clone(), reason };
        if self.account.is_own_key(csr.csr().spki_der()) {
            return Err(cannot("the CSR is of the key of our account at the CA".to_owned()));
        }
        let (id, terms) = (OrderId::new(enrollment.as_str()), self.terms(csr));
        self.bridge
            .place(id, plain(csr), terms)
            .await
            .map_err(|error| cannot(error.to_string()))?;
        Ok(Submission::Ordered)
    }

    async fn wait(&self, enrollment: &Id, limit: Duration) {
        if let Err(error) = self.bridge.wait(&OrderId::new(enrollment.as_str()), limit).await {
            warn!(%enrollment, %error, "cannot see how the order stands");
        }
    }

    fn anchors(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    fn revocation(
        &self,
        certificate: &IssuedCertificate,
        reason: RevocationReason,
        now: Millis,
    ) -> Option<Change> {
        Some(Change::RequestRevocation(revocation(certificate, reason, now)))
    }
}

/// The row that has a certificate revoked.
pub(super) fn revocation(
    certificate: &IssuedCertificate,
    reason: RevocationReason,
    now: Millis,
) -> RevocationRow {
    RevocationRow {
        fingerprint: certificate.fingerprint,
        issuer: certificate.issuer.clone(),
        certificate: certificate.certificate.clone(),
        reason,
        attempts: 0,
        due: now,
        requested_at: now,
        done_at: None,
        problem: None,
    }
}
