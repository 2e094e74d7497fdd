//! Decrypts a private key that a server made (RFC 7030 §4.4.2), for the client.

use std::fmt;

use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use aws_lc_rs::cipher::{DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256};
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use zeroize::Zeroizing;

use super::algorithms::{ContentCipher, Curve, KeyTransport, KeyWrap, scheme_hash, wrapping_key};
use super::signed;
use crate::tlv::{
    BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Value, inside, values,
};
use crate::{ber, oid};

/// The longest encrypted key that is read, in octets.
const ENVELOPE_OCTETS: usize = 64 * 1024;
/// The most recipients that are tried.
const RECIPIENTS_MOST: usize = 8;
const EXPLICIT_0: u8 = 0xa0;
const IMPLICIT_0_PIECES: u8 = 0xa0;
const IMPLICIT_0_OCTETS: u8 = 0x80;
const IMPLICIT_1: u8 = 0xa1;
const MATERIAL: u8 = 0xa1;

/// Why an encrypted private key cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is longer than this library reads.
    #[error("the encrypted key has {octets} octets, more than {ENVELOPE_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// Something stands where something else belongs.
    #[error("the {0} of the encrypted key is not what CMS says")]
    Structure(&'static str),
    /// The content is encrypted with another cipher than AES in CBC mode.
    #[error("the encrypted key is encrypted with {oid}, which is not known here")]
    Cipher {
        /// The cipher, dotted.
        oid: String,
    },
    /// None of its recipients has the key at hand, or it was changed on its way.
    #[error("the encrypted key does not open with this key")]
    NotForThisKey,
    /// The certificate of its signer is not in it.
    #[error("the encrypted key does not hold the certificate of its signer")]
    NoSigner,
    /// Its signature does not hold.
    #[error("the signature over the encrypted key does not hold")]
    Signature,
    /// What is in it is not one private key.
    #[error("the encrypted key does not hold one private key")]
    Content,
    /// The key at hand is none that can decrypt.
    #[error("the private key is not PKCS#8 of an elliptic curve or RSA key")]
    Key,
}

/// A private key that a server made. It is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct GeneratedKey(Zeroizing<Vec<u8>>);

impl GeneratedKey {
    /// Takes PKCS#8, DER.
    #[must_use]
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Self {
        Self(Zeroizing::new(pkcs8.to_vec()))
    }

    /// The key: PKCS#8, DER.
    #[must_use]
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GeneratedKey").finish_non_exhaustive()
    }
}

/// A decrypted private key, and who signed it.
#[derive(Clone, Debug)]
pub struct Opened {
    key: GeneratedKey,
    signer: Vec<CertificateDer<'static>>,
}

impl Opened {
    /// The private key.
    #[must_use]
    pub fn key(&self) -> &GeneratedKey {
        &self.key
    }

    /// The certificates of who signed it, its own first; empty where nobody did.
    ///
    /// The signature holds; whether the signer may make keys is for the caller to say.
    #[must_use]
    pub fn signer(&self) -> &[CertificateDer<'static>] {
        &self.signer
    }
}

/// A key that decrypts: of an elliptic curve or RSA, in memory.
pub struct DecryptionKey(Inner);

enum Inner {
    Rsa(PrivateDecryptingKey),
    Curve(Curve, agreement::PrivateKey),
}

impl DecryptionKey {
    /// Reads a PKCS#8 private key, DER: P-256, P-384, P-521, or RSA.
    ///
    /// # Errors
    /// [`OpenError::Key`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, OpenError> {
        let curves = [Curve::P256, Curve::P384, Curve::P521].into_iter();
        let on_curve = curves.filter_map(|curve| {
            let key = agreement::PrivateKey::from_private_key_der(curve.algorithm(), pkcs8).ok()?;
            Some(Inner::Curve(curve, key))
        });
        on_curve
            .chain(PrivateDecryptingKey::from_pkcs8(pkcs8).ok().map(Inner::Rsa))
            .next()
            .map(Self)
            .ok_or(OpenError::Key)
    }
}

impl fmt::Debug for DecryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DecryptionKey").finish_non_exhaustive()
    }
}

