//! Is what the CA sent what was asked for? Pure. (RFC 8555 §7.4.2, §11.4.)
//!
//! A CA may rewrite the subject and drop extensions; key, names, usages that the caller requires, validity and the path
//! to a configured root may not differ. What does not pass is handed to nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    anchor_from_trusted_cert,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use crate::order::Csr;

/// The longest chain that is read, in octets of PEM.
const CHAIN_OCTETS: usize = 128 * 1024;
/// The most certificates that a chain may have.
const CHAIN_CERTIFICATES: usize = 12;
/// How far the CA's clock may be ahead of ours, in seconds.
const AHEAD_SECS: i64 = 3600;
/// The longest life that a certificate of a device may have, in seconds: ten years.
const LIFE_SECS: i64 = 3660 * 24 * 3600;
/// id-ce-extKeyUsage's anyExtendedKeyUsage.
const ANY_USAGE: &str = "2.5.29.37.0";

/// Why a chain is not handed out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainRefusal {
    /// It is longer than any chain.
    #[error("the chain has {octets} octets, more than {CHAIN_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It holds more certificates than any chain.
    #[error("the chain has {certificates} certificates, more than {CHAIN_CERTIFICATES}")]
    TooMany {
        /// How many.
        certificates: usize,
    },
    /// It holds a PEM block that is no certificate.
    #[error("the chain holds a PEM block {label:?}, and may hold certificates only")]
    ForeignBlock {
        /// The block's label.
        label: String,
    },
    /// It holds no certificate, or one that cannot be read.
    #[error("the chain holds no certificate that can be read")]
    Unreadable,
    /// The certificate is of another key.
    #[error("the certificate is of another key than the CSR")]
    Key,
    /// The certificate carries other names.
    #[error("the certificate is for {certificate:?}, the CSR for {csr:?}")]
    Names {
        /// In the certificate.
        certificate: Vec<String>,
        /// In the CSR.
        csr: Vec<String>,
    },
    /// The certificate lacks a usage that the caller requires.
    #[error("the certificate has the extended key usages {certificate:?}, and lacks {required}")]
    Usage {
        /// In the certificate.
        certificate: Vec<String>,
        /// What is required of it.
        required: String,
    },
    /// The certificate is valid at no time that makes sense.
    #[error("the certificate is valid from {from} to {to} (Unix seconds), and now is {now}")]
    Validity {
        /// Unix seconds.
        from: i64,
        /// Unix seconds.
        to: i64,
        /// Unix seconds.
        now: i64,
    },
    /// The certificate does not lead to a configured root now.
    #[error("the certificate does not lead to a configured root: {0}")]
    Path(webpki::Error),
}

impl ChainRefusal {
    /// Whether another chain of the same certificate may pass.
    #[must_use]
    pub fn is_about_the_path(&self) -> bool {
        matches!(self, Self::Path(_))
    }
}

/// Any extended key usage: what the caller requires is checked apart, and no more.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// What a chain is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The CSR that it answers.
    pub csr: &'a Csr,
    /// The extended key usages that the certificate must have: object identifiers.
    pub require_eku: &'a [String],
    /// Certificates that a chain may end at.
    pub roots: &'a [CertificateDer<'static>],
    /// Unix milliseconds.
    pub now: i64,
}

/// Checks a chain against what was asked for, and gives it back as DER: the certificate first, the root last,
/// between them those that lead from one to the other, and nothing else that the CA may have sent.
///
/// `pem`: as downloaded.
///
/// # Errors
/// [`ChainRefusal`].
pub fn chain(
    pem: &str,
    expected: &Expectation<'_>,
) -> Result<Vec<CertificateDer<'static>>, ChainRefusal> {
    let received = read(pem)?;
    let (leaf, above) = received.split_first().ok_or(ChainRefusal::Unreadable)?;
    let certificate = EndEntityCert::try_from(leaf).map_err(ChainRefusal::Path)?;
    if certificate.subject_public_key_info().as_ref() != expected.csr.spki {
        return Err(ChainRefusal::Key);
    }
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| ChainRefusal::Unreadable)?;
    check_names(&parsed, expected.csr)?;
    check_usages(&parsed, expected.require_eku)?;
    let at = check_validity(&parsed, expected.now)?;
    let anchors: Vec<_> =
        expected.roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let path = certificate
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, above, at, AnyUsage, None, None)
        .map_err(ChainRefusal::Path)?;
    let mut chain = vec![leaf.clone()];
    chain.extend(path.intermediate_certificates().map(|each| each.der().into_owned()));
    let reached = path.anchor();
    let root = expected.roots.iter().find(|root| {
        anchor_from_trusted_cert(root).is_ok_and(|anchor| {
            anchor.subject == reached.subject
                && anchor.subject_public_key_info == reached.subject_public_key_info
        })
    });
    // CAs leave the root out.
    chain.extend(root.cloned());
    Ok(chain)
}

