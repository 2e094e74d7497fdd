//! The few fields of a certificate that EST needs, read from any certificate that is at least DER in its frame.
//!
//! Typed parsers refuse certificates that devices and their CAs really have: serial numbers above 20 octets,
//! extensions with odd object identifiers, years before 1970. None of these is in the way here.

use std::time::Duration;

use aws_lc_rs::digest;
use der::Decode as _;
use der::asn1::{GeneralizedTime, UtcTime};
use rustls_pki_types::UnixTime;

use crate::oid;
use crate::tlv::{
    BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, Value, inside, values,
};

/// The longest certificate that is read, in octets.
const CERTIFICATE_OCTETS: usize = 64 * 1024;
const EXPLICIT_VERSION: u8 = 0xa0;
const EXPLICIT_EXTENSIONS: u8 = 0xa3;
const KEY_IDENTIFIER: u8 = 0x80;
const UTC_TIME: u8 = 0x17;

/// A certificate's fields, as they came.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    /// The contents of the serial number, a leading zero octet included.
    pub(crate) serial: &'a [u8],
    /// The issuer's Name, DER.
    pub(crate) issuer: &'a [u8],
    /// The subject's Name, DER.
    pub(crate) subject: &'a [u8],
    /// SubjectPublicKeyInfo, DER.
    pub(crate) spki: &'a [u8],
    validity: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads a certificate, or nothing if it is none.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        if der.len() > CERTIFICATE_OCTETS {
            return None;
        }
        let outer = inside(der, SEQUENCE)?;
        let [to_be_signed, algorithm, signature] = outer.as_slice() else {
            return None;
        };
        if [to_be_signed.tag, algorithm.tag, signature.tag] != [SEQUENCE, SEQUENCE, BIT_STRING] {
            return None;
        }
        let fields = values(to_be_signed.contents).ok()?;
        let fields = match fields.as_slice() {
            [version, rest @ ..] if version.tag == EXPLICIT_VERSION => rest,
            all => all,
        };
        let [serial, _, issuer, validity, subject, spki, rest @ ..] = fields else {
            return None;
        };
        let tags = [serial.tag, issuer.tag, validity.tag, subject.tag, spki.tag];
        if tags != [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
            return None;
        }
        let extensions = rest.iter().find(|field| field.tag == EXPLICIT_EXTENSIONS);
        Some(Self {
            serial: serial.contents,
            issuer: issuer.whole,
            subject: subject.whole,
            spki: spki.whole,
            validity: validity.contents,
            extensions: extensions.map_or(&[], |field| field.contents),
        })
    }

    /// The times from which and until which it is valid, or nothing where one lies before 1970 or is no time.
    pub(crate) fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        match values(self.validity).ok()?.as_slice() {
            [not_before, not_after] => Some((time(not_before)?, time(not_after)?)),
            _ => None,
        }
    }

    /// The values of its subjectAltName; none where there is no such extension.
    pub(crate) fn subject_alt_names(&self) -> Option<Vec<Value<'a>>> {
        match self.extension(oid::SUBJECT_ALT_NAME) {
            Some(value) => inside(value, SEQUENCE),
            None => Some(Vec::new()),
        }
    }

    /// The keyIdentifier of its authorityKeyIdentifier.
    pub(crate) fn authority_key_identifier(&self) -> Option<&'a [u8]> {
        let value = self.extension(oid::AUTHORITY_KEY_IDENTIFIER)?;
        let fields = inside(value, SEQUENCE)?;
        fields.iter().find(|field| field.tag == KEY_IDENTIFIER).map(|field| field.contents)
    }

    /// Its subjectKeyIdentifier.
    pub(crate) fn subject_key_identifier(&self) -> Option<&'a [u8]> {
        match values(self.extension(oid::SUBJECT_KEY_IDENTIFIER)?).ok()?.as_slice() {
            [only] if only.tag == OCTET_STRING => Some(only.contents),
            _ => None,
        }
    }

    /// The first octet of its keyUsage: digitalSignature is the highest bit. Nothing where its use is not restricted.
    pub(crate) fn key_usage(&self) -> Option<u8> {
        let value = self.extension(oid::KEY_USAGE)?;
        // A keyUsage that cannot be read allows nothing.
        Some(match values(value).as_deref() {
            Ok([bits]) if bits.tag == BIT_STRING => bits.contents.get(1).copied().unwrap_or(0),
            _ => 0,
        })
    }

    /// The bits of its public key, the count of unused ones left out.
    pub(crate) fn public_key_bits(&self) -> Option<&'a [u8]> {
        public_key_bits(self.spki)
    }

    /// SHA-1 over its public key's bits: what CAs commonly take for the key identifier (RFC 5280 §4.2.1.2).
    pub(crate) fn sha1_key_identifier(&self) -> Option<Vec<u8>> {
        let bits = self.public_key_bits()?;
        Some(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bits).as_ref().to_vec())
    }

    fn extension(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let list = inside(self.extensions, SEQUENCE)?;
        list.iter().find_map(|extension| {
            let parts = values(extension.contents).ok()?;
            let kind = parts.first()?;
            let value = parts.last()?;
            let is_wanted = [kind.tag, value.tag] == [OBJECT_IDENTIFIER, OCTET_STRING]
                && kind.contents == wanted;
            is_wanted.then_some(value.contents)
        })
    }
}

/// The bits of the key in a SubjectPublicKeyInfo, the count of unused ones left out.
pub(crate) fn public_key_bits(spki: &[u8]) -> Option<&[u8]> {
    match inside(spki, SEQUENCE)?.as_slice() {
        [_, key] if key.tag == BIT_STRING => match key.contents.split_first() {
            Some((0, bits)) => Some(bits),
            _ => None,
        },
        _ => None,
    }
}

fn time(value: &Value<'_>) -> Option<UnixTime> {
    let since_epoch: Duration = match value.tag {
        UTC_TIME => UtcTime::from_der(value.whole).ok()?.to_unix_duration(),
        _ => GeneralizedTime::from_der(value.whole).ok()?.to_unix_duration(),
    };
    Some(UnixTime::since_unix_epoch(since_epoch))
}
