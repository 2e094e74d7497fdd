//! The ACME issuer: hands an approved CSR to the bridge, which knows nothing of where it came from.

use std::sync::Arc;
use std::time::Duration;

use acme_bridge::bridge::Bridge;
use acme_bridge::{Csr, OrderId};
use async_trait::async_trait;
use brski_est::renewal_info::Window;
use rustls_pki_types::CertificateDer;
use tracing::warn;

use super::{ApprovedCsr, IssueError, Issuer, Submission};
use crate::store::model::{Id, IssuedCertificate, Millis};

/// An issuer behind an ACME CA.
pub struct AcmeIssuer {
    name: String,
    bridge: Arc<Bridge>,
    roots: Vec<CertificateDer<'static>>,
}

impl AcmeIssuer {
    /// An issuer on this bridge. `roots`: what `/cacerts` serves before any chain was seen; empty for public CAs,
    /// whose roots are served once a chain ended at one.
    #[must_use]
    pub fn new(name: &str, bridge: Arc<Bridge>, roots: Vec<CertificateDer<'static>>) -> Self {
        Self { name: name.to_owned(), bridge, roots }
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
        self.bridge.place(OrderId::new(enrollment.as_str()), plain(csr)).await.map_err(
            |error| IssueError::Issuer { issuer: self.name.clone(), reason: error.to_string() },
        )?;
        Ok(Submission::Ordered)
    }

    async fn wait(&self, enrollment: &Id, limit: Duration) {
        if let Err(error) = self.bridge.wait(&OrderId::new(enrollment.as_str()), limit).await {
            warn!(%enrollment, %error, "cannot see how the order stands");
        }
    }

    fn holds_key(&self, _spki: &[u8]) -> bool {
        false
    }

    async fn renewal_window(&self, _certificate: &IssuedCertificate) -> Option<Window> {
        None
    }

    fn anchors(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }
}
