//! A CSR: read as it came, proven by its own signature (RFC 2986, RFC 7030 §3.4, §4.2.1).

use std::fmt;
use std::ops::Deref;

use aws_lc_rs::digest;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, RawPublicKeyEntity};

use crate::tlv::{
    BIT_STRING, BOOLEAN, DerError, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Value,
    inside, values,
};

/// The longest CSR that is read, in octets.
pub const CSR_OCTETS: usize = 32 * 1024;

const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
const CHALLENGE_PASSWORD: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const ATTRIBUTES: u8 = 0xa0;
/// Bits of keyUsage that only a CA has: keyCertSign (5) in the first octet, cRLSign (6) after it.
const CA_USAGES: u8 = 0b0000_0110;

/// Why octets are no CSR, or none that is proven.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CsrError {
    /// It is longer than this library reads.
    #[error("it has {octets} octets, more than {CSR_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is not DER.
    #[error("it is not DER: {0}")]
    Encoding(#[from] DerError),
    /// Something stands where something else belongs.
    #[error("its {0} is not what PKCS#10 says")]
    Structure(&'static str),
    /// The same extension, or an attribute that may be there once, is there twice.
    #[error("{0} is there twice")]
    Twice(String),
    /// The signature algorithm is unknown or too weak.
    #[error("its signature algorithm is unknown or too weak")]
    Algorithm,
    /// Its key did not sign it.
    #[error("its signature does not match its key")]
    Signature,
}

/// The kind of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// ECDSA on P-521.
    EcP521,
    /// RSA with so many bits.
    Rsa(u32),
    /// Ed25519.
    Ed25519,
    /// Another.
    Unknown,
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcP256 => formatter.write_str("ec-p256"),
            Self::EcP384 => formatter.write_str("ec-p384"),
            Self::EcP521 => formatter.write_str("ec-p521"),
            Self::Rsa(bits) => write!(formatter, "rsa of {bits} bits"),
            Self::Ed25519 => formatter.write_str("ed25519"),
            Self::Unknown => formatter.write_str("of an unknown kind"),
        }
    }
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeneralName {
    /// dNSName.
    Dns(String),
    /// Any other kind, by its number in GeneralName.
    Other(u8),
}

impl fmt::Display for GeneralName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(formatter, "{name:?}"),
            Self::Other(kind) => {
                let names = [
                    "an otherName",
                    "an rfc822Name",
                    "a dNSName",
                    "an x400Address",
                    "a directoryName",
                    "an ediPartyName",
                    "a URI",
                    "an iPAddress",
                    "a registeredID",
                ];
                formatter.write_str(names.get(usize::from(*kind)).unwrap_or(&"an unknown name"))
            }
        }
    }
}

/// An extension that a CSR asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    oid: String,
    value: Vec<u8>,
    whole: Vec<u8>,
}