/// Decrypts a private key and checks the signature over it.
///
/// `message`: the part of type [`SERVER_GENERATED_KEY`](crate::media_type::SERVER_GENERATED_KEY), BER or DER, at most
/// 64 KiB. Servers that do not sign put the key into it as it is; [`Opened::signer`] tells.
///
/// # Errors
/// [`OpenError`].
pub fn decrypt_key(message: &[u8], key: &DecryptionKey) -> Result<Opened, OpenError> {
    if message.len() > ENVELOPE_OCTETS {
        return Err(OpenError::TooLong { octets: message.len() });
    }
    let der = ber::definite(message).ok_or(OpenError::Structure("encoding"))?;
    let fields = content_of(&der, oid::ENVELOPED_DATA).ok_or(OpenError::Structure("frame"))?;
    let recipients = fields.iter().find(|field| field.tag == SET);
    let recipients = recipients.ok_or(OpenError::Structure("list of recipients"))?;
    let encrypted = fields.iter().find(|field| field.tag == SEQUENCE);
    let encrypted = encrypted.ok_or(OpenError::Structure("content"))?;
    let content = EncryptedContent::read(encrypted)?;
    let plain = values(recipients.contents)
        .map_err(|_| OpenError::Structure("list of recipients"))?
        .iter()
        .take(RECIPIENTS_MOST)
        .filter_map(|recipient| content_key(recipient, key))
        .find_map(|key| content.decrypt(&key))
        .ok_or(OpenError::NotForThisKey)?;
    // A BER encoder inside wrote its own lengths again.
    let plain = Zeroizing::new(ber::definite(&plain).ok_or(OpenError::Content)?.into_owned());
    opened(content.kind, &plain)
}

fn opened(kind: &[u8], plain: &[u8]) -> Result<Opened, OpenError> {
    let unsigned = |content: &[u8]| {
        private_key(content).map(|key| Opened { key, signer: Vec::new() }).ok_or(OpenError::Content)
    };
    // SignedData may stand in a frame of its own.
    let framed = content_of(plain, oid::SIGNED_DATA).is_some();
    if kind != oid::SIGNED_DATA && !framed {
        return unsigned(plain);
    }
    let signed_data = match framed {
        true => inside(plain, SEQUENCE)
            .and_then(|fields| fields.get(1).map(|wrapped| wrapped.contents))
            .ok_or(OpenError::Content)?,
        false => plain,
    };
    let signed = signed::verify(signed_data)?;
    match signed.kind.as_slice() {
        oid::ASYMMETRIC_KEY_PACKAGE | oid::DATA => {
            let key = private_key(&signed.content).ok_or(OpenError::Content)?;
            Ok(Opened { key, signer: signed.certificates })
        }
        _ => Err(OpenError::Content),
    }
}

/// The one key of an AsymmetricKeyPackage, or a key alone.
fn private_key(content: &[u8]) -> Option<GeneratedKey> {
    let fields = inside(content, SEQUENCE)?;
    let whole = match fields.as_slice() {
        [only] if only.tag == SEQUENCE => only.whole,
        [version, ..] if version.tag == INTEGER => content,
        _ => return None,
    };
    // PrivateKeyInfo: a version, an algorithm, and octets.
    match inside(whole, SEQUENCE)?.as_slice() {
        [version, algorithm, key, ..]
            if [version.tag, algorithm.tag, key.tag] == [INTEGER, SEQUENCE, OCTET_STRING] =>
        {
            Some(GeneratedKey::from_pkcs8_der(whole))
        }
        _ => None,
    }
}

/// The fields of a ContentInfo of this type.
fn content_of<'a>(der: &'a [u8], kind: &[u8]) -> Option<Vec<Value<'a>>> {
    match inside(der, SEQUENCE)?.as_slice() {
        [found, wrapped]
            if [found.tag, wrapped.tag] == [OBJECT_IDENTIFIER, EXPLICIT_0]
                && found.contents == kind =>
        {
            inside(wrapped.contents, SEQUENCE)
        }
        _ => None,
    }
}

/// EncryptedContentInfo.
struct EncryptedContent<'a> {
    kind: &'a [u8],
    cipher: ContentCipher,
    vector: [u8; 16],
    octets: Vec<u8>,
}

impl<'a> EncryptedContent<'a> {
    fn read(value: &Value<'a>) -> Result<Self, OpenError> {
        let wrong = OpenError::Structure("content");
        let fields = values(value.contents).map_err(|_| wrong.clone())?;
        let [kind, algorithm, content] = fields.as_slice() else {
            return Err(wrong);
        };
        let algorithm = values(algorithm.contents).map_err(|_| wrong.clone())?;
        let (cipher, parameters) = algorithm.split_first().ok_or(wrong.clone())?;
        let cipher = ContentCipher::of_oid(cipher.contents)
            .ok_or_else(|| OpenError::Cipher { oid: oid::dotted(cipher.contents) })?;
        let vector = parameters.first().and_then(|vector| vector.contents.try_into().ok());
        let octets = match content.tag {
            IMPLICIT_0_OCTETS => content.contents.to_vec(),
            // In BER the octets may come in pieces.
            IMPLICIT_0_PIECES => {
                let pieces = values(content.contents).map_err(|_| wrong.clone())?;
                pieces.iter().flat_map(|piece| piece.contents).copied().collect()
            }
            _ => return Err(wrong),
        };
        Ok(Self { kind: kind.contents, cipher, vector: vector.ok_or(wrong)?, octets })
    }

