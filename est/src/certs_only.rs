//! A "certs-only" message: CMS SignedData without content and signers, around certificates (RFC 7030 §4.1.3, RFC 5272 §4.1).

use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::tlv::{OBJECT_IDENTIFIER, SEQUENCE, SET, inside, oid, sequence, tagged, values};

const ID_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const VERSION_1: &[u8] = &[0x02, 1, 1];
const EXPLICIT_0: u8 = 0xa0;
/// The longest message that is read, in octets.
const MESSAGE_OCTETS: usize = 256 * 1024;

/// Why octets are no certs-only message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the message is no certs-only CMS")]
pub struct CertsOnlyError;

/// Wraps certificates, in the order given: clients that want one take the first.
///
/// (CMS asks for a SET OF in DER order; every client reads any order, and some read only the first.)
#[must_use]
pub fn encode(certificates: &[&CertificateDer<'_>]) -> Vec<u8> {
    let certificates: Vec<&[u8]> = certificates.iter().map(|each| each.as_ref()).collect();
    let signed_data = sequence(&[
        VERSION_1,
        &tagged(SET, &[]),
        &sequence(&[&oid(ID_DATA)]),
        &tagged(EXPLICIT_0, &certificates.concat()),
        &tagged(SET, &[]),
    ]);
    sequence(&[&oid(ID_SIGNED_DATA), &tagged(EXPLICIT_0, &signed_data)])
}

/// Reads the certificates, in the order sent.
///
/// # Errors
/// [`CertsOnlyError`].
pub fn decode(der: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertsOnlyError> {
    if der.len() > MESSAGE_OCTETS {
        return Err(CertsOnlyError);
    }
    let outer = inside(der, SEQUENCE).ok_or(CertsOnlyError)?;
    let [kind, wrapped] = outer.as_slice() else {
        return Err(CertsOnlyError);
    };
    if kind.tag != OBJECT_IDENTIFIER || kind.contents != ID_SIGNED_DATA || wrapped.tag != EXPLICIT_0
    {
        return Err(CertsOnlyError);
    }
    let fields = inside(wrapped.contents, SEQUENCE).ok_or(CertsOnlyError)?;
    let certificates = fields.iter().find(|field| field.tag == EXPLICIT_0);
    let certificates = certificates.map_or(&[][..], |field| field.contents);
    Ok(values(certificates)
        .map_err(|_| CertsOnlyError)?
        .into_iter()
        .filter(|choice| choice.tag == SEQUENCE)
        .map(|choice| CertificateDer::from(choice.whole.to_vec()))
        .collect())
}
