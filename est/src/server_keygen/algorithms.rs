//! The algorithms that carry a private key, by their identifiers: key transport, key agreement, key wrap and cipher
//! (RFC 3560, RFC 3565, RFC 5753), and what a client says that it can decrypt with (RFC 8551 §2.5.2).

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::{cipher, digest, key_wrap};
use zeroize::Zeroizing;

use crate::csr::KeyKind;
use crate::oid;
use crate::tlv::{
    NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Value, inside, object_identifier, sequence,
    tagged, values,
};

const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_1: u8 = 0xa1;
const EXPLICIT_2: u8 = 0xa2;
/// The most algorithms that are looked at in a list of capabilities.
const CAPABILITIES_MOST: usize = 64;

/// What encrypts the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentCipher {
    Aes128Cbc,
    Aes256Cbc,
}

impl ContentCipher {
    pub(super) fn oid(self) -> &'static [u8] {
        match self {
            Self::Aes128Cbc => oid::AES128_CBC,
            Self::Aes256Cbc => oid::AES256_CBC,
        }
    }

    pub(super) fn of_oid(oid: &[u8]) -> Option<Self> {
        [Self::Aes128Cbc, Self::Aes256Cbc].into_iter().find(|each| each.oid() == oid)
    }

    pub(super) fn key_octets(self) -> usize {
        match self {
            Self::Aes128Cbc => 16,
            Self::Aes256Cbc => 32,
        }
    }

    pub(super) fn algorithm(self) -> &'static cipher::Algorithm {
        match self {
            Self::Aes128Cbc => &cipher::AES_128,
            Self::Aes256Cbc => &cipher::AES_256,
        }
    }
}

/// What encrypts the content's key for an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyTransport {
    OaepSha256,
    OaepSha1,
    Pkcs1,
}

impl KeyTransport {
    const ALL: [Self; 3] = [Self::OaepSha256, Self::OaepSha1, Self::Pkcs1];

    /// Its AlgorithmIdentifier, DER.
    pub(super) fn identifier(self) -> Vec<u8> {
        let oaep = |parameters: &[u8]| sequence(&[&object_identifier(oid::RSAES_OAEP), parameters]);
        match self {
            Self::Pkcs1 => sequence(&[&object_identifier(oid::RSA_ENCRYPTION), &tagged(NULL, &[])]),
            // SHA-1 is what the standard takes where nothing is said; OAEP does not need more of it.
            Self::OaepSha1 => oaep(&tagged(SEQUENCE, &[])),
            Self::OaepSha256 => {
                let hash = sequence(&[&object_identifier(oid::SHA256), &tagged(NULL, &[])]);
                let mask = sequence(&[&object_identifier(oid::MGF1), &hash]);
                oaep(&sequence(&[&tagged(EXPLICIT_0, &hash), &tagged(EXPLICIT_1, &mask)]))
            }
        }
    }

    /// Reads the contents of an AlgorithmIdentifier.
    pub(super) fn of(algorithm: &[u8]) -> Option<Self> {
        let parts = values(algorithm).ok()?;
        let (kind, parameters) = parts.split_first()?;
        match (kind.contents, parameters.first()) {
            (oid::RSA_ENCRYPTION, _) => Some(Self::Pkcs1),
            (oid::RSAES_OAEP, None) => Some(Self::OaepSha1),
            (oid::RSAES_OAEP, Some(parameters)) => oaep(parameters),
            _ => None,
        }
    }
}

/// The parameters of OAEP: one hash for both its parts, and no label.
fn oaep(parameters: &Value<'_>) -> Option<KeyTransport> {
    let fields = values(parameters.contents).ok().filter(|_| parameters.tag == SEQUENCE)?;
    let field = |tag| fields.iter().find(|field| field.tag == tag);
    let hash = match field(EXPLICIT_0) {
        Some(hash) => first_identifier(hash.contents)?,
        None => oid::SHA1,
    };
    let mask = match field(EXPLICIT_1) {
        Some(mask) => {
            let mask = inside(mask.contents, SEQUENCE)?;
            let [kind, hash] = mask.as_slice() else { return None };
            (kind.contents == oid::MGF1).then_some(())?;
            first_identifier(hash.whole)?
        }
        None => oid::SHA1,
    };
    match (hash, mask, field(EXPLICIT_2)) {
        (oid::SHA256, oid::SHA256, None) => Some(KeyTransport::OaepSha256),
        (oid::SHA1, oid::SHA1, None) => Some(KeyTransport::OaepSha1),
        _ => None,
    }
}

/// The identifier in an AlgorithmIdentifier.
fn first_identifier(algorithm: &[u8]) -> Option<&[u8]> {
    let parts = inside(algorithm, SEQUENCE)?;
    parts.first().filter(|kind| kind.tag == OBJECT_IDENTIFIER).map(|kind| kind.contents)
}

/// What encrypts the content's key under an agreed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyWrap {
    Aes128,
    Aes256,
}

