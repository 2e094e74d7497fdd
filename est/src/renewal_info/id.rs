//! The id of a certificate in a path: its authority's key identifier and its serial number (RFC 9773 §4.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::certificate::Fields;

/// The longest key identifier and the longest serial number, in octets. RFC 5280 knows 20; CAs exceed it.
const PART_OCTETS: usize = 64;

/// Why there is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertificateIdError {
    /// The text is not two parts in base64url with a full stop between.
    #[error("the text is no certificate's id")]
    Text,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The certificate does not say which key signed it.
    #[error("the certificate has no authority key identifier")]
    NoKeyIdentifier,
    /// A part is empty, or longer than any is.
    #[error("a key identifier or serial number has 1 to {PART_OCTETS} octets")]
    Length,
}

/// Names a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateId {
    key_identifier: Vec<u8>,
    serial: Vec<u8>,
}

impl CertificateId {
    /// Takes the two parts. `key_identifier`: of the authority's key; `serial`: the contents of the serial number as
    /// DER has them, a leading zero octet included.
    ///
    /// # Errors
    /// [`CertificateIdError::Length`].
    pub fn new(key_identifier: &[u8], serial: &[u8]) -> Result<Self, CertificateIdError> {
        let fits = |part: &[u8]| (1..=PART_OCTETS).contains(&part.len());
        if !fits(key_identifier) || !fits(serial) {
            return Err(CertificateIdError::Length);
        }
        Ok(Self { key_identifier: key_identifier.to_vec(), serial: serial.to_vec() })
    }

    /// The id of a certificate.
    ///
    /// # Errors
    /// [`CertificateIdError::Certificate`], [`CertificateIdError::NoKeyIdentifier`], [`CertificateIdError::Length`].
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateIdError> {
        let fields = Fields::read(certificate).ok_or(CertificateIdError::Certificate)?;
        let key_identifier =
            fields.authority_key_identifier().ok_or(CertificateIdError::NoKeyIdentifier)?;
        Self::new(key_identifier, fields.serial)
    }

    /// Reads its text: base64url without padding of each part.
    ///
    /// # Errors
    /// [`CertificateIdError::Text`], [`CertificateIdError::Length`].
    pub fn parse(text: &str) -> Result<Self, CertificateIdError> {
        // Four characters hold three octets.
        if text.len() > 2 * (PART_OCTETS / 3 + 1) * 4 + 1 {
            return Err(CertificateIdError::Length);
        }
        let (key_identifier, serial) = text.split_once('.').ok_or(CertificateIdError::Text)?;
        let decode =
            |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| CertificateIdError::Text);
        Self::new(&decode(key_identifier)?, &decode(serial)?)
    }

    /// The key identifier of the certificate's authority.
    #[must_use]
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// The contents of the serial number as DER has them.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        write!(formatter, "{}.{}", encode(&self.key_identifier), encode(&self.serial))
    }
}
