//! The MASA's voucher (RFC 8366 §5, RFC 8995 §5.6).

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Assertion, Nonce, Timestamp, date, sealed, serial_number};
use crate::certificate::Certificate;
use crate::content::{ContentError, Leaf, Leaves, Module, Value};
use crate::encoding::Encoding;
use crate::idevid::SerialNumber;
use crate::signature::{SignError, Signer};

/// A MASA's voucher, as read (RFC 8366 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    assertion: Option<Assertion>,
    serial_number: SerialNumber,
    nonce: Option<Nonce>,
    created_on: Option<Timestamp>,
    expires_on: Option<Timestamp>,
    idevid_issuer: Option<Vec<u8>>,
    pinned_domain_cert: Option<Vec<u8>>,
    pinned_domain_pubk: Option<Vec<u8>>,
    pinned_domain_pubk_sha256: Option<Vec<u8>>,
    domain_cert_revocation_checks: Option<bool>,
    last_renewal_date: Option<Timestamp>,
    additional_configuration_url: Option<String>,
    est_domain: Option<String>,
}

impl Voucher {
    /// What the MASA asserts.
    #[must_use]
    pub fn assertion(&self) -> Option<Assertion> {
        self.assertion
    }

    /// The pledge that it is for.
    #[must_use]
    pub fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// The request that it answers; absent in a nonceless voucher.
    #[must_use]
    pub fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }

    /// When the MASA made it; mandatory in RFC 8366, absent in examples of RFC 8995.
    #[must_use]
    pub fn created_on(&self) -> Option<&Timestamp> {
        self.created_on.as_ref()
    }

    /// When a nonceless voucher ends.
    #[must_use]
    pub fn expires_on(&self) -> Option<&Timestamp> {
        self.expires_on.as_ref()
    }

    /// The issuer of the IDevID that it is for, in one of the forms of [`issuer_form`](crate::idevid::issuer_form).
    #[must_use]
    pub fn idevid_issuer(&self) -> Option<&[u8]> {
        self.idevid_issuer.as_deref()
    }

    /// The certificate that the pledge shall trust the domain by, DER.
    #[must_use]
    pub fn pinned_domain_cert(&self) -> Option<&[u8]> {
        self.pinned_domain_cert.as_deref()
    }

    /// The SubjectPublicKeyInfo, DER, that the pledge shall trust the domain by (draft-ietf-anima-rfc8366bis §5).
    #[must_use]
    pub fn pinned_domain_pubk(&self) -> Option<&[u8]> {
        self.pinned_domain_pubk.as_deref()
    }

    /// SHA-256 of it (draft-ietf-anima-rfc8366bis §5).
    #[must_use]
    pub fn pinned_domain_pubk_sha256(&self) -> Option<&[u8]> {
        self.pinned_domain_pubk_sha256.as_deref()
    }

    /// Where the pledge finds more configuration (draft-ietf-anima-brski-cloud).
    #[must_use]
    pub fn additional_configuration_url(&self) -> Option<&str> {
        self.additional_configuration_url.as_deref()
    }

    /// The EST server that the pledge shall enroll with (draft-ietf-anima-brski-cloud).
    #[must_use]
    pub fn est_domain(&self) -> Option<&str> {
        self.est_domain.as_deref()
    }

    /// Whether the pledge must check revocation in the domain.
    #[must_use]
    pub fn domain_cert_revocation_checks(&self) -> Option<bool> {
        self.domain_cert_revocation_checks
    }

    /// Until when the MASA means to renew it.
    #[must_use]
    pub fn last_renewal_date(&self) -> Option<&Timestamp> {
        self.last_renewal_date.as_ref()
    }
}

#[allow(private_interfaces, reason = "nobody outside can name this trait")]
impl sealed::Sealed for Voucher {
    const MODULE: Module = Module::Voucher;
    const LEAVES: &[Leaf] = &[
        Leaf::Assertion,
        Leaf::CreatedOn,
        Leaf::DomainCertRevocationChecks,
        Leaf::ExpiresOn,
        Leaf::IdevidIssuer,
        Leaf::LastRenewalDate,
        Leaf::Nonce,
        Leaf::PinnedDomainCert,
        Leaf::PinnedDomainPubk,
        Leaf::PinnedDomainPubkSha256,
        Leaf::SerialNumber,
        Leaf::AdditionalConfigurationUrl,
        Leaf::EstDomain,
    ];