impl KeyWrap {
    pub(super) fn oid(self) -> &'static [u8] {
        match self {
            Self::Aes128 => oid::AES128_WRAP,
            Self::Aes256 => oid::AES256_WRAP,
        }
    }

    /// Its AlgorithmIdentifier, DER, which has no parameters (RFC 3565 §2.3.2).
    pub(super) fn identifier(self) -> Vec<u8> {
        sequence(&[&object_identifier(self.oid())])
    }

    pub(super) fn of_oid(oid: &[u8]) -> Option<Self> {
        [Self::Aes128, Self::Aes256].into_iter().find(|each| each.oid() == oid)
    }

    pub(super) fn key_octets(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    pub(super) fn algorithm(self) -> &'static key_wrap::AesBlockCipher {
        match self {
            Self::Aes128 => &key_wrap::AES_128,
            Self::Aes256 => &key_wrap::AES_256,
        }
    }
}

/// An elliptic curve, and how a key is agreed on it: ECDH with a fresh key of the sender, and the hash of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) fn of_kind(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::EcP256 => Some(Self::P256),
            KeyKind::EcP384 => Some(Self::P384),
            KeyKind::EcP521 => Some(Self::P521),
            KeyKind::Rsa | KeyKind::Ed25519 => None,
        }
    }

    /// The scheme's identifier: dhSinglePass-stdDH with the KDF of X9.63.
    pub(super) fn scheme(self) -> &'static [u8] {
        match self {
            Self::P256 => oid::ECDH_SHA256_KDF,
            Self::P384 => oid::ECDH_SHA384_KDF,
            Self::P521 => oid::ECDH_SHA512_KDF,
        }
    }

    pub(super) fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
            Self::P521 => &ECDH_P521,
        }
    }
}

/// The hash in a scheme of key agreement. That with SHA-1 is read alone: it is what OpenSSL takes where nothing is said.
pub(super) fn scheme_hash(scheme: &[u8]) -> Option<&'static digest::Algorithm> {
    match scheme {
        oid::ECDH_SHA1_KDF => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        oid::ECDH_SHA256_KDF => Some(&digest::SHA256),
        oid::ECDH_SHA384_KDF => Some(&digest::SHA384),
        oid::ECDH_SHA512_KDF => Some(&digest::SHA512),
        _ => None,
    }
}

/// Derives the key that wraps the content's key (RFC 5753 §7.2; SEC 1 §3.6.1).
///
/// `user_keying_material`: the contents of ukm, where the message has it.
pub(super) fn wrapping_key(
    hash: &'static digest::Algorithm,
    secret: &[u8],
    wrap: KeyWrap,
    wrap_identifier: &[u8],
    user_keying_material: Option<&[u8]>,
) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(wrap.key_octets() * 8).unwrap_or_default().to_be_bytes();
    let material = user_keying_material
        .map(|octets| tagged(EXPLICIT_0, &tagged(OCTET_STRING, octets)))
        .unwrap_or_default();
    let shared_info =
        sequence(&[wrap_identifier, &material, &tagged(EXPLICIT_2, &tagged(OCTET_STRING, &bits))]);
    let mut key = Zeroizing::new(Vec::new());
    for round in 1_u32.. {
        if key.len() >= wrap.key_octets() {
            break;
        }
        let mut context = digest::Context::new(hash);
        for part in [secret, &round.to_be_bytes(), &shared_info] {
            context.update(part);
        }
        key.extend_from_slice(context.finish().as_ref());
    }
    key.truncate(wrap.key_octets());
    key
}

/// What a client can decrypt with: its SMIMECapabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// AlgorithmIdentifiers: the contents.
    algorithms: Vec<Vec<u8>>,
}

