//! What a new certificate takes over from the one before it: the subject and the alternative names.

use std::net::IpAddr;

use brski_voucher::certificate::Certificate;
use rcgen::string::{BmpString, Ia5String, PrintableString};
use rcgen::{DistinguishedName, DnType, DnValue, SanType};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Any, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Why a certificate cannot be made like another one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It cannot be read.
    #[error("the certificate before it cannot be read")]
    Unreadable,
    /// Its subject has something that is not written here.
    #[error("the subject of the certificate before it has an attribute that cannot be copied: {0}")]
    Subject(String),
    /// It has a name of another kind.
    #[error("the certificate before it has a name that cannot be copied: {0}")]
    Name(String),
}

/// The subject of a certificate.
///
/// # Errors
/// [`TemplateError::Subject`] for several values of one attribute, or a string of an unknown kind.
pub fn subject(certificate: &Certificate) -> Result<DistinguishedName, TemplateError> {
    let read = read(certificate)?;
    let mut name = DistinguishedName::new();
    for attribute in read.subject().iter_attributes() {
        let text = || TemplateError::Subject(attribute.attr_type().to_id_string());
        let arcs: Vec<u64> = attribute.attr_type().iter().ok_or_else(text)?.collect();
        let kind = DnType::from_oid(&arcs);
        if name.get(&kind).is_some() {
            return Err(text());
        }
        name.push(kind, value(attribute.attr_value()).ok_or_else(text)?);
    }
    Ok(name)
}

fn value(any: &Any<'_>) -> Option<DnValue> {
    let text = || std::str::from_utf8(any.data).ok();
    Some(match any.tag() {
        Tag::Utf8String => DnValue::Utf8String(text()?.to_owned()),
        Tag::PrintableString => DnValue::PrintableString(PrintableString::try_from(text()?).ok()?),
        Tag::Ia5String => DnValue::Ia5String(Ia5String::try_from(text()?).ok()?),
        Tag::BmpString => DnValue::BmpString(BmpString::from_utf16be(any.data.to_vec()).ok()?),
        _ => return None,
    })
}

/// The DNS names, addresses, mail addresses and URIs of a certificate.
///
/// # Errors
/// [`TemplateError::Name`] for a name of another kind.
pub fn names(certificate: &Certificate) -> Result<Vec<SanType>, TemplateError> {
    let read = read(certificate)?;
    let extension = read.subject_alternative_name().map_err(|_| TemplateError::Unreadable)?;
    let names = extension.map(|extension| extension.value.general_names.as_slice());
    names
        .unwrap_or_default()
        .iter()
        .map(|name| copied(name).ok_or_else(|| TemplateError::Name(name.to_string())))
        .collect()
}

fn copied(name: &GeneralName<'_>) -> Option<SanType> {
    let text = |text: &str| Ia5String::try_from(text).ok();
    match name {
        GeneralName::DNSName(name) => text(name).map(SanType::DnsName),
        GeneralName::RFC822Name(name) => text(name).map(SanType::Rfc822Name),
        GeneralName::URI(name) => text(name).map(SanType::URI),
        GeneralName::IPAddress(octets) => {
            let address = match octets.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*octets).ok()?),
                16 => IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?),
                _ => return None,
            };
            Some(SanType::IpAddress(address))
        }
        _ => None,
    }
}

fn read(certificate: &Certificate) -> Result<X509Certificate<'_>, TemplateError> {
    X509Certificate::from_der(certificate.der())
        .map(|(_, read)| read)
        .map_err(|_| TemplateError::Unreadable)
}
