//! CMS SignedData around JSON: `application/voucher-cms+json` (RFC 8366 §5.4, RFC 5652 §5).

use crate::encoding::Encoding;

pub(crate) mod ber;
pub(crate) mod read;
pub(crate) mod write;

/// id-data, 1.2.840.113549.1.7.1.
const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// id-ct-animaJSONVoucher, 1.2.840.113549.1.9.16.1.40.
const ID_ANIMA_JSON_VOUCHER: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 40];
/// id-signedData, 1.2.840.113549.1.7.2.
const ID_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// id-contentType, 1.2.840.113549.1.9.3.
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
/// id-messageDigest, 1.2.840.113549.1.9.4.
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// id-signingTime, 1.2.840.113549.1.9.5.
const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];

/// The content type of an encoding.
fn content_type(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::CmsIdData => ID_DATA,
        _ => ID_ANIMA_JSON_VOUCHER,
    }
}

fn from_content_type(oid: &[u8]) -> Option<Encoding> {
    match oid {
        ID_DATA => Some(Encoding::CmsIdData),
        ID_ANIMA_JSON_VOUCHER => Some(Encoding::Cms),
        _ => None,
    }
}
