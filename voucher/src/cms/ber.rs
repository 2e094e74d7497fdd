//! Rewrites BER as the DER that the reader takes: some signers send indefinite lengths and OCTET STRINGs in pieces.
//!
//! Only what is BER is rewritten: a value without such parts inside stays as it came, octet for octet,
//! so that signatures over certificates and attributes still match.
//! Used only where the reader fails on the octets as received (RFC 5652 §5.1 allows BER outside of signed parts).

use crate::tlv::{OCTET_STRING, Reader, TlvError, tagged};

/// The deepest nesting that is read; SignedData needs about ten.
const DEPTH: usize = 32;
/// The most values that are read, at every level: each is held for a while, and costs more than its octets.
const VALUES: usize = 4096;
const CONSTRUCTED: u8 = 0x20;
const CONSTRUCTED_OCTET_STRING: u8 = OCTET_STRING | CONSTRUCTED;
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// Rewrites one value. Gives `None` if there is nothing to rewrite.
pub(crate) fn normalise(octets: &[u8]) -> Result<Option<Vec<u8>>, TlvError> {
    let mut left = VALUES;
    let (element, rest) = element(octets, DEPTH, &mut left)?;
    match rest.len() {
        0 => Ok((!element.is_verbatim).then_some(element.octets)),
        left => Err(TlvError::Trailing(left)),
    }
}

struct Element {
    tag: u8,
    octets: Vec<u8>,
    is_verbatim: bool,
}

fn element<'a>(
    octets: &'a [u8],
    depth: usize,
    left: &mut usize,
) -> Result<(Element, &'a [u8]), TlvError> {
    let depth = depth.checked_sub(1).ok_or(TlvError::Depth)?;
    *left = left.checked_sub(1).ok_or(TlvError::TooMany)?;
    if let [tag, INDEFINITE, rest @ ..] = octets {
        if tag & CONSTRUCTED == 0 {
            return Err(TlvError::Length);
        }
        let (children, rest) = children_until_end(rest, depth, left)?;
        return Ok((rebuilt(*tag, &children)?, rest));
    }
    let mut reader = Reader::new(octets);
    let value = reader.any()?;
    let rest = octets.get(value.whole.len()..).unwrap_or_default();
    let verbatim = Element { tag: value.tag, octets: value.whole.to_vec(), is_verbatim: true };
    if value.tag & CONSTRUCTED == 0 {
        return Ok((verbatim, rest));
    }
    // What does not read as values inside is none of our business: it stays as it came.
    match children(value.contents, depth, left) {
        Ok(inside)
            if value.tag == CONSTRUCTED_OCTET_STRING
                || inside.iter().any(|child| !child.is_verbatim) =>
        {
            Ok((rebuilt(value.tag, &inside)?, rest))
        }
        Err(error @ (TlvError::Depth | TlvError::TooMany)) => Err(error),
        _ => Ok((verbatim, rest)),
    }
}

fn children(mut octets: &[u8], depth: usize, left: &mut usize) -> Result<Vec<Element>, TlvError> {
    let mut children = Vec::new();
    while !octets.is_empty() {
        let (child, rest) = element(octets, depth, left)?;
        children.push(child);
        octets = rest;
    }
    Ok(children)
}

fn children_until_end<'a>(
    mut octets: &'a [u8],
    depth: usize,
    left: &mut usize,
) -> Result<(Vec<Element>, &'a [u8]), TlvError> {
    let mut children = Vec::new();
    loop {
        if let Some(rest) = octets.strip_prefix(END_OF_CONTENTS) {
            return Ok((children, rest));
        }
        let (child, rest) = element(octets, depth, left)?;
        children.push(child);
        octets = rest;
    }
}

fn rebuilt(tag: u8, children: &[Element]) -> Result<Element, TlvError> {
    if tag != CONSTRUCTED_OCTET_STRING {
        let contents: Vec<u8> = children.iter().flat_map(|child| child.octets.clone()).collect();
        return Ok(Element { tag, octets: tagged(tag, &contents), is_verbatim: false });
    }
    let mut contents = Vec::new();
    for child in children {
        if child.tag != OCTET_STRING {
            return Err(TlvError::Tag { expected: OCTET_STRING, found: child.tag });
        }
        contents.extend_from_slice(Reader::new(&child.octets).expect(OCTET_STRING)?.contents);
    }
    let octets = tagged(OCTET_STRING, &contents);
    Ok(Element { tag: OCTET_STRING, octets, is_verbatim: false })
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
}
