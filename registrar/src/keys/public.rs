//! Public keys as tokens give them, put into the SubjectPublicKeyInfo of certificates (RFC 5480, RFC 8017).

/// ecPublicKey.
const EC_PUBLIC_KEY: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// rsaEncryption with NULL.
const RSA_ENCRYPTION: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The SubjectPublicKeyInfo of an EC key. `curve`: CKA_EC_PARAMS; `point`: CKA_EC_POINT.
pub(super) fn elliptic(curve: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    // The standard wants the point in an OCTET STRING, and some tokens leave that out.
    let point = match point {
        [OCTET_STRING, length, point @ ..] if usize::from(*length) == point.len() => point,
        [OCTET_STRING, 0x81, length, point @ ..] if usize::from(*length) == point.len() => point,
        [0x04, ..] => point,
        _ => return None,
    };
    let algorithm = tlv(SEQUENCE, &[EC_PUBLIC_KEY, curve].concat());
    Some(tlv(SEQUENCE, &[algorithm, bits(point)].concat()))
}

/// The SubjectPublicKeyInfo of an RSA key, of two unsigned numbers.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = tlv(SEQUENCE, &[integer(modulus), integer(exponent)].concat());
    let algorithm = tlv(SEQUENCE, RSA_ENCRYPTION);
    tlv(SEQUENCE, &[algorithm, bits(&key)].concat())
}

/// The DER of an ECDSA signature that came as two numbers of the same length (RFC 3279 §2.2.3).
pub(super) fn signature(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(raw.len() / 2).filter(|(r, s)| r.len() == s.len())?;
    (!r.is_empty()).then(|| tlv(SEQUENCE, &[integer(r), integer(s)].concat()))
}

fn bits(octets: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], octets].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let begin = number.iter().position(|octet| *octet != 0);
    let digits = begin.and_then(|at| number.get(at..)).unwrap_or(&[0]);
    let sign: &[u8] = if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    tlv(INTEGER, &[sign, digits].concat())
}

/// A tag, a length in as few octets as it needs, and the contents.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let digits = contents.len().to_be_bytes();
    let length: Vec<u8> = digits.iter().copied().skip_while(|digit| *digit == 0).collect();
    let length = match length.as_slice() {
        [] => vec![0],
        [short] if *short < 0x80 => vec![*short],
        long => {
            let count = u8::try_from(long.len()).unwrap_or(u8::MAX);
            [&[0x80 | count], long].concat()
        }
    };
    [&[tag], length.as_slice(), contents].concat()
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData as _};

    use super::*;

    #[test]
    fn a_point_becomes_the_key_that_rcgen_writes() {
        for (algorithm, curve) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7][..]),
            (&rcgen::PKCS_ECDSA_P384_SHA384, &[6, 5, 0x2b, 0x81, 4, 0, 0x22][..]),
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let point = pair.public_key_raw();
            let wanted = pair.subject_public_key_info();
            assert_eq!(elliptic(curve, point).as_ref(), Some(&wanted), "bare");
            assert_eq!(elliptic(curve, &tlv(OCTET_STRING, point)).as_ref(), Some(&wanted));
            assert_eq!(elliptic(curve, &point[1..]), None);
        }
    }

    #[test]
    fn numbers_are_positive_and_short() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(signature(&[1, 0, 0, 2]).unwrap(), [0x30, 7, 2, 2, 1, 0, 2, 1, 2]);
        assert_eq!(signature(&[1, 2, 3]), None);
        assert_eq!(signature(&[]), None);
    }

    #[test]
    fn long_contents_have_long_lengths() {
        assert_eq!(tlv(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
        assert_eq!(tlv(4, &[]), [4, 0]);
    }
}
