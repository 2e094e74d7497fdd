//! Writes CMS SignedData: one signer, signed attributes in DER order, the signer's certificate first.
//!
//! Written by hand, since a typed SET OF sorts the certificates, and some readers take the first for the signer's.
//! RFC 5652 §5, RFC 8366 §5.4.

use rustls_pki_types::UnixTime;

use super::{CONTENT_TYPE, ID_SIGNED_DATA, MESSAGE_DIGEST, SIGNING_TIME, content_type};
use crate::certificate::Certificate;
use crate::encoding::Encoding;
use crate::signature::{SignError, Signer};
use crate::tlv::{INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, tagged};

/// Signs `content`. `own`: the signer's certificate. `chain`: what is carried.
pub(crate) fn sign(
    content: &[u8],
    encoding: Encoding,
    signer: &dyn Signer,
    own: &Certificate,
    chain: &[Certificate],
    signing_time: UnixTime,
) -> Result<Vec<u8>, SignError> {
    let hash = signer.algorithm().hash();
    let content_type = oid(content_type(encoding));
    let digest_algorithm = sequence(&[&oid(hash.oid())]);
    let mut attributes = [
        attribute(CONTENT_TYPE, &content_type),
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
        &sequence(&[signer.algorithm().identifier()]),
        &tagged(OCTET_STRING, &signature),
    ]);
    let certificates: Vec<&[u8]> = chain.iter().map(|each| each.der().as_ref()).collect();
    // RFC 5652 §5.1: version 1 belongs to id-data, 3 to any other content.
    let version = if encoding == Encoding::CmsIdData { 1 } else { 3 };
    let signed_data = sequence(&[
        &tagged(INTEGER, &[version]),
        &tagged(SET, &digest_algorithm),
        &sequence(&[&content_type, &tagged(0xa0, &tagged(OCTET_STRING, content))]),
        &tagged(0xa0, &certificates.concat()),
        &tagged(SET, &signer_info),
    ]);
    Ok(sequence(&[&oid(ID_SIGNED_DATA), &tagged(0xa0, &signed_data)]))
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
    let at = i64::try_from(at.as_secs())
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(SignError::Time { seconds: at.as_secs() })?;
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
