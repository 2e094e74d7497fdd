//! What a CSR may ask for under a profile. Pure.
//!
//! The CSR is signed by the device, so nothing in it can be repaired: what does not fit is refused
//! before the issuer hears of it (draft-ietf-acme-integrations §7, RFC 8995 §5.9.2).
//! What common clients add without harm passes: CA:FALSE, a subject key identifier, usages that the profile gives.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::csr::{Csr, Extension, GeneralName, KeyAlgorithm};

use crate::config::{KeyType, Profile};
use crate::flow::refusal::Refusal;

/// id-ce-subjectAltName.
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
/// id-ce-subjectKeyIdentifier.
const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
/// id-ce-keyUsage.
const KEY_USAGE: &str = "2.5.29.15";
/// id-ce-basicConstraints.
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
/// id-ce-extKeyUsage.
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// Checks everything that a CSR asks for.
///
/// `assigned`: the device's one name, lower case.
///
/// # Errors
/// [`Refusal::CsrKey`], [`Refusal::CsrExtension`] or [`Refusal::CsrName`], each with both values.
pub fn check(csr: &Csr, assigned: &str, profile: &Profile) -> Result<(), Refusal> {
    check_key(csr, &profile.key_types)?;
    for extension in csr.extensions() {
        check_extension(csr, extension, &profile.allow_eku)?;
    }
    check_names(csr, assigned)
}

/// Checks that a challengePassword, where there is one, links the CSR to this very session.
///
/// rustls has no tls-unique; the binding is base64 of the `tls-exporter` value (RFC 9266) of a TLS 1.3 session.
/// It is never ignored: a value that cannot be checked is a wrong one (RFC 7030 §3.5).
///
/// # Errors
/// [`Refusal::ChallengePassword`].
pub fn check_linking(csr: &Csr, exporter: Option<&[u8; 32]>) -> Result<(), Refusal> {
    let Some(password) = csr.challenge_password() else {
        return Ok(());
    };
    let expected = exporter.map(|exporter| STANDARD.encode(exporter));
    expected
        .filter(|expected| {
            verify_slices_are_equal(expected.as_bytes(), password.as_bytes()).is_ok()
        })
        .map(|_| ())
        .ok_or(Refusal::ChallengePassword)
}

fn check_key(csr: &Csr, allowed: &[KeyType]) -> Result<(), Refusal> {
    let key = csr.key_algorithm();
    let fits = match key {
        KeyAlgorithm::EcP256 => allowed.contains(&KeyType::EcP256),
        KeyAlgorithm::EcP384 => allowed.contains(&KeyType::EcP384),
        KeyAlgorithm::EcP521 => allowed.contains(&KeyType::EcP521),
        KeyAlgorithm::Ed25519 => allowed.contains(&KeyType::Ed25519),
        KeyAlgorithm::Rsa(bits) => bits >= 2048 && allowed.contains(&KeyType::Rsa),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Err(Refusal::CsrKey { received: key.to_string(), allowed: allowed.join(", ") })
}

fn check_extension(csr: &Csr, extension: &Extension, allow_eku: &[String]) -> Result<(), Refusal> {
    let refused = |what: String| Err(Refusal::CsrExtension { extension: what });
    let unreadable = |error: brski_est::csr::CsrError| Refusal::CsrExtension {
        extension: format!("an extension {} that cannot be read ({error})", extension.oid()),
    };
    match extension.oid() {
        // The names in it are checked together with the common name.
        SUBJECT_ALT_NAME | SUBJECT_KEY_IDENTIFIER => Ok(()),
        BASIC_CONSTRAINTS => match csr.basic_constraints().map_err(unreadable)? {
            Some(constraints) if constraints.is_ca() => refused("CA:TRUE".to_owned()),
            _ => Ok(()),
        },
        KEY_USAGE => match csr.key_usage().map_err(unreadable)? {
            Some(usage) if usage.has_ca_usage() => {
                refused("key usage keyCertSign or cRLSign".to_owned())
            }
            _ => Ok(()),
        },
        EXTENDED_KEY_USAGE => {
            let usages = csr.extended_key_usage().map_err(unreadable)?;
            match usages.iter().find(|usage| !allow_eku.contains(usage)) {
                Some(foreign) => refused(format!("extended key usage {foreign}")),
                None => Ok(()),
            }
        }
        other => refused(format!("extension {other}")),
    }
}

/// The subject alternative names are exactly the assigned one, and the common name, if any, is it too.
fn check_names(csr: &Csr, assigned: &str) -> Result<(), Refusal> {
    let mine = |name: &str| name.eq_ignore_ascii_case(assigned);
    let names = csr
        .subject_alt_names()
        .map_err(|error| Refusal::CsrUnreadable { reason: error.to_string() })?;
    let common_names = csr.common_names();
    let exact = matches!(names.as_slice(), [GeneralName::Dns(name)] if mine(name));
    if exact && common_names.iter().all(|name| mine(name)) {
        return Ok(());
    }
    let received: Vec<String> = names
        .iter()
        .map(ToString::to_string)
        .chain(common_names.iter().map(|name| format!("CN={name:?}")))
        .collect();
    let received = match received.is_empty() {
        true => "nothing".to_owned(),
        false => received.join(", "),
    };
    Err(Refusal::CsrName { received, assigned: assigned.to_owned() })
}
