//! Values of DER as the `der` crate reads them, kept as octets: no object identifier is decoded,
//! since one that a typed parser rejects must not make a whole CSR unreadable.

use der::asn1::AnyRef;
use der::{Decode as _, Reader as _, SliceReader};

pub(crate) use der::Error as DerError;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// One value: its first octet, its contents, and the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// Reads all values that stand one after the other in `octets`.
pub(crate) fn values(octets: &[u8]) -> Result<Vec<Value<'_>>, DerError> {
    let mut reader = SliceReader::new(octets)?;
    let mut values = Vec::new();
    while !reader.is_finished() {
        let whole = reader.tlv_bytes()?;
        let contents = AnyRef::from_der(whole)?.value();
        values.push(Value { tag: whole.first().copied().unwrap_or_default(), contents, whole });
    }
    Ok(values)
}

/// Reads the one value that `octets` are, and what is inside it.
pub(crate) fn inside(octets: &[u8], tag: u8) -> Option<Vec<Value<'_>>> {
    match values(octets).ok()?.as_slice() {
        [only] if only.tag == tag => values(only.contents).ok(),
        _ => None,
    }
}

/// A value with a definite length in as few octets as there are.
pub(crate) fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    let length = contents.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
    match (contents.len(), u8::try_from(digits.len())) {
        (0..0x80, _) => octets.push(digits.first().copied().unwrap_or(0)),
        (_, Ok(count)) => {
            octets.push(0x80 | count);
            octets.extend_from_slice(&digits);
        }
        // A length of more than 127 octets does not exist.
        (_, Err(_)) => {}
    }
    octets.extend_from_slice(contents);
    octets
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

pub(crate) fn object_identifier(contents: &[u8]) -> Vec<u8> {
    tagged(OBJECT_IDENTIFIER, contents)
}
