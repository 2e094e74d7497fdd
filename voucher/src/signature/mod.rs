//! Signatures: which algorithms there are, how one is checked, and how one is made by a key that may live elsewhere.
//!
//! Read: ECDSA on P-256, P-384 and P-521, RSA from 2048 bits (PKCS#1 v1.5, and PSS with the salt as long as the hash),
//! Ed25519; with SHA-256, SHA-384 or SHA-512. Written: the same, each curve with its own hash, RSA with SHA-256.
//!
//! The one table of algorithms is that of rustls-webpki, which has ML-DSA too, for CMS and certificates.
//! JOSE and COSE write ECDSA signatures as two numbers of fixed length; they are turned into DER for it.

mod key;

use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, alg_id};
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, RawPublicKeyEntity, aws_lc_rs as algorithms};

use crate::tlv::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, Reader, SEQUENCE, Tlv, only, tagged};

pub use key::PrivateKey;

const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
/// NULL, the parameters of RSA with PKCS#1 v1.5.
const NULL: &[u8] = &[0x05, 0x00];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

/// The fewest bits of an RSA key.
const RSA_BITS: usize = 2048;

/// A signature that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The key is none that this library knows.
    #[error("the public key cannot be read")]
    Key,
    /// The algorithm is none that this library knows, or too weak.
    #[error("the signature algorithm is unknown or too weak")]
    Algorithm,
    /// The key is RSA of fewer bits than this library takes.
    #[error("the public key is RSA of {bits} bits, fewer than {RSA_BITS}")]
    WeakKey {
        /// Its bits, up to a whole octet.
        bits: usize,
    },
    /// The algorithm belongs to another kind of key.
    #[error("the signature algorithm belongs to another kind of key than the signer's")]
    KeyKind,
    /// The signature does not match the message and the key.
    #[error("the signature does not match")]
    Mismatch,
}

/// A hash function of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn from_oid(oid: &[u8]) -> Option<Self> {
        match oid {
            SHA256 => Some(Self::Sha256),
            SHA384 => Some(Self::Sha384),
            SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }

    /// The signature algorithm of ECDSA with this hash.
    fn ecdsa(self) -> &'static [u8] {
        match self {
            Self::Sha256 => ECDSA_SHA256,
            Self::Sha384 => ECDSA_SHA384,
            Self::Sha512 => ECDSA_SHA512,
        }
    }

    /// The signature algorithm of RSA with PKCS#1 v1.5 and this hash.
    fn rsa(self) -> &'static [u8] {
        match self {
            Self::Sha256 => RSA_SHA256,
            Self::Sha384 => RSA_SHA384,
            Self::Sha512 => RSA_SHA512,
        }
    }

    pub(crate) fn digest(self, message: &[u8]) -> Vec<u8> {
        use aws_lc_rs::digest;
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }
}

/// How the signature algorithm was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Exact,
    /// The key's algorithm stands where the signature's belongs, or parameters were added or left out.
    Forgiven,
}

