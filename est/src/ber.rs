//! Rewrites BER as DER: some servers send CMS with indefinite lengths, and OCTET STRINGs in pieces (RFC 5652 §2).
//!
//! A value that has no such part inside stays as it came, octet for octet, so that signatures over it still hold.

use std::borrow::Cow;

use crate::tlv::{OCTET_STRING, tagged, values};

/// The deepest nesting that is read; EnvelopedData needs about ten.
const DEPTH: usize = 32;
/// The most values that are looked at, at every level.
const VALUES: usize = 16 * 1024;
const CONSTRUCTED: u8 = 0x20;
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: &[u8] = &[0, 0];

/// Gives the one value that `octets` are in DER's lengths, or nothing if it is not even BER.
pub(crate) fn definite(octets: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut walk = Walk { values_left: VALUES };
    let (element, rest) = walk.element(octets, DEPTH)?;
    rest.is_empty().then_some(element.octets)
}

/// A value: borrowed where it stays as it came.
struct Element<'a> {
    octets: Cow<'a, [u8]>,
}

impl Element<'_> {
    fn is_verbatim(&self) -> bool {
        matches!(self.octets, Cow::Borrowed(_))
    }
}

struct Walk {
    values_left: usize,
}

impl Walk {
    /// Reads the first value of `octets`; gives it and what follows.
    fn element<'a>(&mut self, octets: &'a [u8], depth: usize) -> Option<(Element<'a>, &'a [u8])> {
        let depth = depth.checked_sub(1)?;
        self.values_left = self.values_left.checked_sub(1)?;
        let (tag, after_tag) = octets.split_first()?;
        let is_constructed = tag & CONSTRUCTED != 0;
        if after_tag.first() == Some(&INDEFINITE) {
            let mut rest = after_tag.get(1..).filter(|_| is_constructed)?;
            let mut children = Vec::new();
            while !rest.starts_with(END_OF_CONTENTS) {
                let (child, after) = self.element(rest, depth)?;
                children.push(child);
                rest = after;
            }
            return Some((rebuilt(*tag, &children)?, rest.get(END_OF_CONTENTS.len()..)?));
        }
        let (contents, rest) = contents(after_tag)?;
        let whole = octets.get(..octets.len().checked_sub(rest.len())?)?;
        let verbatim = Element { octets: Cow::Borrowed(whole) };
        // What is inside and is not BER is none of our business: it stays as it came.
        let children = is_constructed.then(|| self.children(contents, depth)).flatten();
        match children {
            Some(children)
                if is_pieces(*tag) || children.iter().any(|child| !child.is_verbatim()) =>
            {
                Some((rebuilt(*tag, &children)?, rest))
            }
            _ => Some((verbatim, rest)),
        }
    }

    fn children<'a>(&mut self, mut octets: &'a [u8], depth: usize) -> Option<Vec<Element<'a>>> {
        let mut children = Vec::new();
        while !octets.is_empty() {
            let (child, rest) = self.element(octets, depth)?;
            children.push(child);
            octets = rest;
        }
        Some(children)
    }
}

/// Whether a tag is that of an OCTET STRING in pieces.
fn is_pieces(tag: u8) -> bool {
    tag == OCTET_STRING | CONSTRUCTED
}

fn rebuilt<'a>(tag: u8, children: &[Element<'_>]) -> Option<Element<'a>> {
    let octets = if is_pieces(tag) {
        let mut contents = Vec::new();
        for child in children {
            match values(&child.octets).ok()?.as_slice() {
                [piece] if piece.tag == OCTET_STRING => contents.extend_from_slice(piece.contents),
                _ => return None,
            }
        }
        tagged(OCTET_STRING, &contents)
    } else {
        let parts: Vec<&[u8]> = children.iter().map(|child| &*child.octets).collect();
        tagged(tag, &parts.concat())
    };
    Some(Element { octets: Cow::Owned(octets) })
}

/// Reads a definite length of at most three octets; gives what it spans, and what follows.
fn contents(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = octets.split_first()?;
    let (length, rest) = match *first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            let digits = rest.get(..count).filter(|_| (1..=3).contains(&count))?;
            let length = digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
            (length, rest.get(count..)?)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::definite;

    #[test]
    fn leaves_der_as_it_is() {
        for der in [&[0x30, 3, 4, 1, 7][..], &[4, 0], &[0x30, 0]] {
            assert_eq!(definite(der).as_deref(), Some(der));
        }
    }

    #[test]
    fn rewrites_indefinite_lengths_and_pieces() {
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 1, 7, 0x24, 3, 4, 1, 8, 0, 0, 2, 1, 5, 0, 0];
        assert_eq!(definite(&ber).as_deref(), Some(&[0x30, 7, 4, 2, 7, 8, 2, 1, 5][..]));
    }

    #[test]
    fn keeps_lengths_in_more_octets_than_needed() {
        let ber = [0x30, 0x80, 0x30, 0x81, 3, 4, 1, 7, 0, 0];
        assert_eq!(definite(&ber).as_deref(), Some(&[0x30, 6, 0x30, 0x81, 3, 4, 1, 7][..]));
    }

    #[test]
    fn refuses_what_nests_too_deeply_or_does_not_end() {
        assert_eq!(definite(&[0x30, 0x80].repeat(5000)), None);
        for octets in [&[0x30, 0x80, 2, 1, 7][..], &[4, 0x80, 0, 0], &[0x30, 0x80, 0, 0, 1], &[]] {
            assert_eq!(definite(octets), None, "{octets:?}");
        }
    }

    #[test]
    fn refuses_pieces_of_another_type() {
        assert_eq!(definite(&[0x24, 0x80, 2, 1, 7, 0, 0]), None);
    }
}
