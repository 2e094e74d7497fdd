//! From bytes to proof: what was read is [`Unverified`], what was verified is [`Verified`], and nothing else makes one.
//!
//! Three proofs: by a key that was proven otherwise (the registrar, RFC 8995 §5.5), by anchors (the pledge, §5.6.1),
//! and by the presented certificates alone (the MASA, §5.5.2).

use std::ops::Deref;

use thiserror::Error;

use crate::artefact::{Artefact, Voucher};
use crate::certificate::Certificate;
use crate::content::ContentError;
use crate::cose;
use crate::encoding::{Encoding, Quirk, Strictness};
use crate::envelope::{Envelope, EnvelopeError};
use crate::signature::SignatureError;
use crate::trust::{AnchorError, Anchors, ChainError, ValidityTime, issuer_path, verify_chain};

/// Why octets are no artefact.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The signed message around it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What it says.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl ParseError {
    /// What this strictness forgives although there is no artefact to read.
    ///
    /// Some pledges begin with an empty POST, to learn the registrar's certificate before they connect again.
    /// To the lenient that is no attempt that failed: it gets its refusal, and nothing is held against the pledge.
    #[must_use]
    pub fn forgiven_by(&self, strictness: Strictness) -> Option<Quirk> {
        match (self, strictness) {
            (Self::Envelope(EnvelopeError::Empty), Strictness::Lenient) => Some(Quirk::EmptyPost),
            _ => None,
        }
    }
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
    content: T,
    envelope: Envelope,
}

impl<T: Artefact> Unverified<T> {
    /// Reads an artefact in CMS, as the standards' own examples are written.
    ///
    /// `der`: CMS SignedData, at most 64 KiB, with signed attributes and one signer.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(der: &[u8]) -> Result<Self, ParseError> {
        Self::parse_as(der, Encoding::Cms, Strictness::Standard)
    }

    /// Reads an artefact, at most 64 KiB.
    ///
    /// `encoding`: as the media type says, see [`Encoding::of_media_type`]. `strictness`: by manufacturer.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse_as(
        octets: &[u8],
        encoding: Encoding,
        strictness: Strictness,
    ) -> Result<Self, ParseError> {
        let mut envelope = Envelope::parse(octets, encoding, strictness)?;
        let content =
            T::read(&envelope.content, envelope.encoding, strictness, &mut envelope.forgiven)?;
        Ok(Self { content, envelope })
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
        &self.envelope.certificates
    }

    /// What it says about its signers by itself, for people to see; it proves nothing about who they are.
    #[must_use]
    pub fn presented(&self) -> Presented {
        match self.signer(&[]) {
            Ok((first, forgiven)) => Presented {
                signers: [vec![first], self.envelope.countersigners()].concat(),
                forgiven,
            },
            Err(_) => Presented { signers: Vec::new(), forgiven: self.forgiven().to_vec() },
        }
    }

    /// How it is written and signed.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.envelope.encoding
    }

    /// The octets of what was signed, as they came: JSON or CBOR.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.envelope.content
    }

    /// What was wrong with its encoding and forgiven so far; the signature may need more.
    #[must_use]
    pub fn forgiven(&self) -> &[Quirk] {
        &self.envelope.forgiven
    }

    /// Verifies it with the key of a certificate that was proven otherwise, such as a TLS client's.
    ///
    /// The certificate inside may be another one of the same key, re-issued perhaps: the key decides.
    /// A COSE request need not carry any (draft-ietf-anima-constrained-voucher §6).
    ///
    /// # Errors
    /// [`VerifyError::Signature`].
    ///
    /// RFC 8995 §5.5.
    pub fn verify_by_key(self, signer: &Certificate) -> Result<Verified<T>, VerifyError> {
        let forgiven = self.envelope.verify(signer.spki_der())?;
        let chain = vec![signer.clone()];
        Ok(self.verified(signer.clone(), chain, forgiven))
    }

    /// Verifies it with the certificate that it carries, which must chain to an anchor.
    ///
    /// Where it carries none, as COSE vouchers do for a pledge, an anchor itself may be the signer.
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
        self.verify_by_anchors_among(anchors, &[], time)
    }

    /// As [`verify_by_anchors`](Self::verify_by_anchors), with `others` beside the certificates that it carries.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_by_anchors_among(
        self,
        anchors: &Anchors,
        others: &[Certificate],
        time: ValidityTime,
    ) -> Result<Verified<T>, VerifyError> {
        let elsewhere = [others, anchors.certificates()].concat();
        let (signer, forgiven) = self.signer(&elsewhere)?;
        let pool = [&self.envelope.certificates, others].concat();
        verify_chain(&signer, &pool, anchors, time)?;
        let chain = issuer_path(&signer, &pool);
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
        let (signer, forgiven) = self.signer(&[])?;
        let chain = issuer_path(&signer, &self.envelope.certificates);
        let top: Vec<_> = chain.last().map(|top| top.der().clone()).into_iter().collect();
        verify_chain(&signer, &self.envelope.certificates, &Anchors::new(&top)?, time)?;
        Ok(self.verified(signer, chain, forgiven))
    }

    /// The only maker of a [`Verified`].
    fn verified(
        self,
        signer: Certificate,
        chain: Vec<Certificate>,
        forgiven: Vec<Quirk>,
    ) -> Verified<T> {
        let Self { content, envelope } = self;
        Verified { content, envelope, signer, chain, forgiven }
    }

    /// The certificate whose key signed it, and what was forgiven in the signature.
    fn signer(&self, others: &[Certificate]) -> Result<(Certificate, Vec<Quirk>), VerifyError> {
        let mut error = VerifyError::NoSigner { carried: self.envelope.certificates.len() };
        for candidate in self.envelope.candidates(others) {
            match self.envelope.verify(candidate.spki_der()) {
                Ok(forgiven) => return Ok((candidate.clone(), forgiven)),
                Err(mismatch) => error = VerifyError::Signature(mismatch),
            }
        }
        Err(error)
    }
}

