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
    joined(tag, &[contents])
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    joined(SEQUENCE, parts)
}

/// A value whose contents are these parts. They are copied once and nowhere else: they may be secret.
fn joined(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    let octets = length.to_be_bytes();
    let digits = octets.iter().skip_while(|digit| **digit == 0);
    // A length has at most eight octets here, and the tag and the count of them go before.
    let mut value = Vec::with_capacity(length.saturating_add(10));
    value.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => value.push(short),
        _ => {
            value.push(digits.clone().fold(0x80, |count: u8, _| count.saturating_add(1)));
            value.extend(digits);
        }
    }
    parts.iter().for_each(|part| value.extend_from_slice(part));
    value
}

pub(crate) fn object_identifier(contents: &[u8]) -> Vec<u8> {
    tagged(OBJECT_IDENTIFIER, contents)
}

#[cfg(test)]
mod tests {
    use super::{OCTET_STRING, SEQUENCE, inside, sequence, tagged, values};

    #[test]
    fn reads_what_it_writes_at_every_length_form() {
        for length in [0, 1, 127, 128, 255, 256, 65535, 65536] {
            let contents = vec![7; length];
            let octets = tagged(OCTET_STRING, &contents);
            assert_eq!(values(&octets).unwrap()[0].contents, contents);
            let two = sequence(&[&octets, &octets]);
            assert_eq!(inside(&two, SEQUENCE).unwrap().len(), 2);
            assert_eq!(two, tagged(SEQUENCE, &[octets.as_slice(), &octets].concat()));
        }
    }

    #[test]
    fn refuses_lengths_that_are_not_der() {
        for octets in [&[4, 0x80, 0, 0][..], &[4, 0x81, 1, 7], &[4, 2, 7], &[4]] {
            values(octets).unwrap_err();
        }
        assert_eq!(inside(&[4, 1, 7], SEQUENCE), None);
        assert_eq!(inside(&[0x30, 0, 0x30, 0], SEQUENCE), None);
    }
}
