//! SignedData around a package of keys: who made the key signs it (RFC 7030 §4.4.2, RFC 5652 §5, RFC 5958 §4).

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{EnvelopeError, OpenError};
use crate::certificate::Fields;
use crate::csr_builder::{Hash, Signer, attribute};
use crate::oid;
use crate::signature;
use crate::tlv::{
    INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, Value, inside,
    object_identifier, sequence, tagged, values,
};

const VERSION_1: &[u8] = &[0x02, 1, 1];
const VERSION_3: &[u8] = &[0x02, 1, 3];
const IMPLICIT_0: u8 = 0xa0;
const KEY_IDENTIFIER: u8 = 0x80;
/// The most certificates that are looked at.
const CERTIFICATES_MOST: usize = 16;

/// Signs a content of type `kind`. `chain`: the signer's certificate first. Gives SignedData, without a ContentInfo.
pub(super) fn sign(
    kind: &[u8],
    content: &[u8],
    signer: &dyn Signer,
    chain: &[CertificateDer<'_>],
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let own = chain.first().ok_or(EnvelopeError::SignerCertificate)?;
    let fields = Fields::read(own).ok_or(EnvelopeError::SignerCertificate)?;
    if fields.spki != signer.spki_der() {
        return Err(EnvelopeError::SignerCertificate);
    }
    let hash = signer.algorithm().hash();
    let digest_algorithm = sequence(&[&object_identifier(hash_oid(hash))]);
    let content_digest = digest::digest(hash_algorithm(hash), content);
    let mut attributes = [
        attribute(oid::CONTENT_TYPE, &object_identifier(kind)),
        attribute(oid::MESSAGE_DIGEST, &tagged(OCTET_STRING, content_digest.as_ref())),
    ];
    // What is signed is the SET OF, in the order of its encodings (RFC 5652 §5.4).
    attributes.sort_unstable();
    let attributes = attributes.concat();
    let signature = signer.sign(&tagged(SET, &attributes)).map_err(|_| EnvelopeError::Signing)?;
    let signer_info = sequence(&[
        VERSION_1,
        &sequence(&[fields.issuer, &tagged(INTEGER, fields.serial)]),
        &digest_algorithm,
        &tagged(IMPLICIT_0, &attributes),
        &signer.algorithm().identifier(),
        &tagged(OCTET_STRING, &signature),
    ]);
    let certificates: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    // What holds the content is secret as the content is.
    let content = Zeroizing::new(tagged(OCTET_STRING, content));
    let content = Zeroizing::new(tagged(IMPLICIT_0, &content));
    let encapsulated = Zeroizing::new(sequence(&[&object_identifier(kind), &content]));
    // The version says that the content is of another type than id-data (RFC 5652 §5.1).
    Ok(Zeroizing::new(sequence(&[
        VERSION_3,
        &tagged(SET, &digest_algorithm),
        &encapsulated,
        &tagged(IMPLICIT_0, &certificates.concat()),
        &tagged(SET, &signer_info),
    ])))
}

/// A content whose signature holds, and the certificates that came with it, the signer's first.
pub(super) struct Signed {
    pub(super) kind: Vec<u8>,
    pub(super) content: Zeroizing<Vec<u8>>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Reads SignedData and checks its one signature, which must be over attributes.
pub(super) fn verify(signed_data: &[u8]) -> Result<Signed, OpenError> {
    let wrong = OpenError::Structure("SignedData");
    let fields = inside(signed_data, SEQUENCE).ok_or(wrong.clone())?;
    let [_, _, encapsulated, rest @ ..] = fields.as_slice() else {
        return Err(wrong);
    };
    let (kind, content) = encapsulated_content(encapsulated).ok_or(wrong.clone())?;
    let certificates = rest.iter().find(|field| field.tag == IMPLICIT_0);
    let certificates =
        values(certificates.map_or(&[][..], |field| field.contents)).map_err(|_| wrong.clone())?;
    let certificates: Vec<&[u8]> = certificates
        .iter()
        .filter(|each| each.tag == SEQUENCE)
        .take(CERTIFICATES_MOST)
        .map(|each| each.whole)
        .collect();
    let signer_infos = rest.last().filter(|field| field.tag == SET).ok_or(wrong.clone())?;
    let signer_infos = values(signer_infos.contents).map_err(|_| wrong.clone())?;
    let [signer_info] = signer_infos.as_slice() else {
        return Err(OpenError::Structure("list of signers"));
    };
    let info = SignerInfo::read(signer_info).ok_or(OpenError::Structure("SignerInfo"))?;
    let position = certificates
        .iter()
        .position(|der| Fields::read(der).is_some_and(|fields| info.is_by(&fields)))
        .ok_or(OpenError::NoSigner)?;
    let (before, from) = certificates.split_at(position);
    let signer = from.first().and_then(|der| Fields::read(der)).ok_or(OpenError::NoSigner)?;
    info.check(&signer, kind, content)?;
    let signer_first =
        from.iter().take(1).chain(before).chain(from.iter().skip(1)).map(|der| der.to_vec());
    Ok(Signed {
        kind: kind.to_vec(),
        content: Zeroizing::new(content.to_vec()),
        certificates: signer_first.map(CertificateDer::from).collect(),
    })
}

/// The type and the octets of an EncapsulatedContentInfo.
fn encapsulated_content<'a>(encapsulated: &Value<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let parts = values(encapsulated.contents).ok()?;
    let [kind, wrapped] = parts.as_slice() else { return None };
    let content = values(wrapped.contents).ok()?;
    match content.as_slice() {
        [content]
            if [kind.tag, wrapped.tag, content.tag]
                == [OBJECT_IDENTIFIER, IMPLICIT_0, OCTET_STRING] =>
        {
            Some((kind.contents, content.contents))
        }
        _ => None,
    }
}

struct SignerInfo<'a> {
    identifier: Value<'a>,
    hash: Hash,
    attributes: &'a [u8],
    /// The contents of the AlgorithmIdentifier.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> SignerInfo<'a> {
    fn read(value: &Value<'a>) -> Option<Self> {
        let fields = values(value.contents).ok()?;
        let [_, identifier, digest, attributes, algorithm, signature, ..] = fields.as_slice()
        else {
            return None;
        };
        let tags = [digest.tag, attributes.tag, algorithm.tag, signature.tag];
        if tags != [SEQUENCE, IMPLICIT_0, SEQUENCE, OCTET_STRING] {
            return None;
        }
        let digest = values(digest.contents).ok()?.first()?.contents;
        Some(Self {
            identifier: *identifier,
            hash: [Hash::Sha256, Hash::Sha384, Hash::Sha512]
                .into_iter()
                .find(|hash| hash_oid(*hash) == digest)?,
            attributes: attributes.contents,
            algorithm: algorithm.contents,
            signature: signature.contents,
        })
    }

    /// Whether it names this certificate, by issuer and serial number or by its key's identifier.
    fn is_by(&self, certificate: &Fields<'_>) -> bool {
        match self.identifier.tag {
            KEY_IDENTIFIER => {
                certificate.subject_key_identifier() == Some(self.identifier.contents)
            }
            _ => match values(self.identifier.contents).as_deref() {
                Ok([issuer, serial]) => {
                    issuer.whole == certificate.issuer && serial.contents == certificate.serial
                }
                _ => false,
            },
        }
    }

    fn check(&self, signer: &Fields<'_>, kind: &[u8], content: &[u8]) -> Result<(), OpenError> {
        let digest = digest::digest(hash_algorithm(self.hash), content);
        let expected = [
            (oid::CONTENT_TYPE, object_identifier(kind)),
            (oid::MESSAGE_DIGEST, tagged(OCTET_STRING, digest.as_ref())),
        ];
        if !expected.iter().all(|(kind, value)| self.has_attribute(kind, value)) {
            return Err(OpenError::Signature);
        }
        let algorithm = self.signature_algorithm();
        signature::verify(signer.spki, &algorithm, &tagged(SET, self.attributes), self.signature)
            .map_err(|_| OpenError::Signature)
    }

    /// Whether the attribute is there once, with this one value.
    fn has_attribute(&self, kind: &[u8], value: &[u8]) -> bool {
        let attributes = values(self.attributes).unwrap_or_default();
        let mut found = attributes.iter().filter_map(|attribute| {
            match values(attribute.contents).ok()?.as_slice() {
                [found, set] if found.contents == kind => Some(set.contents),
                _ => None,
            }
        });
        found.next() == Some(value) && found.next().is_none()
    }

    /// RSA may be written as the key's algorithm alone, with the hash beside it (RFC 3370 §3.2).
    fn signature_algorithm(&self) -> Vec<u8> {
        let is_rsa_alone = values(self.algorithm).is_ok_and(|parts| {
            parts.first().is_some_and(|kind| kind.contents == oid::RSA_ENCRYPTION)
        });
        let kind = match self.hash {
            Hash::Sha256 => oid::RSA_SHA256,
            Hash::Sha384 => oid::RSA_SHA384,
            Hash::Sha512 => oid::RSA_SHA512,
        };
        match is_rsa_alone {
            true => [object_identifier(kind), tagged(NULL, &[])].concat(),
            false => self.algorithm.to_vec(),
        }
    }
}

fn hash_oid(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha256 => oid::SHA256,
        Hash::Sha384 => oid::SHA384,
        Hash::Sha512 => oid::SHA512,
    }
}

fn hash_algorithm(hash: Hash) -> &'static digest::Algorithm {
    match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    }
}
