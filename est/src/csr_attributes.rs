//! What a server wants to see in a CSR, told in both ways at once (RFC 7030 §4.5.2, RFC 8951 §3.1, RFC 9908 §3).
//!
//! Old clients read the list; those that know RFC 9908's template read that and ignore the rest.
//! The server cannot edit a CSR that its owner signed, so this is the only way to steer it.

use thiserror::Error;

use crate::csr_builder::extension;
use crate::tlv::{
    OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Value, inside, oid, sequence, tagged, values,
};

const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
/// id-aa-certificationRequestInfoTemplate, 1.2.840.113549.1.9.16.2.61.
const TEMPLATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 61];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 35];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const DNS_NAME: u8 = 0x82;
const KEY_TEMPLATE: u8 = 0xa0;
const ATTRIBUTES_TEMPLATE: u8 = 0xa1;
/// The longest body that is read, in octets.
const BODY_OCTETS: usize = 16 * 1024;

/// The key that a CSR shall be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyTemplate {
    /// P-256, signing with SHA-256.
    EcP256,
    /// P-384, signing with SHA-384.
    EcP384,
    /// P-521, signing with SHA-512.
    EcP521,
}

impl KeyTemplate {
    fn curve(self) -> &'static [u8] {
        match self {
            Self::EcP256 => P256,
            Self::EcP384 => P384,
            Self::EcP521 => P521,
        }
    }

    fn signature(self) -> &'static [u8] {
        match self {
            Self::EcP256 => ECDSA_SHA256,
            Self::EcP384 => ECDSA_SHA384,
            Self::EcP521 => ECDSA_SHA512,
        }
    }

    fn from_curve(curve: &[u8]) -> Option<Self> {
        [Self::EcP256, Self::EcP384, Self::EcP521].into_iter().find(|key| key.curve() == curve)
    }
}

/// What a server asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsrAttributes {
    /// The one DNS name that shall be the subject alternative name; none before the device is known.
    pub dns_name: Option<String>,
    /// The key; none where any that the server takes will do.
    pub key: Option<KeyTemplate>,
}

/// A body that is no CSR attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body is no CSR attributes")]
pub struct CsrAttributesError;

impl CsrAttributes {
    /// The body of `/csrattrs`: DER, the list and the template together.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let key = self.key.map(|key| attribute(EC_PUBLIC_KEY, &oid(key.curve())));
        let names = self.dns_name.as_deref().map(extension_request);
        let signature = self.key.map(|key| oid(key.signature()));
        let template = (self.key.is_some() || self.dns_name.is_some())
            .then(|| attribute(TEMPLATE, &self.template()));
        let parts: Vec<Vec<u8>> = [key, names, signature, template].into_iter().flatten().collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        sequence(&parts)
    }

    /// CertificationRequestInfoTemplate: version 0, any subject, the key, the attributes.
    fn template(&self) -> Vec<u8> {
        let key = self.key.map_or_else(Vec::new, |key| {
            let algorithm = sequence(&[&oid(EC_PUBLIC_KEY), &oid(key.curve())]);
            // IMPLICIT [0] replaces the tag of the SEQUENCE around the AlgorithmIdentifier.
            tagged(KEY_TEMPLATE, &algorithm)
        });
        let attributes = self.dns_name.as_deref().map_or_else(Vec::new, extension_request);
        sequence(&[&[0x02, 1, 0], &key, &tagged(ATTRIBUTES_TEMPLATE, &attributes)])
    }

    /// Reads a body: the template where there is one, else the list. What is unknown is ignored.
    ///
    /// # Errors
    /// [`CsrAttributesError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CsrAttributesError> {
        if der.len() > BODY_OCTETS {
            return Err(CsrAttributesError);
        }
        let elements = inside(der, SEQUENCE).ok_or(CsrAttributesError)?;
        let attributes: Vec<(Value<'_>, Value<'_>)> =
            elements.iter().filter_map(|element| pair(element.contents)).collect();
        let template = attributes.iter().find(|(kind, _)| kind.contents == TEMPLATE);
        if let Some((_, template)) = template {
            return read_template(template.contents).ok_or(CsrAttributesError);
        }
        let mut read = Self::default();
        for (kind, set) in &attributes {
            match kind.contents {
                EC_PUBLIC_KEY => {
                    let curves = values(set.contents).map_err(|_| CsrAttributesError)?;
                    let curve = curves.first().map(|curve| curve.contents);
                    read.key = curve.and_then(KeyTemplate::from_curve);
                }
                EXTENSION_REQUEST => read.dns_name = requested_name(set.contents),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &tagged(SET, value)])
}

fn extension_request(name: &str) -> Vec<u8> {
    let names = sequence(&[&tagged(DNS_NAME, name.as_bytes())]);
    attribute(EXTENSION_REQUEST, &sequence(&[&extension(SUBJECT_ALT_NAME, &names)]))
}

/// An attribute: its type and its set of values.
fn pair(contents: &[u8]) -> Option<(Value<'_>, Value<'_>)> {
    match values(contents).ok()?.as_slice() {
        [kind, set] if kind.tag == OBJECT_IDENTIFIER && set.tag == SET => Some((*kind, *set)),
        _ => None,
    }
}

fn read_template(set: &[u8]) -> Option<CsrAttributes> {
    let fields = inside(set, SEQUENCE)?;
    let field = |tag| fields.iter().find(|field| field.tag == tag);
    let key = field(KEY_TEMPLATE)
        .and_then(|key| values(key.contents).ok()?.first().copied())
        .and_then(|algorithm| values(algorithm.contents).ok()?.get(1).copied())
        .and_then(|curve| KeyTemplate::from_curve(curve.contents));
    let attributes = field(ATTRIBUTES_TEMPLATE)?;
    let dns_name = values(attributes.contents)
        .ok()?
        .iter()
        .filter_map(|attribute| pair(attribute.contents))
        .find(|(kind, _)| kind.contents == EXTENSION_REQUEST)
        .and_then(|(_, set)| requested_name(set.contents));
    Some(CsrAttributes { dns_name, key })
}

/// The first DNS name in an extension request.
fn requested_name(set: &[u8]) -> Option<String> {
    let extensions = inside(set, SEQUENCE)?;
    extensions.iter().find_map(|extension| {
        let parts = values(extension.contents).ok()?;
        let kind = parts.first().filter(|kind| kind.contents == SUBJECT_ALT_NAME);
        let value = parts.last().filter(|value| value.tag == OCTET_STRING);
        let names = inside(kind.and(value)?.contents, SEQUENCE)?;
        let name = names.iter().find(|name| name.tag == DNS_NAME)?;
        String::from_utf8(name.contents.to_vec()).ok().filter(|name| !name.is_empty())
    })
}
