//! A certificate as it came, and the facts in it that BRSKI needs.
//!
//! IDevIDs live for decades and were made by many hands: X.509v1, unknown critical extensions,
//! serial numbers above 20 octets, extensions that a strict parser rejects. None of that may stop the reading
//! of the serial number, the MASA URL or the key, so this reader walks the DER and keeps what it finds.
//! Whether the certificate is to be trusted is the business of [`trust`](crate::trust).
//!
//! RFC 5280 §4.1, RFC 8995 §2.3.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::tlv::{
    BIT_STRING, BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, SET, Tlv,
    TlvError, only, place,
};

/// The longest certificate that is read, in octets.
pub const CERTIFICATE_OCTETS: usize = 16 * 1024;

/// An object identifier, as the contents octets of its DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oid(pub &'static [u8]);

/// id-kp-cmcRA, 1.3.6.1.5.5.7.3.28: the mark of a registrar (RFC 6402 §2.10).
pub const CMC_RA: Oid = Oid(&[0x2b, 6, 1, 5, 5, 7, 3, 28]);
/// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1.
pub const SERVER_AUTH: Oid = Oid(&[0x2b, 6, 1, 5, 5, 7, 3, 1]);
/// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2.
pub const CLIENT_AUTH: Oid = Oid(&[0x2b, 6, 1, 5, 5, 7, 3, 2]);

const COMMON_NAME_ATTRIBUTE: Oid = Oid(&[0x55, 4, 3]);
const SERIAL_NUMBER_ATTRIBUTE: Oid = Oid(&[0x55, 4, 5]);
const MASA_URL: Oid = Oid(&[0x2b, 6, 1, 5, 5, 7, 1, 32]);
const SUBJECT_KEY_IDENTIFIER: Oid = Oid(&[0x55, 0x1d, 14]);
const SUBJECT_ALT_NAME: Oid = Oid(&[0x55, 0x1d, 17]);
const BASIC_CONSTRAINTS: Oid = Oid(&[0x55, 0x1d, 19]);
const AUTHORITY_KEY_IDENTIFIER: Oid = Oid(&[0x55, 0x1d, 35]);
const EXTENDED_KEY_USAGE: Oid = Oid(&[0x55, 0x1d, 37]);

/// id-on-hardwareModuleName, 1.3.6.1.5.5.7.8.4 (RFC 4108 §5).
const HARDWARE_MODULE_NAME: Oid = Oid(&[0x2b, 6, 1, 5, 5, 7, 8, 4]);

/// The short names of a subject's attributes (RFC 4514 §3, and what OpenSSL adds).
const ATTRIBUTE_NAMES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const OTHER_NAME: u8 = 0xa0;
const EXPLICIT_0: u8 = 0xa0;

/// Why a certificate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is longer than this library reads.
    #[error("the certificate has {octets} octets, more than {CERTIFICATE_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is not DER of a certificate.
    #[error("the certificate cannot be read: {0}")]
    Encoding(TlvError),
    /// A date in it is none.
    #[error("the certificate's {field} is not a date")]
    Date {
        /// `notBefore` or `notAfter`.
        field: &'static str,
    },
}

impl From<TlvError> for CertificateError {
    fn from(reason: TlvError) -> Self {
        Self::Encoding(reason)
    }
}

/// A certificate and where the facts stand in it. A clone shares the octets.
#[derive(Clone)]
pub struct Certificate(Arc<Parts>);

/// The octets, once, and where each part of them stands: hostile certificates have many small parts.
struct Parts {
    der: CertificateDer<'static>,
    version: Version,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    not_before: i64,
    not_after: i64,
    /// The contents of the list; empty if there is none.
    extensions: Range<usize>,
    signed: Range<usize>,
    algorithm: Range<usize>,
    inner_algorithm: Range<usize>,
    signature: Range<usize>,
}

/// The versions that differ in what they may say about being a CA.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Without extensions.
    One,
    /// Version 2 and 3.
    Later,
}