impl Extension {
    /// Its object identifier, dotted.
    #[must_use]
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// The contents of its extnValue.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// basicConstraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints(bool);

impl BasicConstraints {
    /// Whether it asks for a CA.
    #[must_use]
    pub fn is_ca(self) -> bool {
        self.0
    }
}

/// keyUsage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u8);

impl KeyUsage {
    /// Whether it asks for keyCertSign or cRLSign.
    #[must_use]
    pub fn has_ca_usage(self) -> bool {
        self.0 & CA_USAGES != 0
    }
}

/// A CSR that was read, and whose signature nobody looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
    info: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    extensions: Vec<Extension>,
    challenge_password: Option<String>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Csr {
    /// Reads a CSR.
    ///
    /// `der`: PKCS#10, at most 32 KiB.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_OCTETS {
            return Err(CsrError::TooLong { octets: der.len() });
        }
        let outer = values(der)?;
        let [request] = outer.as_slice() else {
            return Err(CsrError::Structure("end"));
        };
        let parts = values(request.contents)?;
        let [info, algorithm, signature] = parts.as_slice() else {
            return Err(CsrError::Structure("frame"));
        };
        let tags = [request.tag, info.tag, algorithm.tag, signature.tag];
        if tags != [SEQUENCE, SEQUENCE, SEQUENCE, BIT_STRING] {
            return Err(CsrError::Structure("frame"));
        }
        // The first octet counts unused bits; a signature has none.
        let Some((0, signature)) = signature.contents.split_first() else {
            return Err(CsrError::Structure("signature"));
        };
        let fields = values(info.contents)?;
        let (version, subject, spki, attributes) = match fields.as_slice() {
            [version, subject, spki, attributes] if attributes.tag == ATTRIBUTES => {
                (version, subject, spki, attributes.contents)
            }
            // Some clients leave out the empty attributes.
            [version, subject, spki] => (version, subject, spki, &[][..]),
            _ => return Err(CsrError::Structure("content")),
        };
        if [version.tag, subject.tag, spki.tag] != [INTEGER, SEQUENCE, SEQUENCE] {
            return Err(CsrError::Structure("content"));
        }
        let attributes = read_attributes(attributes)?;
        Ok(Self {
            der: der.to_vec(),
            info: info.whole.to_vec(),
            subject: subject.whole.to_vec(),
            spki: spki.whole.to_vec(),
            extensions: attributes.extensions,
            challenge_password: attributes.challenge_password,
            algorithm: algorithm.contents.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Checks that its own key signed it, with an algorithm that is not too weak.
    ///
    /// # Errors
    /// [`CsrError::Algorithm`] for SHA-1 and unknown ones; [`CsrError::Signature`].
    ///
    /// RFC 7030 §3.4.
    pub fn prove(self) -> Result<ProvenCsr, CsrError> {
        let key = SubjectPublicKeyInfoDer::from(self.spki.as_slice());
        let entity =
            RawPublicKeyEntity::try_from(&key).map_err(|_| CsrError::Structure("public key"))?;
        let mut candidates = ALL_VERIFICATION_ALGS
            .iter()
            .filter(|candidate| candidate.signature_alg_id().as_ref() == self.algorithm)
            .peekable();
        if candidates.peek().is_none() {
            return Err(CsrError::Algorithm);
        }
        let holds = candidates.any(|candidate| {
            entity.verify_signature(*candidate, &self.info, &self.signature).is_ok()
        });
        if holds { Ok(ProvenCsr { csr: self }) } else { Err(CsrError::Signature) }
    }

    /// The CSR as it came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Its subject's Name, DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The common names in its subject, as they stand; one that is no text reads as it can.
    #[must_use]
    pub fn common_names(&self) -> Vec<String> {
        inside(&self.subject, SEQUENCE)
            .unwrap_or_default()
            .into_iter()
            .flat_map(|set| values(set.contents).unwrap_or_default())
            .filter_map(|pair| {
                let pair = values(pair.contents).ok()?;
                match pair.as_slice() {
                    [oid, value] if oid.contents == COMMON_NAME => {
                        Some(String::from_utf8_lossy(value.contents).into_owned())
                    }
                    _ => None,
                }
            })
            .collect()
    }

    /// The extensions that it asks for, in the order written.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The subject alternative names that it asks for.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn subject_alt_names(&self) -> Result<Vec<GeneralName>, CsrError> {
        let Some(value) = self.extension(SUBJECT_ALT_NAME) else {
            return Ok(Vec::new());
        };
        let names = inside(value, SEQUENCE).ok_or(CsrError::Structure("subjectAltName"))?;
        names
            .into_iter()
            .map(|name| match name.tag & 0x1f {
                2 => String::from_utf8(name.contents.to_vec())
                    .ok()
                    .filter(|text| text.is_ascii())
                    .map(GeneralName::Dns)
                    .ok_or(CsrError::Structure("dNSName")),
                other => Ok(GeneralName::Other(other)),
            })
            .collect()
    }

    /// The basicConstraints that it asks for.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, CsrError> {
        let Some(value) = self.extension(BASIC_CONSTRAINTS) else {
            return Ok(None);
        };
        let fields = inside(value, SEQUENCE).ok_or(CsrError::Structure("basicConstraints"))?;
        let is_ca =
            fields.first().is_some_and(|first| first.tag == BOOLEAN && first.contents != [0]);
        Ok(Some(BasicConstraints(is_ca)))
    }

    /// The keyUsage that it asks for.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, CsrError> {
        let Some(value) = self.extension(KEY_USAGE) else {
            return Ok(None);
        };
        match values(value)?.as_slice() {
            [bits] if bits.tag == BIT_STRING => {
                Ok(Some(KeyUsage(bits.contents.get(1).copied().unwrap_or(0))))
            }
            _ => Err(CsrError::Structure("keyUsage")),
        }
    }

    /// The extended key usages that it asks for, dotted.
    ///
    /// # Errors
    /// [`CsrError::Structure`].
    pub fn extended_key_usage(&self) -> Result<Vec<String>, CsrError> {
        let Some(value) = self.extension(EXTENDED_KEY_USAGE) else {
            return Ok(Vec::new());
        };
        let list = inside(value, SEQUENCE).ok_or(CsrError::Structure("extKeyUsage"))?;
        list.into_iter()
            .map(|usage| match usage.tag {
                OBJECT_IDENTIFIER => Ok(dotted(usage.contents)),
                _ => Err(CsrError::Structure("extKeyUsage")),
            })
            .collect()
    }

    /// The challengePassword, which links the CSR to a TLS session (RFC 7030 §3.5).
    #[must_use]
    pub fn challenge_password(&self) -> Option<&str> {
        self.challenge_password.as_deref()
    }

    /// The kind of its key.
    #[must_use]
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        key_algorithm(&self.spki).unwrap_or(KeyAlgorithm::Unknown)
    }

    fn extension(&self, oid: &str) -> Option<&[u8]> {
        self.extensions.iter().find(|each| each.oid == oid).map(Extension::value)
    }
}

/// A CSR whose key signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenCsr {
    csr: Csr,
}

