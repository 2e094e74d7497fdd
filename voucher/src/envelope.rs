//! The signed message around an artefact's content, whatever its encoding.
//!
//! Invariant: what is signed is kept as it came; nothing is encoded again before its signature is checked.

use rustls_pki_types::UnixTime;
use thiserror::Error;

use crate::certificate::Certificate;
use crate::cms::read::{CmsError, SignedData};
use crate::content::base64;
use crate::cose::{self, CoseError};
use crate::encoding::{Encoding, Quirk, Strictness};
use crate::jws::{self, JwsError};
use crate::signature::{RawAlgorithm, SignError, SignatureError, Signer};
use crate::{cms, signature};

/// The longest artefact that is read, in octets.
pub const ARTEFACT_OCTETS: usize = 64 * 1024;
/// The most certificates that are read from one artefact.
pub(crate) const CERTIFICATES: usize = 16;

/// Why octets are no signed message that this library reads.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is longer than this library reads.
    #[error("the artefact has {octets} octets, more than {ARTEFACT_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// There is nothing. Some pledges begin with an empty POST to learn the registrar's certificate.
    #[error("there is nothing")]
    Empty,
    /// The CMS cannot be read.
    #[error(transparent)]
    Cms(#[from] CmsError),
    /// The JWS cannot be read.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The COSE cannot be read.
    #[error(transparent)]
    Cose(#[from] CoseError),
}

/// A signed message.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) encoding: Encoding,
    /// As received; without the base64 that a lenient reader took off.
    pub(crate) octets: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// Those of the first signature.
    pub(crate) certificates: Vec<Certificate>,
    /// Unix seconds.
    pub(crate) signing_time: Option<i64>,
    pub(crate) forgiven: Vec<Quirk>,
    seals: Seals,
}

/// What vouches for the content.
#[derive(Clone, Debug)]
enum Seals {
    Cms(Box<SignedData>),
    /// One signature or more, each over its own message.
    Raw(Vec<Seal>),
}

/// A signature of JOSE or COSE over octets as they came.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    pub(crate) algorithm: RawAlgorithm,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) order: CertificateOrder,
}

/// Which of the certificates beside a signature is the signer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateOrder {
    /// The first one.
    Chain,
    /// Any.
    Bag,
}

impl Envelope {
    pub(crate) fn parse(
        octets: &[u8],
        encoding: Encoding,
        strictness: Strictness,
    ) -> Result<Self, EnvelopeError> {
        match octets.len() {
            0 => return Err(EnvelopeError::Empty),
            octets if octets > ARTEFACT_OCTETS => return Err(EnvelopeError::TooLong { octets }),
            _ => {}
        }
        match encoding {
            Encoding::Cms | Encoding::CmsIdData => Self::parse_cms(octets, strictness),
            Encoding::Jws => {
                let (content, seals) = jws::parse(octets)?;
                Ok(Self::raw(Encoding::Jws, octets, content, seals, Vec::new()))
            }
            Encoding::Cose => {
                let mut forgiven = Vec::new();
                let (content, seal) = cose::parse(octets, strictness, &mut forgiven)?;
                Ok(Self::raw(Encoding::Cose, octets, content, vec![seal], forgiven))
            }
        }
    }

    fn parse_cms(octets: &[u8], strictness: Strictness) -> Result<Self, EnvelopeError> {
        let unfolded = (strictness == Strictness::Lenient && octets.first() == Some(&b'M'))
            .then(|| std::str::from_utf8(octets).ok())
            .flatten()
            .and_then(|text| base64::decode(text, strictness, &mut Vec::new()));
        let (octets, mut forgiven) = match unfolded {
            Some(der) => (der, vec![Quirk::Base64Body]),
            None => (octets.to_vec(), Vec::new()),
        };
        let mut cms = SignedData::parse(&octets)?;
        forgiven.append(&mut cms.quirks);
        Ok(Self {
            encoding: cms.encoding,
            content: std::mem::take(&mut cms.content),
            certificates: std::mem::take(&mut cms.certificates),
            signing_time: cms.signing_time,
            octets,
            forgiven,
            seals: Seals::Cms(Box::new(cms)),
        })
    }

    fn raw(
        encoding: Encoding,
        octets: &[u8],
        content: Vec<u8>,
        mut seals: Vec<Seal>,
        forgiven: Vec<Quirk>,
    ) -> Self {
        let certificates = seals.first_mut().map(|seal| seal.certificates.clone());
        Self {
            encoding,
            octets: octets.to_vec(),
            content,
            certificates: certificates.unwrap_or_default(),
            signing_time: None,
            forgiven,
            seals: Seals::Raw(seals),
        }
    }

    /// The certificates that may be the signer's: the one named, the first of a chain, all of a bag;
    /// `others` where the message carries or names none.
    pub(crate) fn candidates<'a>(&'a self, others: &'a [Certificate]) -> Vec<&'a Certificate> {
        match &self.seals {
            Seals::Cms(cms) => {
                let all = self.certificates.iter().chain(others);
                all.filter(|certificate| cms.names(certificate)).take(1).collect()
            }
            Seals::Raw(seals) => match seals.first() {
                Some(seal) if seal.order == CertificateOrder::Chain => {
                    match seal.certificates.first() {
                        Some(first) => vec![first],
                        None => others.iter().collect(),
                    }
                }
                Some(seal) => seal.certificates.iter().chain(others).collect(),
                None => Vec::new(),
            },
        }
    }

    /// Verifies the first signature with a key, and each other one with the certificate beside it.
    pub(crate) fn verify(&self, spki: &[u8]) -> Result<Vec<Quirk>, SignatureError> {
        let mut forgiven = self.forgiven.clone();
        match &self.seals {
            Seals::Cms(cms) => forgiven.extend(cms.verify(&self.content, spki)?),
            Seals::Raw(seals) => {
                let (first, others) = seals.split_first().ok_or(SignatureError::Mismatch)?;
                first.verify(spki)?;
                for other in others {
                    let signer = other.certificates.first().ok_or(SignatureError::Key)?;
                    other.verify(signer.spki_der())?;
                }
            }
        }
        Ok(forgiven)
    }

    /// The certificate beside each signature after the first: those who signed what another one had signed.
    pub(crate) fn countersigners(&self) -> Vec<Certificate> {
        match &self.seals {
            Seals::Cms(_) => Vec::new(),
            Seals::Raw(seals) => {
                let others = seals.iter().skip(1);
                others.filter_map(|seal| seal.certificates.first().cloned()).collect()
            }
        }
    }
}

impl Seal {
    fn verify(&self, spki: &[u8]) -> Result<(), SignatureError> {
        signature::verify_raw(spki, self.algorithm, &self.message, &self.signature)
    }
}

/// Signs content. `chain`: the signer's certificate first; all of it is carried.
pub(crate) fn sign(
    content: &[u8],
    encoding: Encoding,
    signer: &dyn Signer,
    chain: &[Certificate],
    at: UnixTime,
) -> Result<Vec<u8>, SignError> {
    let own = chain.first().ok_or(SignError::NoCertificate)?;
    if own.spki_der() != signer.spki_der() {
        return Err(SignError::ForeignCertificate);
    }
    match encoding {
        Encoding::Cms | Encoding::CmsIdData => {
            cms::write::sign(content, encoding, signer, own, chain, at)
        }
        Encoding::Jws => jws::sign(content, signer, chain),
        Encoding::Cose => cose::sign(content, signer, chain),
    }
}
