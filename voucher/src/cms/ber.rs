//! Rewrites BER as the DER that the reader takes: some signers send indefinite lengths and OCTET STRINGs in pieces.
//!
//! Only what is BER is rewritten: a value without such parts inside stays as it came, octet for octet,
//! so that signatures over certificates and attributes still match.
//! Used only where the reader fails on the octets as received (RFC 5652 §5.1 allows BER outside of signed parts).

use std::borrow::Cow;

use crate::tlv::{CONSTRUCTED, OCTET_STRING, Reader, Tlv, TlvError, tagged};

/// The deepest nesting that is read; SignedData needs about ten.
const DEPTH: usize = 32;
/// The most values that are read, at every level.
const VALUES: usize = 4096;
const CONSTRUCTED_OCTET_STRING: u8 = OCTET_STRING | CONSTRUCTED;
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// Rewrites one value. Gives `None` if there is nothing to rewrite.
pub(crate) fn normalise(octets: &[u8]) -> Result<Option<Vec<u8>>, TlvError> {
    let mut left = VALUES;
    let (element, rest) = element(octets, DEPTH, &mut left)?;
    match (rest.len(), element.octets) {
        (0, Cow::Owned(rewritten)) => Ok(Some(rewritten)),
        (0, Cow::Borrowed(_)) => Ok(None),
        (octets, _) => Err(TlvError::Trailing(octets)),
    }
}

/// A value: borrowed as it came, owned where it was rewritten.
struct Element<'a> {
    tag: u8,
    octets: Cow<'a, [u8]>,
}

impl<'a> Element<'a> {
    fn rewritten(tag: u8, contents: &[u8]) -> Self {
        // The pieces of a string are one string now.
        let tag = if tag == CONSTRUCTED_OCTET_STRING { OCTET_STRING } else { tag };
        Self { tag, octets: Cow::Owned(tagged(tag, contents)) }
    }

    /// What it adds to the value around it: the whole of it, but the contents alone of a piece of a string.
    fn share(&self, around: u8) -> Result<&[u8], TlvError> {
        match (around, self.tag) {
            (CONSTRUCTED_OCTET_STRING, OCTET_STRING) => {
                Ok(Reader::new(&self.octets).any()?.contents)
            }
            (CONSTRUCTED_OCTET_STRING, found) => {
                Err(TlvError::Tag { expected: OCTET_STRING, found })
            }
            _ => Ok(&self.octets),
        }
    }
}

fn element<'a>(
    octets: &'a [u8],
    depth: usize,
    left: &mut usize,
) -> Result<(Element<'a>, &'a [u8]), TlvError> {
    let depth = depth.checked_sub(1).ok_or(TlvError::Depth)?;
    *left = left.checked_sub(1).ok_or(TlvError::TooMany)?;
    if let [tag, INDEFINITE, rest @ ..] = octets {
        if tag & CONSTRUCTED == 0 {
            return Err(TlvError::Length);
        }
        let (contents, rest) = until_end(*tag, rest, depth, left)?;
        return Ok((Element::rewritten(*tag, &contents), rest));
    }
    let mut reader = Reader::new(octets);
    let value = reader.any()?;
    let rest = octets.get(value.whole.len()..).unwrap_or_default();
    let verbatim = Element { tag: value.tag, octets: Cow::Borrowed(value.whole) };
    if value.tag & CONSTRUCTED == 0 {
        return Ok((verbatim, rest));
    }
    // What does not read as values inside is none of our business: it stays as it came.
    match within(value, depth, left) {
        Ok(Some(contents)) => Ok((Element::rewritten(value.tag, &contents), rest)),
        Err(error @ (TlvError::Depth | TlvError::TooMany)) => Err(error),
        _ => Ok((verbatim, rest)),
    }
}

/// The contents of a value of definite length, if anything in them is to be rewritten.
fn within(value: Tlv<'_>, depth: usize, left: &mut usize) -> Result<Option<Vec<u8>>, TlvError> {
    let mut octets = value.contents;
    let mut rewritten = (value.tag == CONSTRUCTED_OCTET_STRING).then(Vec::new);
    while !octets.is_empty() {
        let before = value.contents.len().saturating_sub(octets.len());
        let (child, rest) = element(octets, depth, left)?;
        if let Cow::Owned(_) = child.octets {
            // All before it came as it is.
            let verbatim = || value.contents.get(..before).unwrap_or_default().to_vec();
            rewritten.get_or_insert_with(verbatim);
        }
        if let Some(rewritten) = &mut rewritten {
            rewritten.extend_from_slice(child.share(value.tag)?);
        }
        octets = rest;
    }
    Ok(rewritten)
}

/// The contents of a value of indefinite length, and what follows it.
fn until_end<'a>(
    tag: u8,
    mut octets: &'a [u8],
    depth: usize,
    left: &mut usize,
) -> Result<(Vec<u8>, &'a [u8]), TlvError> {
    let mut contents = Vec::new();
    loop {
        if let Some(rest) = octets.strip_prefix(END_OF_CONTENTS) {
            return Ok((contents, rest));
        }
        let (child, rest) = element(octets, depth, left)?;
        contents.extend_from_slice(child.share(tag)?);
        octets = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::normalise;
    use crate::tlv::TlvError;

    #[test]
    fn leaves_der_alone() {
        assert_eq!(normalise(&[0x30, 3, 0x04, 1, 7]), Ok(None));
    }

    #[test]
    fn rewrites_indefinite_lengths_and_pieces() {
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 1, 7, 0x24, 3, 4, 1, 8, 0, 0, 2, 1, 5, 0, 0];
        assert_eq!(normalise(&ber), Ok(Some(vec![0x30, 7, 4, 2, 7, 8, 2, 1, 5])));
    }

    #[test]
    fn keeps_a_value_whose_inside_is_not_ber() {
        // A length in more octets than needed stays, since a signature may cover it.
        let ber = [0x30, 0x80, 0x30, 0x81, 3, 4, 1, 7, 0x30, 1, 0xff, 0, 0];
        let der = vec![0x30, 9, 0x30, 0x81, 3, 4, 1, 7, 0x30, 1, 0xff];
        assert_eq!(normalise(&ber), Ok(Some(der)));
    }

    #[test]
    fn refuses_what_nests_too_deeply() {
        let octets = [0x30, 0x80].repeat(5000);
        assert_eq!(normalise(&octets), Err(TlvError::Depth));
    }

    #[test]
    fn refuses_pieces_of_another_type_and_a_missing_end() {
        let wrong = TlvError::Tag { expected: 4, found: 2 };
        assert_eq!(normalise(&[0x24, 0x80, 2, 1, 7, 0, 0]), Err(wrong));
        assert_eq!(normalise(&[0x30, 0x80, 2, 1, 7]), Err(TlvError::Truncated));
        assert_eq!(normalise(&[0x04, 0x80, 0, 0]), Err(TlvError::Length));
        assert_eq!(normalise(&[0x30, 0x80, 0, 0, 1]), Err(TlvError::Trailing(1)));
    }

    #[test]
    fn refuses_more_values_than_a_message_has() {
        let octets = [&[0x30, 0x80][..], &[5, 0].repeat(4096), &[0, 0]].concat();
        assert_eq!(normalise(&octets), Err(TlvError::TooMany));
        let octets = [&[0x30, 0x80][..], &[5, 0].repeat(4095), &[0, 0]].concat();
        assert!(normalise(&octets).is_ok());
    }
}
