//! Certificates of the domain: the registrar's own, a new root, and what leads from one root to the next.
//!
//! A registrar's certificate carries cmcRA (RFC 8995 §5.5.4), serverAuth and clientAuth. The new root keeps the name of
//! the old one, so that OldWithNew and NewWithOld are self-issued (RFC 4210 §4.4) and count against no path length
//! (RFC 5280 §4.2.1.9). All are backdated by an hour, for pledges whose clock is slow.

use brski_voucher::certificate::Certificate;
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequest, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::roots::is_signed_by;
use super::template::{self, TemplateError};
use crate::clock::unix_time;
use crate::entropy::random_bytes;
use crate::keys::Key;
use crate::store::model::Millis;

/// id-kp-cmcRA.
const CMC_RA: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 28];
const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 24 * HOUR_SECS;

/// Why a certificate of the domain was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DomainIssueError {
    /// It cannot be like the one before.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It was not made or not signed.
    #[error("the certificate was not made: {0}")]
    Making(#[from] rcgen::Error),
    /// What was made does not chain to the root, so it is not used.
    #[error("the certificate that was made does not verify: {0}")]
    Unusable(String),
    /// The root has ended, or ends within the day.
    #[error("the root of the domain ends at {not_after} (Unix seconds): run 'registrar ca rotate'")]
    RootEnds {
        /// When it ends.
        not_after: i64,
    },
}

/// A root of the domain with its key.
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// The root, self-signed.
    pub certificate: &'a Certificate,
    /// Its key.
    pub key: &'a Key,
}

/// A registrar's certificate like the one before, under this root, with a life as long as the one before had.
///
/// # Errors
/// [`DomainIssueError`].
pub fn registrar(
    before: &Certificate,
    key: &Key,
    root: Root<'_>,
    now: Millis,
) -> Result<Certificate, DomainIssueError> {
    let life = before.not_after().saturating_sub(before.not_before());
    let root_end = root.certificate.not_after();
    if root_end < now.seconds() + DAY_SECS {
        return Err(DomainIssueError::RootEnds { not_after: root_end });
    }
    let mut parameters = like(before)?;
    parameters.not_before = date(now.seconds() - HOUR_SECS);
    parameters.not_after = date((now.seconds() - HOUR_SECS).saturating_add(life).min(root_end));
    parameters.use_authority_key_identifier_extension = true;
    parameters.serial_number = Some(serial());
    let issuer = Issuer::from_ca_cert_der(root.certificate.der(), root.key)?;
    let made = read(parameters.signed_by(&public(key.spki_der())?, &issuer)?.der())?;
    let anchors = Anchors::new(&[root.certificate.der().clone()])
        .map_err(|error| DomainIssueError::Unusable(error.to_string()))?;
    verify_chain(&made, &[], &anchors, ValidityTime::At(unix_time(now)))
        .map_err(|error| DomainIssueError::Unusable(error.to_string()))?;
    Ok(made)
}

/// A request for a certificate like this one: PEM, for a CA that is elsewhere.
///
/// # Errors
/// [`DomainIssueError`].
pub fn request(before: &Certificate, key: &Key) -> Result<String, DomainIssueError> {
    let mut parameters = like(before)?;
    // That it is no CA is the CA's to say.
    parameters.is_ca = IsCa::NoCa;
    let request: CertificateSigningRequest = parameters.serialize_request(key)?;
    Ok(request.pem()?)
}

/// A new root and what leads from it to the one before and back.
#[derive(Clone, Debug)]
pub struct NewRoot {
    /// The new root, self-signed.
    pub root: Certificate,
    /// The key of the old root, certified by the new one.
    pub old_with_new: Certificate,
    /// The key of the new root, certified by the old one.
    pub new_with_old: Certificate,
}

/// Makes a new root, with the name, the path length and the life of the old one.
///
/// # Errors
/// [`DomainIssueError`].
pub fn root(old: Root<'_>, key: &Key, now: Millis) -> Result<NewRoot, DomainIssueError> {
    let before = old.certificate;
    let begin = now.seconds() - HOUR_SECS;
    let life = before.not_after().saturating_sub(before.not_before());
    let mut parameters = authority(before)?;
    parameters.not_before = date(begin);
    parameters.not_after = date(begin.saturating_add(life));
    let root = read(parameters.self_signed(key)?.der())?;
    let new = Root { certificate: &root, key };
    // From the making of the new key to the end of the old root (RFC 4210 §4.4.1).
    let new_with_old = cross(&root, old, (begin, before.not_after()))?;
    // As long as the old root itself.
    let old_with_new = cross(before, new, (before.not_before(), before.not_after()))?;
    Ok(NewRoot { old_with_new, new_with_old, root })
}

/// The key of a CA, certified by another one. `validity`: Unix seconds.
fn cross(
    of: &Certificate,
    by: Root<'_>,
    validity: (i64, i64),
) -> Result<Certificate, DomainIssueError> {
    let mut parameters = authority(of)?;
    if let Some(identifier) = of.subject_key_identifier() {
        parameters.key_identifier_method = KeyIdMethod::PreSpecified(identifier.to_vec());
    }
    // Whoever sees two certificates of one name tells them apart by it.
    parameters.use_authority_key_identifier_extension = true;
    (parameters.not_before, parameters.not_after) = (date(validity.0), date(validity.1));
    let issuer = Issuer::from_ca_cert_der(by.certificate.der(), by.key)?;
    let made = read(parameters.signed_by(&public(of.spki_der())?, &issuer)?.der())?;
    let is_right = is_signed_by(&made, by.certificate)
        && made.issuer_der() == by.certificate.subject_der()
        && made.subject_der() == of.subject_der();
    match is_right {
        true => Ok(made),
        false => Err(DomainIssueError::Unusable("its names are not those of the roots".to_owned())),
    }
}

/// Subject, names and usages of a registrar's certificate.
fn like(before: &Certificate) -> Result<CertificateParams, DomainIssueError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = template::subject(before)?;
    parameters.subject_alt_names = template::names(before)?;
    usages(&mut parameters);
    Ok(parameters)
}

/// What a registrar's certificate is for (RFC 8995 §5.5.4): an RA, a server of pledges, a client of MASAs.
pub(crate) fn usages(parameters: &mut CertificateParams) {
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::Other(CMC_RA.to_vec()),
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
}

/// A CA of the same name and path length.
fn authority(before: &Certificate) -> Result<CertificateParams, DomainIssueError> {
    let (_, read) =
        X509Certificate::from_der(before.der()).map_err(|_| TemplateError::Unreadable)?;
    let constraints = read.basic_constraints().map_err(|_| TemplateError::Unreadable)?;
    let length = constraints.and_then(|extension| extension.value.path_len_constraint);
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = template::subject(before)?;
    parameters.is_ca = IsCa::Ca(match length.map(u8::try_from) {
        Some(Ok(length)) => BasicConstraints::Constrained(length),
        _ => BasicConstraints::Unconstrained,
    });
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.serial_number = Some(serial());
    Ok(parameters)
}

fn public(spki: &[u8]) -> Result<SubjectPublicKeyInfo, DomainIssueError> {
    Ok(SubjectPublicKeyInfo::from_der(spki)?)
}

fn read(der: &CertificateDer<'_>) -> Result<Certificate, DomainIssueError> {
    Certificate::from_der(der).map_err(|error| DomainIssueError::Unusable(error.to_string()))
}

/// 16 random octets: positive, and none of them lost.
fn serial() -> SerialNumber {
    let mut octets: [u8; 16] = random_bytes();
    if let Some(first) = octets.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::from_slice(&octets)
}

fn date(unix_seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
