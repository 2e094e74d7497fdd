//! Encrypts a private key for its owner: EnvelopedData around SignedData around a package of one key
//! (RFC 7030 §4.4.2, RFC 5652 §6, RFC 5753 §3, RFC 5958 §4).

use std::fmt;

use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256};
use aws_lc_rs::rsa::{OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::algorithms::{Curve, KeyTransport, KeyWrap, scheme_hash, wrapping_key};
use super::protection::{Recipient, RecipientName, Transport};
use super::signed;
use crate::certificate::public_key_bits;
use crate::csr_builder::Signer;
use crate::oid;
use crate::tlv::{BIT_STRING, OCTET_STRING, SET, object_identifier, sequence, tagged};

const VERSION_0: &[u8] = &[0x02, 1, 0];
const VERSION_2: &[u8] = &[0x02, 1, 2];
const VERSION_3: &[u8] = &[0x02, 1, 3];
const EXPLICIT_0: u8 = 0xa0;
const IMPLICIT_0: u8 = 0xa0;
const IMPLICIT_0_OCTETS: u8 = 0x80;
const IMPLICIT_1: u8 = 0xa1;
/// How many octets AES key wrap adds (RFC 3394 §2.2.1).
const WRAP_OCTETS: usize = 8;

/// Why a private key cannot be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The first certificate of the signer is not its key's, or cannot be read.
    #[error("the signer's certificate is not that of its key")]
    SignerCertificate,
    /// The signer did not sign.
    #[error("the signer did not sign")]
    Signing,
    /// The recipient's key cannot be encrypted for.
    #[error("the recipient's public key cannot be used")]
    RecipientKey,
    /// The cipher failed.
    #[error("the encryption failed")]
    Encryption,
}

/// The random octets of one envelope: the key of its content and the initialization vector.
///
/// (What the cryptographic provider needs beside, for a fresh elliptic key and the padding of RSA, it takes itself.)
pub struct EnvelopeRandom([u8; 48]);

impl EnvelopeRandom {
    /// Takes octets that nobody can guess and that are used for nothing else.
    #[must_use]
    pub fn from_random(octets: [u8; 48]) -> Self {
        Self(octets)
    }
}

impl Drop for EnvelopeRandom {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for EnvelopeRandom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EnvelopeRandom").finish_non_exhaustive()
    }
}

