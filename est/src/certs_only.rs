//! A "certs-only" message: CMS SignedData without content and signers, around certificates (RFC 7030 §4.1.3, RFC 5272 §4.1).

use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::tlv::{
    OBJECT_IDENTIFIER, SEQUENCE, SET, inside, object_identifier, sequence, tagged, values,
};
use crate::{ber, oid};

const VERSION_1: &[u8] = &[0x02, 1, 1];
const EXPLICIT_0: u8 = 0xa0;
/// The longest message that is read, in octets.
pub const MESSAGE_OCTETS: usize = 256 * 1024;
/// The most certificates in a message that is read.
pub const CERTIFICATES_MOST: usize = 256;

/// Why octets are no certs-only message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertsOnlyError {
    /// It is longer than this library reads.
    #[error("the message has {octets} octets, more than {MESSAGE_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It is no CMS SignedData.
    #[error("the message is no certs-only CMS")]
    NotSignedData,
    /// It holds more certificates than any chain needs.
    #[error("the message holds {count} certificates, more than {CERTIFICATES_MOST}")]
    TooMany {
        /// How many.
        count: usize,
    },
}

/// Wraps certificates, in the order given: clients that want one take the first.
///
/// (CMS asks for a SET OF in DER order; every client reads any order, and some read only the first.)
#[must_use]
pub fn encode(certificates: &[&CertificateDer<'_>]) -> Vec<u8> {
    let certificates: Vec<&[u8]> = certificates.iter().map(|each| each.as_ref()).collect();
    let signed_data = sequence(&[
        VERSION_1,
        &tagged(SET, &[]),
        &sequence(&[&object_identifier(oid::DATA)]),
        &tagged(EXPLICIT_0, &certificates.concat()),
        &tagged(SET, &[]),
    ]);
    sequence(&[&object_identifier(oid::SIGNED_DATA), &tagged(EXPLICIT_0, &signed_data)])
}

/// Reads the certificates, in the order sent.
///
/// Takes BER as well as DER, and passes over CRLs, attribute certificates and signatures: some servers add them, and
/// it is the TLS session that vouches for what is in it.
///
/// # Errors
/// [`CertsOnlyError`].
pub fn decode(octets: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertsOnlyError> {
    if octets.len() > MESSAGE_OCTETS {
        return Err(CertsOnlyError::TooLong { octets: octets.len() });
    }
    let der = ber::definite(octets).ok_or(CertsOnlyError::NotSignedData)?;
    let choices = certificates(&der).ok_or(CertsOnlyError::NotSignedData)?;
    if choices.len() > CERTIFICATES_MOST {
        return Err(CertsOnlyError::TooMany { count: choices.len() });
    }
    Ok(choices)
}

fn certificates(der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let outer = inside(der, SEQUENCE)?;
    let [kind, wrapped] = outer.as_slice() else {
        return None;
    };
    if [kind.tag, wrapped.tag] != [OBJECT_IDENTIFIER, EXPLICIT_0]
        || kind.contents != oid::SIGNED_DATA
    {
        return None;
    }
    let fields = inside(wrapped.contents, SEQUENCE)?;
    let certificates = fields.iter().find(|field| field.tag == EXPLICIT_0);
    let choices = values(certificates.map_or(&[][..], |field| field.contents)).ok()?;
    let certificates = choices.iter().filter(|choice| choice.tag == SEQUENCE);
    Some(certificates.map(|choice| CertificateDer::from(choice.whole.to_vec())).collect())
}
