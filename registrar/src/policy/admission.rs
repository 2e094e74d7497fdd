//! May this device join, and under which name? (RFC 8995 §5.3.)
//!
//! Invariant: nothing but this file makes an [`Admitted`], and nothing without one gets a voucher or a certificate.

use brski_voucher::certificate::Certificate;

use super::name::{NameSource, candidates};
use crate::flow::peer::Idevid;
use crate::flow::refusal::Refusal;
use crate::store::model::{
    Device, DeviceState, Id, Identity, IssuedCertificate, KnownDevice, Millis, Sha256,
};

/// Proof that policy lets a device in, asked at this very request.
#[derive(Clone, Debug)]
pub struct Admitted {
    known: KnownDevice,
}

impl Admitted {
    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.known.device
    }

    /// The device with its identity.
    #[must_use]
    pub fn known(&self) -> &KnownDevice {
        &self.known
    }
}

/// Where a new device gets its name and profile from.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// The profile, by its name in the configuration.
    pub profile: &'a str,
    /// The profile's name template.
    pub template: &'a str,
    /// The profile's zone.
    pub zone: &'a str,
}

/// Asks policy about a device that is known already.
///
/// # Errors
/// [`Refusal::KeyChanged`] if the IDevID has another key than the one that was admitted;
/// [`Refusal::DeviceBarred`] if the device is retired, blocked, or not admitted yet.
pub fn readmit(known: KnownDevice, idevid: &Idevid) -> Result<Admitted, Refusal> {
    if known.identity.spki != key_digest(&idevid.certificate) {
        return Err(Refusal::KeyChanged { serial: idevid.serial.to_string() });
    }
    open(known)
}

/// Asks policy about the device of a certificate that this registrar issued.
///
/// # Errors
/// [`Refusal::CertificateRevoked`], or [`Refusal::DeviceBarred`] as for [`readmit`].
pub fn readmit_issued(
    known: KnownDevice,
    certificate: &IssuedCertificate,
) -> Result<Admitted, Refusal> {
    match certificate.revoked_at {
        Some(_) => Err(Refusal::CertificateRevoked),
        None => open(known),
    }
}

/// Asks policy about the device of an enrollment that was approved before a restart.
///
/// # Errors
/// [`Refusal::DeviceBarred`] as for [`readmit`].
pub fn readmit_stored(known: KnownDevice) -> Result<Admitted, Refusal> {
    open(known)
}

fn open(known: KnownDevice) -> Result<Admitted, Refusal> {
    match known.device.state {
        DeviceState::Admitted | DeviceState::Vouchered | DeviceState::Enrolled => {
            Ok(Admitted { known })
        }
        state => Err(Refusal::DeviceBarred { state }),
    }
}

/// Asks policy about a device that comes for the first time; each row to insert is one attempt at a name.
///
/// The rule today: a device joins if its manufacturer was added by an operator.
/// The caller commits the first row whose name is free.
#[must_use]
pub fn admit(idevid: &Idevid, placement: Placement<'_>, id: &Id, now: Millis) -> Vec<Admitted> {
    let serial = idevid.serial.to_string();
    let manufacturer = &idevid.manufacturer.row;
    let source = NameSource { manufacturer: &manufacturer.name, serial: &serial };
    candidates(placement.template, placement.zone, source)
        .into_iter()
        .map(|name| Admitted {
            known: KnownDevice {
                device: Device {
                    id: id.clone(),
                    name,
                    profile: placement.profile.to_owned(),
                    state: DeviceState::Admitted,
                    created_at: now,
                    updated_at: now,
                },
                identity: Identity {
                    manufacturer: manufacturer.id.clone(),
                    serial: serial.clone(),
                    spki: key_digest(&idevid.certificate),
                    certificate: idevid.certificate.der().clone(),
                },
            },
        })
        .collect()
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
#[must_use]
pub fn key_digest(certificate: &Certificate) -> Sha256 {
    Sha256::of(certificate.spki_der())
}
