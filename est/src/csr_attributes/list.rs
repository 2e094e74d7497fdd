//! The list form of CSR attributes, as a plan (RFC 7030 §4.5.2, RFC 9908 §3.2).

use super::elements::{Attribute, Element};
use super::plan::{Parts, Requested, SubjectSlot};
use super::template::extension_slots;
use super::{CsrAttributesError, KeyWish, Linking};
use crate::csr::KeyKind;
use crate::csr_builder::Hash;
use crate::oid;
use crate::tlv::{INTEGER, OBJECT_IDENTIFIER};

/// The attributes of X.520, all of which may stand in a subject: 2.5.4.
const X520: &[u8] = &[0x55, 4];
/// domainComponent and userId of RFC 4519, and emailAddress: the others that subjects have.
const MORE_SUBJECT: [&str; 3] =
    ["0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1", "1.2.840.113549.1.9.1"];
/// Extensions of certificates: 2.5.29.
const EXTENSIONS: &[u8] = &[0x55, 0x1d];

/// Reads the list. What is not understood is told, and not in the way.
pub(super) fn read(elements: &[Element<'_>]) -> Result<Parts, CsrAttributesError> {
    let mut parts = Parts::default();
    for element in elements {
        match element {
            Element::Identifier(kind) => identifier(&mut parts, kind)?,
            Element::Attribute(attribute) => read_attribute(&mut parts, attribute)?,
        }
    }
    Ok(parts)
}

fn identifier(parts: &mut Parts, kind: &[u8]) -> Result<(), CsrAttributesError> {
    match kind {
        oid::CHALLENGE_PASSWORD => parts.linking = Linking::Required,
        // A kind of key alone says less than a curve or a size beside it.
        oid::EC_PUBLIC_KEY => parts.key = parts.key.take().or(Some(KeyWish::AnyCurve)),
        oid::RSA_ENCRYPTION => {
            parts.key = parts.key.take().or(Some(KeyWish::Kind(KeyKind::Rsa)));
        }
        oid::ED25519 => parts.key = Some(KeyWish::Kind(KeyKind::Ed25519)),
        oid::P256 | oid::P384 | oid::P521 => parts.key = Some(KeyWish::of_curve(kind)),
        oid::ECDSA_SHA256 | oid::RSA_SHA256 | oid::SHA256 => parts.hash = Some(Hash::Sha256),
        oid::ECDSA_SHA384 | oid::RSA_SHA384 | oid::SHA384 => parts.hash = Some(Hash::Sha384),
        oid::ECDSA_SHA512 | oid::RSA_SHA512 | oid::SHA512 => parts.hash = Some(Hash::Sha512),
        _ if is_subject(kind) => {
            parts.subject.push(vec![SubjectSlot::new(oid::dotted(kind), None)]);
        }
        _ if kind.starts_with(EXTENSIONS) => parts.push_blank_extension(kind)?,
        _ => parts.unknown.push(Requested::new(oid::dotted(kind), &[])),
    }
    Ok(())
}

fn read_attribute(parts: &mut Parts, attribute: &Attribute<'_>) -> Result<(), CsrAttributesError> {
    let value = attribute.only();
    match (attribute.kind, value) {
        (oid::CHALLENGE_PASSWORD, _) => parts.linking = Linking::Required,
        (oid::EC_PUBLIC_KEY, Some(curve)) if curve.tag == OBJECT_IDENTIFIER => {
            parts.key = Some(KeyWish::of_curve(curve.contents));
        }
        (oid::RSA_ENCRYPTION, Some(bits)) if bits.tag == INTEGER => {
            parts.key = Some(match number(bits.contents) {
                Some(bits) => KeyWish::Rsa { bits },
                None => KeyWish::Unknown { oid: oid::dotted(attribute.kind) },
            });
        }
        (oid::EC_PUBLIC_KEY | oid::RSA_ENCRYPTION | oid::ED25519, None) => {
            identifier(parts, attribute.kind)?;
        }
        (oid::EXTENSION_REQUEST | oid::EXTENSION_REQUEST_TEMPLATE, Some(list)) => {
            // RFC 7030's own example has something else in it (RFC 9908 §5.2).
            match extension_slots(&list) {
                Some(slots) => parts.push_extensions(slots)?,
                None => parts.push_unknown(attribute),
            }
        }
        (kind, _) if is_subject(kind) => {
            let value = attribute.values.first().map(|value| value.whole.to_vec());
            parts.subject.push(vec![SubjectSlot::new(oid::dotted(kind), value)]);
        }
        _ => parts.push_unknown(attribute),
    }
    Ok(())
}

fn is_subject(kind: &[u8]) -> bool {
    kind.starts_with(X520) || MORE_SUBJECT.contains(&oid::dotted(kind).as_str())
}

fn number(contents: &[u8]) -> Option<u32> {
    let is_positive = contents.first().is_some_and(|first| *first < 0x80);
    contents
        .iter()
        .try_fold(0_u32, |sum, digit| sum.checked_mul(256)?.checked_add(u32::from(*digit)))
        .filter(|_| is_positive)
}
