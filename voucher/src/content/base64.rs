//! Base64 as it is found in artefacts: what RFC 7951 §6.6 asks for, and what encoders make of it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{self, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::encoding::{Quirk, Strictness};

const ANY_SPELLING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Decodes base64; what is not the standard alphabet, padded and in one line is reported.
///
/// The other alphabet and missing padding are read always, line breaks inside only by the lenient.
pub(crate) fn decode(
    text: &str,
    strictness: Strictness,
    forgiven: &mut Vec<Quirk>,
) -> Option<Vec<u8>> {
    if let Ok(octets) = general_purpose::STANDARD.decode(text) {
        return Some(octets);
    }
    let is_folded =
        strictness == Strictness::Lenient && text.contains(|each: char| each.is_ascii_whitespace());
    let text = match is_folded {
        true => Cow::Owned(text.chars().filter(|each| !each.is_ascii_whitespace()).collect()),
        false => Cow::Borrowed(text),
    };
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let octets = GeneralPurpose::new(alphabet, ANY_SPELLING).decode(text.as_ref()).ok()?;
    if is_folded {
        forgiven.push(Quirk::FoldedBase64);
    }
    if general_purpose::STANDARD.encode(&octets) != text {
        forgiven.push(Quirk::Base64Spelling);
    }
    Some(octets)
}

/// Writes base64 as RFC 7951 §6.6 asks: the standard alphabet, padded, in one line.
pub(crate) fn encode(octets: &[u8]) -> String {
    general_purpose::STANDARD.encode(octets)
}

/// Decodes base64url without padding, as JOSE has it (RFC 7515 §2), and nothing else.
pub(crate) fn decode_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Writes base64url without padding (RFC 7515 §2).
pub(crate) fn encode_url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::encoding::{Quirk, Strictness};

    const OCTETS: [u8; 4] = [0xfb, 0xff, 0xbe, 0x01];

    #[test]
    fn reads_every_spelling_found_in_the_field_and_says_which() {
        for (text, expected) in [
            ("+/++AQ==", &[][..]),
            ("+/++AQ", &[Quirk::Base64Spelling]),
            ("-_--AQ", &[Quirk::Base64Spelling]),
            ("-_--AQ==", &[Quirk::Base64Spelling]),
        ] {
            for strictness in [Strictness::Standard, Strictness::Lenient] {
                let mut forgiven = Vec::new();
                assert_eq!(decode(text, strictness, &mut forgiven).unwrap(), OCTETS, "{text:?}");
                assert_eq!(forgiven, expected, "{text:?}");
            }
        }
        assert_eq!(encode(&OCTETS), "+/++AQ==");
    }

    #[test]
    fn reads_folded_lines_only_if_lenient() {
        let mut forgiven = Vec::new();
        let text = "+/+\n+A\r\n Q==";
        assert_eq!(decode(text, Strictness::Standard, &mut forgiven), None);
        assert_eq!(decode(text, Strictness::Lenient, &mut forgiven).unwrap(), OCTETS);
        assert_eq!(forgiven, [Quirk::FoldedBase64]);
    }

    #[test]
    fn refuses_what_is_not_base64_and_forgives_nothing_in_it() {
        for text in ["+_++AQ==", "A", "A*==", "äAAA", "CN=maker, O=x"] {
            let mut forgiven = Vec::new();
            assert_eq!(decode(text, Strictness::Lenient, &mut forgiven), None, "{text:?}");
            assert_eq!(forgiven, []);
        }
    }
}
