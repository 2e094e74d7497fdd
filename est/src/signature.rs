//! Checks the signature of a CSR or of a signed key: one table of algorithms, that of rustls-webpki, for both.

use std::borrow::Cow;

use rustls_pki_types::SubjectPublicKeyInfoDer;
use webpki::{ALL_VERIFICATION_ALGS, RawPublicKeyEntity};

use crate::oid;
use crate::tlv::{NULL, OBJECT_IDENTIFIER, tagged, values};

const EXPLICIT_0: u8 = 0xa0;

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// The public key cannot be read.
    Key,
    /// The hash is broken.
    WeakHash(&'static str),
    /// The algorithm is unknown.
    Algorithm,
    /// The signature is another message's or another key's.
    Mismatch,
}

/// Checks a signature. `spki`: SubjectPublicKeyInfo; `algorithm`: the contents of the AlgorithmIdentifier.
pub(crate) fn verify(
    spki: &[u8],
    algorithm: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureFault> {
    let key = SubjectPublicKeyInfoDer::from(spki);
    let entity = RawPublicKeyEntity::try_from(&key).map_err(|_| SignatureFault::Key)?;
    let wanted = normalised(algorithm)?;
    let mut candidates = ALL_VERIFICATION_ALGS
        .iter()
        .filter(|candidate| candidate.signature_alg_id().as_ref() == &*wanted)
        .peekable();
    if candidates.peek().is_none() {
        return Err(SignatureFault::Algorithm);
    }
    let holds =
        candidates.any(|candidate| entity.verify_signature(*candidate, message, signature).is_ok());
    if holds { Ok(()) } else { Err(SignatureFault::Mismatch) }
}

/// The algorithm as the table spells it; some signers add NULL parameters to ECDSA, or leave those of RSA out.
fn normalised(algorithm: &[u8]) -> Result<Cow<'_, [u8]>, SignatureFault> {
    let parts = values(algorithm).map_err(|_| SignatureFault::Algorithm)?;
    let (identifier, parameters) = match parts.as_slice() {
        [identifier] => (identifier, None),
        [identifier, parameters] => (identifier, Some(parameters)),
        _ => return Err(SignatureFault::Algorithm),
    };
    if identifier.tag != OBJECT_IDENTIFIER {
        return Err(SignatureFault::Algorithm);
    }
    match (identifier.contents, parameters) {
        (oid::ECDSA_SHA1 | oid::RSA_SHA1, _) => Err(SignatureFault::WeakHash("SHA-1")),
        (oid::RSA_MD5, _) => Err(SignatureFault::WeakHash("MD5")),
        // The hash of PSS that is left out is SHA-1 (RFC 4055 §3.1).
        (oid::RSASSA_PSS, parameters)
            if parameters.is_none_or(|each| each.contents.first() != Some(&EXPLICIT_0)) =>
        {
            Err(SignatureFault::WeakHash("SHA-1"))
        }
        (oid::ECDSA_SHA256 | oid::ECDSA_SHA384 | oid::ECDSA_SHA512, Some(null))
            if null.tag == NULL =>
        {
            Ok(Cow::Borrowed(identifier.whole))
        }
        (oid::RSA_SHA256 | oid::RSA_SHA384 | oid::RSA_SHA512, None) => {
            Ok(Cow::Owned([identifier.whole, &tagged(NULL, &[])].concat()))
        }
        _ => Ok(Cow::Borrowed(algorithm)),
    }
}
