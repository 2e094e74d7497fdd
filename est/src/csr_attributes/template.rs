//! The template form of CSR attributes, as a plan (RFC 9908 §3.4).

use super::elements::Attribute;
use super::plan::{ExtensionSlot, ExtensionValue, NameKind, NameSlot, Parts, SubjectSlot};
use super::{ATTRIBUTES_TEMPLATE, CsrAttributesError, KEY_TEMPLATE, KeyWish, Linking, VERSION_0};
use crate::csr::{DIRECTORY_NAME, DNS_NAME, GeneralName, IP_ADDRESS, KeyKind, rsa_bits};
use crate::oid;
use crate::tlv::{
    BIT_STRING, BOOLEAN, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Value, inside, values,
};

const RFC822_NAME: u8 = 0x81;
const UNIFORM_RESOURCE_IDENTIFIER: u8 = 0x86;

/// Reads a CertificationRequestInfoTemplate.
pub(super) fn read(attribute: &Attribute<'_>) -> Result<Parts, CsrAttributesError> {
    let wrong = CsrAttributesError::Template;
    let template = attribute.only().ok_or(wrong("frame"))?;
    let fields = values(template.contents).map_err(|_| wrong("frame"))?;
    let (version, fields) = fields.split_first().ok_or(wrong("frame"))?;
    if template.tag != SEQUENCE || version.whole != VERSION_0 {
        return Err(wrong("version"));
    }
    let (subject, fields) = match fields.split_first() {
        Some((subject, rest)) if subject.tag == SEQUENCE => (Some(subject), rest),
        _ => (None, fields),
    };
    let (key, fields) = match fields.split_first() {
        Some((key, rest)) if key.tag == KEY_TEMPLATE => (Some(key), rest),
        _ => (None, fields),
    };
    let attributes = match fields {
        [attributes] if attributes.tag == ATTRIBUTES_TEMPLATE => attributes,
        _ => return Err(wrong("frame")),
    };
    let mut parts = Parts::default();
    if let Some(subject) = subject {
        parts.subject = subject_slots(subject.contents).ok_or(wrong("subject"))?;
    }
    if let Some(key) = key {
        parts.key = Some(key_wish(key.contents).ok_or(wrong("subjectPKInfo"))?);
    }
    read_attributes(&mut parts, attributes.contents)?;
    Ok(parts)
}

fn read_attributes(parts: &mut Parts, contents: &[u8]) -> Result<(), CsrAttributesError> {
    let wrong = CsrAttributesError::Template("attributes");
    let mut has_extensions = false;
    for attribute in values(contents).map_err(|_| wrong.clone())? {
        let attribute = Attribute::read(&attribute).ok_or(wrong.clone())?;
        match attribute.kind {
            oid::CHALLENGE_PASSWORD => parts.linking = Linking::Required,
            oid::EXTENSION_REQUEST | oid::EXTENSION_REQUEST_TEMPLATE => {
                // One or the other, and once.
                if std::mem::replace(&mut has_extensions, true) {
                    return Err(CsrAttributesError::Template("extension request"));
                }
                let slots = attribute.only().and_then(|list| extension_slots(&list));
                let slots = slots.ok_or(CsrAttributesError::Template("extension request"))?;
                parts.push_extensions(slots)?;
            }
            _ => parts.push_unknown(&attribute),
        }
    }
    Ok(())
}

/// NameTemplate: like a Name, and a value may be missing.
fn subject_slots(contents: &[u8]) -> Option<Vec<Vec<SubjectSlot>>> {
    let slot = |pair: &Value<'_>| {
        let slot = |kind: &Value<'_>, value: Option<&Value<'_>>| {
            let value = value.map(|value| value.whole.to_vec());
            SubjectSlot::new(oid::dotted(kind.contents), value)
        };
        match values(pair.contents).ok()?.as_slice() {
            [kind] if kind.tag == OBJECT_IDENTIFIER => Some(slot(kind, None)),
            [kind, value] if kind.tag == OBJECT_IDENTIFIER => Some(slot(kind, Some(value))),
            _ => None,
        }
    };
    let relative_name = |set: &Value<'_>| {
        let slots: Vec<_> = values(set.contents).ok()?.iter().map(slot).collect::<Option<_>>()?;
        (set.tag == SET && !slots.is_empty()).then_some(slots)
    };
    values(contents).ok()?.iter().map(relative_name).collect()
}