/// What an artefact says about its signers by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Those of the certificates that it carries whose keys made its signatures.
    ///
    /// None if it does not carry the certificate of its first signer.
    pub signers: Vec<Certificate>,
    /// What was wrong with its encoding and forgiven; with that of its signature, where there are signers.
    pub forgiven: Vec<Quirk>,
}

/// An artefact whose signature holds, by a signer that was asked for.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    content: T,
    envelope: Envelope,
    signer: Certificate,
    chain: Vec<Certificate>,
    forgiven: Vec<Quirk>,
}

impl<T> Verified<T> {
    /// The artefact as received: what is forwarded, stored and hashed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.envelope.octets
    }

    /// How it is written and signed.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.envelope.encoding
    }

    /// The octets of what was signed, as they came: JSON or CBOR.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.envelope.content
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
        &self.envelope.certificates
    }

    /// Who else signed it, in JWS: the signatures hold by these certificates, whose chains nobody looked at.
    #[must_use]
    pub fn countersigners(&self) -> Vec<Certificate> {
        self.envelope.countersigners()
    }

    /// When it was signed, as the signer says: Unix seconds.
    #[must_use]
    pub fn signing_time(&self) -> Option<i64> {
        self.envelope.signing_time
    }

    /// What was wrong with its encoding and forgiven.
    #[must_use]
    pub fn forgiven(&self) -> &[Quirk] {
        &self.forgiven
    }
}

impl Unverified<Voucher> {
    /// The voucher as a pledge must get it: as received, but for COSE without the certificates beside the signature.
    ///
    /// draft-ietf-anima-constrained-voucher §6.8; RFC 8995 §5.6 for the others.
    #[must_use]
    pub fn for_pledge(&self) -> Vec<u8> {
        for_pledge(&self.envelope)
    }
}

impl Verified<Voucher> {
    /// As [`Unverified::for_pledge`].
    #[must_use]
    pub fn for_pledge(&self) -> Vec<u8> {
        for_pledge(&self.envelope)
    }
}

fn for_pledge(envelope: &Envelope) -> Vec<u8> {
    match envelope.encoding {
        Encoding::Cose => cose::without_certificates(&envelope.octets),
        _ => None,
    }
    .unwrap_or_else(|| envelope.octets.clone())
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}
