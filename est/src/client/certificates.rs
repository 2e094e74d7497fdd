//! Certificates in whatever form a server sends them.
//!
//! The standard's is base64 around certs-only CMS. In the field there are PEM blocks of it, PEM blocks of certificates,
//! and a bare certificate; with the chain and without, in any order, under any media type.

use rustls_pki_types::CertificateDer;

use super::ReadError;
use crate::certificate::Fields;
use crate::certs_only;
use crate::transfer::{self, TransferError};

/// The longest body that is read, in octets.
const BODY_OCTETS: usize = 512 * 1024;
const PEM_CERTIFICATE: &str = "CERTIFICATE";

/// Reads all certificates in a body, in the order sent; at least one.
pub(super) fn read(body: &[u8]) -> Result<Vec<CertificateDer<'static>>, ReadError> {
    let certificates = match transfer::pem_blocks(body, PEM_CERTIFICATE, BODY_OCTETS) {
        Ok(blocks) if !blocks.is_empty() => {
            blocks.into_iter().map(|der| one(&der)).collect::<Result<_, _>>()?
        }
        // No block at all, or one of CMS.
        Ok(_) | Err(TransferError::Label { .. }) => {
            let der = transfer::decode_within(body, BODY_OCTETS)?;
            match certs_only::decode(&der) {
                Ok(certificates) => certificates,
                Err(error) => vec![one(&der).map_err(|_| error)?],
            }
        }
        Err(error) => return Err(error.into()),
    };
    if certificates.is_empty() { Err(ReadError::NoCertificate) } else { Ok(certificates) }
}

/// The certificate of a key, and the others in the order sent.
pub(super) fn of_key(
    mut certificates: Vec<CertificateDer<'static>>,
    spki: &[u8],
) -> Result<(CertificateDer<'static>, Vec<CertificateDer<'static>>), ReadError> {
    let is_of_key =
        |der: &CertificateDer<'_>| Fields::read(der).is_some_and(|fields| fields.spki == spki);
    let place = certificates.iter().position(is_of_key).ok_or(ReadError::NoCertificateOfKey)?;
    let own = certificates.remove(place);
    Ok((own, certificates))
}

fn one(der: &[u8]) -> Result<CertificateDer<'static>, ReadError> {
    match Fields::read(der) {
        Some(_) => Ok(CertificateDer::from(der.to_vec())),
        None => Err(ReadError::NoCertificate),
    }
}
