//! Writes CMS SignedData: version 3, one signer, signed attributes in DER order, the signer's certificate first.
//!
//! Written by hand where the `cms` crate's typed SET OF would sort the certificates away from leaf first.

use rustls_pki_types::UnixTime;

use super::{CONTENT_TYPE, ID_SIGNED_DATA, MESSAGE_DIGEST};
use crate::certificate::Certificate;
use crate::signature::{Hash, SignError, SignatureAlgorithm, Signer};
use crate::tlv::{INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET};

const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];

/// Signs `content`. `chain`: the signer's certificate first; all of it is carried.
pub(crate) fn sign(
    content: &[u8],
    content_type: &[u8],
    signer: &dyn Signer,
    chain: &[Certificate],
    signing_time: UnixTime,
) -> Result<Vec<u8>, SignError> {
    let own = chain.first().ok_or(SignError::NoCertificate)?;
    if own.spki_der() != signer.spki_der() {
        return Err(SignError::ForeignCertificate);
    }
    let (hash, digest_oid, signature_oid) = match signer.algorithm() {
        SignatureAlgorithm::EcdsaSha256 => (Hash::Sha256, SHA256, ECDSA_SHA256),
        SignatureAlgorithm::EcdsaSha384 => (Hash::Sha384, SHA384, ECDSA_SHA384),
    };
    let digest_algorithm = sequence(&[&oid(digest_oid)]);
    let mut attributes = [
        attribute(CONTENT_TYPE, &oid(content_type)),
        attribute(SIGNING_TIME, &moment(signing_time)?),
        attribute(MESSAGE_DIGEST, &tagged(OCTET_STRING, &hash.digest(content))),
    ];
    attributes.sort_unstable();
    let attributes = attributes.concat();
    let signature = signer.sign(&tagged(SET, &attributes))?;
    let signer_info = sequence(&[
        &tagged(INTEGER, &[1]),
        &sequence(&[own.issuer_der(), &tagged(INTEGER, own.serial())]),
        &digest_algorithm,
        &tagged(0xa0, &attributes),
        &sequence(&[&oid(signature_oid)]),
        &tagged(OCTET_STRING, &signature),
    ]);
    let certificates: Vec<&[u8]> = chain.iter().map(|each| each.der().as_ref()).collect();
    let signed_data = sequence(&[
        &tagged(INTEGER, &[3]),
        &tagged(SET, &digest_algorithm),
        &sequence(&[&oid(content_type), &tagged(0xa0, &tagged(OCTET_STRING, content))]),
        &tagged(0xa0, &certificates.concat()),
        &tagged(SET, &signer_info),
    ]);
    Ok(sequence(&[&oid(ID_SIGNED_DATA), &tagged(0xa0, &signed_data)]))
}

/// A value with a definite length in as few octets as there are.
pub(crate) fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    let length = contents.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
    match (contents.len(), u8::try_from(digits.len())) {
        (0..0x80, _) => octets.push(digits.first().copied().unwrap_or(0)),
        (_, Ok(count)) => {
            octets.push(0x80 | count);
            octets.extend_from_slice(&digits);
        }
        // A length of more than 127 octets does not exist.
        (_, Err(_)) => {}
    }
    octets.extend_from_slice(contents);
    octets
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

fn oid(contents: &[u8]) -> Vec<u8> {
    tagged(OBJECT_IDENTIFIER, contents)
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &tagged(SET, value)])
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5652 §11.3).
fn moment(at: UnixTime) -> Result<Vec<u8>, SignError> {
    let seconds = i64::try_from(at.as_secs()).map_err(|_| SignError::Encoding)?;
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| SignError::Encoding)?;
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    Ok(match at.year() {
        year @ 1950..2050 => tagged(0x17, format!("{:02}{rest}", year % 100).as_bytes()),
        year => tagged(0x18, format!("{year:04}{rest}").as_bytes()),
    })
}