/// What the issuer signed, with what.
pub(crate) struct SignedPart<'a> {
    pub(crate) message: &'a [u8],
    /// The contents of the algorithm identifier outside of what is signed.
    pub(crate) algorithm: &'a [u8],
    /// The same inside of what is signed; both must be equal (RFC 5280 §4.1.1.2).
    pub(crate) inner_algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// `der`: one certificate, at most 16 KiB. Nothing is verified.
    ///
    /// # Errors
    /// [`CertificateError`]; unknown or odd extensions are none.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_OCTETS {
            return Err(CertificateError::TooLong { octets: der.len() });
        }
        let mut outer = only(der, SEQUENCE)?.inside();
        let body = outer.expect(SEQUENCE)?;
        let algorithm = outer.expect(SEQUENCE)?;
        let signature = outer.expect(BIT_STRING)?;
        outer.end()?;

        let mut fields = body.inside();
        let version = match fields.optional(VERSION)? {
            Some(number) if only(number.contents, INTEGER)?.contents != [0] => Version::Later,
            _ => Version::One,
        };
        let serial = fields.expect(INTEGER)?;
        let inner_algorithm = fields.expect(SEQUENCE)?;
        let issuer = fields.expect(SEQUENCE)?;
        let mut validity = fields.expect(SEQUENCE)?.inside();
        let not_before =
            date(validity.any()?).ok_or(CertificateError::Date { field: "notBefore" })?;
        let not_after =
            date(validity.any()?).ok_or(CertificateError::Date { field: "notAfter" })?;
        let subject = fields.expect(SEQUENCE)?;
        let spki = fields.expect(SEQUENCE)?;
        let mut extensions = &[][..];
        while !fields.is_empty() {
            let field = fields.any()?;
            if field.tag == EXTENSIONS {
                extensions = field.inside().expect(SEQUENCE)?.contents;
            }
        }
        let place = |part: &[u8]| place(der, part);
        Ok(Self(Arc::new(Parts {
            version,
            serial: place(serial.contents),
            issuer: place(issuer.whole),
            subject: place(subject.whole),
            spki: place(spki.whole),
            not_before,
            not_after,
            extensions: place(extensions),
            signed: place(body.whole),
            algorithm: place(algorithm.contents),
            inner_algorithm: place(inner_algorithm.contents),
            // The first octet counts unused bits; a signature that has some matches nothing.
            signature: place(signature.contents.strip_prefix(&[0]).unwrap_or_default()),
            der: CertificateDer::from(der.to_vec()),
        })))
    }

    /// A part of the octets.
    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or_default()
    }

    /// The certificate as it came.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0.der
    }

    /// The whole SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        self.part(&self.0.spki)
    }

    /// The subject's Name, DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        self.part(&self.0.subject)
    }

    /// The issuer's Name, DER.
    #[must_use]
    pub fn issuer_der(&self) -> &[u8] {
        self.part(&self.0.issuer)
    }

    /// The certificate's own serial number: the contents octets of the INTEGER. Not the device's.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.part(&self.0.serial)
    }

    /// Start of its validity, seconds since the Unix epoch.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.0.not_before
    }

    /// End of its validity, seconds since the Unix epoch; 253402300799 where it never ends.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.0.not_after
    }

    /// The serialNumber attribute (2.5.4.5) of the subject: the device's serial number (RFC 8995 §2.3.1).
    ///
    /// The first one, if it is a PrintableString, UTF8String or IA5String.
    #[must_use]
    pub fn subject_serial_number(&self) -> Option<&str> {
        attribute(self.subject_der(), SERIAL_NUMBER_ATTRIBUTE)
    }

    /// The serial number of the hardwareModuleName (1.3.6.1.5.5.7.8.4) among the subject alternative names.
    ///
    /// As text if it is printable ASCII, else in hexadecimal digits (RFC 4108 §5).
    #[must_use]
    pub fn hardware_serial_number(&self) -> Option<String> {
        let list = only(self.extension(SUBJECT_ALT_NAME)?, SEQUENCE).ok()?;
        children(list).filter(|name| name.tag == OTHER_NAME).find_map(|name| {
            let mut fields = name.inside();
            let kind = fields.expect(OBJECT_IDENTIFIER).ok()?;
            let wrapped = fields
                .expect(EXPLICIT_0)
                .ok()
                .filter(|_| HARDWARE_MODULE_NAME.0 == kind.contents)?;
            let mut module = only(wrapped.contents, SEQUENCE).ok()?.inside();
            module.expect(OBJECT_IDENTIFIER).ok()?;
            let serial = module.expect(OCTET_STRING).ok()?.contents;
            let is_text = serial.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ');
            Some(if is_text { String::from_utf8_lossy(serial).into_owned() } else { hex(serial) })
        })
    }

    /// The common name of the subject.
    #[must_use]
    pub fn subject_common_name(&self) -> Option<&str> {
        attribute(self.subject_der(), COMMON_NAME_ATTRIBUTE)
    }

    /// The subject as text, such as `CN=pump 7,O=Example`, in the order in which it stands.
    #[must_use]
    pub fn subject_text(&self) -> String {
        name_text(self.subject_der())
    }

    /// The issuer as text, as [`subject_text`](Self::subject_text) writes it.
    #[must_use]
    pub fn issuer_text(&self) -> String {
        name_text(self.issuer_der())
    }

    /// The common name of the issuer, for people to read.
    #[must_use]
    pub fn issuer_common_name(&self) -> Option<&str> {
        attribute(self.issuer_der(), COMMON_NAME_ATTRIBUTE)
    }

    /// The MASA URL extension (1.3.6.1.5.5.7.1.32), IA5String or, as some encode it, UTF8String (RFC 8995 §2.3.2).
    #[must_use]
    pub fn masa_url_extension(&self) -> Option<&str> {
        let mut reader = Reader::new(self.extension(MASA_URL)?);
        let text = reader.any().ok()?;
        matches!(text.tag, IA5_STRING | UTF8_STRING)
            .then(|| std::str::from_utf8(text.contents).ok())
            .flatten()
    }

    /// The authority key identifier extension: the contents of its extnValue, verbatim.
    #[must_use]
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.extension(AUTHORITY_KEY_IDENTIFIER)
    }

    /// The subject key identifier, without its OCTET STRING.
    #[must_use]
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        let value = self.extension(SUBJECT_KEY_IDENTIFIER)?;
        only(value, OCTET_STRING).ok().map(|identifier| identifier.contents)
    }

    /// Whether the extended key usage extension lists this purpose.
    #[must_use]
    pub fn has_extended_key_usage(&self, purpose: Oid) -> bool {
        self.purposes().any(|found| found == purpose.0)
    }

    /// The purposes that the extended key usage extension lists, such as `1.3.6.1.5.5.7.3.28`, for people.
    #[must_use]
    pub fn extended_key_usages(&self) -> Vec<String> {
        self.purposes().map(dotted).collect()
    }

    fn purposes(&self) -> impl Iterator<Item = &[u8]> {
        let list = self.extension(EXTENDED_KEY_USAGE).and_then(|value| only(value, SEQUENCE).ok());
        let purposes = list.into_iter().flat_map(children);
        purposes.filter(|oid| oid.tag == OBJECT_IDENTIFIER).map(|oid| oid.contents)
    }

    /// The DNS names among the subject alternative names, as they stand.
    #[must_use]
    pub fn dns_names(&self) -> Vec<&str> {
        let Some(list) =
            self.extension(SUBJECT_ALT_NAME).and_then(|value| only(value, SEQUENCE).ok())
        else {
            return Vec::new();
        };
        children(list)
            .filter(|name| name.tag == DNS_NAME)
            .filter_map(|name| std::str::from_utf8(name.contents).ok())
            .collect()
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    /// Whether basic constraints say CA:TRUE.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.extension(BASIC_CONSTRAINTS)
            .and_then(|value| only(value, SEQUENCE).ok())
            .and_then(|list| children(list).next())
            .is_some_and(|first| first.tag == BOOLEAN && first.contents != [0])
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(self.der())
    }

    pub(crate) fn signed_part(&self) -> SignedPart<'_> {
        SignedPart {
            message: self.part(&self.0.signed),
            algorithm: self.part(&self.0.algorithm),
            inner_algorithm: self.part(&self.0.inner_algorithm),
            signature: self.part(&self.0.signature),
        }
    }

    /// Whether it may be the issuer of others: it says so, or is a root of a time when none could.
    pub(crate) fn may_issue(&self) -> bool {
        match self.extension(BASIC_CONSTRAINTS) {
            Some(_) => self.is_ca(),
            None => self.0.version == Version::One || self.is_self_issued(),
        }
    }

    /// The subject public key without its BIT STRING; empty if there is none.
    pub(crate) fn public_key(&self) -> &[u8] {
        only(self.spki_der(), SEQUENCE)
            .and_then(|spki| {
                let mut fields = spki.inside();
                fields.expect(SEQUENCE)?;
                fields.expect(BIT_STRING)
            })
            .map(|bits| bits.contents.get(1..).unwrap_or_default())
            .unwrap_or_default()
    }

    /// The value of the first extension of this kind. What does not read as an extension is passed over.
    fn extension(&self, oid: Oid) -> Option<&[u8]> {
        values(self.part(&self.0.extensions))
            .filter_map(extension)
            .find_map(|(kind, value)| (kind == oid.0).then_some(value))
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("subject_serial_number", &self.subject_serial_number())
            .field("octets", &self.0.der.len())
            .finish_non_exhaustive()
    }
}

