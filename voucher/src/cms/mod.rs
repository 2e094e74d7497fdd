//! CMS SignedData around JSON: `application/voucher-cms+json` (RFC 8366 §5.4, RFC 5652 §5).

pub(crate) mod read;
pub(crate) mod write;

/// id-data, 1.2.840.113549.1.7.1: what every published example uses.
pub(crate) const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// id-ct-animaJSONVoucher, 1.2.840.113549.1.9.16.1.40: what RFC 8366 asks for.
pub(crate) const ID_ANIMA_JSON_VOUCHER: &[u8] =
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 40];
/// id-signedData, 1.2.840.113549.1.7.2.
pub(crate) const ID_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// id-contentType, 1.2.840.113549.1.9.3.
pub(crate) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
/// id-messageDigest, 1.2.840.113549.1.9.4.
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
