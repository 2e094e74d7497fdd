//! Judges what a CSR asks for against what its owner may have. Pure; one function a subject, one reason a refusal.
//!
//! A CSR is signed by its owner, so nothing in it can be repaired: what does not fit is refused with a reason that
//! says what to fix (RFC 7030 §4.2.3, RFC 8995 §5.9.2).
//! What common clients add without harm passes: CA:FALSE, a subject key identifier, usages that are allowed,
//! and attributes that ask for nothing, such as unstructuredName.

use thiserror::Error;

use super::{
    BASIC_CONSTRAINTS, Csr, CsrError, EXTENDED_KEY_USAGE, GeneralName, KEY_USAGE, KeyAlgorithm,
    KeyKind, RSA_BITS, SUBJECT_ALT_NAME,
};

const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";

/// What in a CSR its owner may not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CsrFault {
    /// The RSA key is too small, or too large to be checked.
    #[error("the RSA key has {bits} bits; 2048 to 8192 are taken")]
    RsaSize {
        /// The length of its modulus.
        bits: u32,
    },
    /// The key is of another kind than those allowed.
    #[error("the key is {found}; allowed are: {}", list(allowed))]
    KeyKind {
        /// The key's.
        found: KeyAlgorithm,
        /// Those allowed.
        allowed: Vec<KeyKind>,
    },
    /// There is no subject alternative name.
    #[error("there is no subject alternative name; it must be {assigned:?}")]
    NoName {
        /// The owner's name.
        assigned: String,
    },
    /// A subject alternative name is a wildcard.
    #[error("the subject alternative name {found:?} is a wildcard; it must be {assigned:?}")]
    Wildcard {
        /// The name.
        found: String,
        /// The owner's name.
        assigned: String,
    },
    /// A subject alternative name is of another kind than dNSName.
    #[error("the subject alternative name is {found}; it must be the dNSName {assigned:?}")]
    NameKind {
        /// The name.
        found: GeneralName,
        /// The owner's name.
        assigned: String,
    },
    /// A subject alternative name is another's.
    #[error("the subject alternative name is {found:?}; it must be {assigned:?}")]
    ForeignName {
        /// The name.
        found: String,
        /// The owner's name.
        assigned: String,
    },
    /// The assigned name is there more than once.
    #[error("the subject alternative name {assigned:?} is there more than once")]
    NameTwice {
        /// The owner's name.
        assigned: String,
    },
    /// The common name is not the subject alternative name.
    #[error("the common name is {found:?}; it must be {assigned:?} or left out")]
    CommonName {
        /// The name.
        found: String,
        /// The owner's name.
        assigned: String,
    },
    /// It asks for a CA certificate.
    #[error("basicConstraints asks for a CA")]
    CaTrue,
    /// It asks for a usage that only CAs have.
    #[error("keyUsage asks for keyCertSign or cRLSign")]
    CaUsage,
    /// It asks for an extended key usage that is not given.
    #[error("the extended key usage {found} is not given; given are: {}", allowed.join(", "))]
    ExtendedKeyUsage {
        /// The usage, dotted.
        found: String,
        /// Those given, dotted.
        allowed: Vec<String>,
    },
    /// It asks for an extension that is not given.
    #[error("the extension {found} is not given")]
    Extension {
        /// The extension, dotted.
        found: String,
    },
    /// An extension cannot be read.
    #[error("an extension cannot be read: {0}")]
    Unreadable(#[from] CsrError),
}

/// Checks the kind and the size of the key.
///
/// # Errors
/// [`CsrFault::RsaSize`], [`CsrFault::KeyKind`].
pub fn key(csr: &Csr, allowed: &[KeyKind]) -> Result<(), CsrFault> {
    let found = csr.key_algorithm();
    if let KeyAlgorithm::Rsa(bits) = found
        && !RSA_BITS.contains(&bits)
    {
        return Err(CsrFault::RsaSize { bits });
    }
    match found.kind() {
        Some(kind) if allowed.contains(&kind) => Ok(()),
        _ => Err(CsrFault::KeyKind { found, allowed: allowed.to_vec() }),
    }
}

