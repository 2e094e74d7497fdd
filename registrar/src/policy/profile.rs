//! What a CSR may ask for under a profile. Pure.
//!
//! The CSR is signed by the device, so nothing in it can be repaired: what does not fit is refused
//! before the issuer hears of it (draft-ietf-acme-integrations §7, RFC 8995 §5.9.2).
//! What common clients add without harm passes: CA:FALSE, a subject key identifier, usages that the profile gives.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::csr::{Csr, check};
use brski_est::csr_attributes::Linking;

use crate::config::{Profile, RenewKey};
use crate::flow::refusal::Refusal;
use crate::store::model::Sha256;

/// Checks everything that a CSR asks for.
///
/// `assigned`: the device's one name, lower case.
///
/// # Errors
/// [`Refusal::CsrKey`], [`Refusal::CsrExtension`] or [`Refusal::CsrName`], each with both values.
pub fn check(csr: &Csr, assigned: &str, profile: &Profile) -> Result<(), Refusal> {
    check::key(csr, &profile.key_types).map_err(Refusal::CsrKey)?;
    let usages: Vec<&str> = profile.allow_eku.iter().map(String::as_str).collect();
    check::extensions(csr, &usages, &[]).map_err(Refusal::CsrExtension)?;
    check::names(csr, assigned).map_err(Refusal::CsrName)
}

/// Checks the key of a CSR that renews a certificate.
///
/// `renewed`: SHA-256 of the SubjectPublicKeyInfo of that certificate.
///
/// # Errors
/// [`Refusal::CsrRenewalKey`].
pub fn check_renewal_key(csr: &Csr, renewed: &Sha256, rule: RenewKey) -> Result<(), Refusal> {
    let is_same = Sha256::of(csr.spki_der()) == *renewed;
    match rule {
        RenewKey::Same if !is_same => Err(Refusal::CsrRenewalKey { wanted: "the same key" }),
        RenewKey::New if is_same => Err(Refusal::CsrRenewalKey { wanted: "a new key" }),
        _ => Ok(()),
    }
}

/// Checks that a challengePassword, where there is one, links the CSR to this very session.
///
/// rustls has no tls-unique; the binding is base64 of the `tls-exporter` value (RFC 9266) of a TLS 1.3 session.
/// It is never ignored: a value that cannot be checked is a wrong one (RFC 7030 §3.5).
///
/// # Errors
/// [`Refusal::ChallengePassword`]; [`Refusal::LinkingMissing`] where there is none and one is required.
pub fn check_linking(
    csr: &Csr,
    exporter: Option<&[u8; 32]>,
    linking: Linking,
) -> Result<(), Refusal> {
    let Some(password) = csr.challenge_password() else {
        return match linking {
            Linking::NotAsked => Ok(()),
            Linking::Required => Err(Refusal::LinkingMissing),
        };
    };
    let expected = exporter.map(|exporter| STANDARD.encode(exporter));
    expected
        .filter(|expected| {
            verify_slices_are_equal(expected.as_bytes(), password.as_bytes()).is_ok()
        })
        .map(|_| ())
        .ok_or(Refusal::ChallengePassword)
}