    fn from_leaves(mut leaves: Leaves) -> Result<Self, ContentError> {
        Ok(Self {
            assertion: leaves.assertion(),
            serial_number: serial_number(&mut leaves)?,
            nonce: leaves.nonce(),
            created_on: leaves.date(Leaf::CreatedOn),
            expires_on: leaves.date(Leaf::ExpiresOn),
            idevid_issuer: leaves.octets(Leaf::IdevidIssuer),
            pinned_domain_cert: leaves.octets(Leaf::PinnedDomainCert),
            pinned_domain_pubk: leaves.octets(Leaf::PinnedDomainPubk),
            pinned_domain_pubk_sha256: leaves.octets(Leaf::PinnedDomainPubkSha256),
            domain_cert_revocation_checks: leaves.flag(Leaf::DomainCertRevocationChecks),
            last_renewal_date: leaves.date(Leaf::LastRenewalDate),
            additional_configuration_url: leaves.text(Leaf::AdditionalConfigurationUrl),
            est_domain: leaves.text(Leaf::EstDomain),
        })
    }
}

/// What a voucher holds by: RFC 8366 §5.3 forbids both at once, and a renewal date without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It answers the request with this nonce.
    Nonce(Nonce),
    /// It answers any request until this time.
    ExpiresOn(UnixTime),
    /// It answers any request until `expires_on`, and is renewed until `last_renewal_date`.
    Renewable {
        /// When it ends.
        expires_on: UnixTime,
        /// Until when it is renewed.
        last_renewal_date: UnixTime,
    },
}

/// A voucher to be sent; [`voucher_fields`](crate::masa::voucher_fields) makes it from a registrar's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherFields {
    /// What the MASA asserts.
    pub assertion: Assertion,
    /// The pledge that it is for.
    pub serial_number: SerialNumber,
    /// What it holds by.
    pub binding: Binding,
    /// Now.
    pub created_on: UnixTime,
    /// The issuer of the IDevID, as the registrar sent it.
    pub idevid_issuer: Option<Vec<u8>>,
    /// The certificate that the pledge shall trust the domain by.
    pub pinned_domain_cert: CertificateDer<'static>,
    /// Whether the pledge must check revocation in the domain, where the MASA says.
    pub domain_cert_revocation_checks: Option<bool>,
}

/// Where a voucher sends its pledge (draft-ietf-anima-rfc8366bis §5, draft-ietf-anima-brski-cloud).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directions {
    /// The EST server that the pledge shall enroll with.
    pub est_domain: Option<String>,
    /// Where the pledge finds more configuration.
    pub additional_configuration_url: Option<String>,
}

impl VoucherFields {
    /// Signs it with a MASA's key, in CMS. `chain`: the voucher signer's certificate first. `at`: the signing time.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        self.sign_as(Encoding::Cms, signer, chain, at)
    }

    /// Signs it as [`sign`](Self::sign) does, in this encoding.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_as(
        &self,
        encoding: Encoding,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        self.sign_with(&Directions::default(), encoding, signer, chain, at)
    }

    /// Signs it as [`sign_as`](Self::sign_as) does, with where the pledge shall go.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_with(
        &self,
        directions: &Directions,
        encoding: Encoding,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let (nonce, expires_on, last_renewal_date) = match &self.binding {
            Binding::Nonce(nonce) => (Some(nonce.clone()), None, None),
            Binding::ExpiresOn(expires_on) => (None, Some(*expires_on), None),
            Binding::Renewable { expires_on, last_renewal_date } => {
                (None, Some(*expires_on), Some(*last_renewal_date))
            }
        };
        let leaves = Leaves::default()
            .with(Leaf::Assertion, Some(Value::Assertion(self.assertion)))
            .with(Leaf::CreatedOn, Some(date(self.created_on)?))
            .with(Leaf::ExpiresOn, expires_on.map(date).transpose()?)
            .with(Leaf::SerialNumber, Some(Value::Text(self.serial_number.to_string())))
            .with(Leaf::IdevidIssuer, self.idevid_issuer.clone().map(Value::Octets))
            .with(Leaf::Nonce, nonce.map(Value::Nonce))
            .with(Leaf::PinnedDomainCert, Some(Value::Octets(self.pinned_domain_cert.to_vec())))
            .with(
                Leaf::DomainCertRevocationChecks,
                self.domain_cert_revocation_checks.map(Value::Flag),
            )
            .with(Leaf::LastRenewalDate, last_renewal_date.map(date).transpose()?)
            .with(
                Leaf::AdditionalConfigurationUrl,
                directions.additional_configuration_url.clone().map(Value::Text),
            )
            .with(Leaf::EstDomain, directions.est_domain.clone().map(Value::Text));
        super::sign(&leaves, Module::Voucher, encoding, signer, chain, at)
    }
}