/// Signs a private key and encrypts it for a recipient: the part of type
/// [`SERVER_GENERATED_KEY`](crate::media_type::SERVER_GENERATED_KEY).
///
/// `pkcs8`: PrivateKeyInfo or OneAsymmetricKey, DER. `signer`: who made the key; `chain`: its certificates, its own first.
/// Gives a ContentInfo, DER.
///
/// # Errors
/// [`EnvelopeError`].
///
/// RFC 7030 §4.4.2, RFC 5958 §4.
pub fn encrypt_key(
    pkcs8: &[u8],
    recipient: &Recipient,
    signer: &dyn Signer,
    chain: &[CertificateDer<'_>],
    random: EnvelopeRandom,
) -> Result<Vec<u8>, EnvelopeError> {
    let package = Zeroizing::new(sequence(&[pkcs8]));
    let signed = signed::sign(oid::ASYMMETRIC_KEY_PACKAGE, &package, signer, chain)?;
    let failed = |_| EnvelopeError::Encryption;
    let (key, rest) = random.0.split_at_checked(32).ok_or(EnvelopeError::Encryption)?;
    let key = key.get(..recipient.cipher.key_octets()).ok_or(EnvelopeError::Encryption)?;
    let vector = <[u8; 16]>::try_from(rest).map_err(|_| EnvelopeError::Encryption)?;
    let recipient_info = match recipient.transport {
        Transport::Rsa(transport) => key_transport(recipient, transport, key)?,
        Transport::Agreement { curve, wrap } => key_agreement(recipient, curve, wrap, key)?,
    };
    let cipher = UnboundCipherKey::new(recipient.cipher.algorithm(), key).map_err(failed)?;
    let context = EncryptionContext::Iv128(FixedLength::from(&vector));
    // The plain text is overwritten where it stands; with room for the padding it is not moved.
    let mut content = Vec::with_capacity(signed.len().saturating_add(vector.len()));
    content.extend_from_slice(&signed);
    PaddedBlockEncryptingKey::cbc_pkcs7(cipher)
        .and_then(|key| key.less_safe_encrypt(&mut content, context))
        .map_err(failed)?;
    let encrypted = sequence(&[
        &object_identifier(oid::SIGNED_DATA),
        &sequence(&[&object_identifier(recipient.cipher.oid()), &tagged(OCTET_STRING, &vector)]),
        &tagged(IMPLICIT_0_OCTETS, &content),
    ]);
    let version = match (recipient.transport, &recipient.name) {
        (Transport::Rsa(_), RecipientName::IssuerAndSerial(_)) => VERSION_0,
        _ => VERSION_2,
    };
    let enveloped = sequence(&[version, &tagged(SET, &recipient_info), &encrypted]);
    Ok(sequence(&[&object_identifier(oid::ENVELOPED_DATA), &tagged(EXPLICIT_0, &enveloped)]))
}

/// KeyTransRecipientInfo; its version says how the key is named (RFC 5652 §6.2.1).
fn key_transport(
    recipient: &Recipient,
    transport: KeyTransport,
    key: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let public =
        PublicEncryptingKey::from_der(&recipient.spki).map_err(|_| EnvelopeError::RecipientKey)?;
    let mut encrypted = vec![0; public.key_size_bytes()];
    let written = match transport {
        KeyTransport::Pkcs1 => Pkcs1PublicEncryptingKey::new(public)
            .and_then(|public| public.encrypt(key, &mut encrypted).map(|octets| octets.len())),
        KeyTransport::OaepSha1 | KeyTransport::OaepSha256 => {
            let algorithm = match transport {
                KeyTransport::OaepSha1 => &OAEP_SHA1_MGF1SHA1,
                _ => &OAEP_SHA256_MGF1SHA256,
            };
            OaepPublicEncryptingKey::new(public).and_then(|public| {
                public.encrypt(algorithm, key, &mut encrypted, None).map(|octets| octets.len())
            })
        }
    };
    encrypted.truncate(written.map_err(|_| EnvelopeError::Encryption)?);
    let (version, name) = match &recipient.name {
        RecipientName::KeyIdentifier(identifier) => {
            (VERSION_2, tagged(IMPLICIT_0_OCTETS, identifier))
        }
        RecipientName::IssuerAndSerial(name) => (VERSION_0, name.clone()),
    };
    let algorithm = transport.identifier();
    Ok(sequence(&[version, &name, &algorithm, &tagged(OCTET_STRING, &encrypted)]))
}

/// KeyAgreeRecipientInfo: a fresh key of ours, one recipient (RFC 5753 §3.1.1).
fn key_agreement(
    recipient: &Recipient,
    curve: Curve,
    wrap: KeyWrap,
    key: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let point = public_key_bits(&recipient.spki).ok_or(EnvelopeError::RecipientKey)?;
    let hash = scheme_hash(curve.scheme()).ok_or(EnvelopeError::Encryption)?;
    let fresh = agreement::PrivateKey::generate(curve.algorithm())
        .map_err(|_| EnvelopeError::Encryption)?;
    let own_point = fresh.compute_public_key().map_err(|_| EnvelopeError::Encryption)?;
    let peer = UnparsedPublicKey::new(curve.algorithm(), point);
    let wrapping = agreement::agree(&fresh, peer, EnvelopeError::RecipientKey, |secret| {
        Ok(wrapping_key(hash, secret, wrap, &wrap.identifier(), None))
    })?;
    let mut wrapped = vec![0; key.len().saturating_add(WRAP_OCTETS)];
    AesKek::new(wrap.algorithm(), &wrapping)
        .and_then(|kek| kek.wrap(key, &mut wrapped).map(|_| ()))
        .map_err(|_| EnvelopeError::Encryption)?;
    let own_key = [&[0][..], own_point.as_ref()].concat();
    let originator_key = tagged(
        IMPLICIT_1,
        &[sequence(&[&object_identifier(oid::EC_PUBLIC_KEY)]), tagged(BIT_STRING, &own_key)]
            .concat(),
    );
    let name = match &recipient.name {
        RecipientName::KeyIdentifier(identifier) => {
            tagged(IMPLICIT_0, &tagged(OCTET_STRING, identifier))
        }
        RecipientName::IssuerAndSerial(name) => name.clone(),
    };
    let info = [
        VERSION_3,
        &tagged(EXPLICIT_0, &originator_key),
        &sequence(&[&object_identifier(curve.scheme()), &wrap.identifier()]),
        &sequence(&[&sequence(&[&name, &tagged(OCTET_STRING, &wrapped)])]),
    ]
    .concat();
    Ok(tagged(IMPLICIT_1, &info))
}
