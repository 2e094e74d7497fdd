//! From bytes to proof: what was read is [`Unverified`], what was verified is [`Verified`], and nothing else makes one.

use std::ops::Deref;

use thiserror::Error;

use crate::artefact::Artefact;
use crate::certificate::Certificate;
use crate::cms::read::{CmsError, Quirk, SignedData};
use crate::json::JsonError;
use crate::signature::SignatureError;
use crate::trust::{Anchors, ChainError, ValidityTime, verify_chain};

/// Why octets are no artefact.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The CMS around it.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// The JSON in it.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// Why an artefact is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The signer's certificate is not among those carried.
    #[error("the signer's certificate is not among the {carried} that are carried")]
    NoSigner {
        /// How many certificates are carried.
        carried: usize,
    },
    /// The signer's certificate leads nowhere.
    #[error("the signer's certificate: {0}")]
    Chain(#[from] ChainError),
}

/// An artefact that was read, and whose signature nobody looked at.
#[derive(Clone, Debug)]
pub struct Unverified<T> {
    bytes: Vec<u8>,
    content: T,
    cms: SignedData,
}

impl<T: Artefact> Unverified<T> {
    /// Reads an artefact in CMS.
    ///
    /// `der`: CMS SignedData, at most 64 KiB, with signed attributes and one signer.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(der: &[u8]) -> Result<Self, ParseError> {
        let cms = SignedData::parse(der)?;
        let content = T::from_json(&cms.content)?;
        Ok(Self { bytes: der.to_vec(), content, cms })
    }
}

impl<T> Unverified<T> {
    /// What it says, unproven.
    #[must_use]
    pub fn content(&self) -> &T {
        &self.content
    }

    /// The certificates that it carries, in the order sent.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.cms.certificates
    }

    /// Verifies it with the key of a certificate that was proven otherwise, such as a TLS client's.
    ///
    /// The certificate inside may be another one of the same key, re-issued perhaps: the key decides.
    ///
    /// # Errors
    /// [`VerifyError::Signature`].
    ///
    /// RFC 8995 §5.5.
    pub fn verify_by_key(self, signer: &Certificate) -> Result<Verified<T>, VerifyError> {
        let forgiven = self.cms.verify(signer.spki_der())?;
        Ok(Verified {
            bytes: self.bytes,
            content: self.content,
            signer: signer.clone(),
            chain: self.cms.certificates,
            forgiven,
        })
    }

    /// Verifies it with the certificate that it carries, which must chain to an anchor.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_by_anchors(
        self,
        anchors: &Anchors,
        time: ValidityTime,
    ) -> Result<Verified<T>, VerifyError> {
        let signer = self.signer()?;
        verify_chain(&signer, &self.cms.certificates, anchors, time)?;
        self.verify_by_key(&signer)
    }

    /// Verifies it with the certificates that it carries, taking the top one as an anchor for this once.
    ///
    /// So a MASA meets a domain for the first time (RFC 8995 §5.5.2): the chain is consistent, nothing more.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_presented(self, time: ValidityTime) -> Result<Verified<T>, VerifyError> {
        let signer = self.signer()?;
        let anchors: Vec<_> = self
            .cms
            .certificates
            .iter()
            .filter(|certificate| certificate.subject_der() == certificate.issuer_der())
            .map(|certificate| certificate.der().clone())
            .collect();
        // Without a self-signed certificate, the signer's own stands alone (RFC 8995 §5.5.2, "EE only").
        let anchors = if anchors.is_empty() { vec![signer.der().clone()] } else { anchors };
        let anchors = Anchors::new(&anchors).map_err(|_| ChainError::NoAnchor)?;
        verify_chain(&signer, &self.cms.certificates, &anchors, time)?;
        self.verify_by_key(&signer)
    }

    fn signer(&self) -> Result<Certificate, VerifyError> {
        self.cms
            .signer_certificate()
            .cloned()
            .ok_or(VerifyError::NoSigner { carried: self.cms.certificates.len() })
    }
}

/// An artefact whose signature holds, by a signer that was asked for.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    bytes: Vec<u8>,
    content: T,
    signer: Certificate,
    chain: Vec<Certificate>,
    forgiven: Vec<Quirk>,
}

impl<T> Verified<T> {
    /// The artefact as received: what is forwarded, stored and hashed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The certificate whose key signed it.
    #[must_use]
    pub fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// The certificates that it carries.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.chain
    }

    /// What was wrong with its encoding and forgiven.
    #[must_use]
    pub fn forgiven(&self) -> &[Quirk] {
        &self.forgiven
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}
