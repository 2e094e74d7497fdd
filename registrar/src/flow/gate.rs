//! Who may enroll, as what device, and what has to be written for it first (RFC 7030 §3.2.3, §3.3.2).
//!
//! A device with an IDevID needs a voucher, unless its manufacturer is marked "EST without BRSKI";
//! a device with a certificate of ours needs exactly that one, stored, valid, not revoked;
//! a credential makes its device the first time that it enrolls.

use super::peer::{Idevid, PeerIdentity};
use super::refusal::Refusal;
use crate::policy::admission::{Admitted, Entry, enter_with_credential, readmit, readmit_issued};
use crate::store::Change;
use crate::store::model::{
    Credential, DeviceState, Entry as Needs, Id, IssuedCertificate, KnownDevice, Millis, Sha256,
};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A device that may enroll.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// The device.
    pub admitted: Admitted,
    /// What is written together with its next enrollment.
    pub changes: Vec<Change>,
    /// The certificate of ours that its session carries.
    pub certificate: Option<IssuedCertificate>,
}

impl From<Admitted> for Entrant {
    fn from(admitted: Admitted) -> Self {
        Self { admitted, changes: Vec::new(), certificate: None }
    }
}

/// What a profile says about the sessions of its devices.
#[derive(Clone, Copy, Debug)]
pub struct SessionRules<'a> {
    /// The zone that its devices are named in.
    pub zone: &'a str,
    /// For how many days after its end a certificate can still be used to renew it.
    pub renew_expired_days: u32,
}

/// Lets the device of a certificate in that this registrar issued.
///
/// # Errors
/// [`Refusal::CertificateNotValid`]; [`Refusal::DeviceBarred`]; [`Refusal::NoVoucher`] if it must begin anew.
pub fn issued(
    certificate: &IssuedCertificate,
    device: &KnownDevice,
    rules: SessionRules<'_>,
    now: Millis,
) -> Result<Entrant, Refusal> {
    let admitted = readmit_issued(device.clone(), certificate)?;
    valid(certificate, rules.renew_expired_days, now)?;
    match admitted.device().state {
        DeviceState::Admitted if device.identity.credential().is_none() => Err(Refusal::NoVoucher),
        _ => Ok(Entrant { certificate: Some(certificate.clone()), ..Entrant::from(admitted) }),
    }
}

/// A certificate that has ended may be good for a while, one that has not begun never is.
fn valid(certificate: &IssuedCertificate, grace_days: u32, now: Millis) -> Result<(), Refusal> {
    let grace = i64::from(grace_days).saturating_mul(DAY_MILLIS);
    if now < certificate.not_before {
        let reason = "not valid yet".to_owned();
        let remedy = "is the clock of the registrar right?";
        return Err(Refusal::CertificateNotValid { reason, remedy });
    }
    if now >= certificate.not_after.plus(grace) {
        let days = now.0.saturating_sub(certificate.not_after.0).div_euclid(DAY_MILLIS);
        let reason = format!("expired since {days} days, and may be for {grace_days}");
        let remedy = "use simpleenroll with the IDevID or a credential";
        return Err(Refusal::CertificateNotValid { reason, remedy });
    }
    Ok(())
}

/// Lets the device of an IDevID in that was admitted before.
///
/// # Errors
/// [`Refusal::NoVoucher`] if it has none and needs one; else as [`readmit`].
pub fn idevid(idevid: &Idevid, known: KnownDevice) -> Result<Entrant, Refusal> {
    let admitted = readmit(known, idevid)?;
    match (admitted.device().state, idevid.manufacturer.row.entry) {
        (DeviceState::Vouchered | DeviceState::Enrolled, _) | (_, Needs::Est) => {
            Ok(admitted.into())
        }
        (_, Needs::Voucher) => Err(Refusal::NoVoucher),
    }
}

/// Lets the device of a credential in; it is made with its first enrollment, which uses the credential up by one.
///
/// `id`: for a device that is not there yet.
///
/// # Errors
/// [`Refusal::DeviceBarred`].
pub fn credential(
    credential: &Credential,
    device: Option<&KnownDevice>,
    rules: SessionRules<'_>,
    id: Id,
    now: Millis,
) -> Result<Entrant, Refusal> {
    let Entry { admitted, mut changes } =
        enter_with_credential(credential, device.cloned(), rules.zone, id, now)?;
    changes.push(Change::SpendCredential { name: credential.name.clone() });
    Ok(Entrant { admitted, changes, certificate: None })
}

