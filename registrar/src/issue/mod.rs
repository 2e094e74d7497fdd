//! Where certificates come from: an approved CSR goes in, a chain comes out, now or later.
//!
//! Invariant: an [`ApprovedCsr`] is made of an [`Admitted`] and a [`ProvenCsr`] alone, after every check of the profile,
//! and an issuer takes nothing else; so no handler can forget a check.

use std::time::Duration;

use acme_bridge::RevocationReason;
use async_trait::async_trait;
use brski_est::csr::ProvenCsr;
use brski_est::renewal_info::Window;
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::config::Profile;
use crate::flow::refusal::Refusal;
use crate::policy::admission::Admitted;
use crate::policy::profile;
use crate::store::Change;
use crate::store::model::{Id, IssuedCertificate, Millis};

pub mod acme;
pub mod answers;
pub mod desk;
pub mod local;
pub mod orders;
pub mod resume;

/// A CSR that may be sent to an issuer: its device is admitted, its key is proven, and it asks for no more than it may.
#[derive(Clone, Debug)]
pub struct ApprovedCsr {
    admitted: Admitted,
    csr: ProvenCsr,
    grant: Grant,
    renews: Option<IssuedCertificate>,
}

/// What a profile gives beside the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The extended key usages that the certificate may have: object identifiers.
    pub allow_eku: Vec<String>,
    /// The extended key usages that it must have: object identifiers.
    pub require_eku: Vec<String>,
    /// How long it lasts, in days, where the profile says so and the issuer is the local one.
    pub validity_days: Option<u32>,
    /// The issuer that takes over while the first is down or out of quota.
    pub fallback: Option<String>,
}

impl From<&Profile> for Grant {
    fn from(profile: &Profile) -> Self {
        Self {
            allow_eku: profile.allow_eku.clone(),
            require_eku: profile.require_eku.clone(),
            validity_days: profile.validity_days,
            fallback: profile.fallback.clone(),
        }
    }
}

impl ApprovedCsr {
    /// Approves a CSR, if the profile gives what it asks for and it links to the session where it claims to.
    ///
    /// `exporter`: the session's `tls-exporter` value, where the CSR comes over one.
    ///
    /// # Errors
    /// The refusal that names what the CSR asks for and what it may have.
    pub fn approve(
        admitted: Admitted,
        csr: ProvenCsr,
        rules: &Profile,
        exporter: Option<&[u8; 32]>,
    ) -> Result<Self, Refusal> {
        profile::check_linking(&csr, exporter, rules.linking)?;
        profile::check(&csr, admitted.name(), rules)?;
        Ok(Self { admitted, csr, grant: rules.into(), renews: None })
    }

    /// Approves again a CSR that was approved before a restart; its session is gone.
    ///
    /// # Errors
    /// As [`ApprovedCsr::approve`].
    pub fn approve_again(
        admitted: Admitted,
        csr: ProvenCsr,
        rules: &Profile,
    ) -> Result<Self, Refusal> {
        profile::check(&csr, admitted.name(), rules)?;
        Ok(Self { admitted, csr, grant: rules.into(), renews: None })
    }

    /// Says which certificate of the device this one takes the place of.
    #[must_use]
    pub fn renewing(self, certificate: Option<IssuedCertificate>) -> Self {
        Self { renews: certificate, ..self }
    }

    /// What the profile gives.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The certificate that this one takes the place of, if it is known.
    #[must_use]
    pub fn renews(&self) -> Option<&IssuedCertificate> {
        self.renews.as_ref()
    }

    /// The device that it is for.
    #[must_use]
    pub fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The CSR.
    #[must_use]
    pub fn csr(&self) -> &ProvenCsr {
        &self.csr
    }

    /// The one name that the certificate will carry.
    #[must_use]
    pub fn name(&self) -> &str {
        self.admitted.name()
    }
}

/// A certificate with the CA certificates above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedChain {
    /// The device's certificate.
    pub leaf: CertificateDer<'static>,
    /// The CA certificates above it, up to and including the root.
    pub above: Vec<CertificateDer<'static>>,
}

/// What an issuer did with an approved CSR.
#[derive(Clone, Debug)]
pub enum Submission {
    /// The certificate is here.
    Issued(IssuedChain),
    /// It is being made; its end is written to the store when it comes, whoever waits.
    Ordered,
}

/// Why an issuer cannot take a CSR now.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The issuer's own state or key failed.
    #[error("issuer {issuer:?} cannot take a CSR: {reason}")]
    Issuer {
        /// The issuer, by its name in the configuration.
        issuer: String,
        /// What failed.
        reason: String,
    },
}

/// A source of certificates.
#[async_trait]
pub trait Issuer: Send + Sync + 'static {
    /// Takes an approved CSR. The same enrollment twice is taken once.
    ///
    /// # Errors
    /// [`IssueError`]; the enrollment stays approved and may be submitted again.
    async fn submit(
        &self,
        enrollment: &Id,
        csr: &ApprovedCsr,
        now: Millis,
    ) -> Result<Submission, IssueError>;

    /// Signs an approved CSR here and now, where this issuer can: what comes of it can be written together with the
    /// enrollment, and nobody hears of it before. None from an issuer that has to ask a CA.
    fn sign_at_once(
        &self,
        _csr: &ApprovedCsr,
        _now: Millis,
    ) -> Option<Result<IssuedChain, IssueError>> {
        None
    }

    /// Waits until the enrollment has ended, at most for `limit`.
    async fn wait(&self, enrollment: &Id, limit: Duration);

    /// Whether this issuer has the key itself: that of an account, or of a CA. `spki`: SubjectPublicKeyInfo, DER.
    fn holds_key(&self, spki: &[u8]) -> bool;

    /// When the CA would like a certificate to be renewed, if it says so.
    async fn renewal_window(&self, certificate: &IssuedCertificate) -> Option<Window>;

    /// The CA certificates that `/cacerts` serves for it from configuration alone.
    fn anchors(&self) -> &[CertificateDer<'static>];

    /// What has a certificate revoked at the CA, beside the row that says so here; none where that row is enough.
    fn revocation(
        &self,
        _certificate: &IssuedCertificate,
        _reason: RevocationReason,
        _now: Millis,
    ) -> Option<Change> {
        None
    }
}