/// The name of a domain in an audit log: the subject key identifier of the pinned certificate,
/// else the SHA-256 of its SubjectPublicKeyInfo.
///
/// RFC 8995 §5.8.2.
#[must_use]
pub fn domain_id(pinned: &Certificate) -> Vec<u8> {
    pinned
        .subject_key_identifier()
        .map_or_else(|| sha256(pinned.spki_der()).to_vec(), <[u8]>::to_vec)
}

/// An object identifier in digits and dots; in hexadecimal digits where an arc is too large for that.
fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0_u64;
    for octet in oid {
        let Some(upper) = arc.checked_mul(128) else {
            return hex(oid);
        };
        arc = upper | u64::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            // The first two arcs share a number (X.690 §8.19.4).
            match arcs.is_empty() {
                true => arcs.extend([(arc / 40).min(2), arc - 40 * (arc / 40).min(2)]),
                false => arcs.push(arc),
            }
            arc = 0;
        }
    }
    let arcs: Vec<String> = arcs.iter().map(ToString::to_string).collect();
    arcs.join(".")
}

/// Lower-case hexadecimal digits, for people.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    let computed = digest::digest(&digest::SHA256, octets);
    digest.iter_mut().zip(computed.as_ref()).for_each(|(to, from)| *to = *from);
    digest
}