/// The certificate of a chain that is refused, where it is one of the CSR's key: it is to be revoked.
#[must_use]
pub fn leaf(pem: &str) -> Option<CertificateDer<'static>> {
    read(pem).ok()?.into_iter().next()
}

/// How a CA with ACME renewal information knows a certificate (RFC 9773 §4.1).
#[must_use]
pub fn renewal_identifier(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let authority = parsed.extensions().iter().find_map(|each| match each.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
        _ => None,
    })?;
    let serial = URL_SAFE_NO_PAD.encode(parsed.tbs_certificate.raw_serial());
    Some(format!("{}.{serial}", URL_SAFE_NO_PAD.encode(authority.0)))
}

fn check_names(certificate: &X509Certificate<'_>, csr: &Csr) -> Result<(), ChainRefusal> {
    let received: BTreeSet<String> = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .map(|name| match name {
            GeneralName::DNSName(name) => name.to_ascii_lowercase(),
            // Of another kind, none of which was asked for.
            other => format!("{other}").chars().take(100).collect(),
        })
        .collect();
    let wanted: BTreeSet<String> = csr.names.iter().map(|name| name.to_ascii_lowercase()).collect();
    if received == wanted {
        return Ok(());
    }
    Err(ChainRefusal::Names {
        certificate: received.into_iter().collect(),
        csr: wanted.into_iter().collect(),
    })
}

fn check_usages(
    certificate: &X509Certificate<'_>,
    required: &[String],
) -> Result<(), ChainRefusal> {
    let Ok(Some(extension)) = certificate.extended_key_usage() else {
        // Without the extension every usage is allowed (RFC 5280 §4.2.1.12).
        return Ok(());
    };
    let usages = extension.value;
    let mut has: Vec<String> = usages.other.iter().map(ToString::to_string).collect();
    let known = [
        (usages.any, ANY_USAGE),
        (usages.server_auth, "1.3.6.1.5.5.7.3.1"),
        (usages.client_auth, "1.3.6.1.5.5.7.3.2"),
        (usages.code_signing, "1.3.6.1.5.5.7.3.3"),
        (usages.email_protection, "1.3.6.1.5.5.7.3.4"),
        (usages.time_stamping, "1.3.6.1.5.5.7.3.8"),
        (usages.ocsp_signing, "1.3.6.1.5.5.7.3.9"),
    ];
    has.extend(known.iter().filter(|(has, _)| *has).map(|(_, usage)| (*usage).to_owned()));
    match required.iter().find(|usage| !has.contains(usage) && !usages.any) {
        None => Ok(()),
        Some(lacking) => Err(ChainRefusal::Usage { certificate: has, required: lacking.clone() }),
    }
}

/// The time at which the path is checked: now, or the certificate's beginning if that is a little ahead.
fn check_validity(certificate: &X509Certificate<'_>, now: i64) -> Result<UnixTime, ChainRefusal> {
    let now = now.div_euclid(1000);
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let is_sane =
        from <= now.saturating_add(AHEAD_SECS) && now < to && to.saturating_sub(from) <= LIFE_SECS;
    if !is_sane {
        return Err(ChainRefusal::Validity { from, to, now });
    }
    let at = u64::try_from(now.max(from)).unwrap_or(0);
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(at)))
}

fn read(pem: &str) -> Result<Vec<CertificateDer<'static>>, ChainRefusal> {
    if pem.len() > CHAIN_OCTETS {
        return Err(ChainRefusal::TooLong { octets: pem.len() });
    }
    let foreign = pem
        .split("-----BEGIN ")
        .skip(1)
        .map(|block| block.split("-----").next().unwrap_or_default())
        .find(|label| *label != "CERTIFICATE");
    if let Some(label) = foreign {
        return Err(ChainRefusal::ForeignBlock { label: label.chars().take(40).collect() });
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| ChainRefusal::Unreadable)?;
    match chain.len() {
        0 => Err(ChainRefusal::Unreadable),
        certificates if certificates > CHAIN_CERTIFICATES => {
            Err(ChainRefusal::TooMany { certificates })
        }
        _ => Ok(chain),
    }
}
