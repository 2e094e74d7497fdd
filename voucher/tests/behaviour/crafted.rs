//! SignedData and certificates put together by hand, to be wrong in one place at a time.

use brski_voucher::certificate::Certificate;
use brski_voucher::signature::Signer as _;

use crate::support::Party;

pub(crate) const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
pub(crate) const ID_VOUCHER: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 40];
pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
pub(crate) const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
pub(crate) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];

pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len();
    let octets = length.to_be_bytes();
    let head = match length {
        0..0x80 => vec![tag, octets[7]],
        0x80..0x100 => vec![tag, 0x81, octets[7]],
        _ => vec![tag, 0x82, octets[6], octets[7]],
    };
    [head, contents].concat()
}

/// The same with an indefinite length.
pub(crate) fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], &parts.concat()[..], &[0, 0]].concat()
}

pub(crate) fn oid(contents: &[u8]) -> Vec<u8> {
    der(0x06, &[contents])
}

pub(crate) fn content_type_attribute(content_type: &[u8]) -> Vec<u8> {
    der(0x30, &[&oid(CONTENT_TYPE), &der(0x31, &[&oid(content_type)])])
}

pub(crate) fn digest_attribute(content: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    let value = der(0x04, &[digest(&SHA256, content).as_ref()]);
    der(0x30, &[&oid(MESSAGE_DIGEST), &der(0x31, &[&value])])
}

/// A value whose length has more octets than needed.
pub(crate) fn long(tag: u8, octets: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let digits = contents.len().to_be_bytes();
    let digits = &digits[digits.len() - usize::from(octets)..];
    [&[tag, 0x80 | octets], digits, &contents].concat()
}

/// SignedData in parts.
pub(crate) struct Crafted {
    pub(crate) outer_type: Vec<u8>,
    /// CMSVersion.
    pub(crate) version: u8,
    pub(crate) content_type: Vec<u8>,
    /// What stands inside the explicit tag of the content; none if detached.
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) certificates: Vec<u8>,
    pub(crate) signer_identifier: Vec<u8>,
    pub(crate) digest: Vec<u8>,
    /// As sent.
    pub(crate) attributes: Option<Vec<Vec<u8>>>,
    /// As signed; the same as sent if none.
    pub(crate) attributes_signed: Option<Vec<Vec<u8>>>,
    /// The contents of the signature's algorithm identifier.
    pub(crate) algorithm: Vec<u8>,
    /// How often the signer stands there.
    pub(crate) signers: usize,
    pub(crate) is_ber: bool,
}

impl Crafted {
    /// What is right, with `signer` and its certificate.
    pub(crate) fn new(content: &[u8], signer: &Certificate) -> Self {
        Self {
            outer_type: SIGNED_DATA.to_vec(),
            version: 3,
            content_type: ID_VOUCHER.to_vec(),
            content: Some(der(0x04, &[content])),
            certificates: signer.der().to_vec(),
            signer_identifier: der(0x30, &[signer.issuer_der(), &der(0x02, &[signer.serial()])]),
            digest: SHA256.to_vec(),
            attributes: Some(vec![content_type_attribute(ID_VOUCHER), digest_attribute(content)]),
            attributes_signed: None,
            algorithm: oid(ECDSA_SHA256),
            signers: 1,
            is_ber: false,
        }
    }

    pub(crate) fn sign(&self, party: &Party) -> Vec<u8> {
        let wrap = if self.is_ber { ber } else { der };
        let as_sent = self.attributes.clone().unwrap_or_default();
        let as_signed = self.attributes_signed.clone().unwrap_or_else(|| as_sent.clone());
        let signature = party.signer.sign(&der(0x31, &[&as_signed.concat()])).unwrap();
        let attributes = match self.attributes {
            Some(_) => der(0xa0, &[&as_sent.concat()]),
            None => Vec::new(),
        };
        let digest = der(0x30, &[&oid(&self.digest)]);
        let signer = der(
            0x30,
            &[
                &[2, 1, 1],
                &self.signer_identifier,
                &digest,
                &attributes,
                &der(0x30, &[&self.algorithm]),
                &der(0x04, &[&signature]),
            ],
        );
        let content = match &self.content {
            Some(content) => wrap(0xa0, &[content]),
            None => Vec::new(),
        };
        let signed_data = wrap(
            0x30,
            &[
                &[2, 1, self.version],
                &der(0x31, &[&digest]),
                &wrap(0x30, &[&oid(&self.content_type), &content]),
                &der(0xa0, &[&self.certificates]),
                &der(0x31, &[&signer.repeat(self.signers)]),
            ],
        );
        wrap(0x30, &[&oid(&self.outer_type), &wrap(0xa0, &[&signed_data])])
    }
}

/// A certificate in parts, signed by `issuer` with SHA-384.
pub(crate) struct CraftedCertificate {
    /// The whole explicit version field; empty for X.509v1.
    pub(crate) version: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    /// The whole explicit extensions field; may be empty.
    pub(crate) extensions: Vec<u8>,
    /// The contents of the inner algorithm identifier.
    pub(crate) inner_algorithm: Vec<u8>,
    pub(crate) not_after: Vec<u8>,
}

impl CraftedCertificate {
    /// The subject and key of `like`, as X.509v1.
    pub(crate) fn version_1(like: &Certificate) -> Self {
        Self {
            version: Vec::new(),
            serial: vec![7],
            subject: like.subject_der().to_vec(),
            spki: like.spki_der().to_vec(),
            extensions: Vec::new(),
            inner_algorithm: oid(ECDSA_SHA384),
            not_after: der(0x18, &[b"99991231235959Z"]),
        }
    }

    pub(crate) fn sign(&self, issuer: &Party) -> Vec<u8> {
        let body = der(
            0x30,
            &[
                &self.version,
                &der(0x02, &[&self.serial]),
                &der(0x30, &[&self.inner_algorithm]),
                issuer.certificate.subject_der(),
                &der(0x30, &[&der(0x17, &[b"260101000000Z"]), &self.not_after]),
                &self.subject,
                &self.spki,
                &self.extensions,
            ],
        );
        let signature = issuer.signer.sign(&body).unwrap();
        let signature = der(0x03, &[&[0], &signature]);
        der(0x30, &[&body, &der(0x30, &[&oid(ECDSA_SHA384)]), &signature])
    }
}