/// Object identifier and value of an extension.
fn extension(extension: Tlv<'_>) -> Option<(&[u8], &[u8])> {
    let mut fields = extension.inside();
    let oid = fields.expect(OBJECT_IDENTIFIER).ok()?;
    fields.optional(BOOLEAN).ok()?;
    Some((oid.contents, fields.expect(OCTET_STRING).ok()?.contents))
}

fn children(list: Tlv<'_>) -> impl Iterator<Item = Tlv<'_>> {
    values(list.contents)
}

/// The values in these octets, up to what does not read as one.
fn values(octets: &[u8]) -> impl Iterator<Item = Tlv<'_>> {
    let mut reader = Reader::new(octets);
    std::iter::from_fn(move || (!reader.is_empty()).then(|| reader.any().ok()).flatten())
}

/// The attributes of a Name whose values are text: object identifier and text.
fn attributes(name: &[u8]) -> impl Iterator<Item = (&[u8], &str)> {
    let sets = only(name, SEQUENCE).ok().into_iter().flat_map(children);
    sets.filter(|set| set.tag == SET).flat_map(children).filter_map(|pair| {
        let mut pair = pair.inside();
        let oid = pair.expect(OBJECT_IDENTIFIER).ok()?;
        let value = pair.any().ok()?;
        let is_text = matches!(value.tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING);
        let text = std::str::from_utf8(value.contents).ok().filter(|_| is_text)?;
        Some((oid.contents, text))
    })
}

fn attribute(name: &[u8], wanted: Oid) -> Option<&str> {
    attributes(name).find(|(oid, _)| *oid == wanted.0).map(|(_, text)| text)
}

fn name_text(name: &[u8]) -> String {
    let parts: Vec<String> = attributes(name)
        .map(|(oid, text)| {
            let short = ATTRIBUTE_NAMES.iter().find(|(known, _)| *known == oid);
            format!("{}={text}", short.map_or("?", |(_, short)| short))
        })
        .collect();
    parts.join(",")
}

/// Reads UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 writes them: to the second, in UTC.
pub(crate) fn date(value: Tlv<'_>) -> Option<i64> {
    let text = std::str::from_utf8(value.contents).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (value.tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        (GENERALIZED_TIME, 14) => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = time::Month::try_from(part(0)?).ok()?;
    let day = time::Date::from_calendar_date(year, month, part(2)?).ok()?;
    let moment = day.with_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some(moment.assume_utc().unix_timestamp())
}
