//! Object identifiers: those that EST speaks of, and the way between their octets and their dotted form.
//!
//! Constants are the contents of the DER value, so that octets as received are compared without being decoded.

use der::asn1::ObjectIdentifier;

macro_rules! identifiers {
    ($($name:ident = $dotted:literal;)*) => {
        $(pub(crate) const $name: &[u8] = {
            const IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap($dotted);
            IDENTIFIER.as_bytes()
        };)*
    };
}

identifiers! {
    // Attributes of a CSR (RFC 2985, RFC 4108, RFC 7030, RFC 9908).
    CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
    SMIME_CAPABILITIES = "1.2.840.113549.1.9.15";
    // Windows' own number for an extension request, which OpenSSL reads as well.
    MICROSOFT_EXTENSION_REQUEST = "1.3.6.1.4.1.311.2.1.14";
    DECRYPT_KEY_ID = "1.2.840.113549.1.9.16.2.37";
    ASYMMETRIC_DECRYPT_KEY_ID = "1.2.840.113549.1.9.16.2.54";
    REQUEST_INFO_TEMPLATE = "1.2.840.113549.1.9.16.2.61";
    EXTENSION_REQUEST_TEMPLATE = "1.2.840.113549.1.9.16.2.62";

    // Names (X.520).
    COMMON_NAME = "2.5.4.3";

    // Extensions (RFC 5280).
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    KEY_USAGE = "2.5.29.15";
    SUBJECT_ALT_NAME = "2.5.29.17";
    BASIC_CONSTRAINTS = "2.5.29.19";
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    EXTENDED_KEY_USAGE = "2.5.29.37";

    // Keys.
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    P256 = "1.2.840.10045.3.1.7";
    P384 = "1.3.132.0.34";
    P521 = "1.3.132.0.35";
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    ED25519 = "1.3.101.112";

    // Signatures and hashes.
    ECDSA_SHA1 = "1.2.840.10045.4.1";
    ECDSA_SHA256 = "1.2.840.10045.4.3.2";
    ECDSA_SHA384 = "1.2.840.10045.4.3.3";
    ECDSA_SHA512 = "1.2.840.10045.4.3.4";
    RSA_MD5 = "1.2.840.113549.1.1.4";
    RSA_SHA1 = "1.2.840.113549.1.1.5";
    RSASSA_PSS = "1.2.840.113549.1.1.10";
    RSA_SHA256 = "1.2.840.113549.1.1.11";
    RSA_SHA384 = "1.2.840.113549.1.1.12";
    RSA_SHA512 = "1.2.840.113549.1.1.13";
    SHA1 = "1.3.14.3.2.26";
    SHA256 = "2.16.840.1.101.3.4.2.1";
    SHA384 = "2.16.840.1.101.3.4.2.2";
    SHA512 = "2.16.840.1.101.3.4.2.3";

    // CMS (RFC 5652, RFC 5958).
    DATA = "1.2.840.113549.1.7.1";
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    ASYMMETRIC_KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.5";

    // Encryption of keys and contents (RFC 3560, RFC 3565, RFC 5753).
    RSAES_OAEP = "1.2.840.113549.1.1.7";
    MGF1 = "1.2.840.113549.1.1.8";
    AES128_CBC = "2.16.840.1.101.3.4.1.2";
    AES128_WRAP = "2.16.840.1.101.3.4.1.5";
    AES256_CBC = "2.16.840.1.101.3.4.1.42";
    AES256_WRAP = "2.16.840.1.101.3.4.1.45";
    ECDH_SHA1_KDF = "1.3.133.16.840.63.0.2";
    ECDH_SHA256_KDF = "1.3.132.1.11.1";
    ECDH_SHA384_KDF = "1.3.132.1.11.2";
    ECDH_SHA512_KDF = "1.3.132.1.11.3";
}

/// An object identifier as dots and numbers.
///
/// One that is no legal encoding, or has an arc above 128 bits, comes out in hexadecimal behind a `#`:
/// it must not be mistaken for another, and must not make the rest of a message unreadable.
pub(crate) fn dotted(contents: &[u8]) -> String {
    decimal(contents).unwrap_or_else(|| {
        let digits: Vec<String> = contents.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("#{}", digits.concat())
    })
}

fn decimal(contents: &[u8]) -> Option<String> {
    let mut arcs: Vec<u128> = Vec::new();
    let mut arc: Option<u128> = None;
    for octet in contents {
        // A leading zero digit would give the same arc a second spelling.
        if arc.is_none() && *octet == 0x80 {
            return None;
        }
        let digits = arc.unwrap_or(0).checked_mul(128)? | u128::from(octet & 0x7f);
        arc = if octet & 0x80 == 0 {
            arcs.push(digits);
            None
        } else {
            Some(digits)
        };
    }
    let (first, rest) = arcs.split_first().filter(|_| arc.is_none())?;
    let root = (first / 40).min(2);
    let mut text = format!("{root}.{}", first - root * 40);
    for arc in rest {
        text.push('.');
        text.push_str(&arc.to_string());
    }
    Some(text)
}

/// The contents of an object identifier in its dotted form, or nothing if it is none.
pub(crate) fn contents(dotted: &str) -> Option<Vec<u8>> {
    let arcs: Vec<u128> =
        dotted.split('.').map(|arc| arc.parse().ok()).collect::<Option<Vec<_>>>()?;
    let [root, second, rest @ ..] = arcs.as_slice() else {
        return None;
    };
    if *root > 2 || (*root < 2 && *second > 39) {
        return None;
    }
    let mut octets = Vec::new();
    push_arc(&mut octets, root.checked_mul(40)?.checked_add(*second)?);
    rest.iter().for_each(|arc| push_arc(&mut octets, *arc));
    Some(octets)
}

/// Writes an arc in base 128, the highest digit first, all but the last with the high bit set.
fn push_arc(octets: &mut Vec<u8>, arc: u128) {
    let digits = (0..19).rev().map(|place| (arc >> (place * 7)) & 0x7f);
    let mut digits: Vec<u8> = digits
        .skip_while(|digit| *digit == 0)
        .filter_map(|digit| u8::try_from(digit | 0x80).ok())
        .collect();
    match digits.last_mut() {
        Some(last) => *last &= 0x7f,
        None => digits.push(0),
    }
    octets.extend(digits);
}

#[cfg(test)]
mod tests {
    use super::{P256, SUBJECT_ALT_NAME, contents, dotted};

    #[test]
    fn constants_are_the_contents_of_the_value() {
        assert_eq!(SUBJECT_ALT_NAME, [0x55, 0x1d, 17]);
        assert_eq!(P256, [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    }

    #[test]
    fn identifiers_come_back_as_they_were() {
        for text in
            ["0.0", "1.39", "2.999.1", "2.5.29.17", "2.25.329800735698586629295641978511506172918"]
        {
            assert_eq!(dotted(&contents(text).unwrap()), text);
        }
    }

    #[test]
    fn refuses_what_is_no_identifier() {
        for text in ["", "1", "3.1", "0.40", "1.2.", "1.2.x", "1.-2", "a.b"] {
            assert_eq!(contents(text), None, "{text}");
        }
    }

    #[test]
    fn an_illegal_encoding_is_not_mistaken_for_another_identifier() {
        assert_eq!(dotted(&[]), "#");
        assert_eq!(dotted(&[0x55, 0x1d, 0x80, 17]), "#551d8011");
        assert_eq!(dotted(&[0x55, 0x9d]), "#559d");
        assert_eq!(dotted(&[[0xff; 19].as_slice(), &[0x7f]].concat()).len(), 41);
    }
}