/// Verifies a signature.
///
/// `algorithm`: the contents of the AlgorithmIdentifier; `hash`: the digest algorithm beside it, where there is one.
pub(crate) fn verify(
    spki: &[u8],
    algorithm: &[u8],
    hash: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Result<Spelling, SignatureError> {
    let (wanted, spelling) = normalise(algorithm, hash).ok_or(SignatureError::Algorithm)?;
    let key = SubjectPublicKeyInfoDer::from(spki);
    let entity = RawPublicKeyEntity::try_from(&key).map_err(|_| SignatureError::Key)?;
    let mut candidates = ALL_VERIFICATION_ALGS
        .iter()
        .filter(|candidate| candidate.signature_alg_id().as_ref() == wanted)
        .peekable();
    if candidates.peek().is_none() {
        return Err(SignatureError::Algorithm);
    }
    let mut error = SignatureError::KeyKind;
    for candidate in candidates {
        match entity.verify_signature(*candidate, message, signature) {
            Ok(()) => return Ok(spelling),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => error = mismatch(spki),
        }
    }
    Err(error)
}

/// The algorithm identifier as the table knows it.
fn normalise(algorithm: &[u8], hash: Option<Hash>) -> Option<(Vec<u8>, Spelling)> {
    let oid = Reader::new(algorithm).expect(OBJECT_IDENTIFIER).ok()?.contents;
    let wanted = match (oid, hash) {
        (ECDSA_SHA256 | ECDSA_SHA384 | ECDSA_SHA512, _) => identifier(oid, &[]),
        (EC_PUBLIC_KEY, Some(hash)) => identifier(hash.ecdsa(), &[]),
        // RFC 3370 §3.2 allows this spelling.
        (RSA_ENCRYPTION, Some(hash)) => {
            let spelling = spelling(algorithm, &identifier(oid, NULL));
            return Some((identifier(hash.rsa(), NULL), spelling));
        }
        (RSA_SHA256 | RSA_SHA384 | RSA_SHA512, _) => identifier(oid, NULL),
        (RSA_PSS, _) => return Some((pss(algorithm)?, Spelling::Exact)),
        _ => algorithm.to_vec(),
    };
    let spelling = spelling(algorithm, &wanted);
    Some((wanted, spelling))
}

/// RSA with PSS as the table knows it: one hash for all, and a salt as long as that.
///
/// The hashes may carry NULL or nothing, and the trailer may be written out (RFC 4055 §2.1, §3.1).
fn pss(algorithm: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(algorithm);
    reader.expect(OBJECT_IDENTIFIER).ok()?;
    let mut parameters = reader.expect(SEQUENCE).ok()?.inside();
    let mut parameter = |number: u8, tag| {
        let field = parameters.expect(0xa0 | number).ok()?;
        only(field.contents, tag).ok()
    };
    let hash = |identifier: Tlv<'_>| {
        Hash::from_oid(identifier.inside().expect(OBJECT_IDENTIFIER).ok()?.contents)
    };
    let own = hash(parameter(0, SEQUENCE)?)?;
    let mut mask = parameter(1, SEQUENCE)?.inside();
    let is_mgf1 = mask.expect(OBJECT_IDENTIFIER).ok()?.contents == MGF1;
    let of_mask = hash(mask.expect(SEQUENCE).ok()?)?;
    let salt = parameter(2, INTEGER)?.contents;
    let trailer = parameters.optional(0xa3).ok()?;
    parameters.end().ok()?;
    let (octets, identifier) = match own {
        Hash::Sha256 => (32, alg_id::RSA_PSS_SHA256),
        Hash::Sha384 => (48, alg_id::RSA_PSS_SHA384),
        Hash::Sha512 => (64, alg_id::RSA_PSS_SHA512),
    };
    let is_known = is_mgf1
        && of_mask == own
        && salt == [octets]
        && trailer.is_none_or(|trailer| trailer.contents == [INTEGER, 1, 1]);
    is_known.then(|| identifier.as_ref().to_vec())
}

fn spelling(algorithm: &[u8], wanted: &[u8]) -> Spelling {
    if algorithm == wanted { Spelling::Exact } else { Spelling::Forgiven }
}

fn identifier(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    let length = u8::try_from(oid.len()).unwrap_or(u8::MAX);
    [&[OBJECT_IDENTIFIER, length], oid, parameters].concat()
}

/// An algorithm of JOSE and COSE (RFC 7518 §3, RFC 9053 §2), which names curve and hash together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawAlgorithm {
    Es256,
    Es384,
    Es512,
    EdDsa,
    Rs256,
    Ps256,
}

impl RawAlgorithm {
    const ALL: [Self; 6] =
        [Self::Es256, Self::Es384, Self::Es512, Self::EdDsa, Self::Rs256, Self::Ps256];

    pub(crate) fn from_jose(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.jose() == name)
    }

    pub(crate) fn jose(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    pub(crate) fn from_cose(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.cose() == Some(number))
    }

    /// RSA with PKCS#1 v1.5 is for COSE in certificates only (RFC 8812 §2).
    pub(crate) fn cose(self) -> Option<i64> {
        match self {
            Self::Es256 => Some(-7),
            Self::Es384 => Some(-35),
            Self::Es512 => Some(-36),
            Self::EdDsa => Some(-8),
            Self::Ps256 => Some(-37),
            Self::Rs256 => None,
        }
    }

    fn table(self) -> &'static dyn SignatureVerificationAlgorithm {
        match self {
            Self::Es256 => algorithms::ECDSA_P256_SHA256,
            Self::Es384 => algorithms::ECDSA_P384_SHA384,
            Self::Es512 => algorithms::ECDSA_P521_SHA512,
            Self::EdDsa => algorithms::ED25519,
            Self::Rs256 => algorithms::RSA_PKCS1_2048_8192_SHA256,
            Self::Ps256 => algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        }
    }

    /// The length of each of the two numbers of an ECDSA signature, in octets.
    fn number_octets(self) -> Option<usize> {
        match self {
            Self::Es256 => Some(32),
            Self::Es384 => Some(48),
            Self::Es512 => Some(66),
            Self::EdDsa | Self::Rs256 | Self::Ps256 => None,
        }
    }

    /// Signs a message and gives the signature as JOSE and COSE write it.
    pub(crate) fn sign(self, signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = signer.sign(message)?;
        match self.number_octets() {
            Some(octets) => to_fixed(&signature, octets).ok_or(SignError::Signing),
            None => Ok(signature),
        }
    }
}

