//! A bounded reader of DER's tag-length-value triples that keeps every octet as it came, and their writer.
//!
//! Certificates of devices are odd in ways that typed parsers refuse; this reader looks only at what it is asked for.
//! It takes definite lengths of up to four octets, in more octets than needed too, and single-octet tags.
//! It never calls itself, so the depth of hostile input does not matter.

use std::ops::Range;

use thiserror::Error;

/// Tag of BOOLEAN.
pub(crate) const BOOLEAN: u8 = 0x01;
/// Tag of INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// Tag of BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// Tag of OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// Tag of OBJECT IDENTIFIER.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// Tag of SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// Tag of SET.
pub(crate) const SET: u8 = 0x31;

/// The bit of a tag whose value holds values.
pub(crate) const CONSTRUCTED: u8 = 0x20;

/// What is wrong with the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlvError {
    /// The octets end inside a value.
    #[error("the encoding ends early")]
    Truncated,
    /// A length that no value of this size has.
    #[error("a length is not definite or too long")]
    Length,
    /// Another tag than the one that belongs there.
    #[error("tag {found:#04x} stands where {expected:#04x} belongs")]
    Tag {
        /// The tag that belongs there.
        expected: u8,
        /// The tag that stands there.
        found: u8,
    },
    /// Values inside values inside values.
    #[error("values are nested too deeply")]
    Depth,
    /// More values than any message of this size has.
    #[error("there are too many values")]
    TooMany,
    /// Octets after the end.
    #[error("{0} octets follow the end of the value")]
    Trailing(usize),
}

/// One value: its tag, its contents, and the whole of it as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads the values inside this one.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader::new(self.contents)
    }

    fn has_shortest_length(&self) -> bool {
        let octets = self.whole.len().saturating_sub(self.contents.len()).saturating_sub(1);
        octets
            == match self.contents.len() {
                0..0x80 => 1,
                0x80..0x100 => 2,
                0x100..0x1_0000 => 3,
                0x1_0000..0x100_0000 => 4,
                _ => 5,
            }
    }
}

/// Reads values one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next value, if there is one.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next value, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Tlv<'a>, TlvError> {
        let (tag, after_tag) = self.rest.split_first().ok_or(TlvError::Truncated)?;
        let (length, after_length) = length(after_tag)?;
        let contents = after_length.get(..length).ok_or(TlvError::Truncated)?;
        let rest = after_length.get(length..).ok_or(TlvError::Truncated)?;
        let whole = self
            .rest
            .get(..self.rest.len().saturating_sub(rest.len()))
            .ok_or(TlvError::Truncated)?;
        self.rest = rest;
        Ok(Tlv { tag: *tag, contents, whole })
    }

    /// Reads the next value, which must have this tag.
    pub(crate) fn expect(&mut self, expected: u8) -> Result<Tlv<'a>, TlvError> {
        match self.peek() {
            Some(found) if found == expected => self.any(),
            Some(found) => Err(TlvError::Tag { expected, found }),
            None => Err(TlvError::Truncated),
        }
    }

    /// Reads the next value if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, TlvError> {
        match self.peek() {
            Some(found) if found == tag => self.any().map(Some),
            _ => Ok(None),
        }
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), TlvError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(TlvError::Trailing(left)),
        }
    }
}

/// Reads the one value that `octets` are.
pub(crate) fn only(octets: &[u8], tag: u8) -> Result<Tlv<'_>, TlvError> {
    let mut reader = Reader::new(octets);
    let value = reader.expect(tag)?;
    reader.end()?;
    Ok(value)
}

/// Where in `whole` a part of it stands; nowhere, if it is no part of it.
pub(crate) fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr()).unwrap_or(whole.len());
    start..start.saturating_add(part.len())
}

fn length(octets: &[u8]) -> Result<(usize, &[u8]), TlvError> {
    let (first, rest) = octets.split_first().ok_or(TlvError::Truncated)?;
    if *first < 0x80 {
        return Ok((usize::from(*first), rest));
    }
    let count = usize::from(first & 0x7f);
    // Zero is an indefinite length; some encoders always write four, and more fit into no bound of this library.
    if count == 0 || count > 4 {
        return Err(TlvError::Length);
    }
    let digits = rest.get(..count).ok_or(TlvError::Truncated)?;
    let length = digits.iter().fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit));
    Ok((length, rest.get(count..).ok_or(TlvError::Truncated)?))
}