impl ProvenCsr {
    /// What makes two CSRs ask for the same: SHA-256 over key, subject and requested extensions.
    ///
    /// Signature and challengePassword differ from one try to the next and are left out.
    #[must_use]
    pub fn enrollment_digest(&self) -> [u8; 32] {
        let mut extensions: Vec<&[u8]> =
            self.extensions.iter().map(|extension| extension.whole.as_slice()).collect();
        extensions.sort_unstable();
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [self.spki_der(), self.subject_der()].into_iter().chain(extensions) {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut octets = [0; 32];
        let computed = context.finish();
        octets.iter_mut().zip(computed.as_ref()).for_each(|(to, from)| *to = *from);
        octets
    }
}

impl Deref for ProvenCsr {
    type Target = Csr;

    fn deref(&self) -> &Csr {
        &self.csr
    }
}

#[derive(Default)]
struct Attributes {
    extensions: Vec<Extension>,
    challenge_password: Option<String>,
}

fn read_attributes(octets: &[u8]) -> Result<Attributes, CsrError> {
    let mut attributes = Attributes::default();
    let mut has_extensions = false;
    for attribute in values(octets)? {
        let parts = values(attribute.contents)?;
        let [kind, set] = parts.as_slice() else {
            return Err(CsrError::Structure("attribute"));
        };
        if kind.tag != OBJECT_IDENTIFIER || set.tag != SET {
            return Err(CsrError::Structure("attribute"));
        }
        match kind.contents {
            EXTENSION_REQUEST => {
                if std::mem::replace(&mut has_extensions, true) {
                    return Err(CsrError::Twice("extensionRequest".to_owned()));
                }
                attributes.extensions = read_extensions(set.contents)?;
            }
            CHALLENGE_PASSWORD => {
                let text = values(set.contents)?;
                let [text] = text.as_slice() else {
                    return Err(CsrError::Structure("challengePassword"));
                };
                let text = String::from_utf8_lossy(text.contents).into_owned();
                if attributes.challenge_password.replace(text).is_some() {
                    return Err(CsrError::Twice("challengePassword".to_owned()));
                }
            }
            _ => {}
        }
    }
    Ok(attributes)
}

fn read_extensions(set: &[u8]) -> Result<Vec<Extension>, CsrError> {
    let list = inside(set, SEQUENCE).ok_or(CsrError::Structure("extensionRequest"))?;
    let mut extensions: Vec<Extension> = Vec::new();
    for extension in list {
        let parts = values(extension.contents)?;
        let (oid, value) = match parts.as_slice() {
            [oid, value] => (oid, value),
            [oid, critical, value] if critical.tag == BOOLEAN => (oid, value),
            _ => return Err(CsrError::Structure("extension")),
        };
        let oid = read_oid(oid, value)?;
        if extensions.iter().any(|known| known.oid == oid) {
            return Err(CsrError::Twice(format!("extension {oid}")));
        }
        extensions.push(Extension {
            oid,
            value: value.contents.to_vec(),
            whole: extension.whole.to_vec(),
        });
    }
    Ok(extensions)
}

fn read_oid(oid: &Value<'_>, value: &Value<'_>) -> Result<String, CsrError> {
    if oid.tag == OBJECT_IDENTIFIER && value.tag == OCTET_STRING {
        Ok(dotted(oid.contents))
    } else {
        Err(CsrError::Structure("extension"))
    }
}

fn key_algorithm(spki: &[u8]) -> Option<KeyAlgorithm> {
    let fields = inside(spki, SEQUENCE)?;
    let [algorithm, key] = fields.as_slice() else {
        return None;
    };
    let algorithm = values(algorithm.contents).ok()?;
    let parameter = algorithm.get(1).map(|value| value.contents);
    match (algorithm.first()?.contents, parameter) {
        (EC_PUBLIC_KEY, Some(P256)) => Some(KeyAlgorithm::EcP256),
        (EC_PUBLIC_KEY, Some(P384)) => Some(KeyAlgorithm::EcP384),
        (EC_PUBLIC_KEY, Some(P521)) => Some(KeyAlgorithm::EcP521),
        (ED25519, None) => Some(KeyAlgorithm::Ed25519),
        (RSA, _) => {
            let numbers = inside(key.contents.get(1..)?, SEQUENCE)?;
            let modulus = numbers.first()?.contents;
            let significant = modulus.iter().skip_while(|octet| **octet == 0);
            let octets = u32::try_from(significant.clone().count()).ok()?;
            let unused = significant.clone().next()?.leading_zeros();
            Some(KeyAlgorithm::Rsa((octets * 8).saturating_sub(unused)))
        }
        _ => None,
    }
}

/// An object identifier as dots and numbers; arcs of any size, as far as 128 bits reach.
fn dotted(contents: &[u8]) -> String {
    let mut arcs: Vec<u128> = Vec::new();
    let mut arc = 0_u128;
    for octet in contents {
        arc = (arc << 7) | u128::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let Some((first, rest)) = arcs.split_first() else {
        return String::new();
    };
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for arc in rest {
        text.push_str(&format!(".{arc}"));
    }
    text
}