/// Verifies a signature of JOSE or COSE.
pub(crate) fn verify_raw(
    spki: &[u8],
    algorithm: RawAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = SubjectPublicKeyInfoDer::from(spki);
    let entity = RawPublicKeyEntity::try_from(&key).map_err(|_| SignatureError::Key)?;
    let der: Vec<u8>;
    let signature = match algorithm.number_octets() {
        Some(octets) => {
            der = from_fixed(signature, octets).ok_or(SignatureError::Mismatch)?;
            &der
        }
        None => signature,
    };
    entity.verify_signature(algorithm.table(), message, signature).map_err(|error| match error {
        webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            SignatureError::KeyKind
        }
        _ => mismatch(spki),
    })
}

/// Why a signature of an algorithm that fits the key does not hold: the table takes no weak key.
fn mismatch(spki: &[u8]) -> SignatureError {
    match rsa_bits(spki) {
        Some(bits) if bits < RSA_BITS => SignatureError::WeakKey { bits },
        _ => SignatureError::Mismatch,
    }
}

/// The length of the modulus of an RSA key (RFC 8017 §A.1.1), in whole octets.
fn rsa_bits(spki: &[u8]) -> Option<usize> {
    let mut fields = only(spki, SEQUENCE).ok()?.inside();
    let algorithm = fields.expect(SEQUENCE).ok()?.inside().expect(OBJECT_IDENTIFIER).ok()?;
    let key = fields.expect(BIT_STRING).ok().filter(|_| algorithm.contents == RSA_ENCRYPTION)?;
    let modulus =
        only(key.contents.get(1..)?, SEQUENCE).ok()?.inside().expect(INTEGER).ok()?.contents;
    Some(modulus.iter().skip_while(|digit| **digit == 0).count().saturating_mul(8))
}

/// Verifies what a [`Signer`] with this public key signed, with whichever algorithm the key has.
///
/// `spki`: its SubjectPublicKeyInfo, DER.
///
/// # Errors
/// [`SignatureError::Key`] or [`SignatureError::KeyKind`] for a key that none of the algorithms is for;
/// [`SignatureError::Mismatch`].
pub fn verify_signed(spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let key = SubjectPublicKeyInfoDer::from(spki);
    let entity = RawPublicKeyEntity::try_from(&key).map_err(|_| SignatureError::Key)?;
    let mut error = SignatureError::KeyKind;
    for algorithm in SignatureAlgorithm::ALL {
        match entity.verify_signature(algorithm.raw().table(), message, signature) {
            Ok(()) => return Ok(()),
            Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
            Err(_) => error = mismatch(spki),
        }
    }
    Err(error)
}

/// The DER of an ECDSA signature that came as two numbers of fixed length (RFC 7518 §3.4).
fn from_fixed(signature: &[u8], octets: usize) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(octets).filter(|(_, s)| s.len() == octets)?;
    let integer = |number: &[u8]| {
        let digits = number.iter().position(|digit| *digit != 0);
        let digits = digits.and_then(|at| number.get(at..)).unwrap_or(&[0]);
        let sign: &[u8] =
            if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        tagged(INTEGER, &[sign, digits].concat())
    };
    Some(tagged(SEQUENCE, &[integer(r), integer(s)].concat()))
}

/// The two numbers of an ECDSA signature, DER, each in fixed length.
fn to_fixed(signature: &[u8], octets: usize) -> Option<Vec<u8>> {
    let mut numbers = only(signature, SEQUENCE).ok()?.inside();
    let mut number = || {
        let digits = numbers.expect(INTEGER).ok()?.contents;
        let digits = digits.iter().position(|digit| *digit != 0).and_then(|at| digits.get(at..))?;
        Some([&vec![0; octets.checked_sub(digits.len())?], digits].concat())
    };
    Some([number()?, number()?].concat())
}