/// Whether every length in these octets, at every level, has as few octets as it could (X.690 §10.1).
///
/// Only constructed values are looked into, down to a level that no message reaches.
pub(crate) fn has_shortest_lengths(octets: &[u8]) -> bool {
    const LEVELS: usize = 32;

    let mut open = vec![Reader::new(octets)];
    while let Some(reader) = open.last_mut() {
        match reader.any() {
            Ok(value) if !value.has_shortest_length() => return false,
            Ok(value) if value.tag & CONSTRUCTED != 0 && open.len() < LEVELS => {
                open.push(value.inside());
            }
            Ok(_) => {}
            // The end, or what is no value.
            Err(_) => {
                open.pop();
            }
        }
    }
    true
}

/// Writes a value with a definite length in as few octets as there are.
pub(crate) fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(contents.len().saturating_add(5));
    octets.push(tag);
    match u8::try_from(contents.len()) {
        Ok(short) if short < 0x80 => octets.push(short),
        _ => {
            let length = contents.len().to_be_bytes();
            let digits = length.iter().skip_while(|digit| **digit == 0);
            // A length has at most eight octets here.
            octets.push(digits.clone().fold(0x80, |count: u8, _| count.saturating_add(1)));
            octets.extend(digits);
        }
    }
    octets.extend_from_slice(contents);
    octets
}

#[cfg(test)]
mod tests {
    use super::{OCTET_STRING, Reader, SEQUENCE, TlvError, has_shortest_lengths, only, tagged};

    #[test]
    fn reads_what_it_writes_at_every_length_form() {
        for length in [0, 1, 127, 128, 255, 256, 65535, 65536] {
            let contents = vec![7; length];
            let octets = tagged(OCTET_STRING, &contents);
            assert_eq!(only(&octets, OCTET_STRING).unwrap().contents, contents);
        }
    }

    #[test]
    fn keeps_a_length_in_more_octets_than_needed() {
        let octets = [SEQUENCE, 0x82, 0, 1, 9];
        assert_eq!(only(&octets, SEQUENCE).unwrap().whole, octets);
    }

    #[test]
    fn refuses_indefinite_and_overlong_lengths() {
        for octets in [&[SEQUENCE, 0x80, 0, 0][..], &[SEQUENCE, 0x85, 0, 0, 0, 0, 0]] {
            assert_eq!(Reader::new(octets).any(), Err(TlvError::Length));
        }
        let huge = [SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&huge).any(), Err(TlvError::Truncated));
    }

    #[test]
    fn tells_lengths_in_more_octets_than_needed_at_every_level() {
        for length in [0, 1, 127, 128, 255, 256, 65535, 65536] {
            let octets = tagged(SEQUENCE, &tagged(OCTET_STRING, &vec![7; length]));
            assert!(has_shortest_lengths(&octets), "{length}");
        }
        for inside in [
            &[OCTET_STRING, 0x81, 1, 9][..],
            &[OCTET_STRING, 0x82, 0, 1, 9],
            &[OCTET_STRING, 0x84, 0, 0, 0, 1, 9],
            &[0x05, 0, SEQUENCE, 2, OCTET_STRING, 0, SEQUENCE, 0x81, 0],
        ] {
            assert!(only(&tagged(SEQUENCE, inside), SEQUENCE).is_ok());
            assert!(!has_shortest_lengths(&tagged(SEQUENCE, inside)), "{inside:02x?}");
        }
        // What is inside of a primitive value is its own business.
        assert!(has_shortest_lengths(&[OCTET_STRING, 4, OCTET_STRING, 0x81, 1, 9]));
    }

    #[test]
    fn refuses_values_that_end_early() {
        let octets = [SEQUENCE, 0x82, 1, 0, 1, 2, 3];
        for end in 0..octets.len() {
            assert_eq!(Reader::new(&octets[..end]).any(), Err(TlvError::Truncated));
        }
    }

    #[test]
    fn refuses_octets_after_the_end_and_another_tag() {
        assert_eq!(only(&[SEQUENCE, 0, 1], SEQUENCE), Err(TlvError::Trailing(1)));
        let wrong = TlvError::Tag { expected: SEQUENCE, found: OCTET_STRING };
        assert_eq!(only(&[OCTET_STRING, 0], SEQUENCE), Err(wrong));
    }
}
