//! The ACME issuer: hands an approved CSR to the bridge, which knows nothing of where it came from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acme_bridge::account::Account;
use acme_bridge::bridge::Bridge;
use acme_bridge::{Csr, IssuerName, OrderId, OrderTerms, RevocationReason, check};
use async_trait::async_trait;
use brski_est::renewal_info::Window;
use rustls_pki_types::CertificateDer;
use tracing::warn;

use super::{ApprovedCsr, IssueError, Issuer, Submission};
use crate::clock::unix_time;
use crate::store::Change;
use crate::store::model::{Id, IssuedCertificate, Millis, RevocationRow, Sha256};

/// An issuer behind an ACME CA.
pub struct AcmeIssuer {
    name: String,
    bridge: Arc<Bridge>,
    roots: Vec<CertificateDer<'static>>,
    account: Arc<Account>,
    /// What the CA said about renewals, and until when it is not asked again: anybody may ask us.
    renewals: Mutex<HashMap<Sha256, (Option<Window>, Instant)>>,
}

/// How long the CA may take to say when it would like a renewal.
const RENEWAL_LIMIT: Duration = Duration::from_secs(5);
/// How long it is not asked again about a certificate that it says nothing about.
const RENEWAL_PAUSE: Duration = Duration::from_secs(600);
/// About how many certificates its answers are kept.
const RENEWALS: usize = 10_000;

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
        let renewals = Mutex::default();
        Self { name: name.to_owned(), bridge, roots, account, renewals }
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

    fn asked(&self) -> MutexGuard<'_, HashMap<Sha256, (Option<Window>, Instant)>> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn holds_key(&self, spki: &[u8]) -> bool {
        self.account.is_own_key(spki)
    }

    async fn renewal_window(&self, certificate: &IssuedCertificate) -> Option<Window> {
        let (key, now) = (certificate.fingerprint, Instant::now());
        if let Some((window, until)) = self.asked().get(&key)
            && now < *until
        {
            return *window;
        }
        let asked = self.bridge.renewal_window(&certificate.certificate);
        let (window, pause) = match tokio::time::timeout(RENEWAL_LIMIT, asked).await {
            Ok(Ok(window)) => {
                let (start, end) = (Millis(window.start), Millis(window.end));
                let pause = Duration::from_secs(u64::from(window.retry_after_secs));
                (Window::new(unix_time(start), unix_time(end)).ok(), pause)
            }
            // It has none, or is away: nobody is asked again for a while.
            _ => (None, RENEWAL_PAUSE),
        };
        let mut asked = self.asked();
        if asked.len() >= RENEWALS {
            asked.retain(|_, (_, until)| now < *until);
        }
        if asked.len() < RENEWALS {
            asked.insert(key, (window, now + pause));
        }
        window
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
pub(crate) fn revocation(
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
