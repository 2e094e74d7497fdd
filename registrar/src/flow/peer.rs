//! Who is at the other end: judged anew for each request, since a resumed session skips the TLS verifier.

use std::sync::Arc;

use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::trust::ValidityTime;
use rustls_pki_types::CertificateDer;

use super::refusal::Refusal;
use crate::clock::unix_time;
use crate::policy::manufacturers::{KnownManufacturer, ManufacturerDirectory, has_ended};
use crate::store::model::{Credential, IssuedCertificate, KnownDevice, Millis};

/// A device that showed an IDevID of a known manufacturer.
#[derive(Clone, Debug)]
pub struct Idevid {
    /// The manufacturer that vouches for it.
    pub manufacturer: Arc<KnownManufacturer>,
    /// The serial number, read by the registrar itself (RFC 8995 §5.5).
    pub serial: SerialNumber,
    /// The IDevID.
    pub certificate: Certificate,
    /// What the device sent beside it: its issuers, as far as it knows them.
    pub intermediates: Vec<Certificate>,
    /// Whether it has ended, which does not matter to its manufacturer (RFC 8995 §2.6.2).
    pub has_ended: bool,
}

/// What the client of a TLS session proved to be.
#[derive(Clone, Debug)]
pub enum PeerIdentity {
    /// It showed no certificate.
    None,
    /// It showed a certificate that nobody here vouches for.
    Unknown {
        /// Why not.
        reason: String,
    },
    /// It showed an IDevID.
    Idevid(Box<Idevid>),
    /// It showed exactly a certificate that this registrar obtained, which is not revoked.
    Issued {
        /// The certificate.
        certificate: Box<IssuedCertificate>,
        /// The device that it was issued to.
        device: Box<KnownDevice>,
    },
    /// It showed a certificate of ours that was revoked.
    Revoked,
    /// It showed no certificate that counts, and gave the secret of a credential.
    Credential {
        /// The credential.
        credential: Box<Credential>,
        /// The device that enrolled with it before.
        device: Option<Box<KnownDevice>>,
    },
}

/// Judges the certificates of a session.
///
/// `certificates`: as sent, the client's own first. `issued`: the stored certificate with exactly these bytes.
///
/// # Errors
/// [`Refusal::SerialNumberUnusable`] if a manufacturer vouches for the certificate but it names no device.
pub fn judge(
    certificates: &[CertificateDer<'_>],
    issued: Option<(IssuedCertificate, KnownDevice)>,
    manufacturers: &ManufacturerDirectory,
    now: Millis,
) -> Result<PeerIdentity, Refusal> {
    if let Some((certificate, device)) = issued {
        return Ok(match certificate.revoked_at {
            Some(_) => PeerIdentity::Revoked,
            None => PeerIdentity::Issued {
                certificate: Box::new(certificate),
                device: Box::new(device),
            },
        });
    }
    let Some((own, above)) = certificates.split_first() else {
        return Ok(PeerIdentity::None);
    };
    let certificate = match Certificate::from_der(own) {
        Ok(certificate) => certificate,
        Err(error) => return Ok(PeerIdentity::Unknown { reason: error.to_string() }),
    };
    // An intermediate that cannot be read cannot help; the path check says what is missing.
    let intermediates: Vec<Certificate> =
        above.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let time = ValidityTime::At(unix_time(now));
    match manufacturers.identify(&certificate, &intermediates, time) {
        Err(reason) => Ok(PeerIdentity::Unknown { reason }),
        Ok(manufacturer) => {
            let serial = manufacturer
                .serial_rules
                .read(&certificate)
                .map_err(|error| Refusal::SerialNumberUnusable { reason: error.to_string() })?;
            let has_ended = has_ended(&certificate, unix_time(now).as_secs());
            Ok(PeerIdentity::Idevid(Box::new(Idevid {
                manufacturer,
                serial,
                certificate,
                intermediates,
                has_ended,
            })))
        }
    }
}

/// Takes a client at its word whose certificate nobody vouches for: it is a device of this manufacturer.
///
/// Only where an administrator says that nobody but expected devices can come (RFC 8995 §7.3).
#[must_use]
pub fn unproven(
    certificates: &[CertificateDer<'_>],
    manufacturer: Arc<KnownManufacturer>,
) -> Option<PeerIdentity> {
    let certificate = Certificate::from_der(certificates.first()?).ok()?;
    let serial = manufacturer.serial_rules.read(&certificate).ok()?;
    let intermediates = Vec::new();
    Some(PeerIdentity::Idevid(Box::new(Idevid {
        manufacturer,
        serial,
        certificate,
        intermediates,
        // Nobody vouches for its dates either.
        has_ended: false,
    })))
}

impl PeerIdentity {
    /// The IDevID, which BRSKI's requests need.
    ///
    /// # Errors
    /// The refusal that tells the peer what it lacks.
    pub fn idevid(&self) -> Result<&Idevid, Refusal> {
        match self {
            Self::Idevid(idevid) => Ok(idevid),
            Self::None => Err(Refusal::NoClientCertificate),
            Self::Unknown { reason } => {
                Err(Refusal::UnknownManufacturer { reason: reason.clone() })
            }
            Self::Issued { .. } => Err(Refusal::IdevidNeeded),
            Self::Revoked => Err(Refusal::CertificateRevoked),
            Self::Credential { .. } => Err(Refusal::NoClientCertificate),
        }
    }

    /// Whether it proved to be a device that somebody here vouches for.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Idevid(_) | Self::Issued { .. } | Self::Credential { .. } => true,
            Self::None | Self::Unknown { .. } | Self::Revoked => false,
        }
    }

    /// The certificate of its session, where somebody here vouches for it.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Self::Idevid(idevid) => Some(idevid.certificate.der()),
            Self::Issued { certificate, .. } => Some(&certificate.certificate),
            Self::None | Self::Unknown { .. } | Self::Revoked | Self::Credential { .. } => None,
        }
    }

    /// What it proved, in words for the trail.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::None => "no client certificate".to_owned(),
            Self::Unknown { .. } => "unknown certificate".to_owned(),
            Self::Idevid(idevid) => {
                let ended = if idevid.has_ended { "ended " } else { "" };
                format!("{ended}IDevID {} of {}", idevid.serial, idevid.manufacturer.row.name)
            }
            Self::Issued { certificate, .. } => format!("certificate {}", certificate.fingerprint),
            Self::Revoked => "revoked certificate".to_owned(),
            Self::Credential { credential, .. } => format!("credential {}", credential.name),
        }
    }
}