/// SubjectPublicKeyInfoTemplate: like SubjectPublicKeyInfo, and the key is there for RSA's size alone.
fn key_wish(contents: &[u8]) -> Option<KeyWish> {
    let fields = values(contents).ok()?;
    let (algorithm, key) = match fields.as_slice() {
        [algorithm] => (algorithm, None),
        [algorithm, key] if key.tag == BIT_STRING => (algorithm, key.contents.get(1..)),
        _ => return None,
    };
    let algorithm = values(algorithm.contents).ok()?;
    let (kind, parameter) = algorithm.split_first()?;
    match (kind.contents, parameter.first()) {
        (oid::EC_PUBLIC_KEY, Some(curve)) if curve.tag == OBJECT_IDENTIFIER => {
            Some(KeyWish::of_curve(curve.contents))
        }
        (oid::EC_PUBLIC_KEY, None) => Some(KeyWish::AnyCurve),
        (oid::RSA_ENCRYPTION, _) => match key {
            Some(key) => rsa_bits(key).map(|bits| KeyWish::Rsa { bits }),
            None => Some(KeyWish::Kind(KeyKind::Rsa)),
        },
        (oid::ED25519, None) => Some(KeyWish::Kind(KeyKind::Ed25519)),
        (other, _) => Some(KeyWish::Unknown { oid: oid::dotted(other) }),
    }
}

/// Extensions, or ExtensionReqTemplate, which is like it and may lack values.
pub(super) fn extension_slots(list: &Value<'_>) -> Option<Vec<ExtensionSlot>> {
    if list.tag != SEQUENCE {
        return None;
    }
    let slot = |extension: &Value<'_>| {
        let parts = values(extension.contents).ok()?;
        let (kind, rest) = parts.split_first()?;
        let (critical, rest) = match rest.split_first() {
            Some((critical, rest)) if critical.tag == BOOLEAN => (Some(critical), rest),
            _ => (None, rest),
        };
        let value = match rest {
            [] => ExtensionValue::ClientFills,
            [value] if value.tag == OCTET_STRING => extension_value(kind, value.contents)?,
            _ => return None,
        };
        let is_critical = critical.is_some_and(|critical| critical.contents != [0]);
        (extension.tag == SEQUENCE && kind.tag == OBJECT_IDENTIFIER)
            .then(|| ExtensionSlot::new(kind.contents, is_critical, value))
    };
    values(list.contents).ok()?.iter().map(slot).collect()
}

/// Names are looked into, since an empty one is for the client to fill in; everything else is taken as it is.
fn extension_value(kind: &Value<'_>, contents: &[u8]) -> Option<ExtensionValue> {
    if kind.contents != oid::SUBJECT_ALT_NAME {
        return Some(ExtensionValue::Given(contents.to_vec()));
    }
    let names = inside(contents, SEQUENCE)?;
    let slots: Option<Vec<NameSlot>> = names.iter().map(name_slot).collect();
    slots.map(ExtensionValue::Names)
}

fn name_slot(name: &Value<'_>) -> Option<NameSlot> {
    let blank = match name.tag {
        DNS_NAME if name.contents.is_empty() => Some(NameKind::Dns),
        RFC822_NAME if name.contents.is_empty() => Some(NameKind::Email),
        UNIFORM_RESOURCE_IDENTIFIER if name.contents.is_empty() => Some(NameKind::Uri),
        IP_ADDRESS if name.contents.is_empty() => Some(NameKind::Ip),
        // The empty name: NULL-DN.
        DIRECTORY_NAME if name.contents == [SEQUENCE, 0] => Some(NameKind::Directory),
        _ => None,
    };
    match blank {
        Some(kind) => Some(NameSlot::ClientFills(kind)),
        None => GeneralName::read(name)
            .ok()
            .map(|read| NameSlot::Given { name: read, der: name.whole.to_vec() }),
    }
}