/// Judges a credential and the SHA-256 of the secret that came with it.
///
/// # Errors
/// [`Refusal::CredentialRefused`], which tells the client nothing about which of them is wrong.
pub fn authenticate(
    name: &str,
    secret: &Sha256,
    stored: Option<Credential>,
    now: Millis,
) -> Result<Credential, Refusal> {
    // Compared even where there is none, so that names cannot be told by the time that it takes.
    let expected = stored.as_ref().map_or(Sha256([0; 32]), |stored| stored.secret);
    let is_equal =
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected.0, &secret.0).is_ok();
    let refused = |reason: String| Err(Refusal::CredentialRefused { reason });
    let Some(stored) = stored else {
        return refused(format!("there is no credential {name:?}"));
    };
    if !is_equal {
        return refused(format!("the secret of credential {name:?} is wrong"));
    }
    if stored.revoked_at.is_some() {
        return refused(format!("credential {name:?} is revoked"));
    }
    if stored.expires_at.is_some_and(|end| now >= end) {
        return refused(format!("credential {name:?} has ended"));
    }
    Ok(stored)
}

/// What a peer is told that is no device which may enroll.
#[must_use]
pub fn nobody(identity: &PeerIdentity) -> Refusal {
    match identity {
        PeerIdentity::None => Refusal::NoCredential,
        PeerIdentity::Unknown { reason } => Refusal::UnknownManufacturer { reason: reason.clone() },
        PeerIdentity::Revoked => Refusal::CertificateRevoked,
        PeerIdentity::Idevid(_) | PeerIdentity::Issued { .. } | PeerIdentity::Credential { .. } => {
            Refusal::NoVoucher
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;

    use super::*;

    fn certificate(not_before: i64, not_after: i64) -> IssuedCertificate {
        let id = || Id::from_stored("1".into());
        IssuedCertificate {
            fingerprint: Sha256([1; 32]),
            device: id(),
            enrollment: id(),
            issuer: "local".into(),
            authority: None,
            certificate: CertificateDer::from(vec![1]),
            serial: "01".into(),
            spki: Sha256([2; 32]),
            not_before: Millis(not_before),
            not_after: Millis(not_after),
            revoked_at: None,
            created_at: Millis(0),
        }
    }

    #[test]
    fn a_certificate_ends_after_its_days_of_grace() {
        let certificate = certificate(0, 1000);
        assert!(valid(&certificate, 0, Millis(999)).is_ok());
        assert!(valid(&certificate, 0, Millis(1000)).is_err());
        assert!(valid(&certificate, 1, Millis(1000 + DAY_MILLIS - 1)).is_ok());
        assert!(valid(&certificate, 1, Millis(1000 + DAY_MILLIS)).is_err());
    }

    #[test]
    fn no_grace_helps_a_certificate_that_has_not_begun() {
        assert!(valid(&certificate(10, 1000), 3650, Millis(9)).is_err());
        assert!(valid(&certificate(10, 1000), 3650, Millis(10)).is_ok());
    }

    fn stored() -> Credential {
        Credential {
            name: "printer".into(),
            secret: Sha256::of(b"secret"),
            profile: "default".into(),
            uses: 1,
            used: 1,
            created_at: Millis(0),
            expires_at: Some(Millis(10)),
            revoked_at: None,
        }
    }

    #[test]
    fn a_credential_is_good_with_its_secret_until_it_ends() {
        let secret = Sha256::of(b"secret");
        // Being used up bars a new enrollment, not the polling for an old one.
        assert!(authenticate("printer", &secret, Some(stored()), Millis(9)).is_ok());
        let revoked = Credential { revoked_at: Some(Millis(1)), ..stored() };
        for (stored, secret, now) in [
            (Some(stored()), Sha256::of(b"Secret"), 9),
            (Some(stored()), secret, 10),
            (Some(revoked), secret, 9),
            (None, secret, 9),
            (None, Sha256([0; 32]), 9),
        ] {
            let refusal = authenticate("printer", &secret, stored, Millis(now)).unwrap_err();
            assert_eq!(refusal.kind(), "credential-refused");
            // The client is told the same, whatever it is.
            assert!(!refusal.to_string().contains("printer"), "{refusal}");
        }
    }
}
