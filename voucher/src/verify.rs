//! From bytes to proof: what was read is [`Unverified`], what was verified is [`Verified`], and nothing else makes one.
//!
//! Three proofs: by a key that was proven otherwise (the registrar, RFC 8995 §5.5), by anchors (the pledge, §5.6.1),
//! and by the presented certificates alone (the MASA, §5.5.2).

use std::ops::Deref;

use thiserror::Error;

use crate::artefact::Artefact;
use crate::certificate::Certificate;
use crate::cms::read::{CmsError, Quirk, SignedData};
use crate::json::JsonError;
use crate::signature::SignatureError;
use crate::trust::{AnchorError, Anchors, ChainError, ValidityTime, issuer_path, verify_chain};

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
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The top of the presented certificates cannot be an anchor.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
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
        let chain = vec![signer.clone()];
        Ok(self.verified(signer.clone(), chain, forgiven))
    }

    /// Verifies it with the certificate that it carries, which must chain to an anchor.
    ///
    /// # Errors
    /// [`VerifyError`].
    ///
    /// RFC 8995 §5.6.1.
    pub fn verify_by_anchors(
        self,
        anchors: &Anchors,
        time: ValidityTime,
    ) -> Result<Verified<T>, VerifyError> {
        let signer = self.signer()?;
        let forgiven = self.cms.verify(signer.spki_der())?;
        verify_chain(&signer, &self.cms.certificates, anchors, time)?;
        let chain = issuer_path(&signer, &self.cms.certificates);
        Ok(self.verified(signer, chain, forgiven))
    }

    /// Verifies it with the certificates that it carries, taking the top of the signer's chain as an anchor for this once.
    ///
    /// So a MASA meets a domain for the first time: the chain is consistent, nothing more.
    /// A signer's certificate alone is its own top. See [`Verified::signer_chain`] for what was found.
    ///
    /// # Errors
    /// [`VerifyError`].
    ///
    /// RFC 8995 §5.5.2.
    pub fn verify_presented(self, time: ValidityTime) -> Result<Verified<T>, VerifyError> {
        let signer = self.signer()?;
        let forgiven = self.cms.verify(signer.spki_der())?;
        let chain = issuer_path(&signer, &self.cms.certificates);
        let top: Vec<_> = chain.last().map(|top| top.der().clone()).into_iter().collect();
        verify_chain(&signer, &self.cms.certificates, &Anchors::new(&top)?, time)?;
        Ok(self.verified(signer, chain, forgiven))
    }

    /// The only maker of a [`Verified`].
    fn verified(
        self,
        signer: Certificate,
        chain: Vec<Certificate>,
        forgiven: Vec<Quirk>,
    ) -> Verified<T> {
        Verified {
            signer,
            bytes: self.bytes,
            content: self.content,
            certificates: self.cms.certificates,
            signing_time: self.cms.signing_time,
            chain,
            forgiven,
        }
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
    certificates: Vec<Certificate>,
    signing_time: Option<i64>,
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

    /// The certificate whose key signed it: the one that was given to [`verify_by_key`](Unverified::verify_by_key),
    /// else the one that it carries.
    #[must_use]
    pub fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// The signer's certificate, and its issuers among the certificates carried, each the issuer of the one before.
    ///
    /// After [`verify_presented`](Unverified::verify_presented) the last one is the top that a MASA may pin.
    #[must_use]
    pub fn signer_chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// All certificates that it carries, in the order sent. Some may have nothing to do with the signer.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// When it was signed, as the signer says: Unix seconds.
    #[must_use]
    pub fn signing_time(&self) -> Option<i64> {
        self.signing_time
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