    fn decrypt(&self, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let key = UnboundCipherKey::new(self.cipher.algorithm(), key).ok()?;
        let context = DecryptionContext::Iv128(FixedLength::from(&self.vector));
        let mut octets = Zeroizing::new(self.octets.clone());
        let length = PaddedBlockDecryptingKey::cbc_pkcs7(key)
            .ok()?
            .decrypt(&mut octets, context)
            .ok()?
            .len();
        octets.truncate(length);
        Some(octets)
    }
}

/// The content's key, from one RecipientInfo, if the key at hand opens it.
fn content_key(recipient: &Value<'_>, key: &DecryptionKey) -> Option<Zeroizing<Vec<u8>>> {
    let fields = values(recipient.contents).ok()?;
    match (&key.0, recipient.tag, fields.as_slice()) {
        (Inner::Rsa(key), SEQUENCE, [_, _, algorithm, encrypted]) => {
            transported(key, KeyTransport::of(algorithm.contents)?, encrypted.contents)
        }
        (Inner::Curve(curve, key), IMPLICIT_1, fields) => agreed(*curve, key, fields),
        _ => None,
    }
}

fn transported(
    key: &PrivateDecryptingKey,
    transport: KeyTransport,
    encrypted: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(vec![0; key.key_size_bytes()]);
    let length = match transport {
        KeyTransport::Pkcs1 => {
            let key = Pkcs1PrivateDecryptingKey::new(key.clone()).ok()?;
            key.decrypt(encrypted, &mut plain).ok()?.len()
        }
        KeyTransport::OaepSha1 => {
            let key = OaepPrivateDecryptingKey::new(key.clone()).ok()?;
            key.decrypt(&OAEP_SHA1_MGF1SHA1, encrypted, &mut plain, None).ok()?.len()
        }
        KeyTransport::OaepSha256 => {
            let key = OaepPrivateDecryptingKey::new(key.clone()).ok()?;
            key.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut plain, None).ok()?.len()
        }
    };
    plain.truncate(length);
    Some(plain)
}

/// From the fields of a KeyAgreeRecipientInfo: version, originator, perhaps ukm, algorithm, recipients.
fn agreed(
    curve: Curve,
    key: &agreement::PrivateKey,
    fields: &[Value<'_>],
) -> Option<Zeroizing<Vec<u8>>> {
    let (originator, material, algorithm, recipients) = match fields {
        [_, originator, material, algorithm, recipients] if material.tag == MATERIAL => {
            let material = values(material.contents).ok()?.first()?.contents;
            (originator, Some(material), algorithm, recipients)
        }
        [_, originator, algorithm, recipients] => (originator, None, algorithm, recipients),
        _ => return None,
    };
    let originator_key = values(originator.contents).ok()?;
    let originator_key = originator_key.first().filter(|choice| choice.tag == IMPLICIT_1)?;
    let point = values(originator_key.contents).ok()?;
    let point = point.get(1).filter(|point| point.tag == BIT_STRING)?.contents.get(1..)?;
    let algorithm = values(algorithm.contents).ok()?;
    let [scheme, wrap_identifier] = algorithm.as_slice() else { return None };
    let hash = scheme_hash(scheme.contents)?;
    let wrap = KeyWrap::of_oid(values(wrap_identifier.contents).ok()?.first()?.contents)?;
    let peer = UnparsedPublicKey::new(curve.algorithm(), point);
    let wrapping = agreement::agree(key, peer, (), |secret| {
        Ok(wrapping_key(hash, secret, wrap, wrap_identifier.whole, material))
    })
    .ok()?;
    let recipients = values(recipients.contents).ok()?;
    recipients.iter().take(RECIPIENTS_MOST).find_map(|recipient| {
        let parts = values(recipient.contents).ok()?;
        let wrapped = parts.get(1).filter(|key| key.tag == OCTET_STRING)?.contents;
        let mut plain = Zeroizing::new(vec![0; wrapped.len()]);
        let kek = AesKek::new(wrap.algorithm(), &wrapping).ok()?;
        let length = kek.unwrap(wrapped, &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    })
}