/// The signature algorithms that this library makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256, for P-256 keys.
    EcdsaSha256,
    /// ECDSA with SHA-384, for P-384 keys.
    EcdsaSha384,
    /// ECDSA with SHA-512, for P-521 keys.
    EcdsaSha512,
    /// RSA with PKCS#1 v1.5 and SHA-256.
    RsaPkcs1Sha256,
    /// RSA with PSS, SHA-256, MGF1 with SHA-256, and a salt of 32 octets.
    RsaPssSha256,
    /// Ed25519.
    Ed25519,
}

impl SignatureAlgorithm {
    const ALL: [Self; 6] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPssSha256,
        Self::Ed25519,
    ];

    /// The hash beside it in CMS; for Ed25519 as RFC 8419 §3.1 says.
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::EcdsaSha256 | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => Hash::Sha256,
            Self::EcdsaSha384 => Hash::Sha384,
            Self::EcdsaSha512 | Self::Ed25519 => Hash::Sha512,
        }
    }

    /// The contents of its AlgorithmIdentifier.
    pub(crate) fn identifier(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => alg_id::ECDSA_SHA256.as_ref(),
            Self::EcdsaSha384 => alg_id::ECDSA_SHA384.as_ref(),
            Self::EcdsaSha512 => alg_id::ECDSA_SHA512.as_ref(),
            Self::RsaPkcs1Sha256 => alg_id::RSA_PKCS1_SHA256.as_ref(),
            Self::RsaPssSha256 => alg_id::RSA_PSS_SHA256.as_ref(),
            Self::Ed25519 => alg_id::ED25519.as_ref(),
        }
    }

    pub(crate) fn raw(self) -> RawAlgorithm {
        match self {
            Self::EcdsaSha256 => RawAlgorithm::Es256,
            Self::EcdsaSha384 => RawAlgorithm::Es384,
            Self::EcdsaSha512 => RawAlgorithm::Es512,
            Self::RsaPkcs1Sha256 => RawAlgorithm::Rs256,
            Self::RsaPssSha256 => RawAlgorithm::Ps256,
            Self::Ed25519 => RawAlgorithm::EdDsa,
        }
    }
}

/// A signature that could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key is none that this library can sign with.
    #[error("the private key is not PKCS#8 of P-256, P-384, P-521, RSA from 2048 bits, or Ed25519")]
    Key,
    /// The key did not sign.
    #[error("the private key did not sign")]
    Signing,
    /// COSE has no algorithm for it.
    #[error("COSE has no algorithm for RSA with PKCS#1 v1.5; use PSS")]
    NoCoseAlgorithm,
    /// There is no certificate to name the signer with.
    #[error("there is no signer's certificate")]
    NoCertificate,
    /// The signer's certificate is of another key.
    #[error("the signer's certificate is of another key than the one that signs")]
    ForeignCertificate,
    /// The content does not become JSON.
    #[error("the content cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The message does not become CBOR.
    #[error("the message cannot be written as CBOR")]
    Cbor,
    /// A time is after the year 9999.
    #[error("the time {seconds} (Unix seconds) is after the year 9999")]
    Time {
        /// The time.
        seconds: u64,
    },
}

/// A private key that may live elsewhere: in a file, a token or a TPM.
pub trait Signer: Send + Sync {
    /// Its SubjectPublicKeyInfo, DER, exactly as in its certificate.
    fn spki_der(&self) -> &[u8];
    /// What it signs with.
    fn algorithm(&self) -> SignatureAlgorithm;
    /// Signs a message, which it hashes itself; an ECDSA signature is DER (RFC 3279 §2.2.3).
    ///
    /// # Errors
    /// [`SignError::Signing`] if the key does not answer.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

#[cfg(test)]
mod tests {
    use super::{from_fixed, to_fixed};

    #[test]
    fn turns_signatures_from_fixed_length_to_der_and_back() {
        for (r, s) in [(1_u8, 0x80_u8), (0x7f, 0xff), (0xff, 1)] {
            let mut fixed = vec![0; 64];
            (fixed[0], fixed[31], fixed[63]) = (r, 7, s);
            let der = from_fixed(&fixed, 32).unwrap();
            assert_eq!(to_fixed(&der, 32).unwrap(), fixed);
        }
    }

    #[test]
    fn refuses_numbers_of_another_length() {
        for octets in [0, 63, 65, 128] {
            assert_eq!(from_fixed(&vec![1; octets], 32), None);
        }
        assert_eq!(to_fixed(&from_fixed(&[0xff; 64], 32).unwrap(), 31), None);
        // A number of nothing but zeros is no signature.
        assert_eq!(to_fixed(&from_fixed(&[0; 64], 32).unwrap(), 32), None);
    }
}
