//! The registrar's own certificates and the roots of its domain.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment;
use crate::identity::live::{Identities, Origin};
use crate::store::model::{Millis, Sha256};
use brski_voucher::certificate::Certificate;

/// A certificate, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnView {
    /// Its subject.
    pub subject: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// When it begins.
    pub not_before: String,
    /// When it ends.
    pub not_after: String,
}

impl From<&Certificate> for OwnView {
    fn from(certificate: &Certificate) -> Self {
        let at = |seconds: i64| moment(Millis(seconds.saturating_mul(1000)));
        Self {
            subject: certificate.subject_text(),
            sha256: Sha256::of(certificate.der()).to_string(),
            not_before: at(certificate.not_before()),
            not_after: at(certificate.not_after()),
        }
    }
}

/// What the registrar shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// The certificate in use.
    pub certificate: OwnView,
    /// Where it is from: `file` (as configured) or `store` (renewed or installed).
    pub origin: String,
    /// The root that it is under.
    pub root: OwnView,
    /// Earlier roots that are still served.
    pub earlier_roots: Vec<OwnView>,
}

impl From<&Identities> for IdentityView {
    fn from(identities: &Identities) -> Self {
        let current = identities.current();
        let origin = match identities.origin() {
            Origin::File => "file",
            Origin::Store => "store",
        };
        Self {
            certificate: current.certificate().into(),
            origin: origin.to_owned(),
            root: current.domain_ca().into(),
            earlier_roots: identities
                .roots()
                .earlier()
                .iter()
                .map(|step| (&step.root).into())
                .collect(),
        }
    }
}

/// A request for a certificate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateRequest {
    /// PKCS#10, PEM.
    pub pem: String,
}

/// A certificate to install.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIdentity {
    /// The certificate and any intermediates, PEM, its own first.
    #[schema(max_length = 65536)]
    pub pem: String,
}

/// A new root.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RotatedRoot {
    /// What the registrar shows of itself from now on.
    pub identity: IdentityView,
    /// Where the key of the new root is.
    pub key: String,
}