impl Capabilities {
    /// Reads the attribute's value, or nothing if it is no list of algorithms.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let list = inside(value, SEQUENCE)?;
        let algorithms = list
            .iter()
            .take(CAPABILITIES_MOST)
            .map(|each| (each.tag == SEQUENCE).then(|| each.contents.to_vec()))
            .collect::<Option<_>>()?;
        Some(Self { algorithms })
    }

    /// What this library decrypts with for a key of this kind, the best first; nothing for a kind it cannot use.
    pub(super) fn of_kind(kind: KeyKind) -> Option<Self> {
        let keys = match (kind, Curve::of_kind(kind)) {
            (KeyKind::Rsa, _) => KeyTransport::ALL.map(KeyTransport::identifier).to_vec(),
            (_, Some(curve)) => {
                let scheme = |wrap: KeyWrap| {
                    sequence(&[&object_identifier(curve.scheme()), &wrap.identifier()])
                };
                let wraps = [KeyWrap::Aes256, KeyWrap::Aes128];
                wraps.into_iter().flat_map(|wrap| [scheme(wrap), wrap.identifier()]).collect()
            }
            (_, None) => return None,
        };
        let ciphers = [ContentCipher::Aes256Cbc, ContentCipher::Aes128Cbc]
            .map(|cipher| sequence(&[&object_identifier(cipher.oid())]));
        let algorithms = keys
            .iter()
            .chain(&ciphers)
            .filter_map(|each| Some(values(each).ok()?.first()?.contents.to_vec()))
            .collect();
        Some(Self { algorithms })
    }

    /// Writes the attribute's value.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let list: Vec<Vec<u8>> =
            self.algorithms.iter().map(|each| tagged(SEQUENCE, each)).collect();
        tagged(SEQUENCE, &list.concat())
    }

    /// The cipher for the content: the strongest one listed, else AES-256, since the list is of keys first of all.
    pub(super) fn content_cipher(&self) -> ContentCipher {
        let listed = |cipher: ContentCipher| self.identifiers().any(|kind| kind == cipher.oid());
        if listed(ContentCipher::Aes128Cbc) && !listed(ContentCipher::Aes256Cbc) {
            ContentCipher::Aes128Cbc
        } else {
            ContentCipher::Aes256Cbc
        }
    }

    /// The best way listed to encrypt for an RSA key.
    pub(super) fn key_transport(&self) -> Option<KeyTransport> {
        let listed: Vec<KeyTransport> =
            self.algorithms.iter().filter_map(|each| self::listed_transport(each)).collect();
        KeyTransport::ALL.into_iter().find(|each| listed.contains(each))
    }

    /// The strongest key wrap listed for a curve, alone or inside the curve's scheme; nothing where only schemes are
    /// listed that go with other curves.
    pub(super) fn key_wrap(&self, curve: Curve) -> Option<KeyWrap> {
        let lists_schemes = self.identifiers().any(|kind| scheme_hash(kind).is_some());
        let lists_own = self.identifiers().any(|kind| kind == curve.scheme());
        if lists_schemes && !lists_own {
            return None;
        }
        let inner = self.algorithms.iter().filter_map(|each| {
            let parts = values(each).ok()?;
            let scheme = parts.first().filter(|kind| kind.contents == curve.scheme());
            let wrap = first_identifier(scheme.and(parts.get(1))?.whole)?;
            KeyWrap::of_oid(wrap)
        });
        let listed: Vec<KeyWrap> =
            self.identifiers().filter_map(KeyWrap::of_oid).chain(inner).collect();
        [KeyWrap::Aes256, KeyWrap::Aes128].into_iter().find(|each| listed.contains(each))
    }

    fn identifiers(&self) -> impl Iterator<Item = &[u8]> {
        self.algorithms
            .iter()
            .filter_map(|each| values(each).ok()?.first().map(|kind| kind.contents))
    }
}

/// A capability without parameters leaves the hash of OAEP to the sender.
fn listed_transport(algorithm: &[u8]) -> Option<KeyTransport> {
    match values(algorithm).ok()?.as_slice() {
        [kind] if kind.contents == oid::RSAES_OAEP => Some(KeyTransport::OaepSha256),
        _ => KeyTransport::of(algorithm),
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, ContentCipher, Curve, KeyTransport, KeyWrap};
    use crate::csr::KeyKind;
    use crate::oid;
    use crate::tlv::{object_identifier, sequence};

    fn capabilities(algorithms: &[&[u8]]) -> Capabilities {
        Capabilities::read(&sequence(algorithms)).unwrap()
    }

    fn bare(kind: &[u8]) -> Vec<u8> {
        sequence(&[&object_identifier(kind)])
    }

    #[test]
    fn what_is_written_is_read_and_the_best_is_chosen() {
        let all = Capabilities::of_kind(KeyKind::Rsa).unwrap();
        assert_eq!(Capabilities::read(&all.to_der()), Some(all.clone()));
        assert_eq!(all.key_transport(), Some(KeyTransport::OaepSha256));
        assert_eq!(all.content_cipher(), ContentCipher::Aes256Cbc);
        let all = Capabilities::of_kind(KeyKind::EcP384).unwrap();
        assert_eq!(all.key_wrap(Curve::P384), Some(KeyWrap::Aes256));
        assert_eq!(all.key_wrap(Curve::P256), None, "the scheme goes with another curve");
        assert_eq!(Capabilities::of_kind(KeyKind::Ed25519), None);
    }

    #[test]
    fn a_client_gets_only_what_it_lists() {
        let pkcs1 = capabilities(&[&KeyTransport::Pkcs1.identifier(), &bare(oid::AES128_CBC)]);
        assert_eq!(pkcs1.key_transport(), Some(KeyTransport::Pkcs1));
        assert_eq!(pkcs1.content_cipher(), ContentCipher::Aes128Cbc);
        assert_eq!(pkcs1.key_wrap(Curve::P256), None);
        let oaep = capabilities(&[&KeyTransport::OaepSha1.identifier()]);
        assert_eq!(oaep.key_transport(), Some(KeyTransport::OaepSha1));
        assert_eq!(
            capabilities(&[&bare(oid::RSAES_OAEP)]).key_transport(),
            Some(KeyTransport::OaepSha256)
        );
        let wrap = capabilities(&[&bare(oid::AES128_WRAP)]);
        assert_eq!(wrap.key_wrap(Curve::P256), Some(KeyWrap::Aes128));
        assert_eq!(wrap.key_transport(), None);
    }

    #[test]
    fn refuses_what_is_no_list_of_algorithms() {
        for octets in [&[0x30, 2, 0x06, 0][..], &[0x31, 0], &[]] {
            assert_eq!(Capabilities::read(octets), None);
        }
    }
}