/// Checks that the subject alternative names are exactly the one DNS name that was assigned, and that each common
/// name is it too. Letters compare whatever their case.
///
/// # Errors
/// [`CsrFault::NoName`], [`CsrFault::NameKind`], [`CsrFault::Wildcard`], [`CsrFault::ForeignName`],
/// [`CsrFault::NameTwice`], [`CsrFault::CommonName`], [`CsrFault::Unreadable`].
///
/// draft-ietf-acme-integrations §3: the name stands in the subject alternative name, not only in the subject.
pub fn names(csr: &Csr, assigned: &str) -> Result<(), CsrFault> {
    let owned = || assigned.to_owned();
    let names = csr.subject_alt_names()?;
    let count = names.len();
    for name in names {
        match name {
            GeneralName::Dns(found) if found.eq_ignore_ascii_case(assigned) => {}
            GeneralName::Dns(found) if found.contains('*') => {
                return Err(CsrFault::Wildcard { found, assigned: owned() });
            }
            GeneralName::Dns(found) => {
                return Err(CsrFault::ForeignName { found, assigned: owned() });
            }
            found => return Err(CsrFault::NameKind { found, assigned: owned() }),
        }
    }
    match count {
        0 => return Err(CsrFault::NoName { assigned: owned() }),
        1 => {}
        _ => return Err(CsrFault::NameTwice { assigned: owned() }),
    }
    let foreign = csr.common_names().into_iter().find(|name| !name.eq_ignore_ascii_case(assigned));
    foreign.map_or(Ok(()), |found| Err(CsrFault::CommonName { found, assigned: owned() }))
}

/// Checks the extensions. `usages`: the extended key usages that are given; `others`: further extensions that are,
/// whatever their values; both dotted.
///
/// # Errors
/// [`CsrFault::CaTrue`], [`CsrFault::CaUsage`], [`CsrFault::ExtendedKeyUsage`], [`CsrFault::Extension`],
/// [`CsrFault::Unreadable`].
pub fn extensions(csr: &Csr, usages: &[&str], others: &[&str]) -> Result<(), CsrFault> {
    for extension in csr.extensions() {
        match extension.oid() {
            // The names in it are checked together with the common name.
            SUBJECT_ALT_NAME | SUBJECT_KEY_IDENTIFIER => {}
            BASIC_CONSTRAINTS => {
                if csr.basic_constraints()?.is_some_and(super::BasicConstraints::is_ca) {
                    return Err(CsrFault::CaTrue);
                }
            }
            KEY_USAGE => {
                if csr.key_usage()?.is_some_and(super::KeyUsage::has_ca_usage) {
                    return Err(CsrFault::CaUsage);
                }
            }
            EXTENDED_KEY_USAGE => {
                let asked = csr.extended_key_usage()?;
                if let Some(found) = asked.into_iter().find(|one| !usages.contains(&one.as_str())) {
                    let allowed = usages.iter().map(|usage| (*usage).to_owned()).collect();
                    return Err(CsrFault::ExtendedKeyUsage { found, allowed });
                }
            }
            other if others.contains(&other) => {}
            other => return Err(CsrFault::Extension { found: other.to_owned() }),
        }
    }
    Ok(())
}

/// Whether a DNS name lies under a zone, compared by whole labels: `eviliot.example.org` is not under
/// `iot.example.org`, and a zone is not under itself. Letters compare whatever their case; one final dot is passed over.
#[must_use]
pub fn is_under(name: &str, zone: &str) -> bool {
    let without_dot = |text: &str| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let (name, zone) = (without_dot(name), without_dot(zone));
    !zone.is_empty()
        && name
            .strip_suffix(&zone)
            .and_then(|above| above.strip_suffix('.'))
            .is_some_and(|above| above.split('.').all(|label| !label.is_empty()))
}

fn list(kinds: &[KeyKind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
